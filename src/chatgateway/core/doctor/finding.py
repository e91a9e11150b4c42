"""What the token doctor says: a finding is one mistake, with its cause and its cure; a diagnosis is all of them.

No finding ever holds the token, a secret, or more of a claim than a word: whatever a stranger wrote passes ``shown``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from chatgateway.core.compact import Reason
from chatgateway.core.token import Verified

Verdict = Literal["ok", "warn", "bad"]
"""Good, good but something should be mended, refused."""

Refusal = Reason | Literal["token_expired", "key_revoked", "identity_conflict", "forbidden"]
"""The verifier's word."""

Mistake = Literal[
    # Not a token, or a token with something around it.
    "nothing", "no_value", "promise", "object", "template", "secret_pasted", "session_token_pasted",
    "admin_token_pasted", "ticket_pasted", "private_key_pasted", "key_pasted", "id_pasted", "url", "html", "json",
    "claims_pasted", "opaque", "white_space_around", "quoted", "bearer_prefix", "prefix_twice", "prefix_spelled",
    "inside_json", "inside_url", "inside_text", "url_encoded", "white_space_inside", "invisible", "not_ascii",
    "shortened", "encoded_twice", "two_parts", "five_parts", "parts", "padded", "standard_alphabet", "cut",
    "loose_bits",
    # Parts that are no JSON.
    "two_byte_text", "byte_order_mark", "other_charset", "token_in_token", "compressed", "single_quotes",
    "form_encoded", "serialized", "json_twice",
    # The header.
    "unsigned", "alg_spelled", "alg_variant", "alg_unknown", "only_secrets", "only_public_keys", "no_keys", "all_dead",
    "kid_in_payload", "kid_of_another_key", "kid_missing_among_many",
    # The key.
    "secret_decoded", "secret_encoded", "secret_hex", "secret_hashed", "secret_cut", "secret_with_white_space",
    "secret_with_quotes", "secret_two_bytes", "public_key_as_secret", "sample_secret", "id_as_secret", "empty_secret",
    "der_signature", "dead_key", "pending_key", "another_projects_key", "unsigned_part",
    # When.
    "milliseconds", "instant_as_text", "instant_as_date", "instant_as_fraction", "duration_as_instant",
    "clock_behind", "clock_ahead", "life_allowed_elsewhere", "ends_soon",
    # Who and what.
    "another_profile", "id_misspelled", "id_is_number", "email_is_text", "email_is_object", "isverified_outside",
    "isverified_missing", "boolean_as_text", "aud_without_project", "aud_other_project", "id_without_project",
    "sub_not_external", "placeholder", "rights", "readable_secret", "look_alike", "retiring_key", "misspelled",
    "not_normalised", "id_of_nobody",
]  # fmt: skip
"""The doctor's words, finer than the verifier's. They never change meaning."""

_TELLING: Final = re.compile(r"cg[a-z]_|eyJ|-----BEGIN|[A-Za-z0-9+/_=-]{40}")
"""Looks like a credential, ours or anybody's."""


_PROSE: Final = re.compile(r"(?:a|an|every|it|no|none|the|there|these|this|two|whether|white|characters)\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake."""

    mistake: Mistake | Refusal
    cause: str
    fix: str
    explains: frozenset[str] = frozenset()
    """The refusals that follow from it; none: a warning."""

    @property
    def sentence(self) -> str:
        # The name of a claim keeps its own spelling.
        capital = self.cause[:1].upper() if _PROSE.match(self.cause) else self.cause[:1]
        return f"{capital}{self.cause[1:]}: {self.fix}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the token looks like, whether or not anybody vouched for it."""

    algorithm: str = ""
    kid: str = ""
    key: str = ""
    """Which key of the project signed it, and what has become of that key."""
    profile: str
    """How the app reads tokens."""
    looks_like: str = ""
    """The profile that fits best."""
    issued: str = ""
    expires: str = ""
    life: str = ""
    identifiers: tuple[str, ...] = ()
    """Which kinds of names the person is given, and the names; only of a token that is good."""
    read: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    role_like: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is to be said of one token."""

    verdict: Verdict
    reason: Refusal | Literal[""]
    """The verifier's word; empty when it takes the token."""
    mistake: Mistake | Refusal | Literal[""]
    sentence: str
    """Cause and cure of what matters most."""
    facts: Facts
    also: tuple[Finding, ...] = ()
    """What else would be wrong, or should be mended."""
    verified: Verified | None = field(default=None, repr=False)
    """What the verifier made of it, when it takes the token."""

    def doubted(self, finding: Finding) -> Diagnosis:
        """Return what is to be said of a good token when somebody who knows more would have something mended."""
        if self.verdict != "ok":
            return replace(self, also=(*self.also, finding))
        sentence = f"The token is good, but {finding.sentence[:1].lower()}{finding.sentence[1:]}"
        return replace(self, verdict="warn", mistake=finding.mistake, sentence=sentence)

    def worsened(self, refusal: Refusal, finding: Finding) -> Diagnosis:
        """Return what is to be said when somebody who knows more than the token refuses it. The first fault stays."""
        if self.verdict == "bad":
            return replace(self, also=(*self.also, finding))
        return replace(
            self,
            verdict="bad",
            reason=refusal,
            mistake=finding.mistake,
            sentence=finding.sentence,
            facts=replace(self.facts, identifiers=()),
            verified=None,
        )


def shown(text: object, chars_max: int = 64) -> str:
    """Return what somebody wrote into a token, fit to be read: short, printable, and never a credential."""
    if not isinstance(text, str):
        return a_type(text)
    if _TELLING.search(text):
        return "(not shown)"
    tidy = "".join(char if char.isprintable() else "�" for char in text[: chars_max + 1])
    return tidy if len(text) <= chars_max else f"{tidy[:chars_max]}…"


def a_type(value: object) -> str:
    """Return of which type a value is, as JSON calls it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def spoken(ms: int) -> str:
    """Return a duration in words, in its largest unit; up to two of the next below it."""
    seconds = abs(ms) // 1000
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    for index, (unit, size) in enumerate(units):
        if seconds >= size or size == 1:
            count, rest = divmod(seconds, size)
            words = _counted(count, unit)
            if index + 1 < len(units) and rest >= units[index + 1][1]:
                below, below_size = units[index + 1]
                words += f" {_counted(rest // below_size, below)}"
            return words
    raise AssertionError("a second is the smallest unit")


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"
