"""Read when a token lives, and what was mistaken when it never does."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chatgateway.core.doctor.finding import Finding, Mistake, Refusal, a_type, spoken
from chatgateway.core.profiles import ClaimsProfile
from chatgateway.core.token import EARLIEST_S, LATEST_S
from chatgateway.types import UnixMs

INSTANTS: Final = ("iat", "exp", "nbf")

_NOT_INSTANTS: Final = frozenset({"not_an_instant", "instant_out_of_range"})
_SKEW_MAX_MS: Final = 26 * 3_600_000
"""A clock that is off by more is no clock; time zones reach to 14 hours."""

_SOON_MS: Final = 30_000
_DAY_S: Final = 86_400
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d|\w{3}, \d{1,2} \w{3} \d{4}|\w{3} \w{3} \d{1,2} \d{4}")


def examined(
    claims: Mapping[str, Any], profile: ClaimsProfile, now: UnixMs, others: Mapping[str, ClaimsProfile]
) -> Iterator[Finding]:
    """Yield what is the matter with the claims that say when; ``others`` are the profiles that the app does not use."""
    broken = False
    for name in INSTANTS:
        if name in claims and (finding := _no_instant(name, claims[name])) is not None:
            broken = True
            yield finding
    if not broken:
        yield from _ended_or_not_begun(claims, profile, now)
        yield from _length(claims, profile, now, others)


def moment(claims: Mapping[str, Any], name: str) -> UnixMs | None:
    """Return an instant that the verifier would believe, else None."""
    seconds = claims.get(name)
    return UnixMs(seconds * 1000) if type(seconds) is int and EARLIEST_S <= seconds <= LATEST_S else None


def written(at: UnixMs, now: UnixMs) -> str:
    """Return an instant for people: the time in UTC, and how far away it is."""
    clock = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if at == now:
        return f"{clock} (now)"
    return f"{clock} ({spoken(at - now)} ago)" if at < now else f"{clock} (in {spoken(at - now)})"


def _no_instant(name: str, value: object) -> Finding | None:
    """Return why a claim is no instant, or None when it is one."""
    if type(value) is int and EARLIEST_S <= value <= LATEST_S:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        fix = "write seconds since 1970 as a whole number"
        return _found("not_an_instant", f"{name} is {a_type(value)}", fix)
    if isinstance(value, str):
        if _DATE.search(value):
            fix = "write seconds since 1970 as a whole number, not a date"
            return _found("instant_as_date", f"{name} is a date written as text", fix)
        return _found("instant_as_text", f"{name} is a text, not a number", "write it without quotes")
    if not math.isfinite(value):
        return _found("not_an_instant", f"{name} is no number", "write seconds since 1970 as a whole number")
    for unit, per_second in (("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)):
        if EARLIEST_S <= value / per_second <= LATEST_S:
            cause = f"{name} is in {unit}"
            return _found("milliseconds", cause, f"write seconds, so divide by {per_second:,} and round down")
    if isinstance(value, float):
        fix = "round it down to a whole number (int, Math.floor)"
        return _found("instant_as_fraction", f"{name} has a fraction", fix)
    if 0 < value <= 366 * _DAY_S and name == "exp":
        cause = "exp is a duration, not an instant"
        return _found("duration_as_instant", cause, f"add it to the present time (exp = iat + {value})")
    return _found(
        "instant_out_of_range", f"{name} lies before 2001 or after 2100", "write seconds since 1970 as a whole number"
    )


def _found(mistake: Mistake | Refusal, cause: str, fix: str) -> Finding:
    return Finding(mistake, cause, fix, _NOT_INSTANTS)


def _ended_or_not_begun(claims: Mapping[str, Any], profile: ClaimsProfile, now: UnixMs) -> Iterator[Finding]:
    issued_at, expires_at, not_before = (moment(claims, name) for name in INSTANTS)
    if issued_at is not None and issued_at > now + profile.leeway_ms:
        ahead = issued_at - now
        hint = ", and whole hours point to local time instead of UTC" if _whole_hours(ahead) else ""
        yield Finding(
            "clock_ahead", f"iat lies {spoken(ahead)} in the future{hint}",
            f"set the signing server's clock (NTP) and write UTC; up to {spoken(profile.leeway_ms)} is forgiven",
            frozenset({"issued_in_the_future"}),
        )  # fmt: skip
    if not_before is not None and not_before > now + profile.leeway_ms:
        cause = f"nbf says that the token becomes valid in {spoken(not_before - now)}"
        fix = "drop nbf, or set it to the present time"
        yield Finding("not_yet_valid", cause, fix, frozenset({"not_yet_valid"}))
    if expires_at is None or now < expires_at:
        if expires_at is not None and expires_at - now < _SOON_MS:
            fix = "sign it when the page asks, so that it arrives with some life left"
            yield Finding("ends_soon", f"the token ends in {spoken(expires_at - now)}", fix)
        return
    ago = now - expires_at
    explains = frozenset({"token_expired"} if ago >= profile.leeway_ms else set[str]())
    cause = f"the token expired {spoken(ago)} ago"
    if issued_at is not None and expires_at - issued_at > 0 and _whole_hours(now - issued_at) and ago <= _SKEW_MAX_MS:
        fix = "write iat and exp in UTC, if it was signed just now; else sign a fresh one whenever the page asks"
        yield Finding("clock_behind", f"{cause}, and whole hours point to local time", fix, explains)
    else:
        fix = "sign a fresh one whenever the page asks, and do not cache it; if it is fresh, set the server's clock"
        yield Finding("token_expired", cause, fix, explains)


def _length(
    claims: Mapping[str, Any], profile: ClaimsProfile, now: UnixMs, others: Mapping[str, ClaimsProfile]
) -> Iterator[Finding]:
    issued_at, expires_at = moment(claims, "iat"), moment(claims, "exp")
    if "exp" not in claims:
        required = profile.expiry_required
        rest = "" if required else ", so that a session ends after an hour, and the token is good until its key ends"
        fix = f"add exp, in whole seconds, the present time plus at most {spoken(profile.max_life_ms)}"
        yield Finding(
            "exp_missing", f"exp is missing{rest}", fix,
            frozenset({"exp_missing"}) if required else frozenset(),
        )  # fmt: skip
    if "iat" not in claims:
        yield Finding(
            "iat_missing", "iat is missing", "add iat, the present time in whole seconds since 1970 (UTC)",
            frozenset({"iat_missing"}) if profile.issue_required else frozenset(),
        )  # fmt: skip
    if expires_at is None:
        return
    if issued_at is not None and expires_at <= issued_at:
        same = "exp equals iat" if expires_at == issued_at else f"exp lies {spoken(issued_at - expires_at)} before iat"
        fix = "make exp the sum of iat and the token's life in seconds"
        yield Finding("exp_not_after_iat", same, fix, frozenset({"exp_not_after_iat"}))
        return
    life = expires_at - (now if issued_at is None else issued_at)
    if life <= profile.max_life_ms:
        return
    allowed = spoken(profile.max_life_ms)
    excess = spoken(life - profile.max_life_ms)
    cause = f"the token lives {spoken(life)}, {excess} longer than the {allowed} that {profile.name} allows"
    longer = [name for name, other in others.items() if other.max_life_ms >= life]
    if longer:
        fix = f"set exp to at most iat + {profile.max_life_ms // 1000}; {_listed(longer)} allow it"
        yield Finding("life_allowed_elsewhere", cause, fix, frozenset({"life_too_long"}))
    else:
        fix = f"set exp to at most iat + {profile.max_life_ms // 1000}, and sign a fresh one whenever the page asks"
        yield Finding("life_too_long", cause, fix, frozenset({"life_too_long"}))


def _whole_hours(ms: int) -> bool:
    """Is it about a difference that a time zone makes (quarters of an hour count)?"""
    return abs(ms) > 1_500_000 and abs((abs(ms) + 450_000) % 900_000 - 450_000) < 60_000 and abs(ms) <= _SKEW_MAX_MS


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
