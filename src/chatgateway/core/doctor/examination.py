"""Examine one token from the outside in, and say first what the verifier stumbled over."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from chatgateway.core.doctor import claims as who
from chatgateway.core.doctor import life as when
from chatgateway.core.doctor import signer
from chatgateway.core.doctor.finding import Diagnosis, Facts, Finding, Refusal, shown, spoken
from chatgateway.core.doctor.parts import Loose, loosely
from chatgateway.core.doctor.pasted import LOOKED_AT_CHARS_MAX, unwrapped
from chatgateway.core.doctor.sentences import finding_of
from chatgateway.core.keyring import KeyRing
from chatgateway.core.profiles import PROFILES, ClaimsProfile, role_like
from chatgateway.core.project import Enforcement
from chatgateway.core.token import Verified, verify
from chatgateway.errors import PeerError, TokenRejected
from chatgateway.types import KeyId, ProjectId, UnixMs

_NO_PARTS = Loose({}, {}, b"", b"")
_ALSO_MAX = 12
_NAMES_MAX = 64


def diagnose(
    token: object,
    project: ProjectId,
    ring: KeyRing,
    profile: ClaimsProfile,
    now: UnixMs,
    *,
    profiles: Mapping[str, ClaimsProfile] = PROFILES,
    revoked: Container[KeyId] = (),
    elsewhere: Mapping[str, KeyRing] | None = None,
    one_time: bool = False,
    require_expiry: Enforcement = "off",
) -> Diagnosis:
    """Say what the verifier makes of ``token``, why, and what to change.

    The first arguments are the verifier's own. ``elsewhere`` are rings of other projects by their names, for those who
    may know of them; ``one_time`` and ``require_expiry`` are the app's. Never raises, whatever the token is.
    """
    outcome, verified = _judged(token, project, ring, profile, now, revoked)
    around, inner = unwrapped(token) if isinstance(token, str) and len(token) <= LOOKED_AT_CHARS_MAX else ([], "")
    well_formed = inner.removeprefix("JWT ").count(".") == 2
    loose, unreadable = loosely(inner) if well_formed else (_NO_PARTS, [])
    findings = [*around, *unreadable]
    match: signer.Match | None = None
    if well_formed:
        match, about_key = signer.examined(loose, ring, project, now, revoked, elsewhere or {})
        findings += about_key
    if loose.claims:
        reader = profile.generation(loose.claims)
        others = {name: other for name, other in profiles.items() if name != profile.name}
        findings += when.examined(loose.claims, reader, now, others)
        findings += who.examined(loose.claims, profile, project, profiles)
    if around and not outcome:
        findings = [
            finding for finding in findings if finding not in around
        ]  # the verifier took it: nothing was around
    if around and well_formed:
        # What would be said of the token inside, had it come alone.
        inside, _ = _judged(inner, project, ring, profile, now, revoked)
        if inside and not any(inside in finding.explains for finding in findings):
            findings.append(finding_of(inside))
    facts = _facts(loose, match, profile, project, profiles, now, verified)
    diagnosis = _of(outcome, findings, facts, verified)
    if verified is not None:
        diagnosis = _by_the_app(diagnosis, verified, one_time, require_expiry)
    return diagnosis


def _judged(
    token: object, project: ProjectId, ring: KeyRing, profile: ClaimsProfile, now: UnixMs, revoked: Container[KeyId]
) -> tuple[Refusal | None, Verified | None]:
    try:
        return None, verify(token, project, ring, profile, now, revoked=revoked)
    except TokenRejected as refusal:
        return cast(Refusal, refusal.detail), None
    except PeerError as refusal:
        return cast(Refusal, refusal.code), None


def _of(outcome: Refusal | None, findings: Sequence[Finding], facts: Facts, verified: Verified | None) -> Diagnosis:
    if outcome is None:
        assert verified is not None
        also = tuple(finding for finding in findings if not finding.explains)
        also += tuple(
            finding_of(warning) for warning in verified.warnings if not any(warning == one.mistake for one in also)
        )
        good = Diagnosis("ok", "", "", f"The token is good: {_whom(facts)}.", facts, (), verified)
        if not also:
            return good
        return replace(good.doubted(also[0]), also=also[1:_ALSO_MAX])
    first = next((finding for finding in findings if outcome in finding.explains), None) or finding_of(outcome)
    also = tuple(dict.fromkeys(finding for finding in findings if finding is not first))
    return Diagnosis("bad", outcome, first.mistake, first.sentence, facts, also[:_ALSO_MAX])


def _by_the_app(diagnosis: Diagnosis, verified: Verified, one_time: bool, require_expiry: Enforcement) -> Diagnosis:
    """Add what this app demands beyond the profile."""
    if require_expiry == "on" and "exp_missing" in verified.warnings:
        finding = finding_of("exp_missing")
        return diagnosis.worsened("exp_missing", replace(finding, cause="exp is missing, and this app demands it"))
    if one_time and not verified.token_id:
        return diagnosis.worsened("jti_missing", finding_of("jti_missing"))
    return diagnosis


def _whom(facts: Facts) -> str:
    return f"{' and '.join(facts.identifiers)}, signed with {facts.key}"


def _facts(
    loose: Loose,
    match: signer.Match | None,
    profile: ClaimsProfile,
    project: ProjectId,
    profiles: Mapping[str, ClaimsProfile],
    now: UnixMs,
    verified: Verified | None,
) -> Facts:
    reader = profile.generation(loose.claims)
    issued_at, expires_at = when.moment(loose.claims, "iat"), when.moment(loose.claims, "exp")
    names: list[Any] = list(loose.claims)[:_NAMES_MAX]
    dropped = verified.dropped if verified else tuple(name for name in names if not reader.reads(name))
    key = ""
    if match is not None:
        kid = match.kid if match.kid == match.key.kid else f"{match.kid} of {match.key.kid}"
        key = f"{shown(kid, 200)} ({match.algorithm}, {match.key.state})"
    return Facts(
        algorithm=shown(loose.header["alg"]) if "alg" in loose.header else "",
        kid=shown(loose.header["kid"], 128) if "kid" in loose.header else "",
        key=key,
        profile=profile.name,
        looks_like=who.likeliest(loose.claims, profile, project, profiles) if loose.claims else "",
        issued=when.written(issued_at, now) if issued_at else "",
        expires=when.written(expires_at, now) if expires_at else "",
        life=spoken(expires_at - issued_at) if issued_at and expires_at and expires_at > issued_at else "",
        identifiers=tuple(f"{one.kind} {shown(one.text, 255)}" for one in verified.identifiers) if verified else (),
        read=tuple(shown(name) for name in names if reader.reads(name)),
        dropped=tuple(shown(name) for name in dropped),
        role_like=tuple(shown(name) for name in dropped if role_like(name.rpartition(".")[2])),
    )
