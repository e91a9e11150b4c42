"""Give a person everything that the store holds of them, and forget it.

``DATA_MAP`` says of every kind of key what it has to do with people; a test holds it to the list in ``schema.py``, so
that a new kind of key cannot be forgotten.

Erasing, in this order, so that nothing comes back:

    1. ``withdraw_person``   the tombstone in the person's hash, kept for ever: no script records them again. Then the
                             mark ``erased`` in their own partition, so that no session begins, and in every partition
                             that holds conversations of theirs, so that no session writes or reads.
    2. the control entry     (kind person, why "erased"): nodes close their sockets with 4410. The verb's own part, as
                             the audit entry is, which names the user id and nothing else.
    3. ``erase_person``      deletes and rewrites, and walks the store again until a walk finds nothing.

Each step may be repeated, and an erasure that was interrupted is finished by erasing again. Whoever signs in with the
same external id afterwards is somebody new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from chatgateway.core.person import Identifier, Person
from chatgateway.errors import Conflict
from chatgateway.store import schema, walk
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.records import Records
from chatgateway.store.script import Script
from chatgateway.store.sessions import Sessions
from chatgateway.types import ConversationId, ProjectId, UnixMs, UserId

_ERASE, _DISOWN = Script("erase"), Script("disown")

ERASED_AUTHOR: Final = "erased"
"""Stands in others' histories for whoever was erased."""

WALKS_MAX = 8
"""What was under way when the marks were set ends within seconds: the second walk finds nothing."""

Handling = Literal["person", "conversation", "list", "lines", "ids", "passing", "nobody"]
"""What erasing does with a kind of key:

    person          of one person: exported, and deleted with them (of their hash and marks the tombstone stays)
    conversation    deleted with its visitor; in others' conversations the entries are rewritten
    list            says only which people or conversations there are: they are taken out
    lines           lines that name a person are exported, and deleted
    ids             holds user ids, session ids or digests, and nothing else of a person: stays, or goes in time
    passing         about a person, gone by itself within a day: deleted at once where it can be found
    nobody          nothing of a project's people
"""

DATA_MAP: Final[Mapping[str, Handling]] = {
    "cg:{T}:v": "nobody",
    "cg:{T}:c:CONV:m": "conversation",
    "cg:{T}:c:CONV:s": "conversation",
    "cg:{T}:c:CONV:i:AUTHOR": "conversation",
    "cg:{T}:c:CONV:n": "conversation",
    "cg:{T}:c:CONV:o": "conversation",
    "cg:{T}:u:PROJECT:USER": "person",
    "cg:{T}:u:PROJECT:USER:c": "person",
    "cg:{T}:u:PROJECT:USER:x": "person",
    "cg:{T}:u:PROJECT:USER:xs": "person",
    "cg:{T}:u:PROJECT:USER:a": "person",
    "cg:{T}:ad": "ids",
    "cg:{T}:ub:PROJECT": "list",
    "cg:{T}:us:PROJECT": "list",
    "cg:{T}:w:PROJECT:USER": "person",
    "cg:{T}:id:PROJECT:DIGEST": "person",
    "cg:{T}:jti:PROJECT:DIGEST": "ids",
    "cg:{T}:kc:PROJECT:KID": "list",
    "cg:{T}:ib:PROJECT:VIEW": "list",
    "cg:{ctl}:v": "nobody",
    "cg:{ctl}:log": "ids",
    "cg:{ctl}:p": "nobody",
    "cg:{ctl}:app": "nobody",
    "cg:{ctl}:k:PROJECT": "nobody",
    "cg:{ctl}:g": "nobody",
    "cg:{ctl}:a": "nobody",
    "cg:{ctl}:adm": "nobody",
    "cg:{ctl}:once:DIGEST": "nobody",
    "cg:{ctl}:con:DIGEST": "nobody",
    "cg:{ctl}:try:DIGEST": "nobody",
    "cg:{ctl}:prf:DIGEST": "passing",
    "cg:{ctl}:sent:DIGEST": "ids",
    "cg:{ctl}:req:REQUEST": "nobody",
    "cg:{ctl}:aud:PROJECT": "ids",
    "cg:{ctl}:aud:PROJECT:h": "nobody",
    "cg:{ctl}:rep:PROJECT": "lines",
    "cg:{ctl}:cf:PROJECT": "lines",
    "cg:{ctl}:nodes": "nobody",
    "cg:{ctl}:cron": "nobody",
    "cg:{ctl}:schema": "nobody",
}

_SUFFIXES: Final = ("c", "x", "xs", "a")
"""The keys of a person beside the hash."""


class Erased(NamedTuple):
    """What an erasure found and did; all zero when it was complete before."""

    at: UnixMs
    """When the tombstone was set."""
    conversations: int = 0
    """Deleted: the person was their visitor."""
    rewritten: int = 0
    """Conversations of others in which the person's entries lost author and text."""
    identifiers: int = 0
    sessions: int = 0
    lines: int = 0
    """Of reports and conflicts."""


