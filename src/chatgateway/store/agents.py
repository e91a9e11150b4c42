"""Remember agents, and let them in: password or link, then a console session, then a ticket for the socket.

A console session, a login link and a ticket are random, remembered by digest only, and carry the agent's epoch: when
the password changes or the agent is removed, all of them are dead without being looked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from chatgateway.core.project import AgentRecord, AgentRole, checked_name, folded
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import Conflict, LoginRejected, NotFound, RateLimited, TokenRejected
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.passwords import Passwords
from chatgateway.store.projects import fresh_id
from chatgateway.store.transition import Intent, NameClaim, RecordPlace, read_record, read_records, transition
from chatgateway.types import AgentId, ProjectId, SessionId, UnixMs

LINK_TTL_S = 15 * 60
SESSION_TTL_S = 12 * 60 * 60
TICKET_TTL_S = 30
ATTEMPTS_MAX = 10
"""Attempts to log in by one name from one address in ``ATTEMPTS_TTL_S``."""
ADDRESS_ATTEMPTS_MAX = 50
"""The same by any names from one address: an office shares one."""
ATTEMPTS_TTL_S = 15 * 60
_RACES_MAX = 8


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """An agent signed in to the console."""

    cookie: str = field(repr=False)
    """``cgc_…``: the credential itself; the store knows its digest only."""
    csrf: str = field(repr=False)
    """What the page must say in X-CSRF-Token."""
    agent: AgentRecord
    created_at: UnixMs

    @property
    def sockets(self) -> SessionId:
        """The one session of all its sockets."""
        return _socket_session(self.cookie)


class AgentChanged(NamedTuple):
    agent: AgentRecord
    """As it is now; of a removed one, as it was."""
    control: ControlEntry
    """The entry that ends the agent's sockets, for store/control.py to finish."""


class _Pass(msgspec.Struct, frozen=True):
    """What stands behind a cookie, a link or a ticket."""

    agent: AgentId
    epoch: int
    csrf: str = ""
    created_at: UnixMs = UnixMs(0)
    session: SessionId = SessionId("")
    """A ticket's: the session that its socket will have, one per console session."""


_agent_of = msgspec.json.Decoder(AgentRecord).decode
_pass_of = msgspec.json.Decoder(_Pass).decode


