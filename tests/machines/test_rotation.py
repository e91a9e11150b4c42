"""However keys are regenerated and revoked, a token verifies exactly while its key does.

The model is one instant per key, the one at which it died, and one set of ids that this node heard of ahead of its
ring. No secret is ever printed, and no id ever comes back.
"""

from __future__ import annotations

import jwt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from chatgateway.core.keyring import LATELY_MS, KeyRing, SigningKey, secret_from, shared_secret
from chatgateway.core.profiles import CANONICAL
from chatgateway.core.token import KEYS_TRIED_MAX, verify
from chatgateway.errors import KeyRevoked, TokenExpired, TokenRejected
from chatgateway.types import KeyId, ProjectId, UnixMs

PROJECT = ProjectId("prj_machine")
LIFE_S = 23 * 3600


class RotationMachine(RuleBasedStateMachine):
    kids = Bundle("kids")
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.now = UnixMs(1_795_249_707_000)
        self.ring = KeyRing()
        self.node_ring = self.ring
        """What the node has: it reads the ring again when it likes."""
        self.heard: set[KeyId] = set()
        self.secrets: dict[KeyId, str] = {}
        self.born: list[KeyId] = []
        self.died_at: dict[KeyId, UnixMs] = {}
        self.revisions = [0]

    def _fresh(self) -> SigningKey:
        number = len(self.born)
        kid = KeyId(f"k_{number}")
        self.secrets[kid] = secret_from(number.to_bytes(32, "big"), live=bool(number % 2))
        self.born.append(kid)
        return shared_secret(kid, self.secrets[kid], f"key {number}", self.now)

    def _changed(self, ring: KeyRing, died: KeyId | None) -> None:
        self.ring = ring
        self.revisions.append(ring.revision)
        if died is not None:
            self.died_at.setdefault(died, self.now)
            self.heard.add(died)  # a withdrawal reaches every node by the control log, the ring when somebody reads it

    @initialize(target=kids)
    def the_project_begins_with_a_key(self) -> KeyId:
        kid = self.another_is_made()
        self.the_node_reads_the_ring()
        return kid

    def another_is_made(self) -> KeyId:
        fresh = self._fresh()
        self._changed(self.ring.add(fresh), None)
        return fresh.kid

    @rule(target=kids)
    def a_key_is_added(self) -> KeyId:
        return self.another_is_made()

    @rule(target=kids, kid=kids)
    def a_secret_is_regenerated(self, kid: KeyId) -> KeyId:
        fresh = self._fresh()
        self._changed(self.ring.regenerate(kid, fresh, self.now), kid)
        return fresh.kid

    @rule(kid=kids)
    def a_key_is_revoked(self, kid: KeyId) -> None:
        self._changed(self.ring.revoke(kid, self.now), kid)

    @rule(kid=kids)
    def a_used_id_is_refused(self, kid: KeyId) -> None:
        before = self.ring
        for attempt in (
            lambda: self.ring.add(shared_secret(kid, "x" * 32, "", self.now)),
            lambda: self.ring.regenerate(kid, shared_secret(kid, "x" * 32, "", self.now), self.now),
        ):
            try:
                attempt()
            except ValueError:
                continue
            raise AssertionError(f"{kid} came back")
        assert self.ring == before

    @rule()
    def the_node_reads_the_ring(self) -> None:
        self.node_ring = self.ring

    @precondition(lambda self: self.node_ring == self.ring)
    @rule()
    def the_node_forgets_what_the_ring_says_too(self) -> None:
        self.heard = set()

    @rule(ms=st.sampled_from([1, 59_999, 3_600_000, LATELY_MS - 1, LATELY_MS]))
    def time_passes(self, ms: int) -> None:
        self.now = UnixMs(self.now + ms)

    @rule(target=tokens, kid=kids, named=st.booleans())
    def a_server_signs(self, kid: KeyId, named: bool) -> tuple[KeyId, bool, UnixMs, str]:
        issued_s = self.now // 1000
        claims = {"external_id": kid, "iat": issued_s, "exp": issued_s + LIFE_S}
        headers = {"kid": kid} if named else None
        text = jwt.encode(claims, self.secrets[kid], "HS256", headers=headers)
        return kid, named, UnixMs((issued_s + LIFE_S) * 1000 + CANONICAL.leeway_ms), text

    @rule(signed=tokens)
    def somebody_signs_in(self, signed: tuple[KeyId, bool, UnixMs, str]) -> None:
        kid, named, ends_at, text = signed
        assert self._outcome(text, kid) == self._expected(kid, named, ends_at)

    @rule(signed=consumes(tokens))
    def somebody_signs_in_for_the_last_time(self, signed: tuple[KeyId, bool, UnixMs, str]) -> None:
        self.somebody_signs_in(signed)

    @rule(signed=tokens, at=st.integers(1, 40))
    def somebody_bends_a_token(self, signed: tuple[KeyId, bool, UnixMs, str], at: int) -> None:
        text = signed[3]
        bent = text[:-at] + ("A" if text[-at] != "A" else "B") + text[len(text) - at + 1 :]
        assert self._outcome(bent, signed[0]) in ("bad_signature", "base64", "kid_unknown", "no_key_of_this_kind")

    def _outcome(self, text: str, kid: KeyId) -> str:
        try:
            verified = verify(text, PROJECT, self.node_ring, CANONICAL, self.now, revoked=frozenset(self.heard))
        except TokenRejected as error:
            return error.detail
        except (TokenExpired, KeyRevoked) as error:
            return error.code
        assert verified.kid == verified.identifiers[0].text == kid
        return "verified"

    def _expected(self, kid: KeyId, named: bool, ends_at: UnixMs) -> str:
        known = [key.kid for key in self.node_ring.keys]
        dead = {key.kid for key in self.node_ring.keys if key.revoked_at is not None}
        forgotten = {other for other in dead if self.now - self.died_at[other] >= LATELY_MS}
        nobody_signed_it = "no_key_of_this_kind" if forgotten == set(known) else "bad_signature"
        if kid not in known:
            return "kid_unknown" if named else nobody_signed_it
        if kid in forgotten:
            return "key_revoked_long_ago" if named else nobody_signed_it
        gone = dead | {*self.heard}
        alike = [other for other in known if (other in gone) == (kid in gone) and other not in forgotten]
        if not named and alike.index(kid) >= KEYS_TRIED_MAX:
            return "bad_signature"
        if kid in self.died_at:
            return "key_revoked"
        return "verified" if self.now < ends_at else "token_expired"

    @invariant()
    def no_secret_is_printed(self) -> None:
        printed = f"{self.ring!r} {self.ring} {self.ring.keys!r} {[key.material for key in self.ring.keys]}"
        # The first seven characters and the last four are shown on purpose: they are what the operator compares.
        assert not any(secret[9:-4] in printed or secret[9:52] in printed for secret in self.secrets.values())

    @invariant()
    def the_ring_holds_every_key_that_ever_was_and_says_when_it_died(self) -> None:
        assert sorted(key.kid for key in self.ring.keys) == sorted(self.born)
        assert {key.kid: key.revoked_at for key in self.ring.keys if not key.usable} == self.died_at

    @invariant()
    def the_revision_grows_by_one_with_every_change(self) -> None:
        assert self.revisions == list(range(len(self.revisions)))


RotationMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRotation = RotationMachine.TestCase
