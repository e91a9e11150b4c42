"""GET /healthz and /readyz: is the process alive, and should a balancer send it people."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from chatgateway.gateway.api.answers import answer, parts_of
from chatgateway.gateway.parts import Parts

PROBE_MAX_MS = 5_000


async def alive(request: Request) -> Response:
    """Answer as long as the loop turns."""
    del request
    return answer({"status": "alive"})


async def ready(request: Request) -> Response:
    """Answer 200 while this node may act, hears its own publications, and is not draining; else 503 with the reason."""
    parts: Parts = parts_of(request)
    faults: list[str] = []
    if parts.doors.draining:
        faults.append("draining")
    if not parts.node.lease_left_s:
        faults.append("no lease: the store does not answer, or lacks withdrawn trust")
    elif parts.node.refusal:
        faults.append(parts.node.refusal)
    if parts.probe_age_ms() > PROBE_MAX_MS:
        faults.append("deaf: own publications do not arrive")
    body = {
        "status": "not ready" if faults else "ready", "faults": faults, "node": parts.node.id,
        "applied": parts.node.trust.applied, "sessions": len(parts.roster.connections),
    }  # fmt: skip
    return answer(body, 503 if faults else 200)
