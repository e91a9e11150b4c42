"""Static pages and modules: the widget's script, the agents' page, what they import."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from chatgateway.gateway.postbox import Postbox

_KINDS = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Frame-Options": "DENY",
}
_FOR_ANY_SITE = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


def routes() -> list[BaseRoute]:
    """Return the routes of pages and scripts."""
    return [
        Route("/", _home, methods=["GET"]),
        Route("/widget.js", _widget, methods=["GET"]),
        Route("/web/{path:path}", _module, methods=["GET"]),
        Route("/agent", _agent, methods=["GET"]),
        Route("/demo", _demo, methods=["GET"]),
        Route("/demo/outbox", _outbox, methods=["GET"]),
    ]


@functools.cache
def _file(path: str) -> tuple[bytes, str] | None:
    """Return a shipped file and its type; None for what is not ours to give away."""
    parts = PurePosixPath(path).parts
    kind = _KINDS.get(PurePosixPath(path).suffix)
    if not parts or kind is None or any(part in ("..", ".", "/") for part in parts) or parts[0] == "demo_site":
        return None
    place = resources.files("chatgateway.web").joinpath(*parts)
    if not place.is_file():
        return None
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return place.read_bytes(), kind + charset


def _serve(path: str, headers: dict[str, str]) -> Response:
    found = _file(path)
    if found is None:
        return PlainTextResponse("There is no such file.", 404, _SECURITY)
    body, kind = found
    return Response(body, headers={**_SECURITY, "Content-Type": kind, "Cache-Control": "public, max-age=60", **headers})


async def _widget(request: Request) -> Response:
    del request
    return _serve("widget.js", _FOR_ANY_SITE)


async def _module(request: Request) -> Response:
    return _serve(request.path_params["path"], _FOR_ANY_SITE)


async def _agent(request: Request) -> Response:
    del request
    return _serve("console/index.html", {**_PAGE, "Cache-Control": "no-store"})


async def _home(request: Request) -> Response:
    del request
    return RedirectResponse("/agent")


async def _demo(request: Request) -> Response:
    """Lead to the demo's host site, which is another process on another site."""
    return _serve("widget/demo.html", {**_PAGE, "Cache-Control": "no-store"}) if request else Response(status_code=404)


async def _outbox(request: Request) -> Response:
    """Show the demo's mails. Elsewhere mails go out, and there is nothing to see."""
    mailer = request.app.state.parts.mailer
    if not isinstance(mailer, Postbox):
        return PlainTextResponse("There is no such page.", 404, _SECURITY)
    return HTMLResponse(mailer.page(), headers={**_SECURITY, **_PAGE, "Cache-Control": "no-store"})
