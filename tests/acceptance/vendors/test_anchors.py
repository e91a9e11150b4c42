"""What the vendors have in common: A2, A3 and A12 of docs/migrating; the other anchors stand beside vendors' rows."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import jwt
import pytest
from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.operator import SHOP, Site
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import PAYLOADS, ask

from chatgateway.protocol import frames as f


def flipped(token: str) -> Iterator[str]:
    """Yield the token with one bit of one byte changed: of whom it names, and of the signature."""
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    at = claims.index(b"zoe")
    yield _joined(header, claims[:at] + b"j" + claims[at + 1 :], signature)
    yield _joined(header, claims, bytes([signature[0] ^ 1]) + signature[1:])


def _joined(*parts: bytes) -> str:
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("profile", PAYLOADS)
async def test_A2_one_flipped_byte_is_refused_and_nothing_changes(
    profile: str, house: House, came_from: CameFrom
) -> None:
    shop = await came_from(profile)
    here, there = house.nodes
    async with await shop.visitor(here) as stranger, await shop.visitor(there, shop.token("ada-a2")) as ada:
        begun = await stranger.start("a stranger")
        before = await shop.people()
        for bent in flipped(shop.token("zoe-a2")):
            for tab in (stranger, ada):
                answer = await tab.ask("authenticate", token=bent)
                assert isinstance(answer, f.Error)
                assert answer.code == "token_rejected"
            refused = await ask(there, "POST", "/v1/token", body={"app": shop.site.app, "token": bent})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_rejected")
        assert await shop.people() == before
        await stranger.send(begun.conversation, "a stranger still")
        await ada.start("and Ada still")
    log = await house.operator.history(shop.site, begun.conversation)
    assert [entry["from"]["assurance"] for entry in log] == ["anonymous", "anonymous"]
    # Whole, it would have been good.
    async with await shop.visitor(here, shop.token("zoe-a2")) as zoe:
        assert zoe.me.identity == "signed"


async def test_A3_the_same_user_signs_in_by_a_pasted_public_key_and_by_a_shared_secret(
    house: House, came_from: CameFrom
) -> None:
    shop = await came_from("plain")
    here, there = house.nodes
    options = ("--origin", SHOP, "--profile", "tiledesk", "--json")
    app = (await house.operator("app", "create", shop.site.project, "mobile", *options)).json["app"]
    by_pair, by_secret = shop.token("A3"), Site(shop.site.project, app, "", shop.site.secret).token("A3")
    assert [jwt.get_unverified_header(token)["alg"] for token in (by_pair, by_secret)] == ["RS256", "HS256"]
    async with await shop.visitor(here, by_pair) as web:
        begun = await web.start("by the pair")
        async with await Client.connect(there) as mobile:
            await mobile.hello(app=app, token=by_secret)
            assert mobile.me.user == web.me.user
            assert [message.text for message in await mobile.open(begun.conversation)] == ["by the pair"]


async def test_A12_S15_an_expired_token_is_told_from_a_bad_one_and_a_fresh_one_goes_on_in_the_session(
    house: House, came_from: CameFrom
) -> None:
    shop = await came_from("pingstreams")
    here, there = house.nodes
    long_ago = int(time.time()) - 86_400
    expired = shop.token("A12", iat=long_ago, exp=long_ago + 600)
    # A page that comes with it is told to fetch a fresh one, and to come back.
    late = await Client.connect(here)
    await late.say("hello", app=shop.site.app, token=expired, can_refresh=True)
    goodbye, code = await late.ended()
    assert goodbye is not None
    assert (goodbye.reason, goodbye.retry, code) == ("token_expired", "fresh_token", 4300)
    # On a live socket it costs nothing: the session is as it was, and a fresh token prolongs the same one.
    async with await shop.visitor(there, shop.token("A12"), can_refresh=True) as tab:
        begun = await tab.start("a long conversation")
        assert (await tab.ask("authenticate", token=expired)).code == "token_expired"
        await tab.send(begun.conversation, "not lost")
        fresh = await tab.authenticate(shop.token("A12"))
        assert isinstance(fresh, f.Identity)
        assert (fresh.user, fresh.session) == (tab.me.user, tab.me.session)
        assert fresh.expires_at > tab.me.expires_at
        await tab.send(begun.conversation, "and it goes on")
        assert [message.text for message in await tab.open(begun.conversation)] == [
            "a long conversation", "not lost", "and it goes on",
        ]  # fmt: skip
