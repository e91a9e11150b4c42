"""Find everything that the store holds of one person, by walking all of its keys.

Lists can forget: a session row is dropped after 90 days, a node can die between two writes. Whoever exports or erases a
person asks every conversation whose it is, every author's list whose, and every identifier whom it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.types import ConversationId, ProjectId, UserId

SLICE = 1_000
"""Keys that are asked for together, so that nobody else waits long."""

ERASED_AUTHOR: Final = "erased"
"""Stands for whoever was erased: in others' histories, and in the heads of conversations that others keep."""

_KEPT_BY_ACCOUNT: Final = (b"committed", b"finished", b"abandoned")
"""States of an adoption in which the anonymous visitor is the account: decided, and not taken back."""


@dataclass(slots=True)
class Footprint:
    """Where one person was found."""

    visited: set[ConversationId] = field(default_factory=set[ConversationId])
    """Conversations whose visitor the person is, and nobody else who is left."""
    joined: set[ConversationId] = field(default_factory=set[ConversationId])
    """Conversations of others in which the person wrote, or signed in; and those in ``kept_by``."""
    kept_by: dict[ConversationId, UserId] = field(default_factory=dict[ConversationId, UserId])
    """Conversations that the person began, and during which somebody else signed in."""
    identifiers: dict[str, UserId] = field(default_factory=dict[str, UserId])
    """Digests of the identifiers that name the person, and at whom each points: the person, or a stand-in."""
    stand_ins: set[UserId] = field(default_factory=set[UserId])
    """Proposed users who stand for the person: see store/identifiers.py."""
    selves: set[UserId] = field(default_factory=set[UserId])
    """Anonymous visitors whom the person was, as a receipt says. Those who were only shown may be somebody else."""

    def partitions(self) -> set[int]:
        """Return those that hold a conversation of the person's."""
        return {schema.partition_of_conversation(one) for one in self.visited | self.joined}


async def keys(store: Store) -> AsyncIterator[list[str]]:
    """Yield all keys of the store, a slice at a time; one that is written meanwhile may be missed or come twice."""
    cursor: bytes = b"0"
    while True:
        reply: tuple[bytes, list[bytes]] = await store.hot.ask(("SCAN", cursor, "MATCH", "cg:*", "COUNT", SLICE))
        cursor, found = reply
        yield [key.decode() for key in found]
        if cursor == b"0":
            return


async def footprint(store: Store, project: ProjectId, user: UserId) -> Footprint:
    """Return where ``user`` is found. What begins meanwhile may be missed: mark the person first, and look again."""
    found = Footprint()
    pointing: dict[str, UserId] = {}
    authored: set[ConversationId] = set()
    adopted: set[ConversationId] = set()
    given = await _given(store, project, user)
    async for some in keys(store):
        metas: list[ConversationId] = []
        anonymous: list[UserId] = []
        digests: list[str] = []
        proposed: list[UserId] = []
        for key in some:
            match _pieces(key):
                case ["c", conversation, "m"]:
                    metas.append(ConversationId(conversation))
                case ["c", conversation, "i", author] if author == user:
                    authored.add(ConversationId(conversation))
                case ["id", where, digest] if where == project:
                    digests.append(digest)
                case ["u", where, other, "a"] if where == project:
                    anonymous.append(UserId(other))
                case ["u", where, other] if where == project:
                    proposed.append(UserId(other))
                case _:
                    pass
        for conversation, (visitor, pending) in zip(metas, await _heads(store, project, metas), strict=True):
            left = {visitor, pending} - {"", ERASED_AUTHOR}
            keeper = given.get(conversation) or next(iter(left - {user}), None)
            if user in left and keeper is None:
                found.visited.add(conversation)
            elif user in left:
                found.joined.add(conversation)
            if visitor == user and keeper is not None:
                found.kept_by[conversation] = UserId(keeper)
        for earlier, decided, conversations in await _adopted(store, project, user, anonymous):
            found.selves.add(earlier)
            if not decided:
                adopted |= conversations
        values: list[bytes | None] = await _each(
            store, "GET", ([schema.identifier(project, digest)] for digest in digests)
        )
        pointing |= {digest: UserId(value.decode()) for digest, value in zip(digests, values, strict=True) if value}
        moved: list[bytes | None] = await _each(
            store, "HGET", ([schema.person(project, one), "moved"] for one in proposed)
        )
        found.stand_ins |= {one for one, to in zip(proposed, moved, strict=True) if to == user.encode()}
    found.visited |= await _of_project(store, project, adopted - found.visited)
    found.joined = (found.joined | await _of_project(store, project, authored)) - found.visited
    meaning = {user, *found.stand_ins}
    found.identifiers |= {digest: whom for digest, whom in pointing.items() if whom in meaning}
    return found


