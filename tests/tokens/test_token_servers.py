"""The token servers of docs/ run as their page says, and what they sign is taken; named after VENDORS.md's rows."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.tokens.conftest import SERVERS, Node, Shop

from chatgateway.core.person import Identifier
from chatgateway.core.profiles import PROFILES
from chatgateway.core.token import Verified, verify
from chatgateway.types import UnixMs

STARTS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Server:
    """A running token server."""

    port: int
    shop: Shop

    def post(self, path: str, said: object = None, cookie: str = "") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = "" if said is None else json.dumps(said, ensure_ascii=False)
        connection.request("POST", path, body.encode(), {"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
        connection.close()
        return answer

    def logged_in(self, email: str = "ada@shop.example") -> str:
        """Return the cookie of somebody who has logged in."""
        answer = self.post("/login", {"email": email, "password": "correct horse"})
        assert answer.status == 200, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    def verified(self, token: str, profile: str) -> Verified:
        now = UnixMs(time.time_ns() // 1_000_000)
        return verify(token, self.shop.project, self.shop.ring, PROFILES[profile], now)


@pytest.fixture(scope="module", params=["python", "node", "php"])
def server(request: pytest.FixtureRequest, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = shop.environ | {"PORT": str(port)}
    log = tmp_path_factory.mktemp(request.param) / "log"
    match request.param:
        case "python":
            command = [sys.executable, "server.py"]
        case "node":
            node: Node = request.getfixturevalue("node")
            command = [node.program, "server.js"]
            environ["NODE_PATH"] = str(node.modules)
        case _:
            sessions = tmp_path_factory.mktemp("sessions")
            php: str = request.getfixturevalue("php")
            command = [php, "-d", f"session.save_path={sessions}", "-S", f"127.0.0.1:{port}", "server.php"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=SERVERS / request.param, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_for(port, process, log)
            yield Server(port, shop)
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)


class TestToken:
    def test_is_signed_for_who_is_logged_in(self, server: Server) -> None:
        answer = server.post("/chat-token", cookie=server.logged_in())
        assert answer.headers["cache-control"] == "no-store"
        verified = server.verified(answer.text, "canonical")
        assert verified.identifiers == (Identifier("external_id", "42"),)
        said = verified.description
        assert (said.name, said.email, said.email_proved) == ("Ada Lovelace", "ada@shop.example", True)

    def test_keeps_every_letter_of_a_name(self, server: Server) -> None:
        verified = server.verified(
            server.post("/chat-token", cookie=server.logged_in("zoë@shop.example")).text, "canonical"
        )
        assert verified.description.name == "Zoë O'Brien-Łoś"
        assert verified.description.email == "zoë@shop.example"

    def test_p7_p8_p11_has_plains_shape_where_plains_widget_asks(self, server: Server) -> None:
        answer = server.post("/api/get-customer-jwt", cookie=server.logged_in())
        assert list(answer.json) == ["plain_customer_jwt"]
        verified = server.verified(answer.json["plain_customer_jwt"], "plain")
        assert verified.kid == "key_pair"
        assert verified.identifiers == (Identifier("external_id", "42"),)
        assert (verified.description.short_name, verified.description.email_proved) == ("Ada", True)
        assert server.post("/api/get-customer-jwt/", cookie=server.logged_in()).status == 200

    def test_t7_t9_t12_has_tiledesks_shape(self, server: Server) -> None:
        token = server.post("/tiledesk-token", cookie=server.logged_in()).json["token"]
        for written in (token, f"JWT {token}"):
            assert server.verified(written, "tiledesk").identifiers == (Identifier("external_id", "42"),)

    def test_d1_d15_d19_has_deskpros_shape(self, server: Server) -> None:
        verified = server.verified(server.post("/deskpro-token", cookie=server.logged_in()).json["jwt"], "deskpro")
        assert verified.identifiers == (Identifier("deskpro_email", "ada@shop.example"),)
        assert verified.description.name == "Ada Lovelace"

    def test_s8_s12_is_given_for_credentials_in_pingstreams_shape(self, server: Server) -> None:
        answer = server.post("/auth", {"email": "ada@shop.example", "password": "correct horse"})
        verified = server.verified(answer.json["token"], "pingstreams")
        assert verified.identifiers == (Identifier("external_id", "42"),)
        assert (verified.description.name, verified.description.email) == ("Ada Lovelace", "ada@shop.example")

    def test_is_fresh_each_time(self, server: Server) -> None:
        cookie = server.logged_in()
        verified = server.verified(server.post("/chat-token", cookie=cookie).text, "canonical")
        assert abs(verified.issued_at - time.time_ns() // 1_000_000) < 60_000


class TestWithoutLogin:
    @pytest.mark.parametrize("path", ["/chat-token", "/api/get-customer-jwt", "/tiledesk-token", "/deskpro-token"])
    def test_d19_nothing_is_signed(self, path: str, server: Server) -> None:
        for cookie in ("", "session=", "session=nobodys", "session=../../etc/passwd"):
            answer = server.post(path, {"email": "ada@shop.example", "external_id": "42"}, cookie)
            assert answer.status == 401
            assert "eyJ" not in answer.text

    @pytest.mark.parametrize(
        "said",
        [
            None, {}, [], "ada", {"email": "ada@shop.example"}, {"email": "ada@shop.example", "password": ""},
            {"email": "ada@shop.example", "password": "wrong"}, {"email": "__proto__", "password": "correct horse"},
            {"email": ["ada@shop.example"], "password": ["correct horse"]},
        ],
    )  # fmt: skip
    def test_bad_credentials_are_refused(self, said: object, server: Server) -> None:
        for path in ("/login", "/auth"):
            assert server.post(path, said).status == 401

    def test_logging_out_ends_it(self, server: Server) -> None:
        cookie = server.logged_in()
        assert server.post("/logout", cookie=cookie).status == 200
        assert server.post("/chat-token", cookie=cookie).status == 401

    def test_other_addresses_and_methods_are_refused(self, server: Server) -> None:
        assert server.post("/etc/passwd", cookie=server.logged_in()).status == 404
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/chat-token")
        assert connection.getresponse().status in (405, 501)
        connection.close()

    def test_the_cookie_is_no_scripts_business(self, server: Server) -> None:
        answer = server.post("/login", {"email": "ada@shop.example", "password": "correct horse"})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie


def test_no_secret_stands_in_a_server() -> None:
    for file in SERVERS.rglob("server.*"):
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"cgs_(live|test)_|BEGIN [A-Z ]*PRIVATE|['\"][A-Za-z0-9+/=]{32,}['\"]", source), file


def test_no_registry_stands_in_the_lock_file() -> None:
    lock = json.loads((SERVERS / "node" / "package-lock.json").read_text())
    assert lock["packages"]
    assert not any("resolved" in package for package in lock["packages"].values())
