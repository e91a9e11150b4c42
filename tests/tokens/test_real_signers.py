"""What the vendors' own instructions sign is taken, by the libraries that they name; named after VENDORS.md's rows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from tests.tokens.conftest import SERVERS, Node, Shop

from chatgateway.core.doctor import diagnose
from chatgateway.core.keyring import KeyRing, shared_secret
from chatgateway.core.person import Identifier
from chatgateway.core.profiles import PROFILES
from chatgateway.core.token import Verified, verify
from chatgateway.errors import TokenRejected
from chatgateway.types import KeyId, ProjectId, UnixMs

HERE = SERVERS.parents[1] / "tests" / "tokens"
VECTORS: dict[str, Any] = json.loads((SERVERS / "vectors.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def by_node(node: Node, shop: Shop) -> dict[str, str]:
    tokens: dict[str, str] = json.loads(node(HERE / "vendor_payloads.cjs", environ=shop.environ))
    return tokens


def taken(token: str, profile: str, shop: Shop) -> Verified:
    """Return what the verifier makes of a token, after it has refused it with one byte changed (A2)."""
    now = UnixMs(time.time_ns() // 1_000_000)
    for bent in flipped(token):
        with pytest.raises(TokenRejected):
            verify(bent, shop.project, shop.ring, PROFILES[profile], now)
    diagnosis = diagnose(token, shop.project, shop.ring, PROFILES[profile], now)
    assert diagnosis.verified is not None, diagnosis.sentence
    return diagnosis.verified


def flipped(token: str) -> Iterator[str]:
    """Yield the token with one byte changed: in the header, in the claims, in the signature."""
    dots = [index for index, char in enumerate(token) if char == "."]
    for index in (dots[0] - 3, dots[0] + 3, dots[1] + 3, len(token) - 9):
        yield f"{token[:index]}{'A' if token[index] != 'A' else 'B'}{token[index + 1 :]}"


class TestJsonwebtoken:
    def test_is_the_real_one(self, node: Node) -> None:
        assert json.loads((node.modules / "jsonwebtoken" / "package.json").read_text())["version"].startswith("9.")

    def test_p7_p8_plains_payload_by_rs256_for_an_hour(self, by_node: dict[str, str], shop: Shop) -> None:
        assert jwt.get_unverified_header(by_node["plain"])["alg"] == "RS256"
        verified = taken(by_node["plain"], "plain", shop)
        assert verified.kid == "key_pair"
        assert verified.identifiers == (Identifier("external_id", "your_id"),)
        said = verified.description
        assert (said.name, said.short_name) == ("Garnett Hermann", "Garnett")
        assert (said.email, said.email_proved) == ("garnett.hermann@aol.com", False)
        assert verified.expires_at - verified.issued_at == 3_600_000 + 60_000

    def test_t7_t9_t12_tiledesks_payload_by_the_librarys_default(self, by_node: dict[str, str], shop: Shop) -> None:
        assert jwt.get_unverified_header(by_node["tiledesk"]) == {"alg": "HS256", "typ": "JWT"}
        for name in ("tiledesk", "tiledesk_prefixed"):
            verified = taken(by_node[name], "tiledesk", shop)
            assert verified.identifiers == (Identifier("external_id", "42"),)
            assert (verified.description.name, verified.description.email) == ("Ada Lovelace", "ada@shop.example")

    @pytest.mark.parametrize("name", ["deskpro_upfront", "deskpro_upfront_timeless"])
    def test_d1_d14_deskpros_payload_with_nothing_but_an_id(
        self, name: str, by_node: dict[str, str], shop: Shop
    ) -> None:
        verified = taken(by_node[name], "deskpro", shop)
        assert verified.identifiers == (Identifier("deskpro_id", "42"),)
        assert verified.session_max_ms == 3_600_000
        assert "exp_missing" in verified.warnings

    def test_d1_d15_deskpros_payload_on_demand(self, by_node: dict[str, str], shop: Shop) -> None:
        verified = taken(by_node["deskpro_on_demand"], "deskpro", shop)
        assert verified.identifiers == (Identifier("deskpro_email", "john.smith@example.com"),)
        assert (verified.description.name, verified.description.groups) == ("John Smith", ("3", "4"))

    def test_s12_pingstreams_payload_of_the_newer_generation(self, by_node: dict[str, str], shop: Shop) -> None:
        verified = taken(by_node["pingstreams"], "pingstreams", shop)
        assert verified.identifiers == (Identifier("external_id", "42"),)
        assert (verified.description.name, verified.description.email) == ("Ada Lovelace", "user@example.com")
        assert verified.description.fields == {"plan": "gold"}


class TestPhp:
    def test_t7_t12_tiledesks_payload_with_its_braces_mended(self, php: str, shop: Shop, tmp_path: Any) -> None:
        # The server's own sign(), without the server around it.
        source = (SERVERS / "php" / "server.php").read_text().rpartition("try {")[0]
        library = tmp_path / "sign.php"
        library.write_text(source)
        done = subprocess.run(
            [php, str(HERE / "vendor_payloads.php"), str(library)],
            env=shop.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        verified = taken(json.loads(done.stdout)["tiledesk"], "tiledesk", shop)
        assert verified.identifiers == (Identifier("external_id", "42"),)


class TestVectors:
    """docs/token-servers/vectors.json is for those who write a token server in another language."""

    @pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
    def test_are_taken_as_they_say(self, vector: dict[str, Any]) -> None:
        verified = self.verified(vector["token"], vector["profile"])
        assert [list(one) for one in verified.identifiers] == vector["identifiers"]
        for field, expected in vector["description"].items():
            assert json.loads(json.dumps(getattr(verified.description, field))) == expected
        claims = jwt.decode(vector["token"], options={"verify_signature": False})
        assert claims == vector["claims"]

    def test_there_is_one_for_each_profile(self) -> None:
        assert {vector["profile"] for vector in VECTORS["vectors"]} == PROFILES.keys()

    def test_are_signed_alike_by_the_real_library(self, node: Node, shop: Shop) -> None:
        program = """
          const jwt = require("jsonwebtoken"), { secret, vectors } = require(process.argv[1])
          const sign = ({ claims }) => jwt.sign(claims, secret, { algorithm: "HS256", noTimestamp: !("iat" in claims) })
          process.stdout.write(JSON.stringify(vectors.map(sign)))
        """
        signed = json.loads(node("-e", program, SERVERS / "vectors.json", environ=shop.environ))
        assert signed == [vector["token"] for vector in VECTORS["vectors"]]

    def verified(self, token: str, profile: str) -> Verified:
        ring = KeyRing().add(shared_secret(KeyId("key_vectors"), VECTORS["secret"], "", UnixMs(0)))
        return verify(token, ProjectId(VECTORS["project"]), ring, PROFILES[profile], UnixMs(VECTORS["now"] * 1000))
