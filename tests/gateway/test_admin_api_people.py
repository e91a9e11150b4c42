"""People over HTTP: by whatever id their server gives them, one by one or in thousands."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from tests.gateway.indoors import Indoors, founded
from tests.gateway.operating import Operator
from tests.gateway.page import code

from chatgateway.admin.people import AT_ONCE, LINE_MAX_BYTES
from chatgateway.core.person import Identifier
from chatgateway.gateway.api.admin.imports import FAILURES_MAX
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.identities import Identities
from chatgateway.types import ExternalId, UserId

LINES = {"Content-Type": "application/x-ndjson"}
IDS = [
    "a/b", "a//b", "/", "a%2Fb", "%", "%41", "ünïcødé", "日本", "a b", "..", ".", "../..", "*", "a}:{b", "usr_x:c",
    "a?b=c#d", "import", "usr_0123", "+", "o'neill", '"', "\\", "\u2603",
]  # fmt: skip
"""What a project's server may call somebody."""


@pytest.fixture
async def own(indoors: Indoors) -> Operator:
    return await Operator.of(indoors, indoors.project.id)


def escaped(text: str) -> str:
    """Return an id as one segment of a path; dots too, which clients would resolve."""
    return quote(text, safe="").replace(".", "%2E")


async def imported(own: Operator, lines: Any, *, headers: dict[str, str] = LINES) -> Any:
    path = f"/admin/projects/{own.project}/users"
    return await own.ask("POST", path, content=lines, headers={**own.headers, **headers})


class TestUpsert:
    async def test_creates_and_then_updates_the_same_person(self, indoors: Indoors, own: Operator) -> None:
        told = {"name": "Ada", "email": "ada@shop.example", "email_proved": True, "fields": {"plan": "gold"}}
        made = await own.got("PUT", "/users/ada", told, status=201)
        assert (made["external_id"], made["deskpro_id"], made["groups"]) == ("ada", made["user"], ["1", "2"])
        assert made["signed"] == ["email", "external_id", "fields", "name"]
        again = await own.got("PUT", "/users/ada", told)
        assert again == made
        changed = await own.got("PUT", "/users/ada", {"external_id": "ada", "name": "Ada Lovelace"})
        assert (changed["user"], changed["name"], changed["email"]) == (made["user"], "Ada Lovelace", told["email"])
        person = await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId("ada"))
        assert person is not None
        assert (person.user, person.name) == (made["user"], "Ada Lovelace")
        # A token that carries just the id is that person.
        tab = await indoors.visitor(indoors.token("ada", name=None))
        assert (tab.me["user"], tab.me["name"]) == (made["user"], "Ada Lovelace")

    @pytest.mark.parametrize("name", IDS)
    async def test_takes_any_id_that_the_project_uses(self, indoors: Indoors, own: Operator, name: str) -> None:
        path = f"/users/{escaped(name)}"
        made = await own.got("PUT", path, {}, status=201)
        assert made["external_id"] == name
        assert (await own.got("GET", path))["person"]["user"] == made["user"]
        person = await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId(name))
        assert person is not None
        assert person.user == made["user"]
        assert (await own.got("POST", f"{path}/block"))["user"] == made["user"]
        gone = await own.got("DELETE", f"{path}/identifiers/external_id/{escaped(name)}")
        assert gone["external_id"] == ""
        assert code(await own.there("GET", path)) == (404, "user_unknown")
        assert code(await own.there("DELETE", path)) == (404, "user_unknown")

    async def test_never_makes_a_stores_key_of_an_id(self, indoors: Indoors, own: Operator) -> None:
        # Beside a person's record lie keys of other kinds, whose names go on after a colon.
        beside = schema.person(indoors.project.id, UserId("usr_1:c"))
        await indoors.store.hot.ask(("SET", beside, "no record"))
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/block"), ("GET", "/export"), ("GET", "/history")):
            assert code(await own.there(method, f"/users/usr_1%3Ac{path}")) == (404, "user_unknown")

    async def test_takes_no_id_that_looks_like_another(self, own: Operator) -> None:
        for bad in ("%00", "%0A", "%20a", "a%20", "%E2%80%8B", "%EE%80%80"):
            assert code(await own.there("PUT", f"/users/{bad}", {})) == (422, "unacceptable"), bad
        for bad in ("%ff", "x" * 256):
            assert code(await own.there("PUT", f"/users/{bad}", {})) == (400, "malformed"), bad

    async def test_says_which_field_cannot_be_and_never_what_stood_in_it(self, own: Operator) -> None:
        for body, refusal in (
            ({"email": "nobody-in-particular"}, (422, "unacceptable")),
            ({"name": "x" * 256}, (422, "unacceptable")),
            ({"external_id": "bob"}, (422, "unacceptable")),
            ({"email_proved": True}, (422, "unacceptable")),
            ({"identify_by_email": True}, (422, "unacceptable")),
            ({"name": 5}, (400, "malformed")),
            ({"role": "admin"}, (400, "malformed")),
        ):
            answer = await own.there("PUT", "/users/ada", body)
            assert code(answer) == refusal, body
            assert "nobody-in-particular" not in answer.text
        assert (await own.got("GET", "/users"))["users"] == []

    async def test_of_identifiers_of_two_people_changes_nobody(self, indoors: Indoors, own: Operator) -> None:
        await own.got("PATCH", "", {"identify_by_email": True})
        proved = {"email": "ada@shop.example", "email_proved": True, "identify_by_email": True}
        ada = await own.got("PUT", "/users/ada", proved, status=201)
        bob = await own.got("PUT", "/users/bob", {"name": "Bob"}, status=201)
        assert code(await own.there("PUT", "/users/bob", proved)) == (409, "identity_conflict")
        assert (await own.got("GET", "/users/bob"))["person"] == bob
        theirs = [Identifier("external_id", "ada"), Identifier("external_id", "bob")]
        indoors.parts.reports.conflict(indoors.project.id, indoors.app.id, theirs)
        await indoors.store.now()
        (conflict,) = (await own.got("GET", "/conflicts"))["conflicts"]
        assert [one["user"] for one in conflict["identifiers"]] == [ada["user"], bob["user"]]


