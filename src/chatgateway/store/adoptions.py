"""Adoptions: the commit that decides, and the steps after it, which any node may carry out, twice or at once.

Everything that an adoption touches lives in the partition of the anonymous visitor, but for the account's list of
conversations, which is written first, and the control entry. Until it is finished an adoption is listed among those
under way, so whoever sweeps finds what a node left behind when it died.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from chatgateway.core import adoption as rules
from chatgateway.core.adoption import Receipt
from chatgateway.core.person import Person
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AdoptionRefused, Conflict, ConversationUnknown, StoreError, StoreUnavailable, Withdrawn
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.conversations import Acting, Appended, Conversations, Entry, agent_channel
from chatgateway.store.identities import Identities
from chatgateway.store.script import Script
from chatgateway.types import GENESIS_LINK, ConversationId, KeyId, ProjectId, SessionId, UnixMs, UserId, Version

_ADOPT, _UNADOPT, _CONCLUDE, _HINT = Script("adopt"), Script("unadopt"), Script("conclude"), Script("hint")

_ATTEMPTS = 8
"""How often another tab of the anonymous visitor may begin a conversation while they are being adopted."""

_FIELDS = ("state", "account", "session", "kid", "at", "undone_at", "undone_by", "conversations")

Step = Callable[[], Awaitable[None]]


class Told(msgspec.Struct, frozen=True):
    """A frame for the sockets of one person, on whichever node they are."""

    project: str
    user: str
    frame: msgspec.Raw
    asker: str = ""
    """Who asked, and was answered already."""


class Adoptions:
    """The adoptions of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._control = Control(store)
        self._conversations = Conversations(store)
        self._identities = Identities(store)

    # Deciding

    async def look(self, acting: Acting, earlier: UserId) -> Receipt | tuple[ConversationId, ...]:
        """Return what ``acting.user`` would keep of ``earlier``'s conversations, or the receipt if they did already.

        Notes that this account signed in after being ``earlier``: the first one stays noted, any other is refused.
        Raises AdoptionRefused, Stale, Withdrawn.
        """
        return await self._ask(acting, earlier, None)

    async def commit(self, acting: Acting, earlier: UserId) -> Receipt:
        """Make ``earlier``'s conversations ``acting.user``'s, and return the receipt, for ``finish``. Atomic.

        The first of any number of adoptions wins; asked again, the winner gets the same receipt. From the commit on
        the anonymous visitor is dead in their partition. Raises AdoptionRefused, Stale, Withdrawn, StoreUnavailable.
        """
        for _ in range(_ATTEMPTS):
            found = await self._ask(acting, earlier, None)
            if isinstance(found, Receipt):
                return found
            await self._hint(acting, found)
            try:
                committed = await self._ask(acting, earlier, found)
            except Conflict:
                continue
            except AdoptionRefused:
                await self._unhint(acting.project, acting.user, found)
                raise
            assert isinstance(committed, Receipt)
            return committed
        raise StoreUnavailable("the anonymous visitor never stood still")

    async def _ask(
        self, acting: Acting, earlier: UserId, named: Sequence[ConversationId] | None
    ) -> Receipt | tuple[ConversationId, ...]:
        """The same; with ``named``, which the account's list names, commit, and return the receipt."""
        project, account = acting.project, acting.user
        partition = schema.partition_of_user(project, earlier)
        reply: list[Any] = await self._run(
            _ADOPT,
            [
                schema.adoption(partition, project, earlier), schema.fence(partition),
                schema.withdrawn(partition, project, account), schema.withdrawn(partition, project, earlier),
                schema.person(project, earlier, "c"), schema.adoptions(partition),
            ],
            [
                int(acting.version), account, acting.session, acting.signed_at, project, earlier, acting.kid or "",
                0 if named is None else 1, rules.ACTIVE_MS, rules.CONVERSATIONS_MAX,
                schema.conversations(partition), rules.AGE_MAX_MS, rules.REMEMBERED_MS, *(named or ()),
            ],
        )  # fmt: skip
        if not reply[0]:
            return rules.listed(reply[7:])
        return _receipt(project, earlier, [*reply[:7], b" ".join(reply[7:])])

    async def _hint(self, acting: Acting, conversations: Sequence[ConversationId]) -> None:
        own = schema.partition_of_user(acting.project, acting.user)
        keys = [schema.person(acting.project, acting.user, "c"), schema.withdrawn(own, acting.project, acting.user)]
        await self._run(_HINT, keys, [await self._store.now(), *conversations])

    async def _unhint(self, project: ProjectId, account: UserId, conversations: Sequence[ConversationId]) -> None:
        """Take out of an account's list what is not its own: the list has room for so many."""
        await self._store.hot.ask("ZREM", [schema.person(project, account, "c")], [*conversations])

    async def undo(
        self, project: ProjectId, name: str, actor: str, *, acting: Acting | None = None, asker: str = ""
    ) -> Receipt:
        """Give conversations back as they were before, and return the receipt. Repeating is harmless.

        ``name`` is a receipt or the anonymous visitor's id. ``acting`` is the account's own session, which may for a
        day; without it an operator or agent, ``actor``, asks. Raises AdoptionRefused, Stale, Withdrawn.
        """
        earlier = rules.earlier_of(name)
        partition = schema.partition_of_user(project, earlier)
        for _ in range(_ATTEMPTS):
            receipt = await self._required(project, earlier)
            marks = schema.withdrawn(partition, project, receipt.account)
            session: list[Any] = ["", "", "", 0]
            if acting is not None:
                session = [int(acting.version), acting.user, acting.session, acting.signed_at]
            keys = [
                schema.adoption(partition, project, earlier),
                schema.fence(partition),
                marks,
                schema.adoptions(partition),
            ]
            try:
                await self._run(_UNADOPT, keys, [*session, actor, rules.UNDO_MS, f"{project}/{earlier}"])
            except Conflict:
                await self.finish(receipt)  # whoever adopted was stopped in the middle
                continue
            return await self.finish(await self._required(project, earlier), asker)
        raise StoreUnavailable("the adoption is not finished yet")

    # What is remembered

    async def get(self, project: ProjectId, name: str) -> Receipt | None:
        """Return what is remembered under a receipt, or of an anonymous visitor. Raises AdoptionRefused for neither."""
        earlier = rules.earlier_of(name)
        partition = schema.partition_of_user(project, earlier)
        fields: list[Any] = await self._store.hot.ask("HMGET", [schema.adoption(partition, project, earlier)], _FIELDS)
        return _receipt(project, earlier, fields) if fields[0] else None

    async def _required(self, project: ProjectId, earlier: UserId) -> Receipt:
        receipt = await self.get(project, earlier)
        if receipt is None:
            raise rules.refused("unknown")
        return receipt

    async def of_person(self, project: ProjectId, account: UserId) -> list[Receipt]:
        """Return the adoptions that an account keeps, the latest first."""
        found: dict[UserId, Receipt] = {}
        for conversation in await self._conversations.of_person(project, account):
            meta = schema.conversation(conversation, "m")
            visitor, earlier = await self._store.hot.ask("HMGET", [meta], ["visitor", "adopted"])
            if earlier and visitor.decode() == account and UserId(earlier.decode()) not in found:
                receipt = await self.get(project, earlier.decode())
                if receipt is not None:
                    found[receipt.earlier] = receipt
        return sorted(found.values(), key=lambda receipt: receipt.at, reverse=True)

    async def under_way(self, before: UnixMs, limit: int = 64) -> list[Receipt]:
        """Return adoptions and undoings that were decided before an instant and are not finished, oldest first."""
        ask = self._store.hot.ask
        options = ["-inf", f"({before}", "WITHSCORES", "LIMIT", 0, limit]
        parts: list[list[bytes]] = await asyncio.gather(
            *(ask("ZRANGEBYSCORE", [schema.adoptions(part)], options) for part in range(schema.PARTITIONS))
        )
        since = sorted((float(at), name) for part in parts for name, at in zip(part[::2], part[1::2], strict=True))
        receipts: list[Receipt] = []
        for _, name in since[:limit]:
            project, _, earlier = name.decode().partition("/")
            receipt = await self.get(ProjectId(project), earlier)
            if receipt is not None:
                receipts.append(receipt)
            else:  # the anonymous visitor was erased
                partition = schema.partition_of_user(ProjectId(project), UserId(earlier))
                await ask("ZREM", [schema.adoptions(partition)], [name])
        return receipts

    # Carrying out

    async def finish(self, receipt: Receipt, asker: str = "") -> Receipt:
        """Carry out what was decided, from whatever step on, and return the receipt as it is then.

        Raises StoreUnavailable when a replica or a node did not confirm; it stays under way, to be repeated.
        """
        if receipt.is_finished:
            return receipt
        try:
            for step in self.steps(receipt, asker):
                await step()
        except Withdrawn:
            await self._conclude(receipt, "abandoned")
        # Without a receipt the anonymous visitor was erased meanwhile, alone or with the account.
        held = await self.get(receipt.project, receipt.earlier)
        return held or dataclasses.replace(receipt, state="abandoned")

    def steps(self, receipt: Receipt, asker: str = "") -> list[Step]:
        """Return what is left to do, in order. Each step repeats harmlessly; Withdrawn: the account was erased."""
        part = functools.partial
        if receipt.state == "undoing":
            dividing = [part(self._divide, receipt, one, "unadopted") for one in receipt.conversations]
            unlisting = part(self._unhint, receipt.project, receipt.account, receipt.conversations)
            return [*dividing, unlisting, part(self._tell, receipt, asker), part(self._conclude, receipt, "undone")]
        dividing = [part(self._divide, receipt, one, "adopted") for one in receipt.conversations]
        ending: list[Step] = [part(self._end_earlier, receipt)]
        return [*ending, *dividing, part(self._tell, receipt, asker), part(self._conclude, receipt, "finished")]

    async def _end_earlier(self, receipt: Receipt) -> None:
        """End the anonymous visitor's sockets everywhere: only then may anybody else see what they wrote."""
        entry = ControlEntry(receipt.entry, "person", receipt.project, receipt.earlier, "adopted", receipt.at)
        barrier = await self._control.withdraw(await self._control.write(entry))
        if not barrier.complete:
            raise StoreUnavailable("a node did not confirm that the anonymous visitor is gone; it is tried again")

    async def _divide(
        self, receipt: Receipt, conversation: ConversationId, act: Literal["adopted", "unadopted"]
    ) -> None:
        """Give one conversation to the account, or back, and mark the moment in its log."""
        author = f.Author(user="operator", role="admin", assurance="agent")
        if act == "adopted" or receipt.undone_by == receipt.account:
            person = await self._person(receipt)
            author = f.Author(user=receipt.account, role="visitor", assurance="signed", name=person.name)
        for attempt in range(_ATTEMPTS):
            if await self._divided(receipt, conversation, act, author, receipt.divider_ref(conversation, act, attempt)):
                return

    async def _divided(
        self,
        receipt: Receipt,
        conversation: ConversationId,
        act: Literal["adopted", "unadopted"],
        author: f.Author,
        ref: str,
    ) -> bool:
        """Append a divider; False when the account had used its ref for words of its own, and nothing took effect."""
        divider = f.Message(
            seq=0, at=0, link=GENESIS_LINK, prev=GENESIS_LINK, conversation=conversation, ref=ref, author=author,
            kind=act, subject=receipt.earlier,
        )  # fmt: skip
        acting = Acting(receipt.account, "node", SessionId(""), UnixMs(0), receipt.project, receipt.kid, Version(0))
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._conversations.append(
            acting, conversation, [Entry(ref, codec.event_tail(divider), is_text=False)], reply.set_result,
            act=act, subject=receipt.earlier,
        )  # fmt: skip
        answer = await reply
        if isinstance(answer, Exception) and not isinstance(answer, ConversationUnknown):
            raise answer
        if isinstance(answer, Exception) or not (isinstance(answer[0], Appended) and answer[0].repeated):
            return True  # written; or a conversation that is not there any more, which needs no divider
        head: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._conversations.head(conversation, head.set_result)
        known = await head
        if isinstance(known, Exception):
            raise known
        return known is None or (known.pending is None) == (act == "adopted")

    async def _tell(self, receipt: Receipt, asker: str) -> None:
        """Tell the agents who watch, and the person's other sockets. Hints: whoever misses them reads it later."""
        undone = receipt.state == "undoing"
        person = await self._person(receipt)
        for conversation in receipt.conversations:
            frame = f.Identity(
                conversation=conversation, user=receipt.account, identity="signed", name=person.name,
                email=person.email, email_proved=person.email_proved, confirmed=not undone,
            )  # fmt: skip
            self._conversations.publish(agent_channel(conversation), codec.encode(frame))
        told = Told(receipt.project, receipt.account, msgspec.Raw(codec.encode(adoption_frame(receipt))), asker)
        self._conversations.publish(schema.TOLD, msgspec.json.encode(told))

    async def _conclude(self, receipt: Receipt, state: rules.State) -> None:
        partition = schema.partition_of_user(receipt.project, receipt.earlier)
        keys = [schema.adoption(partition, receipt.project, receipt.earlier), schema.adoptions(partition)]
        await self._run(_CONCLUDE, keys, [receipt.state, state, f"{receipt.project}/{receipt.earlier}"])

    async def _person(self, receipt: Receipt) -> Person:
        return await self._identities.get(receipt.project, receipt.account) or Person(receipt.account)

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await self._store.hot.ask(script, keys, arguments)
        except StoreError as error:
            refused: AdoptionRefused | None = rules.refusal_of(str(error))
            if refused is None:
                raise
            raise refused from error


def adoption_frame(receipt: Receipt, ref: str = "") -> f.Adoption:
    """Return how a receipt looks on the wire."""
    undone = receipt.state in ("undoing", "undone")
    return f.Adoption(
        receipt=receipt.id, conversations=list(receipt.conversations), at=receipt.undone_at if undone else receipt.at,
        user=receipt.account, undone=undone, ref=ref,
    )  # fmt: skip


def _receipt(project: ProjectId, earlier: UserId, fields: Sequence[Any]) -> Receipt:
    state, account, session, kid, at, undone_at, undone_by, conversations = (
        (field or b"").decode() for field in fields
    )
    known: Any = state
    return Receipt(
        project=project, earlier=earlier, account=UserId(account), session=SessionId(session), kid=KeyId(kid),
        at=UnixMs(int(at)), conversations=rules.listed(conversations.encode().split()), state=known,
        undone_at=UnixMs(int(undone_at or 0)), undone_by=undone_by,
    )  # fmt: skip
