"""The verifier against the library alone, configured as well as it can be; each disagreement has a reason of ours.

The library is given the right key, one algorithm, the audience, the required claims, the leeway and the key length.
"""

from __future__ import annotations

import datetime
import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import jwt
import pytest
from tests.core.cases import Case
from tests.core.checks import outcome
from tests.core.hostile_tokens import HONEST, HOSTILE
from tests.core.jose import NOW_S, PROJECT, REMOTE, SIGNERS, Signer

from chatgateway.core.compact import Reason

WE_ALONE_REFUSE: dict[str, str] = {
    # One text per token, one meaning per text.
    "not_text": "bytes are decoded by it; a token arrives as text, and two types are two ways past a filter",
    "size": "2 MB of token are parsed by it before anything is known of the sender",
    "base64": "it skips line ends and other junk: two texts of one token defeat what counts texts",
    "header_too_big": "it has no limit",
    "too_deep": "it parses as deep as the interpreter goes",
    "not_json": "it takes UTF-16 and a byte order mark, which other parsers do not",
    "duplicate_name": "it takes the last of two equal names, other parsers the first",
    "too_many_names": "it has no limit",
    "number": "it takes NaN, infinity and 4,000 digits where it does not look at them",
    "typ": "a token made for something else (RFC 8725 section 3.11) is a token to it",
    "header_refused": "it ignores a key that the token brings along; we refuse whoever tries",
    # Which key.
    "kid_unsafe": "it has no opinion on what a key id looks like",
    "bad_signature": "it is given every key of the kind, we try four, and none that is pending or long dead",
    "key_pending": "it knows no states of a key",
    "key_revoked": "it knows no states of a key",
    "key_revoked_long_ago": "it knows no states of a key",
    # When.
    "not_an_instant": "it takes texts and fractions for instants where they convert, and never looks at some",
    "instant_out_of_range": "it takes milliseconds for seconds: a token until the year 58000",
    "exp_not_after_iat": "it compares each instant with the clock and none with the others",
    "life_too_long": "it has no longest life",
    "token_expired": "a token without exp has no age to it",
    # Who.
    "another_project": "it checks an audience, not the other claims that name a project",
    "another_profile": "it knows no profiles",
    "id_reserved": "it has no opinion on what an id looks like",
    "id_missing": "it can require sub, but not one of several claims",
    "ids_differ": "it reads one claim at a time",
    "id_not_text": "it checks the type of sub only",
    "id_length": "an empty sub is a subject to it, and so is one of 8 KiB",
    "id_unsafe": "NUL, a lone surrogate and invisible characters are text to it",
    "id_white_space": "it has no opinion on what an id looks like",
    "jti_shape": "it checks that jti is text, not how long or how visible",
    "claim_missing": "it can require the presence of top-level claims, not that they say something",
    "claim_value": "it knows no constant claims",
    "text_expected": "it has no types for other claims",
    "text_unsafe": "it has no opinion on what can be shown",
    "email_shape": "it knows no addresses",
    "boolean_expected": "it has no types for other claims",
    "list_expected": "it has no types for other claims",
    "list_too_long": "it has no limits",
    "table_expected": "it has no types for other claims",
    "person_too_big": "it has no limits",
}
"""What the library takes and we do not: by our reason, and why we have it."""

WE_ALONE_ACCEPT: dict[str, str] = {
    "with the prefix": "a vendor's documents put JWT and a space in front of a token",
    "by a followed key under its record's id": "our own id of a set stands for the keys in it",
    "tiledesk with {'sub': 'userexternal', 'aud': 'https://x.example/projects/prj_corpus'}":
        "the audience is any address that ends in the project; the library wants to know the whole of it",
}  # fmt: skip
"""What we take and the library does not."""


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> FixedDatetime:
        return cls.fromtimestamp(NOW_S, tz)


def library_alone(case: Case) -> bool:
    """Does PyJWT accept it, by whichever key a careful caller would have given it?"""
    made: Any = case.token
    try:
        header = jwt.get_unverified_header(made)
        return any(_accepts(made, signer, case) for signer in _keys(header))
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
        return False


def _keys(header: dict[str, Any]) -> Iterator[Signer]:
    known = {**REMOTE, **SIGNERS}
    if "kid" in header:
        yield known[header["kid"]]
    else:
        yield from (signer for signer in known.values() if signer.algorithm == header["alg"])


def _accepts(made: Any, signer: Signer, case: Case) -> bool:
    told: Any = jwt.decode(made, options={"verify_signature": False})
    profile = case.profile.generation(told)
    form = next(naming.form for naming in profile.project if naming.claim == ("aud",))
    audience = PROJECT if form == "id" else f"https://tiledesk.example/projects/{PROJECT}"
    required = [name for name, needed in (("exp", profile.expiry_required), ("iat", profile.issue_required)) if needed]
    try:
        jwt.decode(
            made,
            signer.public(),
            algorithms=[signer.algorithm],
            audience=audience if "aud" in told else None,
            leeway=profile.leeway_ms // 1000,
            options={"require": required, "enforce_minimum_key_length": True},
        )
    except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
        return False
    return True


@functools.cache
def verdicts() -> list[tuple[str, bool, str]]:
    """Return of each token its name, whether the library takes it, and why we do not ("" when we do)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", FixedDatetime)
        return [(case.name, library_alone(case), outcome(case)) for case in (*HONEST, *HOSTILE)]


class TestTheLibraryAlone:
    def test_takes_what_we_refuse_for_these_reasons_and_no_others(self) -> None:
        ours = Counter(reason for _, taken, reason in verdicts() if taken and reason)
        print(f"PyJWT {jwt.__version__} alone accepts {ours.total()} of {len(HOSTILE)}: {dict(ours)}")
        assert set(ours) == set(WE_ALONE_REFUSE)
        assert ours.total() > len(HOSTILE) // 2

    def test_refuses_what_we_take_for_these_reasons_and_no_others(self) -> None:
        assert {name for name, taken, reason in verdicts() if not taken and not reason} == set(WE_ALONE_ACCEPT)

    def test_is_never_laxer_about_what_it_is_asked(self) -> None:
        """Signature, algorithm, key length and presence of times: there the two agree, token by token."""
        for _, taken, reason in verdicts():
            assert not (taken and reason in ("alg_mismatch", "key_unfit", "exp_missing", "iat_missing"))

    def test_has_no_word_for_a_reason_that_we_do_not_know(self) -> None:
        assert set(WE_ALONE_REFUSE) <= {*get_args(Reason), "token_expired", "key_revoked"}
