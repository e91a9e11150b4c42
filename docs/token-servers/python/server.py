"""A token server: it knows who is logged in on your site, and signs that for the chat.

    CHAT_SECRET=cgs_… DEMO_PASSWORD=… python3 server.py

One file, to be read and taken apart: what is yours to replace is PEOPLE and authenticate(). The secret comes from the
environment and never leaves this process.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sys
import time
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

BODY_BYTES_MAX = 4_096
SESSION_S = 8 * 3600

PEOPLE = {
    "ada@shop.example": {"id": "42", "first": "Ada", "last": "Lovelace", "verified": True},
    "zoë@shop.example": {"id": "43", "first": "Zoë", "last": "O'Brien-Łoś", "verified": False},
}
"""Stands for your table of users. The id is what never changes."""

sessions: dict[str, tuple[str, float]] = {}
"""Stands for your site's own sessions: a random id -> who, and until when."""


def authenticate(email: str, password: str) -> bool:
    """Stands for your own login."""
    expected = os.environ.get("DEMO_PASSWORD", "")
    good = bool(expected) and hmac.compare_digest(password.encode(), expected.encode())
    return good and email in PEOPLE


def canonical(email: str, now: int) -> str:
    """The gateway's own profile."""
    person = PEOPLE[email]
    name = f"{person['first']} {person['last']}"
    claims = {"external_id": person["id"], "name": name, "email": email, "email_verified": person["verified"]}
    return signed({**claims, "iat": now, "exp": now + 600})


def plain(email: str, now: int) -> str:
    """RS256: the gateway has the public half of the key only."""
    person = PEOPLE[email]
    claims = {
        "fullName": f"{person['first']} {person['last']}",
        "shortName": person["first"],
        "email": {"email": email, "isVerified": person["verified"]},
        "externalId": person["id"],
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, os.environ["PRIVATE_KEY"], algorithm="RS256")


def tiledesk(email: str, now: int) -> str:
    """At most ten minutes."""
    person = PEOPLE[email]
    name = f"{person['first']} {person['last']}"
    return signed({"name": name, "email": email, "iat": now, "exp": now + 600, "external_id": person["id"]})


def pingstreams(email: str, now: int) -> str:
    person, project = PEOPLE[email], os.environ["CHAT_PROJECT"]
    claims = {"_id": f"{project}_{person['id']}", "firstname": person["first"], "lastname": person["last"]}
    about = {"sub": "userexternal", "aud": f"https://chat.example/projects/{project}", "email": email}
    return signed({**claims, **about, "iat": now, "exp": now + 600})


def deskpro(email: str, now: int) -> str:
    """On demand: the person is created when the token is first used. ``exp`` is not asked for, and wise."""
    person = PEOPLE[email]
    return signed(
        {"email": email, "first_name": person["first"], "last_name": person["last"], "iat": now, "exp": now + 600}
    )


def signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, os.environ["CHAT_SECRET"], algorithm="HS256")


ANSWERS = {
    "/chat-token": lambda email, now: canonical(email, now),
    "/api/get-customer-jwt": lambda email, now: {"plain_customer_jwt": plain(email, now)},
    "/tiledesk-token": lambda email, now: {"token": tiledesk(email, now)},
    "/deskpro-token": lambda email, now: {"jwt": deskpro(email, now)},
}
"""For whoever is logged in: an address, and what it answers (a text, or an object as JSON)."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        said = self.body()
        path = self.path.partition("?")[0].rstrip("/")
        try:
            if path in ("/login", "/auth"):
                self.log_in(path, said)
            elif path == "/logout":
                sessions.pop(self.cookie(), None)
                self.answer(HTTPStatus.OK, {}, cookie="session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax")
            elif path not in ANSWERS:
                self.answer(HTTPStatus.NOT_FOUND, {"error": "not found"})
            elif email := self.who():
                self.answer(HTTPStatus.OK, ANSWERS[path](email, int(time.time())))
            else:
                self.answer(HTTPStatus.UNAUTHORIZED, {"error": "log in first"})
        except KeyError as missing:
            # Which setting is missing is for whoever runs this, not for a visitor.
            print(f"set {missing.args[0]} in the environment", file=sys.stderr, flush=True)
            self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "not configured"})

    def log_in(self, path: str, said: dict[str, Any]) -> None:
        email, password = str(said.get("email", "")), str(said.get("password", ""))
        if not authenticate(email, password):
            self.answer(HTTPStatus.UNAUTHORIZED, {"error": "email or password is wrong"})
        elif path == "/auth":
            self.answer(HTTPStatus.OK, {"token": pingstreams(email, int(time.time()))})
        else:
            session = secrets.token_urlsafe(32)
            sessions[session] = (email, time.monotonic() + SESSION_S)
            self.answer(HTTPStatus.OK, {}, cookie=f"session={session}; Path=/; HttpOnly; SameSite=Lax")

    def who(self) -> str | None:
        email, until = sessions.get(self.cookie(), (None, 0.0))
        return email if time.monotonic() < until else None

    def cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        except CookieError:
            return ""
        return found.value if found else ""

    def body(self) -> dict[str, Any]:
        try:
            length = min(int(self.headers.get("Content-Length") or 0), BODY_BYTES_MAX)
            said = json.loads(self.rfile.read(max(0, length)) or b"{}")
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    def answer(self, status: HTTPStatus, said: str | dict[str, Any], cookie: str | None = None) -> None:
        text, kind = (said, "text/plain") if isinstance(said, str) else (json.dumps(said), "application/json")
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
