"""Many people at once over HTTP: a body of JSON lines, larger than any other, that is never held in memory.

It waits on disk until it is whole, so that a slow or broken upload imports nothing, and then goes line by line.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from chatgateway.admin import people
from chatgateway.core.upsert import Upsert
from chatgateway.errors import NotJson, RecordUnknown
from chatgateway.gateway.api.admin.bearer import still_good
from chatgateway.gateway.api.admin.office import AdminCall, office_of, project_of
from chatgateway.gateway.api.answers import chunks
from chatgateway.gateway.api.operation import Operation

LINES_TYPES: Final = ("application/x-ndjson", "application/jsonl")
IN_MEMORY_BYTES: Final = 1_048_576
FAILURES_MAX: Final = 1_000


class FailedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that could not be."""

    line: int
    """Counted from 1."""
    sentence: str


class PeopleImported(msgspec.Struct, frozen=True, kw_only=True):
    """How an import went."""

    lines: int
    created: int
    known: int
    failed: int
    errors: list[FailedLine]
    """The first thousand; ``failed`` counts all."""


async def import_users(call: AdminCall) -> PeopleImported:
    office = office_of(call)
    project = await office.projects.get_project(project_of(call))
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() not in LINES_TYPES:
        raise NotJson(f"The body has one JSON object a line; say so: Content-Type: {LINES_TYPES[0]}")
    failures: list[FailedLine] = []

    def on_failure(number: int, sentence: str) -> None:
        if len(failures) < FAILURES_MAX:
            failures.append(FailedLine(line=number, sentence=sentence))

    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as file:
        async for chunk in chunks(call.request, call.parts.settings.import_max_bytes):
            file.write(chunk)
        file.seek(0)

        async def may_go_on() -> None:
            await still_good(call.parts, OPERATIONS[0], call.who, call.path)

        imported = await people.import_people(
            office, project, lines_of(file), on_failure=on_failure, may_go_on=may_go_on
        )
    return PeopleImported(
        lines=imported.lines,
        created=imported.created,
        known=imported.known,
        failed=imported.failed,
        errors=sorted(failures, key=lambda failure: failure.line),
    )


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of ``file``; of one that is too long only so much that it is seen to be."""
    limit = people.LINE_MAX_BYTES + 1
    while line := file.readline(limit):
        rest = line
        while len(rest) == limit and not rest.endswith(b"\n"):
            rest = file.readline(limit)
        yield line


OPERATIONS = (
    Operation(
        "POST", "/v1/admin/projects/{project}/users", "Tell of many people: one JSON object a line.",
        import_users, "admin", lines=Upsert, gives=PeopleImported, errors=(RecordUnknown,),
        details=(
            "Who is known is updated, who is not is created; sending it again is harmless. A line that cannot be is "
            "reported with its number, and the rest goes on. What is imported is locked as if it were signed."
        ),
    ),
)  # fmt: skip
