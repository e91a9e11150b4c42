"""The demo's shop: what a customer's own server does."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from chatgateway.web.demo_site.server import TOKEN_LIFE_S, Shop, make_server

OLD, NEW = "an old secret of more than thirty-two bytes", "a new secret of more than thirty-two bytes"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    file = tmp_path / "secret"
    file.write_text(OLD + "\n")
    return Shop("http://127.0.0.1:1", "app_1", file)


@pytest.fixture
def port(shop: Shop) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, method: str, path: str, body: str = "", cookie: str = "") -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    kind = "application/x-www-form-urlencoded"
    connection.request(method, path, body, {"Cookie": cookie, "Content-Type": kind, "Connection": "close"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, {name.lower(): value for name, value in answer.getheaders()}


def logged_in(port: int, account: str = "ada") -> str:
    status, _, headers = ask(port, "POST", "/login", f"account={account}")
    assert status == 303
    return headers["set-cookie"].partition(";")[0]


class TestTheTokenEndpoint:
    def test_signs_who_is_logged_in(self, port: int) -> None:
        status, text, _ = ask(port, "POST", "/chat-token", cookie=logged_in(port))
        claims = jwt.decode(json.loads(text)["token"], OLD, algorithms=["HS256"])
        assert status == 200
        assert (claims["external_id"], claims["name"]) == ("shop-1815", "Ada Lovelace")
        assert claims["exp"] - claims["iat"] == TOKEN_LIFE_S

    def test_refuses_a_guest(self, port: int) -> None:
        assert ask(port, "POST", "/chat-token")[0] == 401

    def test_reads_the_secret_anew_for_each_token(self, port: int, shop: Shop) -> None:
        cookie = logged_in(port)
        shop.secret_file.write_text(NEW)
        token = json.loads(ask(port, "POST", "/chat-token", cookie=cookie)[1])["token"]
        assert jwt.decode(token, NEW, algorithms=["HS256"])["external_id"] == "shop-1815"

    def test_says_when_there_is_no_secret(self, port: int, shop: Shop) -> None:
        shop.secret_file.unlink()
        assert ask(port, "POST", "/chat-token", cookie=logged_in(port))[0] == 503


class TestTheLogin:
    def test_keeps_two_people_apart(self, port: int) -> None:
        assert "Hello, <b>Ada Lovelace</b>" in ask(port, "GET", "/", cookie=logged_in(port, "ada"))[1]
        assert "Hello, <b>Grace Hopper</b>" in ask(port, "GET", "/", cookie=logged_in(port, "grace"))[1]

    def test_refuses_others(self, port: int) -> None:
        assert ask(port, "POST", "/login", "account=mallory")[0] == 403

    def test_ends_with_the_logout(self, port: int) -> None:
        cookie = logged_in(port)
        ask(port, "POST", "/logout", cookie=cookie)
        assert ask(port, "POST", "/chat-token", cookie=cookie)[0] == 401


class TestThePage:
    def test_embeds_the_widget_under_a_strict_policy(self, port: int) -> None:
        _, text, headers = ask(port, "GET", "/")
        policy = headers["content-security-policy"]
        assert '<script async src="http://127.0.0.1:1/widget.js" data-app="app_1"' in text
        assert "connect-src 'self' http://127.0.0.1:1 ws://127.0.0.1:1;" in policy
        assert "unsafe" not in policy

    @pytest.mark.parametrize("path", ["/files/../server.py", "/files/page.html", "/secret", "/files/"])
    def test_gives_away_nothing_else(self, port: int, path: str) -> None:
        assert ask(port, "GET", path)[0] == 404
