"""The parts of one running gateway, as each other sees them. Filled by assembly.py, the one place where parts meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatgateway.core.credential import CredentialRing
    from chatgateway.core.session import SessionRules
    from chatgateway.gateway.claims import Claims
    from chatgateway.gateway.desk import Desk
    from chatgateway.gateway.doors import Doors
    from chatgateway.gateway.errands import Errands
    from chatgateway.gateway.fanout import Fanout
    from chatgateway.gateway.node import Node
    from chatgateway.gateway.outbox import Flusher
    from chatgateway.gateway.roster import Roster
    from chatgateway.gateway.signin import SignIn
    from chatgateway.gateway.speaker import Speaker
    from chatgateway.gateway.timing import TimingWheel
    from chatgateway.settings import Settings
    from chatgateway.store.agents import Agents
    from chatgateway.store.client import Store
    from chatgateway.store.control import Control
    from chatgateway.store.conversations import Conversations
    from chatgateway.store.identities import Identities
    from chatgateway.store.inbox import Inbox
    from chatgateway.store.keyrings import KeyRings
    from chatgateway.store.projects import Projects
    from chatgateway.store.sessions import Sessions


@dataclass(slots=True, kw_only=True)
class Parts:
    """What one gateway process is made of. The later half needs the earlier one to exist."""

    settings: Settings
    rules: SessionRules
    store: Store
    projects: Projects
    keyrings: KeyRings
    identities: Identities
    agents: Agents
    sessions: Sessions
    conversations: Conversations
    inbox: Inbox
    control: Control
    credential_ring: CredentialRing
    wheel: TimingWheel
    flusher: Flusher
    roster: Roster
    own_origins: frozenset[str] = frozenset()
    """Origins of pages that the gateway itself serves."""
    probe_age_ms: Callable[[], int] = lambda: 0
    node: Node = field(init=False)
    fanout: Fanout = field(init=False)
    desk: Desk = field(init=False)
    doors: Doors = field(init=False)
    errands: Errands = field(init=False)
    sign_in: SignIn = field(init=False)
    speaker: Speaker = field(init=False)
    claims: Claims = field(init=False)