async def parts(
    store: Store, project: ProjectId, conversations: set[ConversationId]
) -> tuple[dict[ConversationId, set[str]], dict[int, set[str]]]:
    """Return the keys of ``conversations``, and by partition the lists of the project that may name them."""
    of: dict[ConversationId, set[str]] = {one: set() for one in conversations}
    lists: dict[int, set[str]] = {}
    numbers = {tag: number for number, tag in enumerate(schema.TAGS)}
    async for some in keys(store):
        for key in some:
            match _pieces(key):
                case ["c", conversation, *_] if conversation in of:
                    of[ConversationId(conversation)].add(key)
                case ["ib" | "kc", where, *_] if where == project:
                    lists.setdefault(numbers[key[4 : key.index("}")]], set()).add(key)
                case _:
                    pass
    return of, lists


def _pieces(key: str) -> list[str]:
    """Return what follows the tag of a partition's key; nothing for the security state."""
    _, _, rest = key.partition("}:")
    return [] if key.startswith(schema.CTL) else rest.split(":")


async def _heads(store: Store, project: ProjectId, conversations: Iterable[ConversationId]) -> list[tuple[str, str]]:
    """Return the visitor of each, and who signed in during it; nobody for other projects' conversations."""
    heads: list[list[bytes | None]] = await _each(
        store, "HMGET", ([schema.conversation(one, "m"), "project", "visitor", "pending"] for one in conversations)
    )
    own = (project.encode(), schema.closed(project).encode())
    return [
        ((visitor or b"").decode(), (pending or b"").decode()) if where in own else ("", "")
        for where, visitor, pending in heads
    ]


async def _given(store: Store, project: ProjectId, user: UserId) -> dict[ConversationId, UserId]:
    """Return which conversations of an anonymous visitor were decided to be an account's, and are not yet."""
    key = schema.person(project, user, "a")
    account, state, conversations = await store.hot.ask("HMGET", [key], ["account", "state", "conversations"])
    if state != b"committed":
        return {}
    return {ConversationId(one.decode()): UserId(account.decode()) for one in conversations.split()}


async def _adopted(
    store: Store, project: ProjectId, user: UserId, anonymous: list[UserId]
) -> list[tuple[UserId, bool, set[ConversationId]]]:
    """Return which of ``anonymous`` the account adopted, whether that is finished, and their conversations.

    What is not finished is the account's all the same: nobody will finish it once they are erased.
    """
    adoptions = await _each(
        store, "HMGET", ([schema.person(project, one, "a"), "account", "state", "conversations"] for one in anonymous)
    )
    return [
        (earlier, state == b"finished", {ConversationId(one.decode()) for one in conversations.split()})
        for earlier, (account, state, conversations) in zip(anonymous, adoptions, strict=True)
        if account == user.encode() and state in _KEPT_BY_ACCOUNT
    ]


async def _of_project(store: Store, project: ProjectId, conversations: set[ConversationId]) -> set[ConversationId]:
    ordered = sorted(conversations)
    return {one for one, (visitor, _) in zip(ordered, await _heads(store, project, ordered), strict=True) if visitor}


async def _each(store: Store, command: str, words: Iterable[list[str]]) -> list[Any]:
    return await asyncio.gather(*(store.hot.ask(command, some) for some in words))
