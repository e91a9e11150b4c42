"""Tokens whose claims say the wrong thing of when."""

from __future__ import annotations

from collections.abc import Iterator

from tests.core.cases import saying
from tests.core.jose import NOW, NOW_S, claiming, token, without
from tests.core.mistaken import GOOD, Mistaken, as_profile, one


def times() -> Iterator[Mistaken]:
    yield one(
        "milliseconds",
        claiming(iat=NOW, exp=NOW + 600_000),
        "milliseconds",
        "instant_out_of_range",
        "in milliseconds",
        "divide by 1,000",
    )
    yield one(
        "exp in milliseconds",
        claiming(exp=NOW + 600_000),
        "milliseconds",
        "instant_out_of_range",
        "exp is in milliseconds",
        "divide by 1,000",
    )
    yield one(
        "milliseconds with a fraction",
        claiming(exp=NOW + 0.5),
        "milliseconds",
        "not_an_instant",
        "exp is in milliseconds",
        "divide",
    )
    yield one(
        "exp a text",
        claiming(exp=str(NOW_S + 60)),
        "instant_as_text",
        "not_an_instant",
        "exp is a text",
        "without quotes",
    )
    yield one(
        "exp a date",
        claiming(exp="2026-11-21T08:38:27Z"),
        "instant_as_date",
        "not_an_instant",
        "exp is a date",
        "seconds since 1970",
    )
    yield one(
        "exp a fraction",
        claiming(exp=NOW_S + 60.25),
        "instant_as_fraction",
        "not_an_instant",
        "exp has a fraction",
        "round it down",
    )
    yield one(
        "exp a duration",
        claiming(exp=3600),
        "duration_as_instant",
        "instant_out_of_range",
        "exp is a duration",
        "iat + 3600",
    )
    yield one("exp null", claiming(exp=None), "not_an_instant", "not_an_instant", "exp is null", "whole number")
    yield one(
        "exp in year 9999",
        claiming(exp=253_402_300_799),
        "instant_out_of_range",
        "instant_out_of_range",
        "after 2100",
        "whole number",
    )
    yield one(
        "expired",
        claiming(iat=NOW_S - 8_000, exp=NOW_S - 7_400),
        "token_expired",
        "token_expired",
        "expired 2 hours 3 minutes ago",
        "fresh",
    )
    yield one(
        "an hour behind",
        claiming(iat=NOW_S - 3_600, exp=NOW_S - 3_000),
        "clock_behind",
        "token_expired",
        "expired 50 minutes ago|local time",
        "UTC",
    )
    yield one(
        "five minutes ahead",
        claiming(iat=NOW_S + 300, exp=NOW_S + 900),
        "clock_ahead",
        "issued_in_the_future",
        "5 minutes in the future",
        "clock (NTP)",
    )
    yield one(
        "an hour ahead",
        claiming(iat=NOW_S + 3_600, exp=NOW_S + 4_000),
        "clock_ahead",
        "issued_in_the_future",
        "1 hour in the future|local time",
        "UTC",
    )
    yield one(
        "nbf ahead", claiming(nbf=NOW_S + 600), "not_yet_valid", "not_yet_valid", "valid in 10 minutes", "drop nbf"
    )
    yield one("no exp", token(without("exp")), "exp_missing", "exp_missing", "exp is missing", "add exp")
    yield one("no iat", token(without("iat")), "iat_missing", "iat_missing", "iat is missing", "add iat")
    yield one(
        "exp before iat",
        claiming(exp=NOW_S - 30),
        "exp_not_after_iat",
        "exp_not_after_iat",
        "30 seconds before iat",
        "sum of iat",
    )
    yield one(
        "exp equals iat", claiming(exp=NOW_S), "exp_not_after_iat", "exp_not_after_iat", "equals iat", "sum of iat"
    )
    yield one(
        "too long for tiledesk",
        saying("tiledesk", exp=NOW_S + 3_600),
        "life_allowed_elsewhere",
        "life_too_long",
        "lives 1 hour|50 minutes longer|10 minutes that tiledesk",
        "iat + 600|canonical, plain",
        profile=as_profile("tiledesk"),
    )
    yield one(
        "too long for all", claiming(exp=NOW_S + 172_800), "life_too_long", "life_too_long", "2 days", "iat + 86400"
    )
    yield one(
        "demanded exp",
        saying("deskpro"),
        "exp_missing",
        "exp_missing",
        "this app demands",
        "add exp",
        profile=as_profile("deskpro"),
        demands_expiry=True,
    )
    yield one("used once, no jti", GOOD, "jti_missing", "jti_missing", "no jti", "fresh random", one_time=True)
