"""Find everything that the store holds of one person, by walking all of its keys.

Lists can forget: a session row is dropped after 90 days, a node can die between two writes. Whoever exports or erases a
person asks every conversation whose it is, every author's list whose, and every identifier whom it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.types import ConversationId, ProjectId, UserId

SLICE = 1_000
"""Keys that are asked for together, so that nobody else waits long."""


@dataclass(slots=True)
class Footprint:
    """Where one person was found."""

    visited: set[ConversationId] = field(default_factory=set[ConversationId])
    """Conversations whose visitor the person is."""
    joined: set[ConversationId] = field(default_factory=set[ConversationId])
    """Conversations of others in which the person wrote, or signed in."""
    identifiers: set[str] = field(default_factory=set[str])
    """Keys of the identifiers that name the person."""
    stand_ins: set[UserId] = field(default_factory=set[UserId])
    """Proposed users who stand for the person: see store/identifiers.py."""

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
    pointing: dict[str, str] = {}
    authored: set[ConversationId] = set()
    adopted: set[ConversationId] = set()
    async for some in keys(store):
        metas: list[ConversationId] = []
        adoptions: list[str] = []
        pointers: list[str] = []
        proposed: list[UserId] = []
        for key in some:
            match _pieces(key):
                case ["c", conversation, "m"]:
                    metas.append(ConversationId(conversation))
                case ["c", conversation, "i", author] if author == user:
                    authored.add(ConversationId(conversation))
                case ["id", where, _] if where == project:
                    pointers.append(key)
                case ["u", where, _, "a"] if where == project:
                    adoptions.append(key)
                case ["u", where, other] if where == project:
                    proposed.append(UserId(other))
                case _:
                    pass
        for conversation, (visitor, pending) in zip(metas, await _heads(store, project, metas), strict=True):
            if visitor == user:
                found.visited.add(conversation)
            elif pending == user:
                found.joined.add(conversation)
        adopted |= await _adopted(store, user, adoptions)
        values: list[bytes | None] = await _each(store, "GET", ([key] for key in pointers))
        pointing |= {key: value.decode() for key, value in zip(pointers, values, strict=True) if value}
        moved: list[bytes | None] = await _each(
            store, "HGET", ([schema.person(project, one), "moved"] for one in proposed)
        )
        found.stand_ins |= {one for one, to in zip(proposed, moved, strict=True) if to == user.encode()}
    found.visited |= await _of_project(store, project, adopted - found.visited)
    found.joined = (found.joined | await _of_project(store, project, authored)) - found.visited
    meaning = {user, *found.stand_ins}
    found.identifiers |= {key for key, value in pointing.items() if value in meaning}
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
    return [
        ((visitor or b"").decode(), (pending or b"").decode()) if where == project.encode() else ("", "")
        for where, visitor, pending in heads
    ]


async def _adopted(store: Store, user: UserId, keys: Iterable[str]) -> set[ConversationId]:
    """Return what was decided to be the account's, and is not yet: nobody will finish it once they are erased."""
    found: set[ConversationId] = set()
    for account, state, conversations in await _each(
        store, "HMGET", ([key, "account", "state", "conversations"] for key in keys)
    ):
        if account == user.encode() and state in (b"committed", b"abandoned"):
            found |= {ConversationId(one.decode()) for one in conversations.split()}
    return found


async def _of_project(store: Store, project: ProjectId, conversations: set[ConversationId]) -> set[ConversationId]:
    ordered = sorted(conversations)
    return {one for one, (visitor, _) in zip(ordered, await _heads(store, project, ordered), strict=True) if visitor}


async def _each(store: Store, command: str, words: Iterable[list[str]]) -> list[Any]:
    return await asyncio.gather(*(store.hot.ask(command, some) for some in words))
