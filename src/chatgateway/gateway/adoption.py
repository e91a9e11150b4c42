"""Keep, after signing in, the chat that one began anonymously; give it back; and finish what another node left behind.

What may be kept is decided in core/adoption.py and, at the moment of the commit, in the store. This is the part that
knows connections: which of them showed the anonymous credential, which asks, and which others must be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from chatgateway.core import adoption as rules
from chatgateway.core import effects as fx
from chatgateway.core.adoption import Receipt
from chatgateway.core.project import App
from chatgateway.core.rotation import ended
from chatgateway.errors import NotFound, PeerError, Stale, StoreError, StoreUnavailable, Withdrawn
from chatgateway.gateway.admission import ATTEMPTS
from chatgateway.gateway.outbox import Event
from chatgateway.log import log
from chatgateway.store import schema
from chatgateway.store.adoptions import Told, adoption_frame
from chatgateway.store.conversations import Acting
from chatgateway.types import AppId, ProjectId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection
    from chatgateway.gateway.parts import Parts

TURNS = 8
"""Adoptions at once on one node: all of a project's write into one audit chain, where only one at a time comes next."""

SWEEP_EVERY_S = 15.0
LEFT_BEHIND_MS = 10_000
"""An adoption takes milliseconds; one that waits for a silent node takes five seconds."""

_T = TypeVar("_T")
_told_of = msgspec.json.Decoder(Told).decode


