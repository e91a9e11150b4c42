"""A project's keys as an operator handles them: made, brought along, followed, renamed, ended."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.admin.conftest import Notebook, recorded
from tests.core.jose import b64, to_json
from tests.gateway.indoors import Indoors
from tests.outside.key_server import KeyServer, Signer, document, key_server

from chatgateway.admin import keys
from chatgateway.admin.office import Office
from chatgateway.core.keyring import SigningKey, is_secret
from chatgateway.core.project import Project
from chatgateway.errors import KeyUnknown, NotFound, OutsideUnavailable, StoreUnavailable, Unacceptable
from chatgateway.outside.jwks import KeySets
from chatgateway.types import KeyId, ProjectId

PAIRS = {algorithm: Signer(algorithm, f"the-sites-{algorithm}") for algorithm in ("RS256", "ES256", "EdDSA")}
BROUGHT = "a secret that their server signs with already"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[KeyServer]:
    async with key_server(tmp_path, PAIRS["RS256"], PAIRS["ES256"]) as opened:
        yield opened


async def states(office: Office, project: ProjectId) -> dict[str, str]:
    return {key.kid: key.state for key in (await keys.ring(office, project)).keys}


async def everything(office: Office) -> str:
    """Return all that the store holds, as text."""
    hot = office.store.hot
    return repr([await hot.ask("DUMP", [key], []) for key in await hot.ask("KEYS", [], ["*"])])


class TestSecret:
    async def test_is_made_and_shown_once(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id, "the till")
        assert is_secret(made.secret)
        assert made.secret not in repr(made)
        key = await keys.get(office, shop.id, made.key.kid)
        assert (key.name, key.state, key.algorithm, key.secret.reveal().decode()) == (
            "the till", "active", "HS256", made.secret,
        )  # fmt: skip
        assert (await recorded(office, shop.id))[-1] == ("key add", "result", shop.id, key.kid)

    async def test_is_brought_along_as_it_is(self, office: Office, shop: Project) -> None:
        key = await keys.import_secret(office, shop.id, BROUGHT, "old till", KeyId("v1"))
        assert (key.kid, key.secret.reveal(), key.last_four) == ("v1", BROUGHT.encode(), "eady")
        assert BROUGHT not in repr(await office.audit.entries(shop.id))

    @pytest.mark.parametrize("secret", ["", "31 bytes are a byte too few ...", PAIRS["RS256"].pem])
    async def test_that_is_none_is_not_brought_along(self, secret: str, office: Office, shop: Project) -> None:
        before = await recorded(office, shop.id)
        with pytest.raises(Unacceptable) as refusal:
            await keys.import_secret(office, shop.id, secret)
        assert not secret or secret not in str(refusal.value)
        assert await recorded(office, shop.id) == before

    async def test_is_not_brought_along_twice(self, office: Office, shop: Project) -> None:
        key = await keys.import_secret(office, shop.id, BROUGHT)
        await keys.revoke(office, shop.id, key.kid)
        with pytest.raises(Unacceptable, match=f"here already, as {key.kid}"):
            await keys.import_secret(office, shop.id, BROUGHT)

    @pytest.mark.parametrize("kid", ["", "two words", "a" * 65, "a\0b"])
    async def test_is_never_called_what_no_token_can_say(self, kid: str, office: Office, shop: Project) -> None:
        if kid:
            with pytest.raises(Unacceptable):
                await keys.import_secret(office, shop.id, BROUGHT, kid=KeyId(kid))
        else:
            assert (await keys.import_secret(office, shop.id, BROUGHT, kid=KeyId(kid))).kid.startswith("key_")

    async def test_of_no_project_is_not_made(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await keys.add_secret(office, ProjectId("prj_none"))


class TestPublicKey:
    @pytest.mark.parametrize("algorithm", PAIRS)
    async def test_is_pasted_as_pem_or_as_jwk(self, algorithm: str, office: Office, shop: Project) -> None:
        pair = PAIRS[algorithm]
        as_jwk = await keys.add_public(office, shop.id, json.dumps(pair.jwk), "jwk")
        assert (as_jwk.kid, as_jwk.algorithm) == (pair.kid, algorithm)
        with pytest.raises(Unacceptable, match="here already"):
            await keys.add_public(office, shop.id, pair.pem)
        as_pem = await keys.add_public(office, shop.id, Signer(algorithm).pem, "pem", KeyId("named"))
        assert (as_pem.kid, as_pem.algorithm) == ("named", algorithm)

    @pytest.mark.parametrize("algorithm", PAIRS)
    async def test_that_is_the_private_one_is_refused_and_kept_nowhere(
        self, algorithm: str, office: Office, shop: Project, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pair = Signer(algorithm)
        texts = (pair.private_pem, json.dumps(pair.private_jwk), pair.pem + pair.private_pem)
        said = ""
        for text in texts:
            with pytest.raises(Unacceptable, match="private key") as refusal:
                await keys.add_public(office, shop.id, text)
            said += str(refusal.value) + repr(refusal.value.__cause__)
        kept = await everything(office)
        assert "Shop" in kept
        said += kept + repr(await office.audit.entries(shop.id)) + "".join(capsys.readouterr())
        hidden = {line for line in pair.private_pem.splitlines() if "-----" not in line} | {pair.private_jwk["d"]}
        assert not [line for line in hidden if line in said]

    async def test_that_is_junk_is_refused_without_being_quoted(self, office: Office, shop: Project) -> None:
        for text in ("", "hunter2 hunter2", "{}", '{"kty": "hunter2"}', "-----BEGIN PUBLIC KEY-----\nhunter2\n", "é"):
            with pytest.raises(Unacceptable) as refusal:
                await keys.add_public(office, shop.id, text)
            assert "hunter2" not in str(refusal.value)


class TestFollowedSet:
    async def test_is_fetched_before_it_is_followed(self, office: Office, shop: Project, site: KeyServer) -> None:
        sets = KeySets(private_addresses=True, tls=site.trust)
        followed = await keys.follow(office, sets, shop.id, site.url, "provider")
        assert [(key.algorithm, key.kid) for key in followed.found] == [
            ("RS256", "the-sites-RS256"), ("ES256", "the-sites-ES256"),
        ]  # fmt: skip
        stored = await keys.get(office, shop.id, followed.key.kid)
        assert (stored.url, stored.algorithm, stored.followed) == (site.url, "JWKS", ())

    async def test_that_cannot_be_had_is_not_followed(self, office: Office, shop: Project, site: KeyServer) -> None:
        before = await states(office, shop.id)
        site.status = 404
        with pytest.raises(OutsideUnavailable, match="404"):
            await keys.follow(office, KeySets(private_addresses=True, tls=site.trust), shop.id, site.url)
        with pytest.raises(OutsideUnavailable, match="private"):
            await keys.follow(office, KeySets(tls=site.trust), shop.id, site.url)
        with pytest.raises(Unacceptable, match="https only"):
            await keys.follow(office, KeySets(), shop.id, "http://keys.example/")
        assert await states(office, shop.id) == before


class TestName:
    async def test_is_changed_and_nothing_else(self, office: Office, shop: Project) -> None:
        before = (await keys.ring(office, shop.id)).keys[0]
        renamed = await keys.rename(office, shop.id, before.kid, "  the new till ")
        assert renamed.name == "the new till"
        after = await keys.get(office, shop.id, before.kid)
        assert (after.name, after.secret, after.state) == ("the new till", before.secret, before.state)
        assert (await recorded(office, shop.id))[-1][:2] == ("key rename", "result")

    async def test_that_nobody_could_read_is_refused(self, office: Office, shop: Project) -> None:
        kid = (await keys.ring(office, shop.id)).keys[0].kid
        for name in ("a" * 1_000, "bell\a"):
            with pytest.raises(Unacceptable):
                await keys.rename(office, shop.id, kid, name)
            with pytest.raises(Unacceptable):
                await keys.add_secret(office, shop.id, name)
        with pytest.raises(KeyUnknown):
            await keys.rename(office, shop.id, KeyId("key_none"), "x")


class TestRegenerate:
    async def test_ends_the_old_secret_and_delivers_the_new_one(
        self, office: Office, shop: Project, notebook: Notebook
    ) -> None:
        old = (await keys.ring(office, shop.id)).keys[0]
        delivered: list[tuple[SigningKey, str]] = []
        ended = await keys.regenerate(office, shop.id, old.kid, lambda key, secret: delivered.append((key, secret)))
        ((key, secret),) = delivered
        assert (key.kid, key.name) == (ended.key.kid, old.name)
        assert (await keys.get(office, shop.id, key.kid)).secret.reveal().decode() == secret
        assert ended.barrier.complete
        assert await states(office, shop.id) == {key.kid: "active", old.kid: "revoked"}
        assert [(entry.kind, entry.subject) for entry in notebook] == [("key", old.kid)]

    async def test_delivers_the_new_secret_also_when_the_nodes_cannot_be_told(
        self, office: Office, shop: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = (await keys.ring(office, shop.id)).keys[0]
        delivered: list[str] = []

        async def away(*_: Any) -> None:
            raise StoreUnavailable("gone")

        monkeypatch.setattr(office, "withdraw", away)
        with pytest.raises(StoreUnavailable):
            await keys.regenerate(office, shop.id, old.kid, lambda _, secret: delivered.append(secret))
        assert is_secret(delivered[0])
        assert (await states(office, shop.id))[old.kid] == "revoked"

    async def test_of_what_is_no_secret_says_what_to_do_instead(
        self, office: Office, shop: Project, site: KeyServer
    ) -> None:
        public = await keys.add_public(office, shop.id, PAIRS["ES256"].pem)
        followed = await keys.follow(office, KeySets(private_addresses=True, tls=site.trust), shop.id, site.url)
        with pytest.raises(Unacceptable, match=r"key generate-pair.*key add --public.*revoke"):
            await keys.regenerate(office, shop.id, public.kid, print)
        with pytest.raises(Unacceptable, match="the site puts a new key in"):
            await keys.regenerate(office, shop.id, followed.key.kid, print)
        assert set((await states(office, shop.id)).values()) == {"active"}

    async def test_of_several_secrets_must_be_told_which(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id, "second")
        ring = await keys.ring(office, shop.id)
        with pytest.raises(Unacceptable, match=r"say which: .*second"):
            keys.secret_to_regenerate(ring)
        assert keys.secret_to_regenerate(ring, made.key.kid).kid == made.key.kid
        await keys.revoke(office, shop.id, made.key.kid)
        ring = await keys.ring(office, shop.id)
        assert keys.secret_to_regenerate(ring).kid != made.key.kid
        with pytest.raises(Unacceptable, match="not a living secret"):
            keys.secret_to_regenerate(ring, made.key.kid)


class TestRevoke:
    async def test_of_every_kind_ends_the_sessions_that_rest_on_it(
        self, beside: Office, indoors: Indoors, site: KeyServer
    ) -> None:
        project = indoors.project.id
        sets = indoors.parts.signers.sets = KeySets(private_addresses=True, tls=site.trust)
        lonely = Signer("EdDSA", "lonely")
        public = await keys.add_public(beside, project, json.dumps(lonely.jwk))
        followed = await keys.follow(beside, sets, project, site.url)
        for key, token in ((public, lonely.token("ada")), (followed.key, PAIRS["RS256"].token("ada"))):
            tab, other = await indoors.visitor(token), await indoors.visitor(indoors.token("ada"))
            assert tab.me["user"] == other.me["user"]
            assert len(await beside.live_sessions(project, kid=key.kid)) == 1
            assert (await keys.revoke(beside, project, key.kid)).barrier.ended == 1
            assert await tab.ended() == 4301
            assert await indoors.refused(token) == 4301
            await other.start("still here")
            assert (await keys.revoke(beside, project, key.kid)).barrier.ended == 0, "repeating is harmless"

    async def test_of_an_unknown_key_ends_nothing(self, office: Office, shop: Project) -> None:
        with pytest.raises(KeyUnknown):
            await keys.revoke(office, shop.id, KeyId("key_none"))


class TestSigningIn:
    """A3, P4, P5: both key styles work, for the same person."""

    @pytest.mark.parametrize("algorithm", PAIRS)
    @pytest.mark.parametrize("style", ["pem", "jwk"])
    async def test_by_a_pasted_key_is_the_same_user_as_by_a_secret(
        self, style: str, algorithm: str, beside: Office, indoors: Indoors
    ) -> None:
        pair = PAIRS[algorithm]
        text = pair.pem if style == "pem" else json.dumps(pair.jwk)
        key = await keys.add_public(beside, indoors.project.id, text, "pasted")
        by_secret = await indoors.visitor(indoors.token("ada"))
        for named in (None, key.kid):
            by_pair = await indoors.visitor(pair.token("ada", kid=named))
            assert (by_pair.me["user"], by_pair.me["identity"]) == (by_secret.me["user"], "signed")
        used = await keys.get(beside, indoors.project.id, key.kid)
        assert used.last_used_at

    @pytest.mark.parametrize("named", [True, False])
    async def test_with_the_public_key_as_a_shared_secret_is_refused(
        self, named: bool, beside: Office, indoors: Indoors
    ) -> None:
        """RFC 8725 section 2.1: whoever can read the public key would be everybody."""
        key = await keys.add_public(beside, indoors.project.id, PAIRS["RS256"].pem)
        claims = jwt.decode(indoors.token("ada"), options={"verify_signature": False})
        for material in (PAIRS["RS256"].pem, PAIRS["RS256"].pem.strip(), PAIRS["RS256"].pem.replace("\n", "\r\n")):
            header = {"alg": "HS256", "typ": "JWT"} | ({"kid": key.kid} if named else {})
            body = f"{b64(to_json(header))}.{b64(to_json(claims))}"
            signature = hmac.digest(material.encode(), body.encode(), hashlib.sha256)
            assert await indoors.refused(f"{body}.{b64(signature)}") == 4401

    async def test_by_a_secret_under_a_public_keys_name_is_refused(self, beside: Office, indoors: Indoors) -> None:
        key = await keys.add_public(beside, indoors.project.id, PAIRS["ES256"].pem)
        secret = indoors._secrets[KeyId("k1")]
        claims = jwt.decode(indoors.token("ada"), options={"verify_signature": False})
        assert await indoors.refused(jwt.encode(claims, secret, "HS256", headers={"kid": key.kid})) == 4401
        assert await indoors.refused(PAIRS["ES256"].token("ada", kid="k1")) == 4401

    async def test_without_a_name_tries_four_keys_and_no_more(self, beside: Office, indoors: Indoors) -> None:
        project = indoors.project.id
        pairs = [Signer("ES256") for _ in range(5)]
        added = [await keys.add_public(beside, project, pair.pem) for pair in pairs]
        assert await indoors.refused(pairs[0].token("ada")) == 4401, "the oldest of five is not tried"
        for pair in pairs[1:]:
            assert (await indoors.visitor(pair.token("ada"))).me["identity"] == "signed"
        assert (await indoors.visitor(pairs[0].token("ada", kid=added[0].kid))).me["identity"] == "signed"
        await keys.revoke(beside, project, added[4].kid)
        assert (await indoors.visitor(pairs[0].token("ada"))).me["identity"] == "signed"

    async def test_by_a_secret_that_was_brought_along(self, beside: Office, indoors: Indoors) -> None:
        secret = os.urandom(32).hex()
        await keys.import_secret(beside, indoors.project.id, secret, kid=KeyId("v1"))
        claims = jwt.decode(indoors.token("ada"), options={"verify_signature": False})
        for header in ({"kid": "v1"}, {}):
            tab = await indoors.visitor(jwt.encode(claims, secret, "HS256", headers=header))
            assert tab.me["identity"] == "signed"


async def test_an_empty_set_is_not_followed(office: Office, shop: Project, site: KeyServer) -> None:
    site.body = document()
    with pytest.raises(OutsideUnavailable, match="key set has"):
        await keys.follow(office, KeySets(private_addresses=True, tls=site.trust), shop.id, site.url)