class Agents:
    """The agents of this gateway."""

    def __init__(self, store: Store, passwords: Passwords | None = None) -> None:
        self._store = store
        self._passwords = passwords or Passwords()

    async def create(
        self,
        name: str,
        password: str | None = None,
        *,
        role: AgentRole = "agent",
        projects: tuple[ProjectId, ...] = (),
        intent: Intent | None = None,
    ) -> AgentRecord:
        """Make an agent; without a password only a login link lets them in.

        Raises NameTaken, or ValueError for a bad name or password.
        """
        agent = AgentRecord(
            id=AgentId(fresh_id("agt")),
            name=checked_name(name),
            role=role,
            projects=projects,
            password="" if password is None else await self._passwords.hash(password),
            created_at=await self._store.now(),
        )
        value = msgspec.json.encode(agent)
        await transition(self._store, _place(agent.id), value=value, claim=_claim(agent), intent=intent)
        return agent

    async def list_agents(self, project: ProjectId | None = None) -> list[AgentRecord]:
        """Return all agents, or those who serve one project, by name."""
        agents = [_agent_of(value) for value in (await read_records(self._store, schema.AGENTS)).values()]
        wanted = [agent for agent in agents if project is None or agent.serves(project)]
        return sorted(wanted, key=lambda agent: folded(agent.name))

    async def get(self, agent: AgentId) -> AgentRecord:
        """Return one agent. Raises NotFound."""
        return (await self._read(agent))[1]

    async def by_name(self, name: str) -> AgentRecord:
        """Return the agent of this name, however it is capitalised. Raises NotFound."""
        try:
            wanted = folded(name)
        except ValueError as error:
            raise NotFound(f"agent {name!r}") from error
        (agent,) = await self._store.hot.ask("HMGET", [schema.AGENTS], [f"name:{wanted}"])
        if agent is None:
            raise NotFound(f"agent {name!r}")
        return await self.get(AgentId(agent.decode()))

    async def set_password(self, agent: AgentId, password: str, *, intent: Intent | None = None) -> AgentChanged:
        """Give the agent another password; every pass they held is dead when this returns.

        Raises NotFound, or ValueError for a bad password.
        """
        phc = await self._passwords.hash(password)

        def renewed(record: AgentRecord) -> AgentRecord:
            return dataclasses.replace(record, password=phc, epoch=record.epoch + 1)

        return await self._withdraw(agent, "password_changed", renewed, intent)

    async def remove(self, agent: AgentId, *, intent: Intent | None = None) -> AgentChanged:
        """Forget the agent; every pass they held is dead when this returns. Raises NotFound."""
        return await self._withdraw(agent, "removed", None, intent)

    async def login(self, name: str, password: str, address: str) -> AgentRecord:
        """Return the agent who knows this password. Unknown names take as long as wrong passwords.

        Raises LoginRejected, or RateLimited (``retry``: ms to wait) after too many attempts.
        """
        await self._count_attempt(f"{_tidy(name)}\0{address}", ATTEMPTS_MAX)
        await self._count_attempt(f"\0{address}", ADDRESS_ATTEMPTS_MAX)
        try:
            agent = await self.by_name(name)
        except NotFound:
            agent = None
        if not await self._passwords.matches(password, agent.password if agent else "") or agent is None:
            raise LoginRejected
        return agent

    async def create_link(self, agent: AgentId) -> str:
        """Return a login link's token ``cgl_…``: 15 minutes, one use. Raises NotFound."""
        return await self._issue("cgl", await self.get(agent), LINK_TTL_S)

    async def redeem_link(self, link: str) -> AgentRecord:
        """Return the link's agent; nobody gets a second answer. Raises LoginRejected."""
        held = await self._redeem("cgl", link)
        if held is None:
            raise LoginRejected
        return held[0]

    async def open_session(self, agent: AgentRecord) -> ConsoleSession:
        """Begin a console session: 12 hours from its last use."""
        session = ConsoleSession(_token("cgc"), secrets.token_urlsafe(24), agent, await self._store.now())
        value = msgspec.json.encode(_Pass(agent.id, agent.epoch, session.csrf, session.created_at))
        key = schema.console_session(_digest(session.cookie))
        await self._store.hot.ask("SET", [key], [value, "EX", SESSION_TTL_S])
        return session

    async def session(self, cookie: str) -> ConsoleSession | None:
        """Return the live session of this cookie and give it another 12 hours; None when there is none."""
        key = schema.console_session(_digest(cookie))
        value: bytes | None = await self._store.hot.ask("GETEX", [key], ["EX", SESSION_TTL_S])
        if value is None:
            return None
        held = _pass_of(value)
        agent = await self._holder(held)
        return None if agent is None else ConsoleSession(cookie, held.csrf, agent, held.created_at)

    async def close_session(self, cookie: str) -> None:
        """End a console session. Trust in its sockets' session must be withdrawn before."""
        await self._store.hot.ask("DEL", [schema.console_session(_digest(cookie))], [])

    async def issue_ticket(self, agent: AgentRecord, cookie: str = "") -> str:
        """Return ``cgt_…`` for the first frame of a socket: 30 seconds, one use.

        All sockets of one console session, named by its ``cookie``, are one session; without one it is their own.
        """
        return await self._issue("cgt", agent, TICKET_TTL_S, _socket_session(cookie or secrets.token_hex(16)))

    async def redeem_ticket(self, ticket: str) -> tuple[AgentRecord, SessionId]:
        """Return the ticket's agent and its socket's session; nobody gets a second answer. Raises TokenRejected."""
        held = await self._redeem("cgt", ticket)
        if held is None:
            raise TokenRejected(detail="ticket_unknown")
        return held

    async def _read(self, agent: AgentId) -> tuple[int, AgentRecord]:
        record = await read_record(self._store, _place(agent))
        if not record.revision:
            raise NotFound(f"agent {agent}")
        return record.revision, _agent_of(record.value)

    async def _withdraw(
        self, agent: AgentId, why: str, change: Callable[[AgentRecord], AgentRecord] | None, intent: Intent | None
    ) -> AgentChanged:
        at = await self._store.now()
        control = ControlEntry(secrets.token_hex(8), "agent", ProjectId(""), agent, why, at)
        for _ in range(_RACES_MAX):
            revision, before = await self._read(agent)
            after = change(before) if change is not None else None
            try:
                applied = await transition(
                    self._store,
                    _place(agent),
                    expected=revision,
                    value=msgspec.json.encode(after) if after is not None else None,
                    claim=_claim(before),
                    control=control,
                    intent=intent,
                )
            except Conflict:
                continue
            assert applied.control is not None
            return AgentChanged(after or before, applied.control)
        raise Conflict(f"agent {agent} never stood still")

    async def _issue(self, prefix: str, agent: AgentRecord, ttl_s: int, session: SessionId = SessionId("")) -> str:
        token = _token(prefix)
        value = msgspec.json.encode(_Pass(agent.id, agent.epoch, session=session))
        await self._store.hot.ask("SET", [schema.once(_digest(token))], [value, "EX", ttl_s])
        return token

    async def _redeem(self, prefix: str, token: str) -> tuple[AgentRecord, SessionId] | None:
        if not token.startswith(f"{prefix}_"):
            return None
        value: bytes | None = await self._store.hot.ask("GETDEL", [schema.once(_digest(token))], [])
        if value is None:
            return None
        held = _pass_of(value)
        agent = await self._holder(held)
        return None if agent is None else (agent, held.session)

    async def _holder(self, held: _Pass) -> AgentRecord | None:
        """Return who holds a pass, or None when it died with an earlier password or with the agent."""
        try:
            agent = await self.get(held.agent)
        except NotFound:
            return None
        return agent if agent.epoch == held.epoch else None

    async def _count_attempt(self, what: str, max_: int) -> None:
        key = schema.attempts(_digest(what))
        # The life is set with the counter, so that no counter can stay for ever.
        await self._store.hot.ask("SET", [key], [0, "EX", ATTEMPTS_TTL_S, "NX"])
        count: Any = await self._store.hot.ask("INCR", [key], [])
        if count > max_:
            left_ms: Any = await self._store.hot.ask("PTTL", [key], [])
            raise RateLimited("Too many attempts to log in; wait a while.", retry=max(int(left_ms), 1_000))


def _place(agent: AgentId) -> RecordPlace:
    return RecordPlace(schema.AGENTS, f"{agent}:")


def _claim(agent: AgentRecord) -> NameClaim:
    return NameClaim(folded(agent.name), agent.id)


def _tidy(name: str) -> str:
    """Return what counts as one name for the throttle, even of a name that no agent can have."""
    try:
        return folded(name)
    except ValueError:
        return name


def _token(prefix: str) -> str:
    """Return ``PREFIX_`` and 256 random bits."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def _socket_session(cookie: str) -> SessionId:
    return SessionId(f"ses_{_digest('socket ' + cookie)[:20]}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
