"""What a refused customer token is told, what the log hears of it, and what an app reports before it refuses."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import jwt
import pytest
from tests.gateway.indoors import SHOP, Indoors

from chatgateway.core.profiles import PROFILES
from chatgateway.errors import StoreUnavailable
from chatgateway.store import schema
from chatgateway.types import ExternalId


async def change(indoors: Indoors, **wanted: Any) -> None:
    await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, **wanted))


def logged(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def endless(indoors: Indoors, **claims: Any) -> str:
    """A token without exp, as the profile deskpro takes them."""
    said = {"email": "ada@shop.example", "iat": int(time.time())} | claims
    return jwt.encode(said, indoors._secrets[next(iter(indoors._secrets))], "HS256", headers={"kid": "k1"})


async def exchanged(indoors: Indoors, token: str, origin: str | None = SHOP) -> Any:
    headers = {} if origin is None else {"Origin": origin}
    async with indoors.browser(headers=headers) as browser:
        return (await browser.post("/v1/token", json={"app": indoors.app.id, "token": token})).json()


class TestRefusedToken:
    @pytest.mark.parametrize("developing", [False, True])
    async def test_is_logged_with_its_reason_wherever_it_fell(
        self, indoors: Indoors, capsys: pytest.CaptureFixture[str], developing: bool
    ) -> None:
        """By the signature, by an app that takes each token once, and by one that demands an end."""
        await change(indoors, one_time_tokens=True, developer_mode=developing)
        once = indoors.token("ada", jti="one")
        assert "error" not in await exchanged(indoors, once)
        cases = [(once, "used_before"), (indoors.token("ada"), "jti_missing"), (once[:-4] + "AAAA", "bad_signature")]
        for token, reason in cases:
            capsys.readouterr()
            error = (await exchanged(indoors, token))["error"]
            assert error["code"] == "token_rejected"
            assert [line["detail"] for line in logged(capsys, "token.refused")] == [reason]
            assert (f"({reason})" in error["sentence"]) is developing
        await change(indoors, one_time_tokens=False, require_expiry="on", profile="deskpro")
        error = (await exchanged(indoors, endless(indoors)))["error"]
        assert [line["detail"] for line in logged(capsys, "token.refused")] == ["exp_missing"]
        assert ("add exp, in whole seconds" in error["sentence"]) is developing

    async def test_is_told_in_developer_mode_what_to_do(self, indoors: Indoors) -> None:
        await change(indoors, developer_mode=True)
        error = (await exchanged(indoors, indoors.token("ada", exp=int(time.time()) + 90_000_000)))["error"]
        assert error["sentence"].startswith("The token was rejected (life_too_long). The token lives longer")


async def test_who_signs_in_in_vain_at_the_claim_is_not_seen_as_online(
    indoors: Indoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = await indoors.visitor()
    await stranger.start()

    async def fails(*_: Any) -> Any:
        raise StoreUnavailable("for a moment")

    monkeypatch.setattr(indoors.parts.claims, "claim", fails)
    await indoors.refused(indoors.token("ada"), earlier=stranger.me["session_token"])
    ada = await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId("ada"))
    assert ada is not None
    (row,) = (await indoors.rows(ada.user)).values()
    assert row.closed_at
    assert not row.node


async def test_a_token_that_is_good_once_is_remembered_for_as_long_as_any_app_would_take_it(indoors: Indoors) -> None:
    """Another app of the project may read its end otherwise than the one that took it."""
    await change(indoors, one_time_tokens=True)
    assert "error" not in await exchanged(indoors, indoors.token("ada", jti="one"))
    key = schema.spent(indoors.project.id, schema.identifier_digest("jti k1", "one"))
    left_ms = await indoors.store.redis.pttl(key)
    assert left_ms > max(profile.max_life_ms + profile.leeway_ms for profile in PROFILES.values())


async def test_a_report_on_tokens_without_end_says_who_and_from_where(indoors: Indoors) -> None:
    await change(indoors, require_expiry="report", profile="deskpro")
    granted = await exchanged(indoors, endless(indoors))
    (line,) = await indoors.parts.reports.latest(indoors.project.id)
    assert (line.rule, line.user, line.origin) == ("require_expiry", granted["user"], SHOP)


class TestPageThatIsNotListed:
    async def test_is_told_its_origin_and_the_app(self, indoors: Indoors, capsys: pytest.CaptureFixture[str]) -> None:
        error = (await exchanged(indoors, indoors.token("ada"), "https://other.example"))["error"]
        assert error["code"] == "origin_forbidden"
        assert f"chatgateway app set {indoors.app.id} --origin https://other.example" in error["sentence"]
        (line,) = logged(capsys, "request.refused")
        assert (line["path"], line["code"], line["origin"]) == (
            "/v1/token", "origin_forbidden", "https://other.example",
        )  # fmt: skip

    async def test_is_never_quoted_into_a_command(self, indoors: Indoors) -> None:
        error = (await exchanged(indoors, indoors.token("ada"), "https://x.example;reboot"))["error"]
        assert "reboot" not in error["sentence"]

    async def test_who_says_no_origin_is_told_so(self, indoors: Indoors) -> None:
        error = (await exchanged(indoors, indoors.token("ada"), None))["error"]
        assert f"chatgateway app set {indoors.app.id} --absent-origin" in error["sentence"]


async def test_signing_out_needs_no_body(indoors: Indoors) -> None:
    granted = await exchanged(indoors, indoors.token("ada"))
    headers = {"Origin": SHOP, "Authorization": f"Bearer {granted['session_token']}"}
    async with indoors.browser(headers=headers) as browser:
        assert (await browser.post("/v1/sign_out")).status_code == 204
        assert (await browser.get("/v1/me")).status_code == 401
