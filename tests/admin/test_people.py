"""People as the project's server tells of them and operators govern them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.admin.conftest import Notebook, recorded
from tests.gateway.indoors import SHOP, Indoors

from chatgateway.admin import apps, people, projects
from chatgateway.admin.apps import AppChange
from chatgateway.admin.office import Office
from chatgateway.admin.people import Imported
from chatgateway.core.person import Identifier
from chatgateway.core.project import Project
from chatgateway.core.upsert import Upsert
from chatgateway.errors import AdminRejected, AdoptionRefused, IdentityConflict, NotFound, Unacceptable
from chatgateway.store import schema
from chatgateway.store.sessions import SessionRow
from chatgateway.types import AppId, ProjectId, SessionId, UnixMs, UserId, Version


def line(external_id: str, **said: Any) -> bytes:
    return json.dumps({"external_id": external_id} | said).encode()


async def told_of(office: Office, project: Project, external_id: str, **said: Any) -> UserId:
    return (await people.upsert(office, project, Upsert(external_id=external_id, **said))).person.user


class TestFind:
    async def test_takes_the_user_id_and_what_the_projects_server_says(self, office: Office, shop: Project) -> None:
        user = await told_of(office, shop, "u-1", name="Ada")
        assert (await people.find(office, shop.id, "u-1")).user == user
        assert (await people.find(office, shop.id, user)).name == "Ada"

    async def test_of_another_project_finds_nobody(self, office: Office, shop: Project) -> None:
        other = (await projects.create(office, "Other")).project
        user = await told_of(office, shop, "u-1")
        for name in ("u-1", user):
            with pytest.raises(NotFound):
                await people.find(office, other.id, name)

    async def test_finds_a_stranger_who_only_chatted(self, beside: Office, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        await stranger.start()
        known = await people.known(beside, indoors.project.id, stranger.me["user"])
        assert (known.person.user, len(known.conversations)) == (stranger.me["user"], 1)
        assert list(known.sessions) == [stranger.me["session"]]

    async def test_finds_a_stranger_known_by_a_session_alone(self, office: Office, shop: Project) -> None:
        stranger = UserId("usr_" + "0" * 20)
        row = SessionRow(project=shop.id, user=stranger)
        await office.sessions.bind(SessionId("ses_1"), row, Version(0), UnixMs(0))
        assert (await people.find(office, shop.id, stranger)).user == stranger


class TestUpsert:
    async def test_makes_a_person_whom_a_token_with_just_the_id_finds(self, beside: Office, indoors: Indoors) -> None:
        user = await told_of(beside, indoors.project, "ada", name="Ada Lovelace", labels=("vip",))
        ada = await indoors.visitor(indoors.token("ada", name=None))
        assert ada.me["user"] == user
        assert (await people.find(beside, indoors.project.id, user)).name == "Ada Lovelace"

    async def test_D4_D9_is_found_by_the_address_where_an_app_takes_addresses_for_names(
        self, office: Office, shop: Project
    ) -> None:
        address = Identifier("deskpro_email", "john@shop.example")
        await told_of(office, shop, "u-0", email="John@shop.example")
        assert await office.identities.find(shop.id, address) is None
        await apps.create(office, shop.id, AppChange(name="Desk", profile="deskpro"))
        user = await told_of(office, shop, "u-0", email="John@shop.example", name="John")
        found = await office.identities.find(shop.id, address)
        assert found is not None and found.user == user
        with pytest.raises(IdentityConflict):
            await told_of(office, shop, "u-1", email="john@shop.example")
        failures: list[int] = []
        lines = [line("u-2", email="mary@shop.example"), line("u-3", email="mary@shop.example")]
        await people.import_people(office, shop, lines, on_failure=lambda number, _: failures.append(number))
        assert failures == [2]

    async def test_says_whether_somebody_is_new(self, office: Office, shop: Project) -> None:
        first = await people.upsert(office, shop, Upsert(external_id="u-1", name="Ada"))
        second = await people.upsert(office, shop, Upsert(external_id="u-1", name="Ada L."))
        assert (first.created, second.created) == (True, False)
        assert (second.person.user, second.person.name) == (first.person.user, "Ada L.")

    async def test_is_recorded_by_the_user_id_and_only_when_it_changes_somebody(
        self, office: Office, shop: Project
    ) -> None:
        before = len(await recorded(office, shop.id))
        user = await told_of(office, shop, "private-id", name="Ada")
        once = await recorded(office, shop.id)
        assert once[before:] == [
            ("user upsert", "intent", user, ""),
            ("user upsert", "result", user, f"created {user}"),
        ]
        await told_of(office, shop, "private-id", name="Ada")
        assert await recorded(office, shop.id) == once
        await told_of(office, shop, "private-id", name="Ada L.")
        assert (await recorded(office, shop.id))[-1] == ("user upsert", "result", user, f"updated {user}")

    async def test_gives_who_only_signed_in_so_far_their_name_for_tokens_that_say_just_the_user_id(
        self, beside: Office, indoors: Indoors
    ) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        user = await told_of(beside, indoors.project, "ada", name="Ada")
        assert user == ada.me["user"]
        person = await people.find(beside, indoors.project.id, user)
        assert Identifier("deskpro_id", user) in person.identifiers

    async def test_of_one_person_by_many_at_once_makes_one(self, office: Office, shop: Project) -> None:
        made = await asyncio.gather(
            *(people.upsert(office, shop, Upsert(external_id="u-1", name="Ada")) for _ in range(32))
        )
        assert len({one.person.user for one in made}) == 1
        assert sum(one.created for one in made) == 1

    async def test_that_names_two_people_changes_nobody(self, office: Office, shop: Project) -> None:
        mail = await projects.change(office, shop.id, identify_by_email=True)
        proved: dict[str, Any] = {"email": "ada@shop.example", "email_proved": True, "identify_by_email": True}
        await told_of(office, mail, "u-1", **proved)
        other = await told_of(office, mail, "u-2", name="Bob")
        with pytest.raises(IdentityConflict):
            await people.upsert(office, mail, Upsert(external_id="u-2", name="Eve", **proved))
        assert (await people.find(office, shop.id, other)).name == "Bob"

    async def test_without_an_id_is_refused(self, office: Office, shop: Project) -> None:
        with pytest.raises(Unacceptable, match="external_id"):
            await people.upsert(office, shop, Upsert(name="Ada"))


class TestImport:
    async def bring(
        self, office: Office, project: Project, *lines: bytes
    ) -> tuple[Imported, list[tuple[int, str]], list[Imported]]:
        failures: list[tuple[int, str]] = []
        steps: list[Imported] = []
        imported = await people.import_people(
            office, project, lines, on_failure=lambda *one: failures.append(one), on_progress=steps.append
        )
        return imported, failures, steps

    async def test_twice_creates_each_person_once(self, office: Office, shop: Project) -> None:
        lines = [line(f"u-{number}", name=f"Person {number}") for number in range(200)]
        first, failures, steps = await self.bring(office, shop, *lines)
        assert (first, failures) == (Imported(200, 0, 0), [])
        assert [step.lines for step in steps] == [64, 128, 192, 200]
        again, _, _ = await self.bring(office, shop, *lines)
        assert again == Imported(0, 200, 0)
        assert len(await office.identities.list_people(shop.id, 1_000)) == 200

    async def test_goes_on_after_a_bad_line_and_says_which_it_was(self, office: Office, shop: Project) -> None:
        imported, failures, _ = await self.bring(
            office,
            shop,
            line("u-1"),
            b"",
            b"not json",
            line(""),
            line("u-2", name="a\0b"),
            line("big") + b" " * 65_536,
            line("u-3"),
        )
        assert imported == Imported(2, 0, 4)
        assert {number for number, _ in failures} == {3, 4, 5, 6}
        assert all("\n" not in why for _, why in failures)

    async def test_of_one_person_twice_ends_with_what_stands_last(self, office: Office, shop: Project) -> None:
        lines = [line("u-1", name=f"Name {number}") for number in range(20)]
        imported, _, steps = await self.bring(office, shop, *lines)
        assert imported == Imported(1, 19, 0)
        assert len(steps) == 20, "each waits for the one before"
        assert (await people.find(office, shop.id, "u-1")).name == "Name 19"

    async def test_reports_a_conflict_and_goes_on(self, office: Office, shop: Project) -> None:
        mail = await projects.change(office, shop.id, identify_by_email=True)
        proved: dict[str, Any] = {"email": "ada@shop.example", "email_proved": True, "identify_by_email": True}
        imported, failures, _ = await self.bring(
            office, mail, line("u-1", **proved), line("u-2"), line("u-2", **proved), line("u-3")
        )
        assert imported == Imported(3, 0, 1)
        ((number, why),) = failures
        assert number == 3
        assert "two different people" in why

    async def test_asks_before_each_batch_whether_it_may_go_on(self, office: Office, shop: Project) -> None:
        asked: list[int] = []

        async def may_go_on() -> None:
            asked.append(len(await office.identities.list_people(shop.id, 1_000)))
            if len(asked) == 2:
                raise AdminRejected

        lines = [line(f"u-{number}") for number in range(people.AT_ONCE + 1)]
        with pytest.raises(AdminRejected):
            await people.import_people(office, shop, lines, on_failure=lambda *_: None, may_go_on=may_go_on)
        assert asked == [0, people.AT_ONCE]
        assert len(await office.identities.list_people(shop.id, 1_000)) == people.AT_ONCE
        assert (await recorded(office, shop.id))[-1][-1] == "failed: AdminRejected"

    async def test_is_recorded_once(self, office: Office, shop: Project) -> None:
        before = len(await recorded(office, shop.id))
        await self.bring(office, shop, line("u-1"), b"[]")
        assert (await recorded(office, shop.id))[before:] == [
            ("user import", "intent", shop.id, ""),
            ("user import", "result", shop.id, "2 lines: 1 created, 0 known before, 1 failed"),
        ]


class TestEdit:
    async def test_leaves_what_the_projects_server_said(self, office: Office, shop: Project) -> None:
        user = await told_of(office, shop, "u-1", name="Ada")
        edited = await people.edit(office, shop.id, user, Upsert(name="Eve", organization="Engines"))
        assert edited.locked == ("name",)
        assert (edited.person.name, edited.person.organization) == ("Ada", "Engines")

    async def test_never_changes_who_somebody_is(self, office: Office, shop: Project) -> None:
        user = await told_of(office, shop, "u-1")
        with pytest.raises(Unacceptable, match="Who somebody is"):
            await people.edit(office, shop.id, user, Upsert(external_id="u-2"))
        with pytest.raises(NotFound):
            await people.edit(office, shop.id, "nobody", Upsert(name="x"))


class TestBlock:
    async def test_ends_every_session_and_lets_nobody_in_again(
        self, beside: Office, indoors: Indoors, notebook: Notebook
    ) -> None:
        project = indoors.project.id
        tabs = [await indoors.visitor(indoors.token("ada")) for _ in range(2)]
        bob = await indoors.visitor(indoors.token("bob"))
        blocked = await people.block(beside, project, "ada")
        assert blocked.person.blocked
        assert (blocked.barrier.ended, blocked.barrier.silent) == (2, ())
        assert [await tab.ended() for tab in tabs] == [4403, 4403]
        assert await indoors.refused(indoors.token("ada")) == 4403
        assert await bob.start("still here")
        assert [(entry.kind, entry.why) for entry in notebook] == [("person", "blocked")]
        assert (await recorded(beside, project))[-1][-1] == "1 of 1 nodes confirmed, 2 sessions ended"
        assert "blocked" in await beside.sessions.marks(project, blocked.person.user), "what they still send is refused"
        unblocked = await people.unblock(beside, project, "ada")
        assert not unblocked.person.blocked
        assert (await indoors.visitor(indoors.token("ada"))).me["user"] == tabs[0].me["user"]

    async def test_lets_no_session_bring_another_partition_along_meanwhile(
        self, beside: Office, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A chat from before signing in lies in the stranger's partition: a mark of which nobody knew would miss it."""
        await indoors.visitor(indoors.token("ada"))
        stranger = await indoors.visitor()
        await stranger.start()
        partitions, answers = beside.sessions.partitions, list[int]()
        body = {"app": indoors.app.id, "token": indoors.token("ada"), "earlier": stranger.me["session_token"]}

        async def outrun(*arguments: Any) -> Any:
            found = await partitions(*arguments)
            async with indoors.browser(headers={"Origin": SHOP}) as browser:
                answers.append((await browser.post("/v1/token", json=body)).status_code)
            return found

        monkeypatch.setattr(beside.sessions, "partitions", outrun)
        await people.block(beside, indoors.project.id, "ada")
        assert answers == [403]

    async def test_and_unblock_repeated_are_harmless(self, office: Office, shop: Project) -> None:
        user = await told_of(office, shop, "u-1")
        for _ in range(2):
            assert (await people.block(office, shop.id, user)).person.blocked
        for _ in range(2):
            assert not (await people.unblock(office, shop.id, user)).person.blocked
        assert "blocked" not in await office.sessions.marks(shop.id, user)

    async def test_of_nobody_is_refused_and_not_recorded(self, office: Office, shop: Project) -> None:
        before = await recorded(office, shop.id)
        for verb in (people.block, people.unblock):
            with pytest.raises(NotFound):
                await verb(office, shop.id, "usr_nobody")
        assert await recorded(office, shop.id) == before


