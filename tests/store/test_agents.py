"""Agents get in by password or link, and are out for good the moment they are removed or get another password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from chatgateway.errors import LoginRejected, NameTaken, NotFound, RateLimited, TokenRejected
from chatgateway.store import schema
from chatgateway.store.agents import (
    ADDRESS_ATTEMPTS_MAX,
    ATTEMPTS_MAX,
    ATTEMPTS_TTL_S,
    LINK_TTL_S,
    SESSION_TTL_S,
    TICKET_TTL_S,
    AgentChanged,
    Agents,
)
from chatgateway.store.audit import Audit
from chatgateway.store.client import Store
from chatgateway.store.passwords import Cost, Passwords
from chatgateway.store.sealing import MasterKey, Sealer
from chatgateway.types import AgentId, ProjectId, Version

PASSWORD, ADDRESS = "correct horse", "192.0.2.1"
PROJECT = ProjectId("prj_1")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def agents(store: Store) -> Agents:
    return Agents(store, Passwords(Cost(memory_kib=64, iterations=1)))


async def only_key(store: Store, pattern: str) -> bytes:
    (key,) = [key async for key in store.redis.scan_iter(match=pattern)]
    return key


async def everything(store: Store) -> bytes:
    return b"".join([name + await store.redis.dump(name) async for name in store.redis.scan_iter()])


class TestAgent:
    async def test_is_found_by_id_and_by_name(self, agents: Agents) -> None:
        maria = await agents.create("Maria Rossi", PASSWORD, role="admin", projects=(PROJECT,))
        assert await agents.get(maria.id) == maria
        assert await agents.by_name(" maria ROSSI ") == maria
        assert maria.admin
        assert maria.serves(PROJECT)

    async def test_has_a_name_of_her_own(self, agents: Agents) -> None:
        await agents.create("Maria")
        with pytest.raises(NameTaken):
            await agents.create("MARIA")
        assert len(await agents.list_agents()) == 1

    async def test_is_made_once_however_many_ask(self, agents: Agents) -> None:
        made = await asyncio.gather(*(agents.create("Maria") for _ in range(8)), return_exceptions=True)
        assert sum(not isinstance(each, NameTaken) for each in made) == 1

    async def test_is_listed_with_her_project_by_name(self, agents: Agents) -> None:
        zoe = await agents.create("zoe", projects=(PROJECT,))
        anna = await agents.create("Anna", projects=(PROJECT, ProjectId("prj_2")))
        other = await agents.create("Mia", projects=(ProjectId("prj_2"),))
        assert await agents.list_agents() == [anna, other, zoe]
        assert await agents.list_agents(PROJECT) == [anna, zoe]

    @pytest.mark.parametrize("name", ["nobody", "", "\0", "a}:{b"])
    async def test_who_is_unknown_is_not_found(self, agents: Agents, name: str) -> None:
        with pytest.raises(NotFound):
            await agents.by_name(name)
        with pytest.raises(NotFound):
            await agents.get(AgentId(name))

    async def test_has_no_password_in_the_store(self, store: Store, agents: Agents) -> None:
        await agents.create("Maria", PASSWORD)
        assert PASSWORD.encode() not in await everything(store)


class TestLogin:
    async def test_with_the_password_gives_the_agent(self, agents: Agents) -> None:
        maria = await agents.create("Maria", PASSWORD)
        assert await agents.login("maria", PASSWORD, ADDRESS) == maria

    async def test_is_refused_alike_for_a_wrong_password_an_unknown_name_and_an_agent_without_one(
        self, agents: Agents
    ) -> None:
        await agents.create("Maria", PASSWORD)
        await agents.create("Anna")
        sentences = set()
        for name, password in [("Maria", "wrong horse"), ("nobody", PASSWORD), ("Anna", ""), ("\ud800", PASSWORD)]:
            with pytest.raises(LoginRejected) as refused:
                await agents.login(name, password, ADDRESS)
            sentences.add(str(refused.value))
        assert len(sentences) == 1

    async def test_tried_too_often_must_wait_even_with_the_right_password(self, store: Store, agents: Agents) -> None:
        await agents.create("Maria", PASSWORD)
        for _ in range(ATTEMPTS_MAX):
            with pytest.raises(LoginRejected):
                await agents.login("Maria", "wrong horse", ADDRESS)
        with pytest.raises(RateLimited) as limited:
            await agents.login("maria", PASSWORD, ADDRESS)
        assert isinstance(limited.value.retry, int)
        assert 0 < limited.value.retry <= ATTEMPTS_TTL_S * 1000
        assert await agents.login("Maria", PASSWORD, "192.0.2.2"), "from elsewhere she still gets in"

    async def test_by_many_names_from_one_address_must_wait_too(self, agents: Agents) -> None:
        for number in range(ADDRESS_ATTEMPTS_MAX):
            with pytest.raises(LoginRejected):
                await agents.login(f"name {number}", PASSWORD, ADDRESS)
        with pytest.raises(RateLimited):
            await agents.login("another", PASSWORD, ADDRESS)

    async def test_counters_go_away_by_themselves(self, store: Store, agents: Agents) -> None:
        with pytest.raises(LoginRejected):
            await agents.login("Maria", PASSWORD, ADDRESS)
        lives = [await store.redis.ttl(key) async for key in store.redis.scan_iter(match="cg:{ctl}:try:*")]
        assert len(lives) == 2
        assert all(0 < life <= ATTEMPTS_TTL_S for life in lives)


class TestLink:
    async def test_works_once(self, agents: Agents) -> None:
        maria = await agents.create("Maria")
        link = await agents.create_link(maria.id)
        assert link.startswith("cgl_")
        assert await agents.redeem_link(link) == maria
        with pytest.raises(LoginRejected):
            await agents.redeem_link(link)

    async def test_lasts_15_minutes(self, store: Store, agents: Agents) -> None:
        await agents.create_link((await agents.create("Maria")).id)
        assert LINK_TTL_S - 5 < await store.redis.ttl(await only_key(store, "cg:{ctl}:once:*")) <= LINK_TTL_S == 900

    async def test_is_no_ticket(self, agents: Agents) -> None:
        link = await agents.create_link((await agents.create("Maria")).id)
        with pytest.raises(TokenRejected):
            await agents.redeem_ticket(link)
        assert await agents.redeem_link(link)

    async def test_for_nobody_is_not_made(self, agents: Agents) -> None:
        with pytest.raises(NotFound):
            await agents.create_link(AgentId("agt_none"))


class TestTicket:
    async def test_works_once_however_many_try_at_once(self, agents: Agents) -> None:
        maria = await agents.create("Maria")
        ticket = await agents.issue_ticket(maria)
        assert ticket.startswith("cgt_")
        outcomes = await asyncio.gather(*(agents.redeem_ticket(ticket) for _ in range(10)), return_exceptions=True)
        (redeemed,) = [each for each in outcomes if not isinstance(each, BaseException)]
        assert redeemed[0] == maria
        assert sum(isinstance(each, TokenRejected) for each in outcomes) == 9

    async def test_of_one_console_session_opens_sockets_of_one_session_and_of_another_of_another(
        self, agents: Agents
    ) -> None:
        maria = await agents.create("Maria")
        one, other = await agents.open_session(maria), await agents.open_session(maria)
        tickets = [await agents.issue_ticket(maria, session.cookie) for session in (one, one, other)]
        first, second, third = [(await agents.redeem_ticket(ticket))[1] for ticket in tickets]
        assert first == second != third
        assert one.sockets == first

    async def test_lasts_30_seconds(self, store: Store, agents: Agents) -> None:
        await agents.issue_ticket(await agents.create("Maria"))
        life = await store.redis.ttl(await only_key(store, "cg:{ctl}:once:*"))
        assert TICKET_TTL_S - 5 < life <= TICKET_TTL_S == 30

    @pytest.mark.parametrize("ticket", ["", "cgt_", "cgt_x", "cgt_\ud800", "eyJ.x.y"])
    async def test_that_nobody_issued_is_rejected(self, agents: Agents, ticket: str) -> None:
        with pytest.raises(TokenRejected):
            await agents.redeem_ticket(ticket)


class TestConsoleSession:
    async def test_is_found_by_its_cookie(self, agents: Agents) -> None:
        maria = await agents.create("Maria")
        opened = await agents.open_session(maria)
        assert await agents.session(opened.cookie) == opened
        assert opened.agent == maria
        assert await agents.session("cgc_none") is None

    async def test_shows_its_credentials_to_nobody(self, store: Store, agents: Agents) -> None:
        opened = await agents.open_session(await agents.create("Maria"))
        assert opened.cookie not in repr(opened)
        assert opened.csrf not in repr(opened)
        assert opened.cookie.removeprefix("cgc_").encode() not in await everything(store)

    async def test_lasts_twelve_hours_from_its_last_use(self, store: Store, agents: Agents) -> None:
        opened = await agents.open_session(await agents.create("Maria"))
        key = await only_key(store, "cg:{ctl}:con:*")
        assert SESSION_TTL_S - 5 < await store.redis.ttl(key) <= SESSION_TTL_S == 43_200
        await store.redis.expire(key, 100)
        assert await agents.session(opened.cookie)
        assert await store.redis.ttl(key) > 100

    async def test_ends_when_it_is_closed_and_spares_the_others(self, agents: Agents) -> None:
        maria = await agents.create("Maria")
        one, two = await agents.open_session(maria), await agents.open_session(maria)
        await agents.close_session(one.cookie)
        await agents.close_session(one.cookie)
        assert await agents.session(one.cookie) is None
        assert await agents.session(two.cookie) == two


async def _removed(agents: Agents, agent: AgentId) -> AgentChanged:
    return await agents.remove(agent)


async def _given_another_password(agents: Agents, agent: AgentId) -> AgentChanged:
    return await agents.set_password(agent, "another horse")


@pytest.mark.parametrize("withdraw", [_removed, _given_another_password], ids=["removed", "another password"])
class TestWithdrawnAgent:
    async def test_has_no_session_link_or_ticket_any_more(
        self, agents: Agents, withdraw: Callable[[Agents, AgentId], Awaitable[AgentChanged]]
    ) -> None:
        maria, anna = await agents.create("Maria", PASSWORD), await agents.create("Anna", PASSWORD)
        session, spared = await agents.open_session(maria), await agents.open_session(anna)
        link, ticket = await agents.create_link(maria.id), await agents.issue_ticket(maria)
        await withdraw(agents, maria.id)
        assert await agents.session(session.cookie) is None
        with pytest.raises(LoginRejected):
            await agents.redeem_link(link)
        with pytest.raises(TokenRejected):
            await agents.redeem_ticket(ticket)
        with pytest.raises(LoginRejected):
            await agents.login("Maria", PASSWORD, ADDRESS)
        assert await agents.session(spared.cookie) == spared

    async def test_gets_no_ticket_from_what_somebody_read_before(
        self, agents: Agents, withdraw: Callable[[Agents, AgentId], Awaitable[AgentChanged]]
    ) -> None:
        before = await agents.create("Maria", PASSWORD)
        await withdraw(agents, before.id)
        with pytest.raises(TokenRejected):
            await agents.redeem_ticket(await agents.issue_ticket(before))
        assert await agents.session((await agents.open_session(before)).cookie) is None

    async def test_is_in_the_control_log_and_the_audit(
        self, store: Store, agents: Agents, withdraw: Callable[[Agents, AgentId], Awaitable[AgentChanged]]
    ) -> None:
        maria = await agents.create("Maria", PASSWORD)
        changed = await withdraw(agents, maria.id)
        assert changed.control.version == Version(1)
        ((_, fields),) = await store.redis.xrange(schema.LOG)
        assert fields[b"entry"] == changed.control.entry.encode()
        assert (fields[b"kind"], fields[b"subject"]) == (b"agent", maria.id.encode())

    async def test_who_is_nobody_is_not_found(
        self, store: Store, agents: Agents, withdraw: Callable[[Agents, AgentId], Awaitable[AgentChanged]]
    ) -> None:
        with pytest.raises(NotFound):
            await withdraw(agents, AgentId("agt_none"))
        assert await store.redis.xlen(schema.LOG) == 0


class TestAfterwards:
    async def test_the_other_password_lets_her_in(self, agents: Agents) -> None:
        maria = await agents.create("Maria", PASSWORD)
        changed = await agents.set_password(maria.id, "another horse")
        assert changed.control.why == "password_changed"
        assert await agents.login("Maria", "another horse", ADDRESS) == changed.agent
        assert changed.agent.epoch == maria.epoch + 1

    async def test_the_name_of_a_removed_agent_is_free(self, agents: Agents) -> None:
        maria = await agents.create("Maria")
        assert (await agents.remove(maria.id)).control.why == "removed"
        assert (await agents.create("maria")).id != maria.id

    async def test_a_removed_agent_leaves_nothing_behind(self, store: Store, agents: Agents) -> None:
        await agents.remove((await agents.create("Maria", PASSWORD)).id)
        assert not await store.redis.exists(schema.AGENTS)

    async def test_two_at_once_end_in_one_removal(self, store: Store, agents: Agents) -> None:
        maria = await agents.create("Maria", PASSWORD)
        outcomes = await asyncio.gather(*(agents.remove(maria.id) for _ in range(4)), return_exceptions=True)
        assert sum(not isinstance(each, NotFound) for each in outcomes) == 1
        assert await store.redis.xlen(schema.LOG) == 1

    async def test_the_audit_holds_intent_and_result(self, store: Store, agents: Agents) -> None:
        audit = Audit(store, Sealer((MasterKey(b"m" * 32),)))
        maria = await agents.create("Maria")
        async with audit.recorded("root", "agent remove", maria.id) as recording:
            await agents.remove(maria.id, intent=recording)
            assert recording.begun
        assert [entry.step for entry in await audit.entries("")] == ["intent", "result"]
