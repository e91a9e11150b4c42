"""Remember codes that were sent to prove an address, and when they were sent.

A code is remembered by its keyed digest, for as long as it holds. Counts are of the last instants, so that a limit
holds in any window and not only in those that begin when a counter does.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from chatgateway.core.proof import (
    EVERYBODYS_WINDOW_MS,
    LIFE_MS,
    PER_ADDRESS,
    PER_NETWORK,
    Ceiling,
    Pending,
    counted_as,
)
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.types import ProjectId, UserId

_PROVE, _TRY, _USE = Script("prove"), Script("try"), Script("use")


class Asked(NamedTuple):
    outcome: Literal["sent", "silent", "network", "everybody"]
    """To be sent; remembered but not to be sent; or who has gone too far."""
    wait_ms: int
    """Until the network, or everybody, may ask again; 0 when the code is remembered."""


class Proofs:
    """The codes of all visitors. ``per_hour_max`` is how many everybody together is sent."""

    def __init__(self, store: Store, per_hour_max: int) -> None:
        self._store = store
        self._everybody = Ceiling(per_hour_max, EVERYBODYS_WINDOW_MS)

    async def ask(self, project: ProjectId, user: UserId, email: str, network: str, digest: bytes) -> Asked:
        """Remember a code in the place of the visitor's one before, and say whether to send it. Atomic.

        Nothing is remembered or counted for a network, or everybody, that has gone too far.
        """
        keys = [
            schema.proof(project, user),
            schema.sends("network", network),
            schema.sends("everybody", ""),
            schema.sends("address", counted_as(email)),
        ]
        ceilings = [number for one in (PER_NETWORK, self._everybody, *PER_ADDRESS) for number in one]
        outcome, wait_ms = await self._store.hot.ask(_PROVE, keys, [email, digest, LIFE_MS, *ceilings])
        said: Any = outcome.decode()
        return Asked(said, int(wait_ms))

    async def attempt(self, project: ProjectId, user: UserId) -> Pending | None:
        """Count an answer, then return what it answers; None when there is no code, or none any more. Atomic."""
        reply: list[Any] | None = await self._store.hot.ask(_TRY, [schema.proof(project, user)], [])
        return Pending(reply[0].decode(), reply[1], int(reply[2])) if reply else None

    async def use(self, project: ProjectId, user: UserId, pending: Pending) -> bool:
        """Use the code up, and return whether it was still there. Of several at once one hears True."""
        return bool(await self._store.hot.ask(_USE, [schema.proof(project, user)], [pending.digest]))