class TestEdit:
    async def test_leaves_what_the_projects_server_vouches_for_and_names_it(self, own: Operator) -> None:
        await own.got("PUT", "/users/ada", {"name": "Ada"}, status=201)
        edited = await own.got("PATCH", "/users/ada", {"name": "Eve", "organization": "Shop", "labels": ["vip"]})
        assert edited["locked"] == ["name"]
        assert (edited["person"]["name"], edited["person"]["organization"]) == ("Ada", "Shop")
        assert (await own.got("GET", "/users/ada"))["person"] == edited["person"]
        assert code(await own.there("PATCH", "/users/ada", {"external_id": "eve"})) == (400, "malformed")
        assert code(await own.there("PATCH", "/users/nobody", {})) == (404, "user_unknown")


class TestLists:
    async def test_are_read_page_by_page_and_searched(self, own: Operator) -> None:
        for name in ("ada", "alan", "bob"):
            await own.got("PUT", f"/users/{name}", {"name": name.title()}, status=201)
        seen: list[str] = []
        after = ""
        while True:
            page = await own.got("GET", f"/users?limit=1{after}")
            seen += [person["external_id"] for person in page["users"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert sorted(seen) == ["ada", "alan", "bob"]
        found = await own.got("GET", "/users?prefix=AL")
        assert ([person["name"] for person in found["users"]], found["next"]) == (["Alan"], None)
        assert code(await own.there("GET", "/users?prefix=a&after=1")) == (422, "unacceptable")
        assert code(await own.there("GET", "/users?after=x")) == (400, "malformed")


class TestPrivacy:
    async def test_one_person_is_given_what_is_theirs_and_it_is_recorded(self, indoors: Indoors, own: Operator) -> None:
        ada, bob = await indoors.visitor(indoors.token("ada")), await indoors.visitor(indoors.token("bob"))
        conversation = await ada.start("a word of Ada's")
        await bob.start("a word of Bob's")
        exported = await own.there("GET", "/users/ada/export")
        assert "a word of Ada's" in exported.text
        assert "Bob" not in exported.text
        said = await own.got("GET", f"/conversations/{conversation}")
        assert [(one["event"]["text"], one["kid"]) for one in said["events"]] == [("a word of Ada's", "k1")]
        assert await own.got("GET", "/users/ada/history") == said
        verbs = [entry.verb for entry in await own.audited() if entry.step == "result"]
        assert verbs == ["user export", "history read", "history read"]
        for other in ("cnv_nonsense", "ada", f"cnv_{'0' * 22}"):
            assert code(await own.there("GET", f"/conversations/{other}")) == (404, "conversation_unknown")


class TestAdoptions:
    async def test_are_undone(self, indoors: Indoors, own: Operator) -> None:
        stranger = await indoors.visitor()
        conversation = await stranger.start("before")
        ada = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        kept = await ada.do("adopt")
        undone = await own.got("POST", f"/adoptions/{kept['receipt']}/undo")
        assert (undone["state"], undone["conversations"]) == ("undone", [conversation])
        assert await own.got("POST", f"/adoptions/{kept['receipt']}/undo") == undone
        assert code(await own.there("POST", "/adoptions/adp_nobody/undo")) == (409, "adoption_refused")


BAD = [b"{", b'{"external_id": ""}', b'{"external_id": "a", "role": "admin"}', b"\xff"]


def people(count: int) -> list[bytes]:
    """Return so many lines; every hundredth of them cannot be."""
    lines = [msgspec.json.encode({"external_id": f"u-{number}", "name": f"U {number}"}) for number in range(count)]
    for number in range(99, count, 100):
        lines[number] = [b"{", b'{"external_id": ""}', b'{"external_id": "a", "role": "admin"}', b"\xff"][
            number // 100 % 4
        ]
    return lines


class TestImport:
    async def test_tells_of_two_thousand_and_reports_the_lines_that_cannot_be(
        self, indoors: Indoors, own: Operator
    ) -> None:
        lines = people(2_000)
        first = (await imported(own, b"\n".join(lines))).json()
        assert (first["lines"], first["created"], first["known"], first["failed"]) == (2_000, 1_980, 0, 20)
        assert [failure["line"] for failure in first["errors"]] == list(range(100, 2_001, 100))
        again = (await imported(own, b"\r\n".join(lines) + b"\n\n")).json()
        assert (again["created"], again["known"], again["failed"]) == (0, 1_980, 20)
        found = await asyncio.gather(
            *(
                indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId(f"u-{number}"))
                for number in (0, 98, 1_999 - 1)
            )
        )
        assert [person.name for person in found if person] == ["U 0", "U 98", "U 1998"]
        results = [entry.result for entry in await own.audited() if entry.step == "result"]
        assert results[0] == "2,000 lines: 1,980 created, 0 known before, 20 failed"

    async def test_skips_a_line_that_is_too_long_and_lists_so_many_failures(self, own: Operator) -> None:
        long = b'{"external_id": "' + b"x" * 3 * LINE_MAX_BYTES + b'"}'
        told = (await imported(own, b'{"external_id": "a"}\n' + long + b'\n{"external_id": "b"}')).json()
        assert (told["lines"], told["created"]) == (3, 2)
        assert told["errors"][0]["line"] == 2
        many = (await imported(own, b"x\n" * (FAILURES_MAX + 5))).json()
        assert (many["failed"], len(many["errors"])) == (FAILURES_MAX + 5, FAILURES_MAX)

    async def test_says_what_it_is(self, own: Operator) -> None:
        for kind in ("application/json", "text/plain", ""):
            answer = await imported(own, b"{}", headers={"Content-Type": kind})
            assert code(answer) == (415, "not_json"), kind
        assert (await imported(own, b"", headers={"Content-Type": "application/jsonl"})).json()["lines"] == 0

    async def test_of_too_many_bytes_imports_nobody(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, import_max_bytes=100_000) as indoors:
            own = await Operator.of(indoors, indoors.project.id)
            lines = b"\n".join(people(3_000))
            assert len(lines) > 100_000
            assert code(await imported(own, lines)) == (413, "too_big")
            assert (await own.got("GET", "/users"))["users"] == []

    async def test_ends_with_its_admin_token(
        self, indoors: Indoors, own: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Revoked while the first lines are written; those stay, and nothing follows them."""
        upsert = Identities.upsert

        async def and_revoked(*arguments: Any) -> Any:
            monkeypatch.undo()
            await indoors.parts.admins.revoke(own.admin.id)
            return await upsert(*arguments)

        monkeypatch.setattr(Identities, "upsert", and_revoked)
        lines = b"\n".join(msgspec.json.encode({"external_id": f"u-{number}"}) for number in range(AT_ONCE + 1))
        assert code(await imported(own, lines)) == (401, "admin_rejected")
        assert len(await indoors.parts.identities.list_people(indoors.project.id)) == AT_ONCE
        assert [entry.result for entry in await own.audited() if entry.step == "result"] == ["failed: AdminRejected"]

    async def test_of_a_token_that_is_revoked_during_the_upload_imports_nobody(
        self, indoors: Indoors, own: Operator
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"external_id": "a"}\n'
            await indoors.parts.admins.revoke(own.admin.id)
            yield b'{"external_id": "b"}\n'

        assert code(await imported(own, body())) == (401, "admin_rejected")
        assert await indoors.parts.identities.list_people(indoors.project.id) == []

    async def test_is_never_held_in_memory(self, own: Operator) -> None:
        size, chunk = 24 * 1_048_576, b" " * 65_535 + b"\n"

        async def body() -> AsyncIterator[bytes]:
            for _ in range(size // len(chunk)):
                yield chunk

        tracemalloc.start()
        try:
            answer = await imported(own, body())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert answer.json()["lines"] == 0
        assert peak < size / 4
