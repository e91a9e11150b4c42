"""What operators did, over HTTP, and whether the chains of it are whole."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.admin import audit
from chatgateway.core.audit import AuditEntry, Head
from chatgateway.errors import RecordUnknown
from chatgateway.gateway.api.admin.office import AdminCall, office_of, project_of
from chatgateway.gateway.api.faults import AuditBroken
from chatgateway.gateway.api.operation import Operation
from chatgateway.types import ProjectId


class AuditShown(msgspec.Struct, frozen=True, kw_only=True):
    """The newest entries of one chain, oldest first."""

    entries: list[AuditEntry]


class ChainFault(msgspec.Struct, frozen=True, kw_only=True):
    """The first place at which a chain is broken."""

    seq: int
    reason: str


class ChainVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of checking one chain."""

    chain: str
    """The project's id; empty is the gateway's own."""
    entries: int
    head: str
    """``SEQ:HASH``. Written down elsewhere, it shows later that nothing was cut off."""
    fault: ChainFault | None


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Are the chains whole?"""

    whole: bool
    chains: list[ChainVerdict]


class NewestEntries(msgspec.Struct, frozen=True, kw_only=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class PublishedHead(msgspec.Struct, frozen=True, kw_only=True):
    head: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}:[0-9a-f]{0,64}\Z")] | None = None
    """A head that was written down earlier: finds a chain that was cut."""


async def list_audit(call: AdminCall) -> AuditShown:
    project = await office_of(call).projects.get_project(project_of(call))
    return await _entries(call, project.id)


async def list_gateway_audit(call: AdminCall) -> AuditShown:
    return await _entries(call, "")


async def verify_audit(call: AdminCall) -> AuditVerdict:
    published: Head | None = None
    if call.query.head is not None:
        seq, _, digest = call.query.head.partition(":")
        published = Head(int(seq), digest)
    return await _verdict(call, project_of(call), published)


async def verify_every_audit(call: AdminCall) -> AuditVerdict:
    return await _verdict(call, None, None)


async def _entries(call: AdminCall, chain: str) -> AuditShown:
    try:
        return AuditShown(entries=await office_of(call).audit.entries(chain, call.query.limit))
    except ValueError as error:
        raise AuditBroken from error


async def _verdict(call: AdminCall, project: ProjectId | None, published: Head | None) -> AuditVerdict:
    verdicts = await audit.verify(office_of(call), project, published)
    chains = [
        ChainVerdict(
            chain=chain,
            entries=head.seq,
            head=f"{head.seq}:{head.hash}",
            fault=ChainFault(seq=fault.seq, reason=fault.reason) if fault else None,
        )
        for chain, head, fault in verdicts
    ]
    return AuditVerdict(whole=not any(chain.fault for chain in chains), chains=chains)


_OF_PROJECT = "/v1/admin/projects/{project}/audit"
_OF_GATEWAY = "/v1/admin/audit"

OPERATIONS = (
    Operation("GET", _OF_PROJECT, "List what operators did to a project.", list_audit, "admin",
        query=NewestEntries, gives=AuditShown, errors=(RecordUnknown, AuditBroken),
    ),
    Operation("GET", _OF_PROJECT + "/verify", "Check that a project's chain is whole.", verify_audit, "admin",
        query=PublishedHead, gives=AuditVerdict, errors=(RecordUnknown,),
    ),
    Operation("GET", _OF_GATEWAY, "List what operators did to no single project.", list_gateway_audit, "admin",
        everywhere=True, query=NewestEntries, gives=AuditShown, errors=(AuditBroken,),
    ),
    Operation("GET", _OF_GATEWAY + "/verify", "Check that every chain is whole.", verify_every_audit, "admin",
        everywhere=True, gives=AuditVerdict,
    ),
)  # fmt: skip
