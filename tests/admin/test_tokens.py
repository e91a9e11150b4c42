"""The doctor with the store at hand: whose key, which person, used before; and samples that the gateway takes."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from tests.admin.conftest import recorded

from chatgateway.admin import apps, keys, people, projects, tokens
from chatgateway.admin.apps import AppChange
from chatgateway.admin.office import Office
from chatgateway.admin.projects import change as change_project
from chatgateway.core.doctor import Diagnosis
from chatgateway.core.keyring import followed_set
from chatgateway.core.person import Description, Identifier
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import App, Project
from chatgateway.core.upsert import Upsert
from chatgateway.errors import AppUnknown, OutsideUnavailable, Unacceptable
from chatgateway.outside.jwks import KeySets
from chatgateway.types import AppId, KeyId, UnixMs, UserId


async def an_app(office: Office, project: Project, profile: str = "canonical", **wanted: Any) -> App:
    return await apps.create(office, project.id, AppChange(name="Site", profile=profile, **wanted))


async def signed(office: Office, secret: str, **claims: Any) -> str:
    now = await office.store.now() // 1000
    return jwt.encode({"external_id": "u-1", "iat": now, "exp": now + 300} | claims, secret, algorithm="HS256")


async def signed_as(office: Office, secret: str, **claims: Any) -> str:
    """Sign what names somebody in another way than by an external id."""
    now = await office.store.now() // 1000
    return jwt.encode({"iat": now, "exp": now + 300} | claims, secret, algorithm="HS256")


class TestExplain:
    async def test_of_a_good_token_changes_nothing_and_leaves_no_trace(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop)
        before = await recorded(office, shop.id)
        diagnosis = await tokens.explain(office, app.id, await signed(office, made.secret))
        assert diagnosis.verdict == "ok", diagnosis.sentence
        assert await recorded(office, shop.id) == before
        assert await office.identities.list_people(shop.id) == []

    async def test_of_an_unknown_app_is_refused(self, office: Office) -> None:
        with pytest.raises(AppUnknown):
            await tokens.explain(office, AppId("app_nobody"), "x")

    async def test_knows_when_a_key_was_revoked(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop)
        token = await signed(office, made.secret)
        await keys.revoke(office, shop.id, made.key.kid)
        diagnosis = await tokens.explain(office, app.id, token)
        assert (diagnosis.reason, diagnosis.mistake) == ("key_revoked", "dead_key")
        assert f"{made.key.kid}, which was revoked" in diagnosis.sentence

    async def test_knows_the_key_of_a_neighbour_only_for_those_who_may(self, office: Office, shop: Project) -> None:
        other = await projects.create(office, "Bookshop")
        app = await an_app(office, shop)
        token = await signed(office, other.secret)
        told = await tokens.explain(office, app.id, token, neighbours=True)
        assert told.mistake == "another_projects_key"
        assert f"Bookshop ({other.project.id})" in told.sentence
        untold = await tokens.explain(office, app.id, token)
        assert untold.mistake == "bad_signature"
        assert "Bookshop" not in repr(untold)

    async def test_names_two_people_whom_one_token_names(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop, "deskpro")
        first, second = Identifier("deskpro_id", "7"), Identifier("deskpro_email", "a@b.example")
        await office.identities.find_or_create(shop.id, [first], Description(), UserId("usr_1"))
        await office.identities.find_or_create(shop.id, [second], Description(), UserId("usr_2"))
        token = await signed_as(office, made.secret, deskpro_id="7", email="A@b.example")
        diagnosis = await tokens.explain(office, app.id, token)
        assert (diagnosis.verdict, diagnosis.reason) == ("bad", "identity_conflict")
        assert "usr_1 and usr_2" in diagnosis.sentence
        assert diagnosis.verified is None
        alone = await tokens.explain(office, app.id, await signed_as(office, made.secret, deskpro_id="7"))
        assert alone.verdict == "ok"

    async def test_looks_for_a_conflict_by_address_where_addresses_name_people(
        self, office: Office, shop: Project
    ) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop)
        for one, user in ((Identifier("external_id", "u-1"), "usr_1"), (Identifier("email", "a@b.example"), "usr_2")):
            await office.identities.find_or_create(shop.id, [one], Description(), UserId(user))
        token = await signed(office, made.secret, email="A@b.example", email_verified=True)
        assert (await tokens.explain(office, app.id, token)).verdict == "ok"
        await change_project(office, shop.id, identify_by_email=True)
        assert (await tokens.explain(office, app.id, token)).reason == "identity_conflict"

    async def test_tells_that_a_token_was_used_and_uses_none(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop, one_time_tokens=True)
        once = await signed(office, made.secret, jti="fresh")
        for _ in range(2):
            assert (await tokens.explain(office, app.id, once)).verdict == "ok"
        later = UnixMs(await office.store.now() + 60_000)
        assert await office.identities.spend(shop.id, made.key.kid, "fresh", later)
        assert (await tokens.explain(office, app.id, once)).reason == "used_before"
        without = await tokens.explain(office, app.id, await signed(office, made.secret))
        assert without.reason == "jti_missing"

    async def test_asks_for_what_the_app_demands(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        now = await office.store.now() // 1000
        timeless = jwt.encode({"deskpro_id": "7", "iat": now}, made.secret, algorithm="HS256")
        for demanded, verdict in (("off", "warn"), ("report", "warn"), ("on", "bad")):
            app = await an_app(office, shop, "deskpro", require_expiry=demanded)
            assert (await tokens.explain(office, app.id, timeless)).verdict == verdict

    async def test_says_that_somebody_was_blocked(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop)
        person = (await people.upsert(office, shop, Upsert(external_id="u-1"))).person
        await people.block(office, shop.id, person.user)
        token = await signed(office, made.secret)
        diagnosis = await tokens.explain(office, app.id, token)
        assert (diagnosis.verdict, diagnosis.reason) == ("bad", "forbidden")
        assert f"chatgateway user unblock {shop.id} {person.user}" in diagnosis.sentence
        await people.unblock(office, shop.id, person.user)
        assert (await tokens.explain(office, app.id, token)).verdict == "ok"

    async def test_doubts_a_user_id_that_is_nobodys(self, office: Office, shop: Project) -> None:
        made = await keys.add_secret(office, shop.id)
        app = await an_app(office, shop, "deskpro")
        person = (await people.upsert(office, shop, Upsert(external_id="u-1"))).person
        token = await signed_as(office, made.secret, deskpro_id=person.user)
        assert (await tokens.explain(office, app.id, token)).verdict == "ok"
        token = await signed_as(office, made.secret, deskpro_id="usr_" + 20 * "0")
        diagnosis = await tokens.explain(office, app.id, token)
        assert (diagnosis.verdict, diagnosis.mistake) == ("warn", "id_of_nobody")
        assert "knows nobody of that id" in diagnosis.sentence

    async def test_says_when_a_key_set_cannot_be_had(
        self, office: Office, shop: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = followed_set(KeyId("key_set"), "https://shop.example/keys", "", UnixMs(0))
        async with office.recorded("test", "x", shop.id) as recording:
            await office.keyrings.change(shop.id, lambda ring: ring.add(record), intent=recording)

        async def gone(_: KeySets, _url: str) -> Any:
            raise OutsideUnavailable("it is down")

        monkeypatch.setattr(KeySets, "again", gone)
        app = await an_app(office, shop)
        stranger = await signed(office, "a stranger's secret, of 32 bytes!")
        diagnosis = await tokens.explain(office, app.id, stranger, sets=KeySets())
        assert diagnosis.verdict == "bad"
        assert "key_set could not be fetched" in diagnosis.also[0].sentence


class TestMint:
    @pytest.mark.parametrize("profile", PROFILES)
    async def test_makes_a_sample_in_each_vendors_shape(self, profile: str, office: Office, shop: Project) -> None:
        app = await an_app(office, shop, profile)
        person = "ada@shop.example" if profile == "deskpro" else "u-1"
        made = await tokens.mint(office, app.id, person, name="Ada Lovelace")
        assert made.token not in repr(made)
        diagnosis: Diagnosis = await tokens.explain(office, app.id, made.token)
        assert (diagnosis.verdict, diagnosis.facts.looks_like) == ("ok", profile)
        elsewhere = await tokens.mint(office, (await an_app(office, shop)).id, person, profile=profile)
        assert elsewhere.profile == profile
        assert (await tokens.explain(office, app.id, elsewhere.token)).verdict == "ok"

    async def test_for_deskpro_names_somebody_by_the_user_id(self, office: Office, shop: Project) -> None:
        app = await an_app(office, shop, "deskpro")
        known = (await people.upsert(office, shop, Upsert(external_id="u-1", name="Ada"))).person
        for name in ("u-1", known.user):
            made = await tokens.mint(office, app.id, name)
            assert (await tokens.explain(office, app.id, made.token)).facts.identifiers == (f"deskpro_id {known.user}",)
        with pytest.raises(Unacceptable, match="user import"):
            await tokens.mint(office, app.id, "u-2")

    async def test_is_recorded_and_what_is_refused_is_not(self, office: Office, shop: Project) -> None:
        app = await an_app(office, shop, "tiledesk")
        for bad in ({"minutes": 60}, {"profile": "nobody"}, {"kid": KeyId("key_nobody")}):
            with pytest.raises(Unacceptable):
                await tokens.mint(office, app.id, "u-1", **bad)  # type: ignore[arg-type]
        with pytest.raises(Unacceptable, match="white space"):
            await tokens.mint(office, app.id, " u-1")
        assert not [entry for entry in await recorded(office, shop.id) if entry[0] == "token mint"]
        await tokens.mint(office, app.id, "u-1")
        assert ("token mint", "intent", "u-1", "") in await recorded(office, shop.id)

    async def test_for_an_app_that_takes_each_once_has_an_id_of_its_own(self, office: Office, shop: Project) -> None:
        app = await an_app(office, shop, one_time_tokens=True)
        made = [(await tokens.mint(office, app.id, "u-1")).token for _ in range(2)]
        ids = {jwt.decode(one, options={"verify_signature": False})["jti"] for one in made}
        assert len(ids) == 2
