"""Behind Debian's nginx, below a path, in a real Chromium: deep links, files both ways, a restart, what is refused."""

from __future__ import annotations

import http.client
import re
import statistics
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, BrowserContext, Cookie, Page, expect

from nettrim_cli.health import asked
from nettrim_core import load_bundle
from nettrim_core.configuration import Uploads
from pages.brought import COOKIE
from tests.browsing import charted, opened, settled
from tests.deployed import DEPLOY, PATH, Studio, behind_nginx
from tests.hostile_networks import good
from tests.test_browser_bring import give, table

pytestmark = pytest.mark.long  # they need nginx and systemd

STATE = "model=digits_mlp&layers=fc3&methods=magnitude&n=200&eps=0.3"
ELSEWHERE = "http://localhost/elsewhere"  # another site's page, which no server has
CONNECTED = ("data-test-connection-state", "CONNECTED")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("studio"), "[monitoring]\nmetrics = true\n")
    studio.start()
    yield studio
    studio.stop()
    assert "Traceback" not in studio.log.read_text()


@pytest.fixture(scope="module")
def front(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx's own address."""
    with behind_nginx(tmp_path_factory.mktemp("nginx"), studio.port) as url:
        yield url


@pytest.fixture
def visit(browser: Browser, front: str) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    trouble: list[str] = []
    context.on("weberror", lambda error: trouble.append(str(error.error)))
    context.on(
        "request", lambda r: None if r.url.startswith((front, ELSEWHERE, "data:", "blob:")) else trouble.append(r.url)
    )
    yield context
    context.close()
    assert trouble == []


@pytest.fixture
def page(visit: BrowserContext) -> Page:
    return visit.new_page()


def test_a_deep_link_opens_with_all_that_is_loaded_from_below_the_path(page: Page, front: str) -> None:
    answers: dict[str, int] = {}
    sockets: list[str] = []
    page.on("response", lambda answer: answers.update({urlsplit(answer.url).path: answer.status}
                                                      if answer.url.startswith("http") else {}))  # fmt: skip
    page.on("websocket", lambda socket: sockets.append(socket.url))
    charted(page, f"{front}/{PATH}/?{STATE}")
    settled(page)
    expect(page.locator(".st-key-sentence")).to_contain_text("Magnitude sets")
    expect(page.locator(".ntp-mask")).to_be_visible()
    assert sockets == [f"{front.replace('http', 'ws')}/{PATH}/_stcore/stream"]
    assert answers[f"/{PATH}/vendor/plotly.min.js"] == 200
    assert [status for path, status in answers.items() if path.startswith(f"/{PATH}/blob/")]
    assert {path: status for path, status in answers.items() if status >= 400} == {}
    assert [path for path in answers if not path.startswith(f"/{PATH}/")] == []
    cookie = known_by(page)
    assert (cookie.get("path"), cookie.get("sameSite"), cookie.get("httpOnly")) == (f"/{PATH}", "Lax", True)


def known_by(page: Page) -> Cookie:
    (cookie,) = [cookie for cookie in page.context.cookies() if cookie.get("name") == COOKIE]
    return cookie


def test_pages_and_shared_links_stay_below_the_path(page: Page, front: str) -> None:
    opened(page, f"{front}/{PATH}?{STATE}")
    page.get_by_role("link", name="Layer").first.click()
    expect(page).to_have_url(re.compile(rf"^{front}/{PATH}/layer\?"), timeout=30_000)
    settled(page)
    page.get_by_role("button", name="Share").click()
    shown = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    expect(shown).to_contain_text(f"{front}/{PATH}/layer", timeout=30_000)
    link = shown.inner_text().strip()
    fresh = opened(page.context.new_page(), link)
    expect(fresh.locator("h1")).to_have_text(page.locator("h1").inner_text(), timeout=30_000)
    assert urlsplit(fresh.url).path == f"/{PATH}/layer"
    assert sorted(urlsplit(fresh.url).query.split("&")) == sorted(urlsplit(page.url).query.split("&"))
    fresh.get_by_role("link", name="Explore").first.click()
    expect(fresh).to_have_url(re.compile(rf"^{front}/{PATH}/\?"), timeout=30_000)
    charted(fresh, fresh.url)
    assert urlsplit(fresh.url).path == f"/{PATH}/"


def test_a_link_on_another_site_opens_the_same_visit(page: Page, front: str) -> None:
    opened(page, f"{front}/{PATH}/bring")
    before = known_by(page)
    other = page.context.new_page()
    link = f'<a href="{front}/{PATH}/bring">in</a>'
    other.route(ELSEWHERE, lambda route: route.fulfill(content_type="text/html", body=link))
    other.goto(ELSEWHERE)
    other.get_by_role("link", name="in").click()
    expect(other.locator("h1")).to_have_text("Bring your own", timeout=30_000)
    assert known_by(page) == before


def test_files_go_up_and_come_down(page: Page, front: str, tmp_path: Path) -> None:
    opened(page, f"{front}/{PATH}/bring")
    give(page, 0, "mine.pt2", good())
    expect(page.get_by_text("43 parameters in 2 layers")).to_be_visible(timeout=60_000)
    give(page, 1, "rows.csv", table() + b"\n" * 3_000_000)  # more than nginx holds in memory
    expect(page.get_by_text("90 samples of 4")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("h1")).to_have_text("How much can we trim?", timeout=30_000)
    expect(page).to_have_url(re.compile(rf"^{front}/{PATH}/\?model=own-[0-9a-f]{{16}}"))
    page.get_by_role("link", name="Your own").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this bundle").click()
    assert download.value.url.startswith(f"{front}/{PATH}/media/")
    download.value.save_as(tmp_path / "bundle.zip")
    ZipFile(tmp_path / "bundle.zip").extractall(tmp_path)
    name = download.value.suggested_filename.removesuffix(".zip")
    assert load_bundle(tmp_path / name).fingerprint == name.removeprefix("own-")


def test_what_is_too_large_is_refused_in_a_sentence(page: Page, front: str, tmp_path: Path) -> None:
    most = Uploads().mb
    (tmp_path / "rows.csv").write_bytes(b"0" * (most * 1024**2 + 1))
    opened(page, f"{front}/{PATH}/bring")
    page.locator('input[type="file"]').nth(1).set_input_files(tmp_path / "rows.csv")
    expect(page.get_by_text(f"File must be {most}.0MB or smaller.")).to_be_visible(timeout=30_000)
    status, said = put(front, (most + 1) * 1024**2 + 1)
    assert status == 413
    assert said == f"This file is larger than the {most} MB that this server takes. Give a smaller one."


def put(front: str, size: int) -> tuple[int, str]:
    """What is answered to an upload of so many bytes before any of them is sent."""
    connection = http.client.HTTPConnection(urlsplit(front).netloc, timeout=10)
    connection.putrequest("PUT", f"/{PATH}/_stcore/upload_file/none/none")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_both_limits_are_the_same() -> None:
    """nginx lets pass what Streamlit takes: the file, and a megabyte for what is sent around it."""
    (limit,) = re.findall(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text())
    assert int(limit) == Uploads().mb + 1


def test_a_page_comes_back_by_itself_when_the_server_was_started_again(page: Page, front: str, studio: Studio) -> None:
    charted(page, f"{front}/{PATH}/?{STATE.replace('eps=0.3', 'eps=0.25')}")
    settled(page)
    knob, sentence = page.locator(".ntk input"), page.locator(".st-key-sentence li")
    first = sentence.inner_text()
    knob.press("ArrowRight")
    expect(sentence).not_to_have_text(first, timeout=15_000)
    settled(page)
    link, said = page.url, sentence.inner_text()
    studio.stop()
    expect(page.get_by_test_id("stApp")).not_to_have_attribute(*CONNECTED, timeout=30_000)
    other = page.context.new_page()
    answer = other.goto(link)
    assert answer is not None
    assert answer.status == 503
    expect(other.locator("h1")).to_have_text("The studio is being started.")
    studio.start()
    expect(page.get_by_test_id("stApp")).to_have_attribute(*CONNECTED, timeout=60_000)
    expect(other.locator(".st-key-sentence li")).to_have_text(said, timeout=60_000)
    expect(sentence).to_have_text(said, timeout=60_000)
    settled(page)
    assert page.url == link
    knob.press("ArrowLeft")
    expect(sentence).to_have_text(first, timeout=30_000)


def test_scripts_are_sent_packed_and_looked_after_by_few(front: str) -> None:
    index = fetch(front, f"/{PATH}/")[1].decode()
    (script,) = re.findall(r'<script type="module" crossorigin src="./(static/js/[^"]+)"', index)
    answer, body = fetch(front, f"/{PATH}/{script}", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < 0.5 * len(fetch(front, f"/{PATH}/{script}")[1])
    for path in ("healthz", "metrics", "_stcore/metrics"):
        assert fetch(front, f"/{PATH}/{path}")[0].status == 200, path
        assert fetch(front, f"/{PATH}/{path}", source="127.0.0.2")[0].status == 403, path


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_for_tls_alone_where_the_page_came_by_it(studio: Studio, scheme: str) -> None:
    given = fetch(studio.address, "/", **{"X-Forwarded-Proto": scheme})[0].headers["Set-Cookie"]
    assert given.startswith(f"{COOKIE}=")
    assert ("Secure" in given.split("; ")) == (scheme == "https")


def fetch(url: str, path: str, source: str = "127.0.0.1", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer, and its body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10, source_address=(source, 0))
    connection.request("GET", parts.path + path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_with_several_processes_a_visitor_stays_with_one(tmp_path: Path) -> None:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Named) for _ in range(3)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with behind_nginx(tmp_path, *(server.server_port for server in servers)) as front:
            places = {visitor: {ask(front, f"{visitor:032x}") for _ in range(4)} for visitor in range(60)}
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    assert {len(ports) for ports in places.values()} == {1}
    shares = [sum({server.server_port} == ports for ports in places.values()) for server in servers]
    assert min(shares) >= 5


class Named(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(self.server.server_port).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def ask(front: str, visitor: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(front).netloc, timeout=10)
    connection.request("GET", f"/{PATH}/", headers={"Cookie": f"nettrim_visit={visitor}"})
    return int(connection.getresponse().read())


@pytest.mark.alone
def test_health_is_told_at_once_while_a_sweep_runs(page: Page, front: str, studio: Studio) -> None:
    opened(page, f"{front}/{PATH}/?model=lenet_5&n=1000&methods=nettrim&seed=3")
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible(timeout=60_000)
    seconds = []
    for _ in range(40):
        started = time.perf_counter()
        found = asked(studio.address)
        seconds.append(time.perf_counter() - started)
        assert (found["status"], found["jobs"]["running"]) == ("ok", 1)
        time.sleep(0.05)
    page.get_by_role("button", name="Cancel").first.click()
    assert statistics.median(seconds) < 0.05
