"""What an operator is told before and after sessions end."""

from __future__ import annotations

from collections.abc import Mapping

import click

from chatgateway.cli import FAILED, answer
from chatgateway.store.control import Barrier
from chatgateway.store.sessions import SessionRow
from chatgateway.types import SessionId


def foretell(sessions: Mapping[SessionId, SessionRow], as_json: bool) -> None:
    """Name the sessions that would end."""
    rows = [session_row(session, row) for session, row in sessions.items()]
    answer.table(("session", "user", "app", "origin", "client", "can_refresh"), rows, as_json)
    if not as_json:
        count = answer.plural(len(rows), "connected session")
        click.echo(f"{count} would end, and session tokens used over HTTP too; nothing was changed.", err=True)


def warn(what: str, sessions: Mapping[SessionId, SessionRow], yes: bool, *, returning: str = "") -> None:
    """Say what happens to how many, and ask. Raises click.Abort when the answer is no.

    ``returning``: under which condition those whose page fetches fresh tokens come back; "" where nobody does.
    """
    told = f"{what}. {answer.plural(len(sessions), 'connected session')} will end"
    if back := returning and sum(row.can_refresh for row in sessions.values()):
        told += f"; {back:,} of them return by themselves {returning}"
    click.echo(f"{told}. Session tokens that are used over HTTP die too.", err=True)
    answer.confirm("Go on?", yes)


def told(barrier: Barrier | None) -> dict[str, object]:
    """Return what the nodes answered, as fields; without a barrier nobody was heard."""
    if barrier is None:
        return {"nodes": "not heard", "nodes_confirmed": 0, "nodes_silent": [], "sessions_ended": 0}
    return {
        "nodes": str(barrier),
        "nodes_confirmed": len(barrier.confirmed),
        "nodes_silent": list(barrier.silent),
        "sessions_ended": barrier.ended,
    }


def insist(barrier: Barrier | None, repeat: str) -> None:
    """Raise the failure that it is when a living node did not confirm; ``repeat`` is the command that asks again."""
    if barrier is not None and barrier.complete:
        return
    silent = ", ".join(barrier.silent) if barrier else "any node"
    click.echo(
        f"chatgateway: not confirmed by {silent}. Nothing of what was withdrawn can write any more; "
        f"to wait for the nodes again: {repeat}",
        err=True,
    )
    raise click.exceptions.Exit(FAILED)


def session_row(session: SessionId, row: SessionRow) -> dict[str, object]:
    """Return a session for a table."""
    return {
        "session": session,
        "user": row.user,
        "assurance": row.assurance,
        "kid": row.kid,
        "app": row.app,
        "origin": row.origin,
        "page": row.page,
        "address_block": row.address_block,
        "client": row.client,
        "can_refresh": row.can_refresh,
        "node": row.node,
        "since": answer.instant(row.bound_at),
    }
