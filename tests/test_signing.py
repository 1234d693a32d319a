"""Signing in: off unless asked for, and then no page without it, through a provider that the test plays itself."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.testing.v1 import AppTest

from pages import signing
from tests.browsing import ROOT, opened, serving, settled

CLIENT, SECRET, COOKIE_SECRET = "studio", "client-secret-3f9a1c", "cookie-secret-77b2e0"


@dataclass
class Provider:
    """An OpenID provider on loopback that signs everybody in as ``subject``, and remembers what it was asked."""

    url: str = ""
    subject: str = "anna"
    nonces: dict[str, tuple[str, str]] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k"}))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.about),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    async def about(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            }
        )  # fmt: skip

    async def authorize(self, request: Request) -> Response:
        asked = request.query_params
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = f"code-{len(self.nonces)}"
        self.nonces[code] = asked["nonce"], asked["code_challenge"]
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: Request) -> Response:
        form = await request.form()
        nonce, challenge = self.nonces.pop(str(form["code"]))
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        said = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        assert said == f"{CLIENT}:{SECRET}"
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": self.subject, "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 600,
            "email": f"{self.subject}_@example.org",
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    async def keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made, port = Provider(), free_port()
    made.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(made.app(), "127.0.0.1", port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield made
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def signed(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that asks for signing in, its address and its log."""
    folder, port = tmp_path_factory.mktemp("signed"), free_port()
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{COOKIE_SECRET}"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for the server alone
            patch.setenv("NETTRIM_PUBLIC_ON", "1")
            patch.setenv("NETTRIM_PUBLIC_SIGN_IN", "1")
            url = stack.enter_context(serving(folder / "log", port, [f"--secrets.files={secrets}"]))
        yield url, folder / "log"


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Signed in as")).to_be_visible(timeout=60_000)


def test_no_page_is_shown_before_signing_in_and_accounts_are_told_apart(
    browser: Browser, signed: tuple[str, Path], provider: Provider
) -> None:
    url, log = signed
    seen = []
    for subject in ("anna", "anna", "bela"):
        provider.subject = subject
        context = browser.new_context(base_url=url)
        page = context.new_page()
        for path in ("/", "/layer?model=digits_mlp", "/bring", "/my-page"):
            opened(page, path)
            expect(page.get_by_text("This server shows its pages to those who have signed in.")).to_be_visible()
            expect(page.get_by_role("link", name="Explore")).to_have_count(0)
            expect(page.locator(".ntk, input[type=file]")).to_have_count(0)
        sign_in(page)
        expect(page.get_by_text(f"Signed in as {subject}_@example.org.")).to_be_visible()
        opened(page, "/bring")
        if not seen:
            page.get_by_role("button", name="Use the example").click()
            expect(page.get_by_text("digits.pt2").first).to_be_visible(timeout=60_000)
        seen.append(settled(page).locator(".st-key-kept_network").count())
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=60_000)
        context.close()
    assert seen == [1, 1, 0]  # the same account finds what it brought from another browser, another does not
    text = log.read_text()
    for secret in (SECRET, COOKIE_SECRET, "code=", "anna_@", "_streamlit_user"):
        assert secret not in text


def test_an_account_is_the_provider_and_what_it_calls_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def account(**claims: object) -> str | None:
        class User:
            def to_dict(self) -> dict[str, object]:
                return claims

        monkeypatch.setattr(signing.st, "user", User())
        return signing.account()

    anna = account(is_logged_in=True, iss="https://a", sub="1")
    assert anna == account(is_logged_in=True, iss="https://a", sub="1", email="new@a")
    assert anna not in (None, account(is_logged_in=True, iss="https://b", sub="1"))
    assert account(is_logged_in=True, iss="a 1", sub="2") != account(is_logged_in=True, iss="a", sub="1 2")
    for lacking in ({"iss": "a", "sub": "1"}, {"is_logged_in": False, "iss": "a", "sub": "1"}, {"is_logged_in": True}):
        assert account(**lacking) is None


def test_the_pages_are_open_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    app = AppTest.from_file(str(ROOT / "pages" / "_main.py"), default_timeout=240).run()  # what a server runs
    assert app.title[0].value == "How much can we trim?"
    monkeypatch.setenv("NETTRIM_PUBLIC_SIGN_IN", "1")
    app.run()
    assert app.title[0].value == "Net-Trim studio"
    assert [button.label for button in app.button] == ["Sign in"]
    assert not app.exception


@pytest.mark.parametrize(
    ("auth", "says"), [({}, "lacks redirect_uri, cookie_secret"), ({"redirect_uri": "x"}, "lacks cookie_secret")]
)
def test_a_server_that_could_sign_nobody_in_does_not_start(
    auth: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing.check()
    monkeypatch.setenv("NETTRIM_PUBLIC_SIGN_IN", "1")
    monkeypatch.setattr(signing, "_auth", lambda: auth)
    with pytest.raises(ValueError, match=says):
        signing.check()
    monkeypatch.setattr(signing, "is_authlib_installed", lambda: False)
    with pytest.raises(ValueError, match="Authlib is missing"):
        signing.check()
