"""Refusals that only HTTP knows, where other floors speak in their own words or a socket is never asked."""

from __future__ import annotations

from chatgateway.errors import PeerError


class NameInUse(PeerError):
    """What should be called so would be the second one."""

    code = "name_taken"
    status = 409
    sentence = "Somebody is called that already; choose another name."


class AuditBroken(PeerError):
    """A chain holds something that is no entry; it cannot be listed, and verifying it says where."""

    code = "audit_broken"
    status = 409
    sentence = "This chain holds what is no entry; ask for its verification, which says where it is broken."


class NodesSilent(PeerError):
    """Done, and what was withdrawn can write nothing more; but a node that lives did not confirm in time."""

    code = "nodes_silent"
    # Of all errors the one that no proxy answers in our place or repeats: the only copy of a new secret is in the body.
    status = 424
    sentence = (
        "It is done and nothing of what was withdrawn can write any more, but not every node confirmed: nodes_silent "
        "may still show what it showed. Repeating is harmless where the operation says so."
    )


class OutsideSilent(PeerError):
    """Somebody else's server, named by whoever asks, did not do what it was asked."""

    code = "outside_unavailable"
    status = 502
    sentence = "The other server did not answer as it should."