class Adoption:
    """Adoptions asked for on this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns = asyncio.Semaphore(TURNS)

    # What people ask

    async def keep(self, connection: Connection, ref: str) -> None:
        """Adopt what was begun on this connection before signing in. Raises AdoptionRefused, StoreError."""
        receipt = await self._keep(connection)
        connection.hear(fx.Answered(ref, (adoption_frame(receipt, ref),), ack=False))

    async def give_back(self, connection: Connection, ref: str, receipt: str) -> None:
        """Undo an adoption of this person's. Raises AdoptionRefused, StoreError."""
        parts, project, account = self._parts, connection.session.project, connection.user
        known = await parts.adoptions.get(project, receipt)
        if known is None:
            raise rules.refused("unknown")
        rules.require_returnable(known, account, parts.node.now())
        if known.state != "undone":
            async with (
                self._turns,
                parts.audit.recorded(f"person {account}", "unadopt", known.earlier, project=project) as recording,
            ):
                await recording.begin()
                known = await self._on_behalf(
                    connection, account, known.earlier,
                    lambda acting: parts.adoptions.undo(
                        project, receipt, account, acting=acting, asker=self._name_of(connection)
                    ),
                )  # fmt: skip
                recording.result = _account_of(known)
            log.info("adoption.undone", project=project, user=account, session=connection.session_id)
        connection.hear(fx.Answered(ref, (adoption_frame(known, ref),), ack=False))

    def signed_in(self, connection: Connection) -> None:
        """Somebody signed in during a chat that could be kept: where the app says so, it is, unasked."""
        self._parts.errands.spawn(self._carry_over(connection))

    async def _carry_over(self, connection: Connection) -> None:
        project, account = connection.session.project, connection.user
        try:
            if (await self._app(connection)).adoption != "carry_over":
                return
            receipt = await self._keep(connection)
        except (PeerError, StoreError) as error:
            detail = error.detail if isinstance(error, PeerError) else str(error)
            log.warning("adoption.failed", project=project, user=account, detail=detail)
            return
        parts = self._parts
        is_theirs = connection.user == account and connection.rests_on_withdrawn(parts.node.trust) is None
        if is_theirs and parts.node.may_act:
            connection.say(adoption_frame(receipt))

    async def _app(self, connection: Connection) -> App:
        try:
            return (await self._parts.projects.get_app(AppId(connection.caller.app)))[1]
        except NotFound as error:
            raise rules.refused("never") from error

    async def _keep(self, connection: Connection) -> Receipt:
        parts, project, account = self._parts, connection.session.project, connection.user
        app = await self._app(connection)
        earlier = rules.require_presented(connection.presented, project, app.adoption, parts.node.now()).user
        adoptions = parts.adoptions
        async with self._turns:
            # Looked at before it is recorded: asking in vain makes no audit grow.
            found = await self._on_behalf(connection, account, earlier, lambda acting: adoptions.look(acting, earlier))
            if isinstance(found, Receipt):
                return await adoptions.finish(found)
            async with parts.audit.recorded(f"person {account}", "adopt", earlier, project=project) as recording:
                await recording.begin()
                receipt = await self._on_behalf(
                    connection, account, earlier, lambda acting: adoptions.commit(acting, earlier)
                )
                receipt = await adoptions.finish(receipt, self._name_of(connection))
                recording.result = _account_of(receipt)
        log.info(
            "adoption.kept", project=project, user=account, session=connection.session_id, app=app.id,
            count=len(receipt.conversations), detail=app.adoption,
        )  # fmt: skip
        return receipt

    async def _on_behalf(
        self, connection: Connection, account: UserId, earlier: UserId, ask: Callable[[Acting], Awaitable[_T]]
    ) -> _T:
        """Ask the store for a session that is judged anew each time. Raises StoreUnavailable when it has ended."""
        parts, project = self._parts, connection.session.project
        for _ in range(ATTEMPTS):
            acting = parts.errands.acting(connection, project)
            if acting is None or acting.user != account or not parts.node.may_act:
                break
            try:
                return await ask(acting)
            except Stale as stale:
                await parts.node.catch_up(stale, schema.partition_of_user(project, earlier))
            except Withdrawn as error:
                parts.errands.withdraw(connection, ended(error.mark))
        raise StoreUnavailable("the session has ended, or this node has no lease")

    # Whom it concerns

    def _name_of(self, connection: Connection) -> str:
        return f"{self._parts.node.id}/{id(connection)}"

    def told(self, payload: bytes) -> None:
        """Hand a frame to one person's sockets on this node, but to the one that asked and was answered."""
        told = _told_of(payload)
        if not self._parts.node.may_act:
            return
        event = Event(bytes(told.frame))
        for connection in self._parts.roster.of_person(ProjectId(told.project), UserId(told.user)):
            # Who joined the roster is not yet who it is about to be.
            if connection.user == told.user and self._name_of(connection) != told.asker:
                connection.deliver(event)

    # What others left behind

    async def sweep_on(self) -> None:
        """Finish, at the start and then now and again, what a node that died had begun. Never returns."""
        node, first = self._parts.node, True
        while True:
            # One of the nodes that live is enough, and all know which.
            if first or (node.may_act and node.id == min(node.live_nodes, default="")):
                try:
                    await self.sweep(node.now() if first else UnixMs(node.now() - LEFT_BEHIND_MS))
                except StoreError as error:
                    log.warning("adoption.delayed", detail=str(error))
                except Exception as error:  # noqa: BLE001  the outermost frame of the sweep: it must never end
                    log.error("adoption.failed", exc_info=error)
            first = False
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self, left_before: UnixMs) -> None:
        """Finish what was decided before an instant. What cannot be finished now stays for the next sweep."""
        parts = self._parts
        for receipt in await parts.adoptions.under_way(left_before):
            verb = "unadopt" if receipt.state == "undoing" else "adopt"
            try:
                finished = await parts.adoptions.finish(receipt)
                actor = f"node {parts.node.id}"
                async with parts.audit.recorded(actor, verb, receipt.earlier, project=receipt.project) as recording:
                    recording.result = f"finished: {_account_of(finished)}"
            except StoreError as error:
                log.warning("adoption.delayed", project=receipt.project, user=receipt.account, detail=str(error))
            else:
                log.warning("adoption.completed", project=receipt.project, user=receipt.account, detail=verb)


def _account_of(receipt: Receipt) -> str:
    """What the audit keeps of a receipt: who, by which session, which conversations."""
    conversations = ", ".join(receipt.conversations)
    return f"{receipt.state} {receipt.id} of {receipt.account} by {receipt.session}: {conversations}"
