"""However a token is bent by somebody who has no key, it never speaks for anybody."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.core.cases import SAMPLES, profile_of, saying
from tests.core.jose import NOW, PROJECT, RING, STRANGER, b64, b64_bytes, to_json, token

from chatgateway.core.person import Identifier
from chatgateway.core.token import verify
from chatgateway.errors import PeerError

KIDS = ("k_main", "k_rsa", "k_ec", "k_ed", "remote_ec", "remote_rsa")
GENUINE = {(sample, kid): saying(sample, kid=kid) for sample in SAMPLES for kid in KIDS}

genuine = st.sampled_from(sorted(GENUINE))
names = st.sampled_from(sorted({name for claims in SAMPLES.values() for name in claims}))
words = st.sampled_from(
    ["none", "HS256", "RS256", "ES256", "EdDSA", "JWT", "k_main", "k_rsa", "k_set", "remote_ec", ""]
)


def speaks_for(made: str, sample: str) -> tuple[Identifier, ...] | None:
    try:
        return verify(made, PROJECT, RING, profile_of(sample), NOW).identifiers
    except PeerError:
        return None


def test_unbent_each_speaks_for_its_person() -> None:
    assert {speaks_for(made, sample) for (sample, _), made in GENUINE.items()} == {
        (Identifier("external_id", "u-1"),),
        (Identifier("deskpro_id", "42"), Identifier("deskpro_email", "ada@example.com")),
    }


@settings(max_examples=300)
@given(genuine, st.integers(0, 2), st.integers(0, 600), st.integers(0, 7))
def test_by_one_bit_it_speaks_for_nobody(which: tuple[str, str], run: int, at: int, bit: int) -> None:
    runs = [bytearray(b64_bytes(part)) for part in GENUINE[which].split(".")]
    runs[run][at % len(runs[run])] ^= 1 << bit
    assert speaks_for(".".join(b64(bytes(part)) for part in runs), which[0]) is None


@settings(max_examples=200)
@given(genuine, st.dictionaries(names, st.text(max_size=6) | st.integers() | st.none(), min_size=1))
def test_in_its_claims_it_speaks_for_nobody_signed_or_not(which: tuple[str, str], claims: dict[str, Any]) -> None:
    sample, _ = which
    header, _, signature = GENUINE[which].split(".")
    told = {**SAMPLES[sample], **claims}
    assume(told != SAMPLES[sample])
    assert speaks_for(f"{header}.{b64(to_json(told))}.{signature}", sample) is None
    assert speaks_for(token(told, header=b64_bytes(header), signer=STRANGER), sample) is None


@settings(max_examples=200)
@given(genuine, st.dictionaries(st.sampled_from(["alg", "kid", "typ", "cty", "jwk", "crit"]), words, min_size=1))
def test_in_its_header_it_speaks_for_nobody(which: tuple[str, str], header: dict[str, str]) -> None:
    before, claims, signature = GENUINE[which].split(".")
    told = {**json.loads(b64_bytes(before)), **header}
    assume(told != json.loads(b64_bytes(before)))
    assert speaks_for(f"{b64(to_json(told))}.{claims}.{signature}", which[0]) is None


@given(genuine, genuine, st.integers(0, 2))
def test_with_a_part_of_another_it_is_nobody_else(one: tuple[str, str], other: tuple[str, str], run: int) -> None:
    runs, others = GENUINE[one].split("."), GENUINE[other].split(".")
    assume(runs[run] != others[run])
    runs[run] = others[run]
    assert speaks_for(".".join(runs), one[0]) in (None, speaks_for(GENUINE[one], one[0]))
