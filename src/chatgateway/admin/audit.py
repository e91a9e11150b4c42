"""What operators did, and whether every chain of it is still whole."""

from __future__ import annotations

from typing import NamedTuple

from chatgateway.admin.office import Office
from chatgateway.core.audit import Fault, Head
from chatgateway.types import ProjectId


class Verdict(NamedTuple):
    """What came of checking one chain."""

    chain: str
    """The project's id; "" is the gateway's own."""
    head: Head
    """Written down elsewhere, it shows later that nothing was cut off."""
    fault: Fault | None


async def verify(office: Office, project: ProjectId | None, published: Head | None = None) -> list[Verdict]:
    """Check one project's chain, or every chain, the gateway's own first. ``published`` belongs to one chain.

    Raises NotFound.
    """
    if project is not None:
        await office.projects.get_project(project)
        chains = [str(project)]
    else:
        chains = ["", *(known.id for known in await office.projects.list_projects())]
    return [
        Verdict(chain, await office.audit.head(chain), await office.audit.verify(chain, published)) for chain in chains
    ]
