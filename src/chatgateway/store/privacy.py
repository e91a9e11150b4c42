"""Give a person everything that the store holds of them, and forget it.

``DATA_MAP`` says of every kind of key what it has to do with people; a test holds it to the list in ``schema.py``, so
that a new kind of key cannot be forgotten.

Erasing, in this order, so that nothing comes back:

    1. ``withdraw_person``   the tombstone in the person's hash, kept for ever: no script records them again. Then the
                             mark ``erased`` in their own partition, so that no session begins, and in every partition
                             that holds conversations of theirs, so that no session writes or reads.
    2. the control entry     (kind person, why "erased"): nodes close their sockets with 4410. The verb's own part, as
                             the audit entry is, which names the user id and nothing else.
    3. ``erase_person``      deletes and rewrites, and walks the store again until a walk finds nothing. Of an account
                             also the anonymous visitors whom it adopted: a receipt says that they are one person.

Each step may be repeated, and an erasure that was interrupted is finished by erasing again. Identifiers go last, after
the record, so that it is found by what it was asked for until it is done. Whoever signs in with the same external id
meanwhile or afterwards is somebody new, and is spared.

A conversation of two, one who began it and one who signed in during it, stays for whoever is left: without the words of
the one who is gone, and what agents said to either of them is shown to the other no more than before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from chatgateway.core.person import Identifier, Person
from chatgateway.errors import Conflict, Withdrawn
from chatgateway.store import schema, walk
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.identifiers import Identifiers
from chatgateway.store.records import Records
from chatgateway.store.script import Script
from chatgateway.store.sessions import Sessions
from chatgateway.store.walk import ERASED_AUTHOR
from chatgateway.types import ConversationId, ProjectId, UnixMs, UserId

_CLOSE, _ERASE, _DISOWN, _HINT = Script("close"), Script("erase"), Script("disown"), Script("hint")

_REWRITTEN: Final = b'{"type":"rewritten"}'
"""What hubs are told of a conversation: what they and their listeners hold of it is no longer true."""

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

    def and_also(self, more: Erased) -> Erased:
        """Return both together; the tombstone is this one's."""
        return Erased(self.at, *(one + other for one, other in zip(self[1:], more[1:], strict=True)))


