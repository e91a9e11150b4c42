"""Where operators' verbs are carried out: the store's nouns, who acts, and the steps that every verb shares.

A verb is recorded under ``actor``. A verb that withdraws trust marks what it can at once, writes its control-log entry,
and ends with ``withdraw``: every node acts on the entry, and the verb says how many confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cached_property

from chatgateway.core.project import AgentRecord
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import Unacceptable
from chatgateway.store.admins import Admins
from chatgateway.store.adoptions import Adoptions
from chatgateway.store.agents import Agents
from chatgateway.store.audit import Audit, Recording
from chatgateway.store.client import Store
from chatgateway.store.control import Barrier, Control
from chatgateway.store.conversations import Conversations
from chatgateway.store.identities import Identities
from chatgateway.store.keyrings import KeyRings
from chatgateway.store.nodes import Nodes
from chatgateway.store.people import People
from chatgateway.store.privacy import Privacy
from chatgateway.store.projects import Projects
from chatgateway.store.records import Records
from chatgateway.store.reports import Reports
from chatgateway.store.sealing import Sealer
from chatgateway.store.sessions import SessionRow, Sessions
from chatgateway.types import KeyId, ProjectId, SessionId, UserId

Remember = Callable[[Sequence[ControlEntry]], None]
"""Hears of every committed entry, for a watermark outside the store."""


class Office:
    """An open store, somebody who acts on it, and what each noun remembers.

    ``actor`` is what the audit says: ``root@host``, or an admin token's id and name. ``remember`` matters where no
    node runs beside the verb; in a gateway the node itself remembers.
    """

    def __init__(
        self, store: Store, sealer: Sealer, actor: str, remember: Remember = lambda _: None, admin: str = ""
    ) -> None:
        self.store = store
        self.sealer = sealer
        self.actor = actor
        self.admin = admin
        """The admin token that acts; "" for whoever types commands. Revoked, it begins nothing any more."""
        self._remember = remember

    @cached_property
    def projects(self) -> Projects:
        return Projects(self.store)

    @cached_property
    def agents(self) -> Agents:
        return Agents(self.store)

    @cached_property
    def admins(self) -> Admins:
        return Admins(self.store)

    @cached_property
    def identities(self) -> Identities:
        return Identities(self.store)

    @cached_property
    def people(self) -> People:
        return People(self.store)

    @cached_property
    def records(self) -> Records:
        return Records(self.store)

    @cached_property
    def privacy(self) -> Privacy:
        return Privacy(self.store)

    @cached_property
    def adoptions(self) -> Adoptions:
        return Adoptions(self.store)

    @cached_property
    def keyrings(self) -> KeyRings:
        return KeyRings(self.store, self.sealer)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.store, self.sealer)

    @cached_property
    def control(self) -> Control:
        return Control(self.store)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.store)

    @cached_property
    def conversations(self) -> Conversations:
        return Conversations(self.store)

    @cached_property
    def reports(self) -> Reports:
        return Reports(self.store)

    def recorded(self, verb: str, target: str, project: str = "") -> AbstractAsyncContextManager[Recording]:
        """Record one verb of the actor in the audit chain of ``project`` ("": the gateway's own)."""
        return self.audit.recorded(self.actor, verb, target, project=project, admin=self.admin)

    async def live_sessions(
        self, project: ProjectId, *, kid: KeyId | None = None, user: UserId | None = None
    ) -> dict[SessionId, SessionRow]:
        """Return the sessions of a project that are connected now, on nodes that live."""
        leases, now = await Nodes(self.store).live()
        alive = {lease.node for lease in leases if lease.until > now}
        known = self.sessions.of_project(project) if user is None else self.sessions.of_person(project, user)
        return {
            session: row
            for session, row in (await known).items()
            if row.node in alive and not row.closed_at and (kid is None or row.kid == kid)
        }

    async def nodes_with(self, agent: AgentRecord) -> int:
        """Return on how many living nodes this agent is active now."""
        leases, now = await Nodes(self.store).live()
        return sum(
            lease.until > now and any(agent.name in names for names in lease.agents.values()) for lease in leases
        )

    async def withdraw(self, entry: ControlEntry | None, recording: Recording) -> Barrier:
        """Make every node act on a written control-log entry, and record what they answered.

        Raises StoreUnavailable or Conflict; then nothing is promised, and repeating the verb is harmless.
        """
        assert entry is not None  # the caller asked for one to be written
        barrier = await self.control.withdraw(entry)
        self._remember([entry])
        recording.result = str(barrier)
        return barrier


@contextmanager
def acceptable() -> Generator[None]:
    """Turn a rule's ValueError, which says what is wrong with what was asked, into Unacceptable."""
    try:
        yield
    except ValueError as error:
        raise Unacceptable(str(error).rstrip(".") + ".") from error
