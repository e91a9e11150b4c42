"""The chat begun before signing in: it stays on screen, and agents see that it is not yet confirmed as theirs.

Until it is adopted, only the session that signed in reads and writes it as its visitor. Earlier messages keep author
and assurance; an entry of the log marks the moment.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from chatgateway.core.conversation import new_ref
from chatgateway.core.identity import Person
from chatgateway.core.rotation import Grounds
from chatgateway.errors import ConversationUnknown, Stale
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.conversations import Acting, Entry
from chatgateway.types import GENESIS_LINK, ConversationId, ProjectId, UserId, Version

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts


class Claims:
    """Marks anonymous chats with who signed in during them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def claim(
        self, project: ProjectId, before: UserId, person: Person, grounds: Grounds, version: Version
    ) -> list[ConversationId]:
        """Make ``grounds.session`` the holder of the chats that ``before`` began, and tell their agents live.

        A chat that somebody else signed in during is left alone. Raises StoreError, Stale.
        """
        claimed: list[ConversationId] = []
        for conversation in await self._parts.conversations.of_person(project, before):
            try:
                await self._append(project, conversation, before, person, grounds, version)
            except ConversationUnknown:
                continue
            claimed.append(conversation)
            self._parts.errands.tell_agents(
                conversation,
                f.Identity(
                    conversation=conversation, user=person.user, identity="signed", name=person.name,
                    email=person.email, confirmed=False,
                ),
            )  # fmt: skip
        return claimed

    async def _append(
        self,
        project: ProjectId,
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
        for _ in range(4):
            acting = Acting(grounds.user, "visitor", grounds.session, grounds.signed_at, project, grounds.kid, version)
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._parts.conversations.append(
                acting, conversation, [Entry(ref, codec.event_tail(entry), is_text=False)], future.set_result,
                act="signed_in", subject=before,
            )  # fmt: skip
            reply = await future
            if isinstance(reply, Stale):
                await self._parts.node.catch_up(reply, schema.partition_of_conversation(conversation))
                if self._parts.node.judge(grounds) is not None:
                    return
                version = self._parts.node.trust.applied
                continue
            if isinstance(reply, Exception):
                raise reply
            return
