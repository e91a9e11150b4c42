"""Agents, sessions, history and audit, as every way to operate the gateway finds them."""

from __future__ import annotations

import pytest
from tests.admin.conftest import ACTOR, Notebook, recorded
from tests.gateway.indoors import PASSWORD, Indoors

from chatgateway.admin import agents, audit, history, projects, sessions
from chatgateway.admin.office import Office
from chatgateway.core.audit import Head
from chatgateway.core.project import Project
from chatgateway.errors import ConversationUnknown, LoginRejected, NameTaken, NotFound, Unacceptable
from chatgateway.store.agents import Agents
from chatgateway.store.passwords import Cost, Passwords
from chatgateway.types import ProjectId, SessionId


@pytest.fixture(autouse=True)
def quick_passwords(office: Office) -> None:
    office.__dict__["agents"] = Agents(office.store, Passwords(Cost(memory_kib=64, iterations=1)))


class TestAgent:
    async def test_gets_in_until_the_password_changes(self, office: Office, shop: Project, notebook: Notebook) -> None:
        agent = await agents.create(office, "Maria", PASSWORD, projects=(shop.id, shop.id))
        assert agent.projects == (shop.id,)
        changed = await agents.set_password(office, agent, "another horse")
        assert changed.barrier.complete
        assert (await office.agents.login("Maria", "another horse", "192.0.2.1")).id == agent.id
        with pytest.raises(LoginRejected):
            await office.agents.login("Maria", PASSWORD, "192.0.2.1")
        assert [(entry.kind, entry.subject) for entry in notebook] == [("agent", agent.id)]

    async def test_gets_in_by_a_link_until_removed(self, office: Office, shop: Project) -> None:
        agent = await agents.create(office, "Maria", projects=(shop.id,))
        used, unused = await agents.link(office, agent), await agents.link(office, agent)
        assert (await office.agents.redeem_link(used)).id == agent.id
        await agents.remove(office, agent)
        with pytest.raises(LoginRejected):
            await office.agents.redeem_link(unused)
        with pytest.raises(NotFound):
            await agents.remove(office, agent)
        assert used not in str(await recorded(office))

    async def test_with_a_bad_name_or_password_is_refused_in_a_sentence(self, office: Office, shop: Project) -> None:
        for name, password in (("", PASSWORD), ("Maria", "x")):
            with pytest.raises(Unacceptable) as refused:
                await agents.create(office, name, password, projects=(shop.id,))
            assert str(refused.value).endswith(".")
        with pytest.raises(NotFound):
            await agents.create(office, "Maria", PASSWORD, projects=(ProjectId("prj_none"),))
        await agents.create(office, "Maria", projects=(shop.id,))
        with pytest.raises(NameTaken):
            await agents.create(office, "maria", projects=(shop.id,))


class TestSession:
    async def test_is_ended_alone(self, beside: Office, indoors: Indoors, notebook: Notebook) -> None:
        project = indoors.project.id
        one, other = [await indoors.visitor(indoors.token("ada")) for _ in range(2)]
        row, is_live = await sessions.find(beside, project, SessionId(one.me["session"]))
        assert (row.user, is_live) == (one.me["user"], True)
        barrier = await sessions.end(beside, project, SessionId(one.me["session"]))
        assert (barrier.ended, barrier.silent) == (1, ())
        assert await one.ended() == 4302
        assert one.me["session"] in await beside.sessions.marks(project, row.user), "what it still sends is refused"
        assert await other.start("still here")
        assert [(entry.kind, entry.why) for entry in notebook] == [("session", "ended")]

    async def test_of_another_project_is_not_found(self, beside: Office, indoors: Indoors) -> None:
        other = (await projects.create(beside, "Other")).project
        ada = await indoors.visitor(indoors.token("ada"))
        with pytest.raises(NotFound):
            await sessions.end(beside, other.id, SessionId(ada.me["session"]))
        assert await ada.start("still here")


class TestHistory:
    async def test_is_read_by_conversation_or_by_person_and_recorded_by_user_id(
        self, beside: Office, indoors: Indoors
    ) -> None:
        project = indoors.project.id
        ada = await indoors.visitor(indoors.token("ada"))
        conversation = await ada.start("hello")
        for whose in (conversation, ada.me["user"], "ada"):
            (said,) = [one for one in await history.read(beside, project, whose) if one.event.get("text")]
            assert (said.conversation, said.event["text"], said.kid) == (conversation, "hello", "k1")
        targets = [target for verb, step, target, _ in await recorded(beside, project) if step == "intent"]
        assert targets == [conversation, ada.me["user"], ada.me["user"]]

    async def test_of_another_project_is_nobodys(self, beside: Office, indoors: Indoors) -> None:
        other = (await projects.create(beside, "Other")).project
        ada = await indoors.visitor(indoors.token("ada"))
        conversation = await ada.start("hello")
        with pytest.raises(ConversationUnknown):
            await history.read(beside, other.id, conversation)
        with pytest.raises(NotFound):
            await history.read(beside, other.id, ada.me["user"])


class TestAudit:
    async def test_says_who_acted(self, office: Office, shop: Project) -> None:
        assert {entry.actor for entry in await office.audit.entries(shop.id)} == {ACTOR}

    async def test_of_every_chain_is_whole_and_one_that_was_cut_is_not(self, office: Office, shop: Project) -> None:
        verdicts = await audit.verify(office, None)
        assert [(one.chain, one.fault) for one in verdicts] == [("", None), (shop.id, None)]
        ((_, head, _),) = await audit.verify(office, shop.id)
        ((_, _, fault),) = await audit.verify(office, shop.id, Head(head.seq + 1, "00"))
        assert fault is not None
        assert fault.reason == "cut"
        with pytest.raises(NotFound):
            await audit.verify(office, ProjectId("prj_none"))