class Privacy:
    """What one person may ask of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._control = Control(store)
        self._identifiers = Identifiers(store)
        self._records = Records(store)
        self._sessions = Sessions(store)

    # --- give

    async def export_person(self, project: ProjectId, user: UserId) -> dict[str, Any]:
        """Return all that is held of one person as one JSON document: what they said, and what agents said and noted
        while they were the one who spoke. ``earlier`` holds the same of the anonymous visitors whom they adopted.
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
                await self._conversation(one, user) for part in (found.visited, found.joined) for one in sorted(part)
            ],
            "earlier": [await self.export_person(project, one) for one in sorted(found.selves)],
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
                await self._disown(project, one, user, found.kept_by.get(one))
            for one in sorted(found.selves):
                erased = erased.and_also(await self.erase_person(project, one))
            lines = await self._erase_lines(project, user)
            erased = erased._replace(
                conversations=erased.conversations + conversations,
                rewritten=erased.rewritten + len(found.joined),
                lines=erased.lines + lines,
            )
            if found.selves or found.visited or found.joined:
                continue
            sessions = await self._erase_record(project, user)
            for digest, whom in found.identifiers.items():
                await self._identifiers.let_go(project, digest, whom)
            for stand_in in found.stand_ins:
                await self._store.hot.ask("DEL", [schema.person(project, stand_in)])
            erased = erased._replace(
                identifiers=erased.identifiers + len(found.identifiers), sessions=erased.sessions + sessions
            )
            if not (found.identifiers or found.stand_ins):
                return erased
        raise Conflict(f"something goes on writing in the name of {user}; erase again")

    async def _mark(self, project: ProjectId, user: UserId, partitions: set[int], at: UnixMs) -> None:
        await self._control.mark_person(project, user, sorted(partitions), "erased", str(at), ttl_ms=0)

    async def _erase_conversations(self, project: ProjectId, conversations: set[ConversationId]) -> int:
        if not conversations:
            return 0
        # Closed first: a note that comes between the walk and the deletion would be found by nobody again.
        for one in conversations:
            await self._store.hot.ask(_CLOSE, [schema.conversation(one, "m")], [project, schema.closed(project)])
        parts, lists = await walk.parts(self._store, project, conversations)
        for conversation, keys in parts.items():
            meta = schema.conversation(conversation, "m")
            own = [meta, *sorted(keys - {meta})]
            listed = sorted(lists.get(schema.partition_of_conversation(conversation), ()))
            words = [conversation, len(own), *self._telling(project, conversation)]
            await self._store.hot.ask(_ERASE, [*own, *listed], words)
        return len(parts)

    async def _disown(
        self, project: ProjectId, conversation: ConversationId, user: UserId, kept_by: UserId | None
    ) -> None:
        if kept_by is not None:
            await self._list_for(project, kept_by, conversation)
        keys = [schema.conversation(conversation, part) for part in ("m", "s", f"i:{user}")]
        keys.append(schema.adoption(schema.partition_of_conversation(conversation), project, user))
        words: list[str | bytes] = [user, ERASED_AUTHOR, conversation, *self._telling(project, conversation)]
        for identifier, event, _ in await self._log(conversation):
            rewritten = _disowned(event, user)
            if rewritten != event:
                words += [identifier, msgspec.json.encode(rewritten)]
        await self._store.hot.ask(_DISOWN, keys, words)

    async def _list_for(self, project: ProjectId, user: UserId, conversation: ConversationId) -> None:
        """Name a conversation among ``user``'s own: until now only the list of who began it did."""
        own = schema.partition_of_user(project, user)
        begun: bytes | None = await self._store.hot.ask(
            "HGET", [schema.conversation(conversation, "m")], ["created_at"]
        )
        keys = [schema.person(project, user, "c"), schema.withdrawn(own, project, user)]
        with contextlib.suppress(Withdrawn):  # erased as well, at the same time
            await self._store.hot.ask(_HINT, keys, [begun or 0, conversation])

    def _telling(self, project: ProjectId, conversation: ConversationId) -> list[str | bytes]:
        """Return how a script tells those who show a conversation, and those who list it."""
        partition = schema.partition_of_conversation(conversation)
        events, hints = schema.conversation(conversation, "e"), schema.inbox_hints(partition, project)
        return [self._store.publish_verb, events, _REWRITTEN, hints]

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
        """What was said while another was the one who spoke, before or after somebody signed in, is the other's."""
        head = await self._hash(schema.conversation(conversation, "m"))
        is_visitor = head.get("visitor") == user
        theirs = {user, head.get("adopted", "")} if is_visitor else {user}
        log = await self._log(conversation)
        turns = list(_turns([event for _, event, _ in log]))
        kept = [row for row, (_, speaker) in zip(log, turns, strict=True) if speaker in theirs]
        notes: list[Any] = await self._store.hot.ask(("XRANGE", schema.conversation(conversation, "n"), "-", "+"))
        overlay = await self._hash(schema.conversation(conversation, "o"))
        shown = {str(event["seq"]) for _, event, _ in kept}
        return {
            "conversation": conversation,
            "visitor": is_visitor,
            "head": head if is_visitor else {},
            "messages": [_message(event, kid) for _, event, kid in kept],
            "notes": [
                note for note in (msgspec.json.decode(fields[1]) for _, fields in notes)
                if _speaker_at(note["at"], turns) in theirs
            ],
            "overlay": {seq: value for seq, value in overlay.items() if seq in shown},
        }  # fmt: skip

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


def _turns(log: list[dict[str, Any]]) -> Iterator[tuple[UnixMs, str]]:
    """Yield for each entry when it was, and who spoke as the visitor then: agents answer whoever spoke last."""
    speaker = ""
    for event in log:
        if event["from"]["role"] == "visitor":
            speaker = event["from"]["user"]
        yield UnixMs(event["at"]), speaker


def _speaker_at(at: UnixMs, turns: list[tuple[UnixMs, str]]) -> str:
    return next((speaker for since, speaker in reversed(turns) if since <= at), "")


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
