"""``chatgateway audit``: what operators did."""

from __future__ import annotations

import click

from chatgateway.admin import audit
from chatgateway.cli import FAILED, answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.audit import AuditEntry, Head
from chatgateway.types import ProjectId


@click.group(name="audit")
def command() -> None:
    """What operators did: an intent and a result per verb, hash-chained, one chain per project and one for the rest."""


@command.command("list")
@click.argument("project", required=False)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The newest so many.")
@answer.reading
@on_store
async def list_entries(at: Opened, *, project: str | None, limit: int, as_json: bool) -> None:
    """List the chain of a project, or the gateway's own, oldest first."""
    if project is not None:
        await at.projects.get_project(ProjectId(project))
    entries = await at.audit.entries(project or "", limit)
    columns = ("seq", "at", "actor", "step", "verb", "target", "result", "fingerprint")
    answer.table(columns, [_row(entry) for entry in entries], as_json)


@command.command("verify")
@click.argument("project", required=False)
@click.option("--head", metavar="SEQ:HASH", help="A head that was written down earlier: finds a chain that was cut.")
@answer.reading
@on_store
async def verify(at: Opened, *, project: str | None, head: str | None, as_json: bool) -> None:
    """Check that no entry was altered, taken out, put in or moved. Without PROJECT: every chain.

    Prints the head of each chain; written down elsewhere, it shows later that nothing was cut off.

    \b
    Exit status: 0 everything holds   1 a chain is broken
    """
    published = _parsed(head) if head else None
    if published is not None and project is None:
        raise click.UsageError("--head belongs to one chain: say which PROJECT")
    verdicts = await audit.verify(at, ProjectId(project) if project is not None else None, published)
    rows = [
        {
            "chain": chain or "(gateway)",
            "entries": end.seq,
            "verdict": f"{fault.reason} at {fault.seq}" if fault else "whole",
            "head": f"{end.seq}:{end.hash}",
        }
        for chain, end, fault in verdicts
    ]
    answer.table(("chain", "entries", "verdict", "head"), rows, as_json)
    if any(verdict.fault for verdict in verdicts):
        raise click.exceptions.Exit(FAILED)


def _parsed(head: str) -> Head:
    seq, _, digest = head.partition(":")
    if not seq.isdecimal():
        raise click.UsageError("--head is SEQ:HASH, as audit verify prints it")
    return Head(int(seq), digest)


def _row(entry: AuditEntry) -> dict[str, object]:
    return {
        "seq": entry.seq,
        "at": answer.instant(entry.at),
        "actor": entry.actor,
        "step": entry.step,
        "verb": entry.verb,
        "target": entry.target,
        "result": entry.result,
        "request": entry.request,
        "fingerprint": entry.fingerprint,
    }