class Privacy:
    """What one person may ask of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._control = Control(store)
        self._records = Records(store)
        self._sessions = Sessions(store)

    # --- give

    async def export_person(self, project: ProjectId, user: UserId) -> dict[str, Any]:
        """Return all that is held of one person as one JSON document: their conversations with what agents said and
        noted in them, and what the person wrote in conversations that are another's.
        """
        record = await self._records.read(project, user)
        found = await walk.footprint(self._store, project, user)
        sessions = await self._sessions.of_person(project, user)
        names = record.person.names if record.person is not None else ()
        reports = await self._lines(schema.reports(project), user, names)
        conflicts = await self._lines(schema.conflicts(project), user, names)
        return {
            "project": project,
            "user": user,
            "exported_at": await self._store.now(),
            "person": None if record.person is None else msgspec.to_builtins(record.person),
            "identifiers": [{"kind": one.kind, "text": one.text} for one in names],
            "found_by": record.words.split("\n") if record.words else [],
            "sessions": {session: msgspec.to_builtins(row) for session, row in sorted(sessions.items())},
            "marks": await self._marks(project, user, found.partitions()),
            "adoption": await self._hash(schema.person(project, user, "a")),
            "proving": (await self._hash(schema.proof(project, user))).get("email", ""),
            "conversations": [
                *[await self._conversation(one, user) for one in sorted(found.visited)],
                *[await self._entries_of(one, user) for one in sorted(found.joined)],
            ],
            "reports": [line for _, line in reports],
            # The other person's identifiers are not this person's.
            "conflicts": [{**line, "identifiers": _among(line, names)} for _, line in conflicts],
        }

    # --- forget

    async def withdraw_person(self, project: ProjectId, user: UserId) -> UnixMs:
        """Set the tombstone and the marks, and return when it was first set. From now on nothing of them is written.

        Raises StoreUnavailable; repeating is harmless.
        """
        key = schema.person(project, user)
        await self._store.hot.ask("HSETNX", [key], ["erased", await self._store.now()])
        at = UnixMs(int(await self._store.hot.ask("HGET", [key], ["erased"])))
        await self._mark(project, user, {schema.partition_of_user(project, user)}, at)
        # Only now: a session that was bound before the mark has left its row, and none is bound after it.
        partitions = await self._sessions.partitions(project, user)
        found = await walk.footprint(self._store, project, user)
        await self._mark(project, user, partitions | found.partitions(), at)
        return at

    async def erase_person(self, project: ProjectId, user: UserId) -> Erased:
        """Forget a person for ever, and return what there was. Complete when it returns; repeating is harmless.

        Raises StoreUnavailable, and Conflict when something goes on writing: then erase again.
        """
        erased = Erased(await self.withdraw_person(project, user))
        for _ in range(WALKS_MAX):
            found = await walk.footprint(self._store, project, user)
            conversations = await self._erase_conversations(project, found.visited)
            for one in found.joined:
                await self._disown(one, user)
            for key in found.identifiers:
                await self._store.hot.ask("DEL", [key])
            for stand_in in found.stand_ins:
                await self._store.hot.ask("DEL", [schema.person(project, stand_in)])
            erased = erased._replace(
                conversations=erased.conversations + conversations,
                rewritten=erased.rewritten + len(found.joined),
                identifiers=erased.identifiers + len(found.identifiers),
                lines=erased.lines + await self._erase_lines(project, user),
            )
            if found == walk.Footprint():
                sessions = await self._erase_record(project, user)
                return erased._replace(sessions=sessions)
        raise Conflict(f"something goes on writing in the name of {user}; erase again")

    async def _mark(self, project: ProjectId, user: UserId, partitions: set[int], at: UnixMs) -> None:
        await self._control.mark_person(project, user, sorted(partitions), "erased", str(at), ttl_ms=0)

    async def _erase_conversations(self, project: ProjectId, conversations: set[ConversationId]) -> int:
        if not conversations:
            return 0
        parts, lists = await walk.parts(self._store, project, conversations)
        for conversation, keys in parts.items():
            meta = schema.conversation(conversation, "m")
            own = [meta, *sorted(keys - {meta})]
            listed = sorted(lists.get(schema.partition_of_conversation(conversation), ()))
            await self._store.hot.ask(_ERASE, [*own, *listed], [conversation, len(own)])
        return len(parts)

    async def _disown(self, conversation: ConversationId, user: UserId) -> None:
        keys = [schema.conversation(conversation, part) for part in ("m", "s", f"i:{user}")]
        words: list[str | bytes] = [user]
        for identifier, event, _ in await self._log(conversation):
            rewritten = _disowned(event, user)
            if rewritten != event:
                words += [identifier, msgspec.json.encode(rewritten)]
        await self._store.hot.ask(_DISOWN, keys, words)

    async def _erase_lines(self, project: ProjectId, user: UserId) -> int:
        """The record goes last: until then it says which identifiers to look for, also after an interruption."""
        value: bytes | None = await self._store.hot.ask("HGET", [schema.person(project, user)], ["value"])
        names = _names(value)
        count = 0
        for key in (schema.reports(project), schema.conflicts(project)):
            lines = await self._lines(key, user, names)
            for identifier, _ in lines:
                await self._store.hot.ask("XDEL", [key], [identifier])
            count += len(lines)
        return count

    async def _erase_record(self, project: ProjectId, user: UserId) -> int:
        """Delete the person's own keys but for tombstone and marks, and return how many session rows there were."""
        partition, key = schema.partition_of_user(project, user), schema.person(project, user)
        ask = self._store.hot.ask
        sessions: int = await ask("HLEN", [schema.person(project, user, "x")])
        words: bytes | None = await ask("HGET", [key], ["index"])
        for word in (words or b"").split(b"\n"):
            await ask("ZREM", [schema.people_index(partition, project)], [word + b"\n" + user.encode()])
        await ask("ZREM", [schema.people(partition, project)], [user])
        await ask("DEL", [schema.person(project, user, suffix) for suffix in _SUFFIXES])
        await ask("DEL", [schema.proof(project, user)])
        await ask("HDEL", [key], ["index", "revision", "value", "moved"])
        return sessions

    # --- read

    async def _conversation(self, conversation: ConversationId, user: UserId) -> dict[str, Any]:
        """What others said in the visitor's place, somebody who signed in during it say, is not the visitor's."""
        head = await self._hash(schema.conversation(conversation, "m"))
        theirs = (user, head.get("adopted"))
        log = [
            row for row in await self._log(conversation)
            if row[1]["from"]["role"] != "visitor" or row[1]["from"]["user"] in theirs
        ]  # fmt: skip
        notes: list[Any] = await self._store.hot.ask(("XRANGE", schema.conversation(conversation, "n"), "-", "+"))
        return {
            "conversation": conversation,
            "visitor": True,
            "head": head,
            "messages": [_message(event, kid) for _, event, kid in log],
            "notes": [msgspec.json.decode(fields[1]) for _, fields in notes],
            "overlay": await self._hash(schema.conversation(conversation, "o")),
        }

    async def _entries_of(self, conversation: ConversationId, user: UserId) -> dict[str, Any]:
        log = [row for row in await self._log(conversation) if _disowned(row[1], user) != row[1]]
        return {
            "conversation": conversation,
            "visitor": False,
            "messages": [_message(event, kid) for _, event, kid in log],
        }

    async def _log(self, conversation: ConversationId) -> list[tuple[bytes, dict[str, Any], str]]:
        """Return the entries of a log: id, event, and the key that vouched."""
        rows: list[Any] = await self._store.hot.ask(("XRANGE", schema.conversation(conversation, "s"), "-", "+"))
        found: list[tuple[bytes, dict[str, Any], str]] = []
        for identifier, flat in rows:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            found.append((identifier, msgspec.json.decode(fields[b"e"]), fields.get(b"k", b"").decode()))
        return found

    async def _lines(self, key: str, user: UserId, names: tuple[Identifier, ...]) -> list[tuple[bytes, dict[str, Any]]]:
        rows: list[Any] = await self._store.hot.ask(("XRANGE", key, "-", "+"))
        lines = [(identifier, msgspec.json.decode(fields[1])) for identifier, fields in rows]
        return [(identifier, line) for identifier, line in lines if line.get("user") == user or _among(line, names)]

    async def _marks(self, project: ProjectId, user: UserId, partitions: set[int]) -> dict[str, str]:
        ordered = sorted(partitions | {schema.partition_of_user(project, user)})
        marks = await asyncio.gather(*(self._hash(schema.withdrawn(one, project, user)) for one in ordered))
        return {field: value for one in marks for field, value in one.items()}

    async def _hash(self, key: str) -> dict[str, str]:
        flat: list[bytes] = await self._store.hot.ask("HGETALL", [key])
        words = [word.decode("utf-8", "replace") for word in flat]
        return dict(zip(words[::2], words[1::2], strict=True))


def _names(value: bytes | None) -> tuple[Identifier, ...]:
    """Return what names the person of a stored record."""
    return msgspec.json.decode(value, type=Person).names if value else ()


def _among(line: dict[str, Any], names: tuple[Identifier, ...]) -> list[list[str]]:
    """Return those identifiers of a report's line that are among ``names``."""
    wanted = [list(name) for name in names]
    return [one for one in line.get("identifiers", ()) if one in wanted]


def _message(event: dict[str, Any], kid: str) -> dict[str, Any]:
    return {**event, "kid": kid} if kid else event


def _disowned(event: dict[str, Any], user: UserId) -> dict[str, Any]:
    """Return a log's entry without ``user``: position, links and ref stay, author and text do not."""
    if event.get("subject") == user:
        event = {**event, "subject": ERASED_AUTHOR}
    author = event.get("from", {})
    if author.get("user") != user:
        return event
    nameless = {name: value for name, value in author.items() if name != "name"}
    textless = {name: value for name, value in event.items() if name != "text"}
    return {**textless, "from": {**nameless, "user": ERASED_AUTHOR}}
