"""The parts of one running gateway, as each other sees them. Filled by assembly.py, the one place where parts meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatgateway.core.credential import CredentialRing
    from chatgateway.core.session import SessionRules
    from chatgateway.gateway.admission import Admission
    from chatgateway.gateway.adoption import Adoption
    from chatgateway.gateway.behalf import Behalf
    from chatgateway.gateway.claims import Claims
    from chatgateway.gateway.cors import Origins
    from chatgateway.gateway.departure import Departure
    from chatgateway.gateway.desk import Desk
    from chatgateway.gateway.doors import Doors
    from chatgateway.gateway.errands import Errands
    from chatgateway.gateway.exchange import Exchange
    from chatgateway.gateway.fanout import Fanout
    from chatgateway.gateway.grants import Grants
    from chatgateway.gateway.keysets import Signers
    from chatgateway.gateway.node import Node
    from chatgateway.gateway.outbox import Flusher
    from chatgateway.gateway.pace import Pace
    from chatgateway.gateway.proving import Proving
    from chatgateway.gateway.roster import Roster
    from chatgateway.gateway.signin import SignIn
    from chatgateway.gateway.speaker import Speaker
    from chatgateway.gateway.timing import TimingWheel
    from chatgateway.outside.mail import Mailer
    from chatgateway.settings import Settings
    from chatgateway.store.admins import Admins
    from chatgateway.store.adoptions import Adoptions
    from chatgateway.store.agents import Agents
    from chatgateway.store.audit import Audit
    from chatgateway.store.client import Store
    from chatgateway.store.control import Control
    from chatgateway.store.conversations import Conversations
    from chatgateway.store.identities import Identities
    from chatgateway.store.inbox import Inbox
    from chatgateway.store.keyrings import KeyRings
    from chatgateway.store.projects import Projects
    from chatgateway.store.proofs import Proofs
    from chatgateway.store.reports import Reports
    from chatgateway.store.sealing import Sealer
    from chatgateway.store.sessions import Sessions


@dataclass(slots=True, kw_only=True)
class Parts:
    """What one gateway process is made of. The later half needs the earlier one to exist."""

    settings: Settings
    rules: SessionRules
    store: Store
    sealer: Sealer
    projects: Projects
    keyrings: KeyRings
    admins: Admins
    identities: Identities
    agents: Agents
    sessions: Sessions
    conversations: Conversations
    inbox: Inbox
    control: Control
    reports: Reports
    audit: Audit
    adoptions: Adoptions
    proofs: Proofs
    credential_ring: CredentialRing
    wheel: TimingWheel
    flusher: Flusher
    roster: Roster
    own_origins: frozenset[str] = frozenset()
    """Origins of pages that the gateway itself serves."""
    mailer: Mailer | None = None
    """Who takes mails; None when no mail server is set."""
    probe_age_ms: Callable[[], int] = lambda: 0
    node: Node = field(init=False)
    fanout: Fanout = field(init=False)
    desk: Desk = field(init=False)
    doors: Doors = field(init=False)
    pace: Pace = field(init=False)
    errands: Errands = field(init=False)
    behalf: Behalf = field(init=False)
    admission: Admission = field(init=False)
    sign_in: SignIn = field(init=False)
    exchange: Exchange = field(init=False)
    grants: Grants = field(init=False)
    signers: Signers = field(init=False)
    speaker: Speaker = field(init=False)
    departure: Departure = field(init=False)
    origins: Origins = field(init=False)
    claims: Claims = field(init=False)
    adoption: Adoption = field(init=False)
    proving: Proving = field(init=False)
