"""Judge a customer token by every key that may have signed it, those of followed key sets included.

The ring is read afresh for each sign-in, so a key that was added a moment ago is known. A set is not: a token that
none of the known keys signed makes us ask the sites once more, throttled by outside/jwks.py, and is judged again. A
project that follows no set pays for none of this.

While a set cannot be had, nobody knows whether its key signed: the token is not rejected, which would make the page
throw it away, but may come again. Sessions that are signed in stay, and so do those that the set's keys vouched for
before a site took them out: they rest on the record in the ring, and end with it (docs/decisions/0010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from chatgateway.core import token as tokens
from chatgateway.core.compact import Reason, read
from chatgateway.core.keyring import KeyRing
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import App
from chatgateway.core.public_key import PublicAlgorithm
from chatgateway.errors import KeysUnavailable, TokenRejected
from chatgateway.outside.jwks import KeySets, with_fresh, with_newest
from chatgateway.types import Version

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

_MENDABLE: Final[frozenset[Reason]] = frozenset({"kid_unknown", "no_key_of_this_kind", "bad_signature", "alg_mismatch"})
"""What a newer set may answer otherwise. Sites do put a new key under an old name."""


class Judged(NamedTuple):
    """Whom a token speaks for, and which version of withdrawn trust was applied when that was judged."""

    verified: tokens.Verified
    version: Version


class Signers:
    """Who may sign for the people of an app, as this node knows it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.sets = KeySets(private_addresses=parts.settings.jwks_private_addresses)

    async def verified(self, app: App, token: str) -> Judged:
        """Return whom ``token`` speaks for now. Raises PeerError, StoreError."""
        ring = await self._parts.keyrings.load(app.project)
        try:
            return self._judged(app, token, with_fresh(self.sets, ring))
        except TokenRejected as rejected:
            if rejected.detail not in _MENDABLE or not ring.usable("JWKS") or not _by_a_pair(token):
                raise
        ring, missing = await with_newest(self.sets, ring)
        try:
            return self._judged(app, token, ring)
        except TokenRejected as rejected:
            if rejected.detail not in _MENDABLE or not missing:
                raise
            raise KeysUnavailable(detail=",".join(missing)) from rejected

    def _judged(self, app: App, token: str, ring: KeyRing) -> Judged:
        """No await in here: the version, the clock and what was withdrawn belong to one moment."""
        node = self._parts.node
        version, revoked = node.trust.applied, node.trust.revoked_keys(app.project)
        verified = tokens.verify(token, app.project, ring, PROFILES[app.profile], node.now(), revoked=revoked)
        return Judged(verified, version)


def _by_a_pair(token: str) -> bool:
    """Does a well-formed token say that half a key pair signed it? No set holds the key of any other."""
    return read(token).header.get("alg") in get_args(PublicAlgorithm)
