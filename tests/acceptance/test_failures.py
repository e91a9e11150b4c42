"""What goes wrong is said in one clear sentence, to whoever can do something about it."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from tests.acceptance.client import Client, Ended, Refused
from tests.acceptance.conftest import House
from tests.acceptance.gateway import PATIENCE_S, Place
from tests.acceptance.operator import SHOP, Operator

from chatgateway.cli.opened import opened
from chatgateway.core import credential
from chatgateway.protocol import frames as f
from chatgateway.settings import Settings
from chatgateway.store.sealing import fresh_master_key
from chatgateway.types import AppId, ProjectId, SessionId, UnixMs, UserId

DAY_MS = 24 * 3_600_000
Build = Callable[..., Awaitable[House]]


async def serve(place: Place, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run ``chatgateway serve`` where it cannot start; return its status and what it said to the operator."""
    ran = await Operator(place)("serve", "--port", "0", *arguments, **environ)
    said = [line for line in ran.err.splitlines() if not line.startswith("{")]
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert len(said) == 1, said
    return ran.status, said[0]


class TestStarting:
    async def test_a_store_that_is_down_is_status_4_and_one_sentence(self, tmp_path: Path) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"redis://user:hunter2@127.0.0.1:{nobody.getsockname()[1]}"
            place = Place(tmp_path)
            status, said = await serve(
                place, "--store-url", url, CHATGATEWAY_DATA="", CHATGATEWAY_MASTER_KEY=fresh_master_key()
            )
        assert status == 4
        assert said.startswith("chatgateway: the store cannot be reached")
        assert "hunter2" not in said

    async def test_a_port_in_use_is_status_3_and_names_the_port(self, house: House) -> None:
        taken = house.nodes[0].port
        status, said = await serve(house.place, "--port", str(taken))
        assert (status, f"port {taken} on 127.0.0.1 is in use" in said) == (3, True)

    async def test_a_data_directory_that_somebody_else_holds_is_status_5(self, tmp_path: Path) -> None:
        place = Place(tmp_path)
        assert (await Operator(place)("project", "create", "Shop", "--json")).status == 0
        lock = os.open(place.data / "store/store.lock", os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The real command but for its patience, which is a minute: a rewrite child may hold the lock so long.
            hurried = (
                "from chatgateway.store.embedded import EmbeddedStore as store\n"
                "store.start.__func__.__kwdefaults__['refusing_max_s'] = 0.3\n"
                "from chatgateway.cli import main\n"
                "main(['serve', '--port', '0'])\n"
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", hurried, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=place.environment()
            )
            async with asyncio.timeout(PATIENCE_S):
                _, said = await process.communicate()
        finally:
            os.close(lock)
        assert process.returncode == 5
        assert f"The data directory {place.data} is in use" in said.decode()

    async def test_another_master_key_is_refused_before_anybody_is_let_in(self, house: House) -> None:
        status, said = await serve(house.place, CHATGATEWAY_MASTER_KEY=fresh_master_key())
        assert status == 3
        assert "The master key is not the one of this store" in said
        status, said = await serve(house.place, CHATGATEWAY_MASTER_KEY="cgm_too-short")
        assert status == 3
        assert "too-short" not in said

    async def test_a_lost_master_key_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        place = Place(tmp_path)
        assert (await Operator(place)("project", "create", "Shop", "--json")).status == 0
        (place.data / "master.key").unlink()
        status, said = await serve(place)
        assert status == 3
        assert "put it back from your backup" in said

    async def test_an_unknown_or_impossible_setting_is_status_2_and_is_named(self, tmp_path: Path) -> None:
        place = Place(tmp_path)
        status, said = await serve(place, CHATGATEWAY_PROT="80")
        assert status == 2
        assert "CHATGATEWAY_PROT: unknown setting" in said
        assert "CHATGATEWAY_PORT" in said
        status, said = await serve(place, CHATGATEWAY_LEASE_S="soon")
        assert (status, "CHATGATEWAY_LEASE_S" in said, "soon" in said) == (2, True, False)
        file = tmp_path / "gateway.toml"
        file.write_text("prot = 80\n")
        status, said = await serve(place, "--config", str(file))
        assert status == 2
        assert "prot: unknown setting" in said
        assert not place.data.exists()


class TestOnTheSocket:
    async def test_what_is_no_frame_ends_a_stranger_and_only_refuses_whoever_said_hello(self, house: House) -> None:
        site = await house.operator.site("Malformed")
        for nonsense in ("", "{", "[]", '{"type":"hello","app":7}', '{"type":"nonsense"}', '{"type":"send"}'):
            stranger = await Client.connect(house.nodes[0])
            await stranger.say_raw(nonsense)
            goodbye, code = await stranger.ended()
            assert goodbye is not None, nonsense
            assert (goodbye.code, goodbye.retry, code) == (4400, "no", 4400)
            assert goodbye.sentence
        async with await Client.visitor(house.nodes[0], site) as visitor:
            for nonsense in ("", "{", "[]", '{"type":"send","conversation":7}', '{"type":"nonsense"}'):
                await visitor.say_raw(nonsense)
                error = await visitor.want(f.Error)
                assert (error.code, error.retry) == ("malformed", "no")
            await visitor.start("still here")

    async def test_a_version_of_the_protocol_that_is_not_spoken_here_is_named_as_the_mistake(
        self, house: House
    ) -> None:
        client = await Client.connect(house.gateways[0], protocols=["chatgateway.v9.json"])
        goodbye, code = await client.ended()
        assert goodbye is not None
        assert (code, goodbye.reason, goodbye.retry) == (4415, "version", "no")

    async def test_a_token_in_the_sub_protocol_signs_in_like_one_in_hello(self, house: House) -> None:
        site = await house.operator.site("Edge")
        bearer = base64.urlsafe_b64encode(site.token("ada").encode()).decode().rstrip("=")
        client = await Client.connect(house.gateways[0], protocols=["chatgateway.v1.json", f"bearer.{bearer}"])
        async with client:
            assert (await client.hello(app=site.app)).identity == "signed"

    async def test_a_token_of_2_mb_is_too_big_for_both_doors(self, house: House) -> None:
        site = await house.operator.site("Huge")
        huge = "e" * 2_000_000
        stranger = await Client.connect(house.nodes[0])
        await stranger.say("hello", app=site.app, token=huge)
        _, code = await stranger.ended()
        assert code == 4413
        async with await Client.visitor(house.nodes[0], site) as visitor:
            await visitor.say("authenticate", token=huge)
            assert (await visitor.ended())[1] == 4413
        status, error = await exchange(house, {"app": site.app, "token": huge})
        assert (status, error["code"]) == (413, "too_big")

    async def test_an_app_that_does_not_exist_is_named_as_the_mistake(self, house: House) -> None:
        for app in ("app_nobody", "", "x" * 64):
            stranger = await Client.connect(house.nodes[0])
            await stranger.say("hello", app=app)
            goodbye, code = await stranger.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.reason, code) == (4404, "app_unknown", 4404)
            assert "data-app" in goodbye.sentence
        status, error = await exchange(house, {"app": "app_nobody"})
        assert (status, error["code"]) == (404, "app_unknown")

    async def test_a_page_of_another_origin_is_told_how_to_be_let_in(self, house: House) -> None:
        site = await house.operator.site("Origin")
        for origin in ("https://evil.example", "null", "https://shop.example.evil.example", None):
            stranger = await Client.connect(house.nodes[0], origin=origin)
            await stranger.say("hello", app=site.app)
            goodbye, code = await stranger.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.retry, code) == (4403, "no", 4403)
            cure = f"--origin {origin}" if origin else "--absent-origin"
            assert f"chatgateway app set {site.app} {cure}" in goodbye.sentence
        status, error = await exchange(house, {"app": site.app}, origin="https://evil.example")
        assert (status, error["code"]) == (403, "origin_forbidden")
        assert f"chatgateway app set {site.app} --origin https://evil.example" in error["sentence"]

    async def test_an_app_that_wants_signed_visitors_lets_no_stranger_in(self, house: House) -> None:
        site = await house.operator.site("Signed", "--policy", "signed")
        stranger = await Client.connect(house.nodes[0])
        await stranger.say("hello", app=site.app)
        assert (await stranger.ended())[1] == 4403
        assert (await exchange(house, {"app": site.app}))[0] == 403
        async with await Client.visitor(house.nodes[0], site, site.token("ada")) as ada:
            await ada.start("I am signed")

    async def test_bad_tokens_are_refused_alike_and_the_reason_stands_in_the_log_alone(self, house: House) -> None:
        site = await house.operator.site("Bad")
        here = house.nodes[0]
        wrong = site.token("ada")[:-4] + "AAAA"
        for token in ("nonsense", wrong, "cgv_e30.AAAA", "cgt_nobody"):
            stranger = await Client.connect(here)
            await stranger.say("hello", app=site.app, token=token)
            goodbye, code = await stranger.ended()
            assert goodbye is not None
            assert (goodbye.code, code) == (4401, 4401)
        expired = await Client.connect(here)
        await expired.say("hello", app=site.app, token=site.token("ada", iat=1_700_000_000, exp=1_700_000_600))
        assert (await expired.ended())[1] == 4300
        # A secret that arrives instead of a token is an alarm; neither it nor any token is ever in the log.
        exposed = await Client.connect(here)
        await exposed.say("hello", app=site.app, token=site.secret)
        goodbye, _ = await exposed.ended()
        assert goodbye is not None
        assert "regenerate" in goodbye.sentence
        await here.says("secret.arrived", lambda line: line.get("app") == site.app)
        written = here.log.read_text()
        assert site.secret not in written
        assert wrong not in written
        assert wrong.rpartition(".")[0] not in written


