"""Prove an address to become somebody of assurance ``email``: send a code, judge the answer, tell who must know.

A visitor hears that a code is on its way before anybody tries to send it. So neither the answer nor its time tells
whether the mailbox exists, who has it, or what the mail server thinks of it.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from chatgateway.core import effects as fx
from chatgateway.core import proof
from chatgateway.core.identity import Anonymous
from chatgateway.errors import (
    CodeRejected,
    MailboxRefused,
    MailUnconfigured,
    OutsideRefused,
    OutsideUnavailable,
    RateLimited,
    StoreError,
    StoreUnavailable,
)
from chatgateway.log import log
from chatgateway.outside.mail import Mail, Mailer
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.sessions import address_block
from chatgateway.types import ProjectId, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection
    from chatgateway.gateway.parts import Parts

RETRY_AFTER_S: Final = (5.0, 30.0, 120.0)
"""When a mail is tried again that the server could not take: a greylist wants minutes, and a code holds for ten."""


class Proving:
    """The proofs of this node's visitors."""

    def __init__(self, parts: Parts, retry_after_s: tuple[float, ...] = RETRY_AFTER_S) -> None:
        self._parts = parts
        self.retry_after_s = retry_after_s

    async def prove(self, connection: Connection, order: fx.ProveEmail) -> None:
        """Answer one ``prove_email``. Raises PeerError, StoreError."""
        identity = connection.session.identity
        assert isinstance(identity, Anonymous)
        if order.email:
            await self._ask(connection, identity, order)
        else:
            await self._judge(connection, identity, order)

    # Asking

    async def _ask(self, connection: Connection, identity: Anonymous, order: fx.ProveEmail) -> None:
        email = proof.required_address(order.email)
        parts, project = self._parts, connection.session.project
        if parts.mailer is None:
            raise MailUnconfigured
        self._require_trust(connection)
        name = (await parts.projects.get_project(project)).name
        code = proof.code_from(secrets.token_bytes(proof.ENTROPY_BYTES))
        digest = proof.digest(code, project, identity.user, email, parts.credential_ring)
        network = address_block(connection.caller.address) or connection.caller.address
        asked = await parts.proofs.ask(project, identity.user, email, network, digest)
        if asked.wait_ms:
            say = log.warning if asked.outcome == "everybody" else log.info
            say("code.refused", project=project, session=connection.session_id, reason=asked.outcome)
            raise RateLimited("Too many codes were asked for; wait before the next one.", retry=asked.wait_ms)
        connection.hear(fx.Answered(order.ref))
        if asked.outcome == "sent":
            subject, text = proof.letter(code, name)
            mail = Mail(to=email, subject=subject, text=text, id=secrets.token_hex(16))
            parts.errands.spawn(self._deliver(project, mail, parts.mailer))
        else:
            log.info("code.withheld", project=project, session=connection.session_id, reason="address")

    async def _deliver(self, project: ProjectId, mail: Mail, mailer: Mailer) -> None:
        """Send a mail, again where that may help. How many wait here is bounded by how many may be sent in an hour."""
        try:
            # A code that arrives after its life only confuses.
            async with asyncio.timeout(proof.LIFE_MS / 1000):
                for attempt, wait_s in enumerate((*self.retry_after_s, None), start=1):
                    try:
                        await mailer.send(mail)
                        return
                    except MailboxRefused as error:
                        log.info("mail.refused", project=project, detail=str(error))
                        return
                    except OutsideUnavailable as error:
                        if wait_s is None or isinstance(error, OutsideRefused):
                            log.error("mail.failed", project=project, detail=str(error), attempt=attempt)
                            return
                        log.warning("mail.delayed", project=project, detail=str(error), attempt=attempt)
                        await asyncio.sleep(wait_s)
        except TimeoutError:
            log.error("mail.failed", project=project, detail="the code was too old before the mail could be sent")

    # Answering

    async def _judge(self, connection: Connection, identity: Anonymous, order: fx.ProveEmail) -> None:
        parts, project, user = self._parts, connection.session.project, identity.user
        code = proof.typed_code(order.code)
        if code is None:
            raise CodeRejected
        self._require_trust(connection)
        pending = await parts.proofs.attempt(project, user)
        if pending is None or not proof.answers(code, pending, project, user, parts.credential_ring):
            log.info("code.rejected", project=project, session=connection.session_id)
            raise CodeRejected
        if not await parts.proofs.use(project, user, pending):
            raise CodeRejected
        self._require_trust(connection)
        await parts.identities.prove_email(project, user, pending.email)
        self._require_trust(connection)
        log.info("email.proved", project=project, session=connection.session_id, user=user)
        proved = Anonymous(user, identity.expires_at, pending.email)
        self._become(connection, order.ref, proved)
        for other in parts.roster.of_person(project, user) - {connection}:
            if isinstance(other.session.identity, Anonymous):
                self._become(other, None, Anonymous(user, other.session.identity.expires_at, pending.email))
        parts.errands.spawn(self._tell_agents(project, user, pending.email))

    def _require_trust(self, connection: Connection) -> None:
        """Nothing is written for a session whose trust is gone, or by a node that may not know. Raises StoreError."""
        if self._parts.errands.acting(connection, connection.session.project) is None:
            raise StoreUnavailable("the session has ended")
        if not self._parts.node.may_act:
            raise StoreUnavailable("this node has no lease")

    def _become(self, connection: Connection, ref: str | None, proved: Anonymous) -> None:
        if connection.row is not None and connection.row.user == proved.user:
            connection.row = msgspec.structs.replace(connection.row, assurance=proved.assurance)
            self._parts.sessions.keep(connection.session_id, connection.row)
        connection.hear(fx.Proved(ref, proved))

    async def _tell_agents(self, project: ProjectId, user: UserId, email: str) -> None:
        """Show agents, in each chat that this visitor speaks in, how well they are known now."""
        parts = self._parts
        try:
            for conversation in await parts.conversations.of_person(project, user):
                head = await parts.desk.head(conversation)
                if head is None or head.speaks != user:
                    continue  # somebody signed in during it: what they are known by is another matter
                frame = f.Identity(
                    conversation=conversation, user=user, identity="email", email=email, email_proved=True
                )
                parts.errands.tell_agents(conversation, frame)
                hints = schema.inbox_hints(schema.partition_of_conversation(conversation), project)
                parts.conversations.publish(hints, conversation.encode())
        except StoreError as error:
            log.warning("agents.untold", project=project, detail=str(error))
