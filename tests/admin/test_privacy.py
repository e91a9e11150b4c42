"""What a person may ask of a project, as an operator does it: with the ends, the audit, and no way back."""

from __future__ import annotations

import json

import pytest
from tests.admin.conftest import Notebook, recorded
from tests.gateway.indoors import Indoors

from chatgateway.admin import people, privacy
from chatgateway.admin.office import Office
from chatgateway.errors import NotFound, StoreUnavailable
from chatgateway.store.privacy import Erased, Privacy


class TestExport:
    async def test_has_what_a_person_said_and_is_recorded(self, beside: Office, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        await ada.start("a canary")
        document = await privacy.export(beside, indoors.project.id, "ada")
        assert document["user"] == ada.me["user"]
        assert "a canary" in json.dumps(document)
        verb, step, target, _ = (await recorded(beside, indoors.project.id))[-1]
        assert (verb, step, target) == ("user export", "result", ada.me["user"])

    async def test_of_nobody_is_refused(self, beside: Office, indoors: Indoors) -> None:
        with pytest.raises(NotFound):
            await privacy.export(beside, indoors.project.id, "nobody")


class TestErase:
    async def test_ends_sockets_with_4410_and_leaves_the_user_id_alone(
        self, beside: Office, indoors: Indoors, notebook: Notebook
    ) -> None:
        project = indoors.project.id
        ada, bob = await indoors.visitor(indoors.token("ada")), await indoors.visitor(indoors.token("bob"))
        await ada.start("a canary")
        user = ada.me["user"]
        before = await privacy.foretell(beside, project, "ada")
        assert (len(before.conversations), len(before.sessions)) == (1, 1)
        forgotten = await privacy.erase(beside, project, "ada")
        assert await ada.ended() == 4410
        assert forgotten.user == user
        assert forgotten.erased.conversations == 1
        assert (forgotten.barrier.ended, forgotten.barrier.silent) == (1, ())
        assert await bob.start("still here")
        with pytest.raises(NotFound):
            await people.find(beside, project, "ada")
        assert [(entry.kind, entry.subject, entry.why) for entry in notebook] == [("person", user, "erased")]
        entries = await recorded(beside, project)
        assert [entry[2] for entry in entries] == [user, user]
        assert "ada" not in str(entries).lower().replace(user, "")

    async def test_makes_room_for_somebody_new_with_the_same_id(self, beside: Office, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        await privacy.erase(beside, indoors.project.id, "ada")
        again = await indoors.visitor(indoors.token("ada"))
        assert again.me["user"] != ada.me["user"]

    async def test_twice_is_harmless(self, beside: Office, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        first = await privacy.erase(beside, indoors.project.id, "ada")
        again = await privacy.erase(beside, indoors.project.id, ada.me["user"])
        assert again.erased.at == first.erased.at
        assert again.erased.conversations == 0

    async def test_that_is_interrupted_has_withdrawn_before_and_is_finished_by_the_next(
        self, beside: Office, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = indoors.project.id
        ada = await indoors.visitor(indoors.token("ada"))
        await ada.start("a canary")
        user = ada.me["user"]

        async def interrupted(*_: object) -> Erased:
            raise StoreUnavailable("power cut")

        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(Privacy, "erase_person", interrupted)
            await privacy.erase(beside, project, "ada")
        assert await ada.ended() == 4410
        assert (await beside.records.read(project, user)).erased
        assert "erased" in await beside.sessions.marks(project, user)
        forgotten = await privacy.erase(beside, project, "ada")
        assert (forgotten.user, forgotten.erased.conversations) == (user, 1)
        with pytest.raises(NotFound):
            await privacy.erase(beside, project, "ada")

    async def test_leaves_the_screens_of_agents(self, beside: Office, indoors: Indoors) -> None:
        """Of who follows the chat, and of who only has it in the list."""
        ada = await indoors.visitor(indoors.token("ada"))
        conversation = await ada.start("a canary")
        agents = [await indoors.colleague(), await indoors.colleague()]
        await agents[0].open(conversation)
        await agents[1].do("inbox", project=indoors.project.id)
        await privacy.erase(beside, indoors.project.id, "ada")
        for agent in agents:
            told = await agent.hears("error", lambda error: error["ref"] == conversation)
            assert told["code"] == "conversation_unknown"

    async def test_takes_their_words_from_the_screens_of_agents_where_the_chat_stays(
        self, beside: Office, indoors: Indoors
    ) -> None:
        stranger = await indoors.visitor()
        conversation = await stranger.start("hello")
        stranger.leave()
        ada = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        await ada.open(conversation)
        await ada.do("send", conversation=conversation, text="a canary")
        agent = await indoors.colleague()
        await agent.open(conversation)
        await agent.hears("reset")
        await privacy.erase(beside, indoors.project.id, "ada")
        shown = await agent.hears("reset")
        assert [message.get("text", "") for message in shown["messages"]] == ["hello", "", ""]

    async def test_of_whom_nobody_knows_sets_no_tombstone(self, beside: Office, indoors: Indoors) -> None:
        for nobody in ("nobody", "usr_00000000000000000000"):
            with pytest.raises(NotFound):
                await privacy.erase(beside, indoors.project.id, nobody)
        assert await recorded(beside, indoors.project.id) == []