async def exchange(house: House, body: dict[str, str], origin: str = SHOP) -> tuple[int, dict[str, str]]:
    """Post to /v1/token; return the status and the error."""
    async with httpx2.AsyncClient(base_url=house.nodes[1].url, trust_env=False) as browser:
        answer = await browser.post("/v1/token", content=json.dumps(body), headers={"Origin": origin})
    return answer.status_code, answer.json().get("error", {})


class TestTheStrangersCredential:
    async def test_it_renews_itself_on_day_179_and_brings_the_history(self, house: House) -> None:
        site = await house.operator.site("Day179")
        async with await Client.visitor(house.nodes[0], site) as visitor:
            begun = await visitor.start("half a year ago")
            user = visitor.me.user
        now = UnixMs(int(time.time() * 1000))
        young, old, over = await aged(house, site.project, site.app, user, now, 89, 179, 181)

        async with await Client.visitor(house.nodes[1], site, young) as visitor:
            assert visitor.me.session_token == young
        async with await Client.visitor(house.nodes[1], site, old) as visitor:
            assert visitor.me.user == user
            assert visitor.me.session_token != old
            assert abs(visitor.me.expires_at - (now + 180 * DAY_MS)) < 3_600_000
            assert [message.text for message in await visitor.open(begun.conversation)] == ["half a year ago"]
            renewed = visitor.me.session_token
        async with await Client.visitor(house.nodes[0], site, renewed) as visitor:
            assert (visitor.me.user, visitor.me.session_token) == (user, renewed)
        expired = await Client.connect(house.nodes[0])
        await expired.say("hello", app=site.app, token=over)
        goodbye, code = await expired.ended()
        assert goodbye is not None
        assert (goodbye.code, code) == (4300, 4300)

    async def test_it_is_renewed_over_http_too(self, house: House) -> None:
        site = await house.operator.site("Exchange179")
        now = UnixMs(int(time.time() * 1000))
        (old,) = await aged(house, site.project, site.app, "usr_" + "0" * 20, now, 179)
        async with httpx2.AsyncClient(base_url=house.nodes[1].url, trust_env=False) as browser:
            answer = await browser.post("/v1/token", json={"app": site.app, "token": old}, headers={"Origin": SHOP})
        granted = answer.json()
        assert (granted["user"], granted["identity"], granted["token_type"]) == (
            "usr_" + "0" * 20,
            "anonymous",
            "Bearer",
        )
        assert granted["session_token"] != old
        assert abs(granted["expires_in"] - 180 * 24 * 3600) < 3600

    async def test_a_forged_one_is_refused(self, house: House) -> None:
        site = await house.operator.site("Forged")
        async with await Client.visitor(house.nodes[0], site) as visitor:
            head, _, mac = visitor.me.session_token.rpartition(".")
        for forged in (head + ".", f"{head}.{mac[::-1]}", f"{head[:-2]}AA.{mac}"):
            with pytest.raises(Ended, match="4401"):
                await Client.visitor(house.nodes[0], site, forged)
        with pytest.raises(Refused, match="token_rejected"):
            async with await Client.visitor(house.nodes[0], site) as visitor:
                await visitor.authenticate(forged)


async def aged(house: House, project: str, app: str, user: str, now: UnixMs, *days: int) -> list[str]:
    """Return the credentials that a stranger was given so many days ago, minted by the gateway's own ring."""
    made: list[str] = []
    async with opened(Settings(data=house.place.data)) as store:
        ring = await store.keyrings.gateway_ring()
        for age in days:
            held = credential.anonymous(
                SessionId("ses_" + "0" * 20), UserId(user), ProjectId(project), AppId(app), UnixMs(now - age * DAY_MS)
            )
            made.append(credential.mint(held, ring))
    return made
