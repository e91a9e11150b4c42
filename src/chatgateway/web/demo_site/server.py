"""The shop's server: pages, a login for two people, and the endpoint that signs their chat tokens.

It shares nothing with the gateway but the signing secret, which it reads from its file at every call: whoever deploys a
new secret replaces the file. ``localhost`` against the gateway's ``127.0.0.1`` is another *site* to a browser, so
origin checks, CORS and storage are the real thing.
"""

from __future__ import annotations

import functools
import json
import secrets
import socket
import string
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from socketserver import BaseServer
from urllib.parse import parse_qs

import jwt

COOKIE = "shop_session"
TOKEN_LIFE_S = 600
BODY_MAX_BYTES = 4_096

FILES = {"shop.js": "text/javascript; charset=utf-8", "shop.css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who has an account at the shop."""

    external_id: str
    name: str
    email: str


CUSTOMERS = {
    "ada": Customer("shop-1815", "Ada Lovelace", "ada@shop.example"),
    "grace": Customer("shop-1906", "Grace Hopper", "grace@shop.example"),
}


@dataclass(slots=True)
class Shop:
    """What the shop's handlers share. Sessions live in memory: it is a demo."""

    gateway: str
    app: str
    secret_file: Path
    sessions: dict[str, Customer] = field(default_factory=dict[str, Customer])

    def token_for(self, customer: Customer, now_s: int) -> str:
        """Sign who ``customer`` is, with the secret that is in the file right now. Raises OSError without one."""
        secret = self.secret_file.read_text(encoding="utf-8").strip()
        claims = {
            "external_id": customer.external_id,
            "name": customer.name,
            "email": customer.email,
            "iat": now_s,
            "exp": now_s + TOKEN_LIFE_S,
        }
        return jwt.encode(claims, secret, algorithm="HS256")

    def page(self, customer: Customer | None) -> str:
        """The one page, for a guest or for ``customer``."""
        template = string.Template(_read("page.html"))
        # All of these are ours or from the command line of a demo; none came from a browser.
        return template.substitute(
            gateway=self.gateway,
            app=self.app,
            guest_hidden="hidden" if customer else "",
            customer_hidden="" if customer else "hidden",
            signed_in="yes" if customer else "no",
            name=customer.name if customer else "",
        )

    @property
    def policy(self) -> str:
        """A strict Content-Security-Policy: what a careful site needs to allow, and no more."""
        sockets = self.gateway.replace("http", "ws", 1)
        return (
            f"default-src 'none'; script-src 'self' {self.gateway}; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {self.gateway} {sockets}; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'; require-trusted-types-for 'script'"
        )


def _read(name: str) -> str:
    return resources.files(__package__ or __name__).joinpath("files", name).read_text(encoding="utf-8")


class Handler(BaseHTTPRequestHandler):
    """One request to the shop."""

    protocol_version = "HTTP/1.1"
    server_version = "shop"
    sys_version = ""

    def __init__(self, shop: Shop, request: socket.socket, address: tuple[str, int], server: BaseServer) -> None:
        # The request is handled within the base class's constructor.
        self.shop = shop
        super().__init__(request, address, server)

    def do_GET(self) -> None:
        """Pages and files."""
        path = self.path.partition("?")[0]
        name = path.removeprefix("/files/")
        if path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.shop.page(self._customer()))
        elif path.startswith("/files/") and name in FILES:
            self._answer(HTTPStatus.OK, FILES[name], _read(name))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", "There is nothing here.")

    def do_POST(self) -> None:
        """Log in, log out, and sign a chat token for whoever is logged in."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), BODY_MAX_BYTES)).decode(
            errors="replace"
        )
        match self.path:
            case "/login":
                self._log_in(body)
            case "/logout":
                self.shop.sessions.pop(self._cookie(), None)
                self._go_home(f"{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
            case "/chat-token":
                self._chat_token()
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", "There is nothing here.")

    def _log_in(self, body: str) -> None:
        customer = CUSTOMERS.get(parse_qs(body).get("account", [""])[0])
        if customer is None:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", "The shop does not know this account.")
            return
        session = secrets.token_urlsafe(24)
        self.shop.sessions[session] = customer
        self._go_home(f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax")

    def _chat_token(self) -> None:
        customer = self._customer()
        if customer is None:
            self._json(HTTPStatus.UNAUTHORIZED, {"error": "Nobody is logged in at the shop."})
            return
        try:
            token = self.shop.token_for(customer, int(time.time()))
        except OSError:
            self._json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "The shop has no signing secret."})
            return
        self._json(HTTPStatus.OK, {"token": token})

    def _cookie(self) -> str:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        return cookies[COOKIE].value if COOKIE in cookies else ""

    def _customer(self) -> Customer | None:
        return self.shop.sessions.get(self._cookie())

    def _go_home(self, cookie: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", "/")
        self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, status: HTTPStatus, answer: dict[str, str]) -> None:
        self._answer(status, "application/json", json.dumps(answer))

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        payload = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "same-origin")
        self.send_header("Content-Security-Policy", self.shop.policy)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """The demo's terminal belongs to the gateway."""


def make_server(host: str, port: int, shop: Shop) -> ThreadingHTTPServer:
    """Return a listening server; the caller runs ``serve_forever``. Raises OSError when the port is taken."""
    return ThreadingHTTPServer((host, port), functools.partial(Handler, shop))
