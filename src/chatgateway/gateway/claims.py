"""The chat begun before signing in: it stays on screen, and agents see that it is not yet confirmed as theirs.

Until it is adopted, only the sessions that showed both credentials read and write it as its visitor. Earlier messages
keep author and assurance; an entry of the log marks the moment.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from chatgateway.core import adoption as rules
from chatgateway.core.adoption import Receipt
from chatgateway.core.conversation import new_ref
from chatgateway.core.credential import Credential
from chatgateway.core.person import Person
from chatgateway.core.rotation import Grounds
from chatgateway.errors import AdoptionRefused, ConversationUnknown, Stale
from chatgateway.gateway.admission import ATTEMPTS
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.conversations import Acting, Entry
from chatgateway.types import GENESIS_LINK, ConversationId, UserId, Version

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

_T = TypeVar("_T")

_NOT_THEIRS = ("taken", "signed_out", "undone")
"""Why a chat is not even shown to who signed in."""


class Claims:
    """Marks anonymous chats with who signed in during them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def claim(
        self, before: Credential, person: Person, grounds: Grounds, version: Version
    ) -> tuple[ConversationId, ...]:
        """Make ``grounds.session`` a holder of the chats that ``before`` began, and tell their agents live.

        Returns those that ``adopt`` would keep as things stand. A chat that somebody else signed in during is left
        alone. Raises StoreError, Stale.
        """
        try:
            keepable = await self._keepable(before, grounds, version)
        except AdoptionRefused as error:
            if error.detail in _NOT_THEIRS:
                return ()
            keepable = ()
        claimed: set[ConversationId] = set()
        for conversation in await self._parts.conversations.of_person(grounds.project, before.user):
            try:
                await self._append(conversation, before.user, person, grounds, version)
            except ConversationUnknown:
                continue
            claimed.add(conversation)
            self._parts.errands.tell_agents(
                conversation,
                f.Identity(
                    conversation=conversation, user=person.user, identity="signed", name=person.name,
                    email=person.email, email_proved=person.email_proved, confirmed=False,
                ),
            )  # fmt: skip
        return tuple(one for one in keepable if one in claimed)

    async def _keepable(self, before: Credential, grounds: Grounds, version: Version) -> tuple[ConversationId, ...]:
        found = await self._judged(
            before.user, grounds, version, lambda acting: self._parts.adoptions.look(acting, before.user)
        )
        rules.require_presented(before, grounds.project, "ask", self._parts.node.now())
        return () if isinstance(found, Receipt) else found

    async def _append(
        self,
        conversation: ConversationId,
        before: UserId,
        person: Person,
        grounds: Grounds,
        version: Version,
    ) -> None:
        ref = new_ref(self._parts.node.now(), secrets.token_bytes(10))
        author = f.Author(user=person.user, role="visitor", assurance="signed", name=person.name)
        entry = f.Message(
            seq=0, at=0, link=GENESIS_LINK, prev=GENESIS_LINK, conversation=conversation, ref=ref, author=author,
            kind="signed_in", subject=person.user,
        )  # fmt: skip

        async def append(acting: Acting) -> None:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._parts.conversations.append(
                acting, conversation, [Entry(ref, codec.event_tail(entry), is_text=False)], future.set_result,
                act="signed_in", subject=before,
            )  # fmt: skip
            reply = await future
            if isinstance(reply, Exception):
                raise reply

        await self._judged(before, grounds, version, append)

    async def _judged(
        self, before: UserId, grounds: Grounds, version: Version, ask: Callable[[Acting], Awaitable[_T]]
    ) -> _T:
        """Ask the store for a session that is being bound; behind the fence, catch up and judge it again."""
        parts, project = self._parts, grounds.project
        for attempt in range(ATTEMPTS):
            acting = Acting(grounds.user, "visitor", grounds.session, grounds.signed_at, project, grounds.kid, version)
            try:
                return await ask(acting)
            except Stale as stale:
                if attempt == ATTEMPTS - 1:
                    raise
                await parts.node.catch_up(stale, schema.partition_of_user(project, before))
                parts.admission.judge(grounds)
                version = parts.node.trust.applied
        raise AssertionError("unreachable")