class TestConflicts:
    async def test_say_whom_each_identifier_names_and_end_by_forgetting_one(
        self, office: Office, shop: Project
    ) -> None:
        mail = await projects.change(office, shop.id, identify_by_email=True)
        proved: dict[str, Any] = {"email": "ada@shop.example", "email_proved": True, "identify_by_email": True}
        ada, bob = await told_of(office, mail, "u-1", **proved), await told_of(office, mail, "u-2")
        both = (Identifier("external_id", "u-2"), Identifier("email", "ada@shop.example"))
        office.reports.conflict(shop.id, AppId("app_1"), both)
        (found,) = await people.conflicts(office, shop.id)
        assert found.report.identifiers == both
        assert (found.users, found.settled) == ((bob, ada), False)
        await people.forget_identifier(office, shop.id, ada, both[1])
        (found,) = await people.conflicts(office, shop.id)
        assert (found.users, found.settled) == ((bob, None), True)
        assert await told_of(office, mail, "u-2", **proved) == bob

    async def test_of_an_unknown_project_are_not_listed(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await people.conflicts(office, ProjectId("prj_none"))


class TestForgetIdentifier:
    async def test_that_names_somebody_else_is_refused(self, office: Office, shop: Project) -> None:
        ada, _ = await told_of(office, shop, "u-1"), await told_of(office, shop, "u-2")
        with pytest.raises(NotFound, match="u-2"):
            await people.forget_identifier(office, shop.id, ada, Identifier("external_id", "u-2"))
        assert (await people.find(office, shop.id, "u-2")).user != ada

    async def test_that_names_somebody_unlisted_is_let_go(self, office: Office, shop: Project) -> None:
        """Whoever attached it died before the record was written: nobody sees it, and it must not stay."""
        ada, planted = await told_of(office, shop, "u-1"), Identifier("email", "eve@shop.example")
        key = schema.identifier(shop.id, schema.identifier_digest(*planted))
        await office.store.redis.set(key, ada)
        found = await office.identities.find(shop.id, planted)
        assert found is not None
        assert (found.user, planted in found.names) == (ada, False)
        await people.forget_identifier(office, shop.id, ada, planted)
        assert await office.identities.find(shop.id, planted) is None

    async def test_is_recorded_without_its_text(self, office: Office, shop: Project) -> None:
        ada = await told_of(office, shop, "private-id")
        await people.forget_identifier(office, shop.id, ada, Identifier("external_id", "private-id"))
        assert "private-id" not in str(await recorded(office, shop.id))
        with pytest.raises(NotFound):
            await people.find(office, shop.id, "private-id")


class TestUnadopt:
    async def test_of_an_unknown_receipt_is_refused(self, office: Office, shop: Project) -> None:
        with pytest.raises(AdoptionRefused):
            await people.unadopt(office, shop.id, "usr_" + "0" * 20)
        assert (await recorded(office, shop.id))[-1][-1] == "failed: AdoptionRefused"
