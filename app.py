"""Starts the studio: ``streamlit run app.py``.

Run by a server this is an ASGI application that also serves the Plotly.js of the installed plotly package, so that
no page needs the network, and tells how the server is; run as a script (in tests) it is the page itself. The main
script lies inside pages/, beside the pages, because Streamlit takes a folder ``pages`` next to the main script for its
older kind of navigation.
"""

import functools
import gzip
import runpy
import secrets
import sys
from importlib import resources
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from streamlit.runtime.scriptrunner import get_script_run_ctx

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # pages are imported as the package ``pages``
# Streamlit puts the script's folder on the path for each run, and takes it off while other threads walk along the path,
# which then miss a folder. One that is there it leaves alone; at the end it hides nothing.
if str(ROOT / "pages") not in sys.path:
    sys.path.append(str(ROOT / "pages"))


@functools.lru_cache(1)
def plotly_source() -> bytes:
    return gzip.compress(resources.files("plotly").joinpath("package_data/plotly.min.js").read_bytes(), 6, mtime=0)


async def plotly_js(_: Request) -> Response:
    headers = {
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
        "Cache-Control": "public, max-age=31536000, immutable",  # its address carries the version
    }
    return Response(plotly_source(), media_type="text/javascript", headers=headers)


class Visitors(BaseHTTPMiddleware):
    """A cookie by which a page that is loaded anew finds what its visitor brought. It says nothing of them, only pages
    below ``path`` get it, and it goes when the browser is closed. A link on another site brings it along (lax): it
    would be given anew otherwise, and what was brought be out of reach."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        super().__init__(app)
        self.path = path

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        page = response.headers.get("content-type", "").startswith("text/html")
        if page and brought.COOKIE not in request.cookies:
            secure = request.url.scheme == "https"  # a proxy in front says so
            token = secrets.token_hex(16)
            response.set_cookie(brought.COOKIE, token, path=self.path, secure=secure, httponly=True, samesite="lax")
        return response


if get_script_run_ctx(suppress_warning=True) is None:
    # torch takes seconds to import, and a network one to load: before the first visitor, not for them
    from streamlit import config

    from nettrim_core.configuration import Public, Uploads
    from pages import blobs, brought, headers, leaving, metrics, notebook, rooms, signing, store, watch
    from pages.state import DEFAULT_MODEL

    most = max(Uploads.configured().mb, notebook.MOST_BYTES // 1_000_000)
    config.set_option("server.maxUploadSize", most)  # what the uploaders say is what the server takes
    if Public.configured().on:
        config.set_option("client.showErrorDetails", "none")
    signing.check()
    rooms.sweep()
    store.warm(DEFAULT_MODEL)
    base = f"/{config.get_option('server.baseUrlPath').strip('/')}".rstrip("/")  # Streamlit puts only its own below it
    app = st.App(
        "pages/_main.py",
        routes=[
            Route(f"{base}/vendor/plotly.min.js", plotly_js),
            Route(f"{base}/{blobs.PATH}/{{name}}", blobs.serve),
            Route(f"{base}/{watch.PATH}", watch.serve),
            Route(f"{base}/{metrics.PATH}", metrics.serve),
        ],
        middleware=[Middleware(headers.Headers), Middleware(Visitors, path=base or "/")],
        lifespan=leaving.lifespan,
    )
    if __name__ == "__main__":
        app.run()
else:
    runpy.run_path(str(ROOT / "pages" / "_main.py"))
