"""Key sets of sites that are slow, down, hostile or honest, from a real server over real TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.outside.key_server import NAME, KeyServer, Signer, document, key_server

from chatgateway.core.keyring import KeyRing, followed_set
from chatgateway.errors import OutsideUnavailable
from chatgateway.outside import jwks
from chatgateway.outside.jwks import KeySets, with_fresh, with_newest
from chatgateway.types import KeyId, UnixMs

FIRST, SECOND = Signer("ES256", "first"), Signer("EdDSA", "second")
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Clock:
    ms = 5_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[KeyServer]:
    async with key_server(tmp_path, FIRST) as opened:
        yield opened


@pytest.fixture
async def sets(site: KeyServer, clock: Clock) -> AsyncIterator[KeySets]:
    opened = KeySets(private_addresses=True, tls=site.trust, now=clock)
    yield opened
    opened.close()


def kids(keys: tuple[Any, ...] | None) -> list[str]:
    return [key.kid for key in keys or ()]


class TestAsking:
    async def test_brings_the_keys(self, site: KeyServer, sets: KeySets) -> None:
        (key,) = await sets.get(site.url)
        assert (key.kid, key.algorithm, key.material.pem.decode()) == ("first", "ES256", FIRST.pem)

    async def test_a_hundred_at_once_is_one_request(self, site: KeyServer, sets: KeySets, clock: Clock) -> None:
        site.gate.clear()
        waiting = [asyncio.create_task(sets.get(site.url)) for _ in range(50)]
        await site.asked.wait()
        clock.ms += HOUR_MS  # however long it takes
        waiting += [asyncio.create_task(sets.again(site.url)) for _ in range(50)]
        await asyncio.sleep(0)
        site.gate.set()
        assert {tuple(kids(keys)) for keys in await asyncio.gather(*waiting)} == {("first",)}
        assert len(site.heads) == 1

    async def test_goes_on_for_the_others_when_one_hangs_up(self, site: KeyServer, sets: KeySets) -> None:
        site.gate.clear()
        leaving, staying = (asyncio.create_task(sets.get(site.url)) for _ in range(2))
        await site.asked.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        site.gate.set()
        assert kids(await staying) == ["first"]
        assert leaving.cancelled()

    async def test_ends_with_the_process(self, site: KeyServer, sets: KeySets) -> None:
        site.gate.clear()
        waiting = asyncio.create_task(sets.get(site.url))
        await site.asked.wait()
        sets.close()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    async def test_two_sites_keeps_them_apart(self, site: KeyServer, sets: KeySets) -> None:
        await sets.get(site.url)
        site.body = document(SECOND)
        assert kids(await sets.get(f"{site.url}?two")) == ["second"]
        assert kids(await sets.get(site.url)) == ["first"]

    async def test_reads_the_keys_off_the_event_loop(
        self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, where = jwks.followed_keys, []

        def reading(body: bytes) -> Any:
            where.append(threading.current_thread())
            return read(body)

        monkeypatch.setattr(jwks, "followed_keys", reading)
        await sets.get(site.url)
        assert where
        assert threading.main_thread() not in where

    async def test_remembers_no_more_sites_than_fit(
        self, site: KeyServer, sets: KeySets, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jwks, "SETS_MAX", 2)
        for page in ("1", "2", "3"):
            clock.ms += 1
            await sets.get(f"{site.url}?{page}")
        assert [sets.fresh(f"{site.url}?{page}") is None for page in ("1", "2", "3")] == [True, False, False]


class TestAskingAgain:
    @pytest.mark.parametrize(
        ("said", "fresh_ms"),
        [
            ("", 5 * MINUTE_MS),
            ("public, max-age=1", 5 * MINUTE_MS),
            ("max-age=600, must-revalidate", 10 * MINUTE_MS),
            ("s-maxage=9, Max-Age=3600", HOUR_MS),
            ("max-age=999999999", 24 * HOUR_MS),
            ("no-store, max-age=3600", 5 * MINUTE_MS),
            ("max-age=-1", 5 * MINUTE_MS),
            ("max-age=99999999999999999999", 5 * MINUTE_MS),
        ],
    )
    async def test_happens_when_the_answer_is_as_old_as_the_site_said(
        self, said: str, fresh_ms: int, site: KeyServer, sets: KeySets, clock: Clock
    ) -> None:
        site.headers["Cache-Control"] = said
        await sets.get(site.url)
        clock.ms += fresh_ms - 1
        await sets.get(site.url)
        assert len(site.heads) == 1
        site.body = document(SECOND)
        clock.ms += 1
        assert sets.fresh(site.url) is None
        assert kids(await sets.get(site.url)) == ["second"], "a key that was taken out is gone"

    async def test_for_a_key_that_nobody_knows_happens_once_in_30_seconds(
        self, site: KeyServer, sets: KeySets, clock: Clock
    ) -> None:
        await sets.get(site.url)
        site.body = document(FIRST, SECOND)
        clock.ms += 29_999
        assert kids(await sets.again(site.url)) == ["first"]
        clock.ms += 1
        assert kids(await sets.again(site.url)) == ["first", "second"]
        for _ in range(20):
            await sets.again(site.url)
        assert len(site.heads) == 2

    async def test_in_vain_leaves_the_last_good_set_for_a_day_and_no_longer(
        self, site: KeyServer, sets: KeySets, clock: Clock
    ) -> None:
        await sets.get(site.url)
        site.status = 500
        clock.ms += 5 * MINUTE_MS + 24 * HOUR_MS - 1
        assert kids(await sets.get(site.url)) == ["first"]
        assert sets.fresh(site.url) is None
        clock.ms += 1
        with pytest.raises(OutsideUnavailable, match="status 500"):
            await sets.get(site.url)

    async def test_in_vain_is_not_tried_by_every_sign_in(self, site: KeyServer, sets: KeySets, clock: Clock) -> None:
        await site.down()
        for _ in range(3):
            with pytest.raises(OutsideUnavailable, match="connection failed"):
                await sets.get(site.url)
        await site.up()
        with pytest.raises(OutsideUnavailable):
            await sets.get(site.url)
        assert site.heads == []
        clock.ms += 30_000
        assert kids(await sets.get(site.url)) == ["first"]

    async def test_brings_no_cookie_back(self, site: KeyServer, sets: KeySets, clock: Clock) -> None:
        site.headers["Set-Cookie"] = "who=us; Path=/"
        await sets.get(site.url)
        clock.ms += HOUR_MS
        await sets.get(site.url)
        assert len(site.heads) == 2
        assert "cookie" not in "".join(site.heads).lower()


class TestWhatIsRefused:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect(self, status: int, site: KeyServer, sets: KeySets) -> None:
        site.status, site.headers["Location"] = status, f"https://localhost:{site.port}/elsewhere"
        with pytest.raises(OutsideUnavailable, match="redirects are not followed"):
            await sets.get(site.url)
        assert len(site.heads) == 1

    @pytest.mark.parametrize("status", [204, 304, 401, 404, 500, 503])
    async def test_any_status_but_200(self, status: int, site: KeyServer, sets: KeySets) -> None:
        site.status = status
        with pytest.raises(OutsideUnavailable, match=f"status {status}"):
            await sets.get(site.url)

    async def test_an_answer_without_end(self, site: KeyServer, sets: KeySets) -> None:
        site.endless = True
        with pytest.raises(OutsideUnavailable, match="more than 65,536 bytes"):
            await sets.get(site.url)

    async def test_an_answer_that_is_too_long_whatever_it_says_of_itself(self, site: KeyServer, sets: KeySets) -> None:
        site.body = document(FIRST) + b" " * 65_536
        with pytest.raises(OutsideUnavailable, match="more than 65,536 bytes"):
            await sets.get(site.url)

    async def test_a_packed_answer(self, site: KeyServer, sets: KeySets) -> None:
        site.headers["Content-Encoding"] = "gzip"
        with pytest.raises(OutsideUnavailable, match="packed"):
            await sets.get(site.url)

    async def test_an_answer_that_never_comes(
        self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jwks, "ANSWER_S", 0.3)
        site.gate.clear()
        with pytest.raises(OutsideUnavailable, match="it took longer"):
            await sets.get(site.url)

    @pytest.mark.parametrize(
        "junk",
        [
            *(b"", b"\x00", b"<html>", b"[]", b"null", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [1, null]}'),
            *(b"[" * 60_000, b'{"keys":' * 8_000, b"\xff\xfe{}", b'{"keys": [], "keys": []}', b"{" + b" " * 60_000),
            json.dumps({"keys": [FIRST.private_jwk]}).encode(),
            json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "first"}]}).encode(),
            json.dumps({"keys": [FIRST.jwk | {"use": "enc"}]}).encode(),
            json.dumps({"keys": [FIRST.jwk | {"x": 7}]}).encode(),
        ],
        ids=range(18),
    )
    async def test_what_is_no_key_set(self, junk: bytes, site: KeyServer, sets: KeySets) -> None:
        site.body = junk
        with pytest.raises(OutsideUnavailable):
            await sets.get(site.url)

    @pytest.mark.parametrize(
        "url",
        [
            *("http://localhost:1/k", "ftp://localhost/k", "file:///etc/passwd", "https://", "https:///k", "", "keys"),
            *(
                "https://me:secret@localhost/k",
                "https://localhost:99999/k",
                f"https://{'a' * 70}.example/",
                "https://[/",
            ),
        ],
    )
    async def test_any_address_but_of_https(self, url: str, sets: KeySets) -> None:
        with pytest.raises(OutsideUnavailable):
            await sets.get(url)

    async def test_plain_http_on_the_same_port_is_not_even_tried(self, site: KeyServer, sets: KeySets) -> None:
        with pytest.raises(OutsideUnavailable, match="https only"):
            await sets.get(site.url.replace("https", "http"))
        assert site.heads == []

    async def test_a_password_in_the_address(self, site: KeyServer, sets: KeySets) -> None:
        with pytest.raises(OutsideUnavailable, match="without a password") as refusal:
            await sets.get(site.url.replace("//", "//me:hunter2@"))
        assert "hunter2" not in str(refusal.value)
        assert site.heads == []

    async def test_a_server_whose_authority_is_unknown(self, site: KeyServer) -> None:
        with pytest.raises(OutsideUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await KeySets(private_addresses=True).get(site.url)

    async def test_a_server_of_another_name(
        self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leads_to(monkeypatch, "127.0.0.1")
        with pytest.raises(OutsideUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await sets.get(f"https://bank.example:{site.port}/")

    async def test_private_addresses(self, site: KeyServer) -> None:
        careful = KeySets(tls=site.trust)
        for host in ("localhost", "127.0.0.1", "[::1]", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(OutsideUnavailable, match="private addresses only"):
                await careful.get(f"https://{host}:{site.port}/keys.json")
        assert site.heads == []


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to ``addresses``; returns which names were looked up."""
    looked_up: list[str] = []

    async def found(host: str, _port: int, *, private: bool) -> list[str]:
        looked_up.append(host)
        return list(addresses)

    monkeypatch.setattr(jwks, "addresses_of", found)
    return looked_up


class TestTheWayThere:
    async def test_leads_to_the_address_that_was_looked_at_under_the_name_that_was_given(
        self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name means nothing to this machine's resolver: nobody asked it a second time (rebinding)."""
        looked_up = leads_to(monkeypatch, "127.0.0.1")
        assert kids(await sets.get(f"https://{NAME}:{site.port}/keys.json?v=1")) == ["first"]
        assert looked_up == [NAME]
        assert site.heads[0].startswith("GET /keys.json?v=1 HTTP/1.1\r\n")
        assert f"host: {NAME}:{site.port}\r\n" in site.heads[0].lower()

    async def test_goes_on_to_the_next_address(
        self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leads_to(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert kids(await sets.get(site.url)) == ["first"]

    async def test_passes_no_proxy(self, site: KeyServer, sets: KeySets, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert kids(await sets.get(site.url)) == ["first"]

    async def test_trusts_whom_the_operator_trusts(self, site: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
        assert kids(await KeySets(private_addresses=True).get(site.url)) == ["first"]


async def test_the_log_tells_what_happened_and_never_the_document(
    site: KeyServer, sets: KeySets, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{site.url}?token=hunter2"
    await sets.get(url)
    site.body = b'{"keys": "canary"}'
    clock.ms += HOUR_MS
    await sets.get(url)
    told = capsys.readouterr().err
    assert "keyset.fetched" in told
    assert "keyset.unavailable" in told
    for hidden in ("canary", "hunter2", FIRST.jwk["x"], FIRST.pem.splitlines()[1]):
        assert hidden not in told


class TestRing:
    def ring(self, site: KeyServer, *pages: str) -> KeyRing:
        ring = KeyRing()
        for page in pages:
            ring = ring.add(followed_set(KeyId(f"key_{page}"), f"{site.url}?{page}", page, UnixMs(1)))
        return ring

    async def test_is_filled_with_what_is_known_without_asking(self, site: KeyServer, sets: KeySets) -> None:
        ring = self.ring(site, "a", "b")
        await sets.get(f"{site.url}?a")
        filled = with_fresh(sets, ring)
        assert [kids(key.followed) for key in filled.keys] == [[], ["first"]]
        assert len(site.heads) == 1

    async def test_that_follows_nothing_stays_itself(self, sets: KeySets) -> None:
        ring = KeyRing()
        assert with_fresh(sets, ring) is ring

    async def test_is_filled_by_asking_all_at_once_and_names_those_that_cannot_be_had(
        self, site: KeyServer, sets: KeySets
    ) -> None:
        ring = self.ring(site, "a", "b").add(followed_set(KeyId("key_c"), "https://localhost:1/", "c", UnixMs(1)))
        site.gate.clear()
        filling = asyncio.create_task(with_newest(sets, ring))
        async with asyncio.timeout(10):
            while len(site.heads) < 2:
                site.asked.clear()
                await site.asked.wait()
        site.gate.set()
        filled, missing = await filling
        assert [kids(key.followed) for key in filled.keys] == [[], ["first"], ["first"]]
        assert list(missing) == ["key_c"]

    async def test_with_a_dead_record_sends_nobody_there(self, site: KeyServer, sets: KeySets) -> None:
        ring = self.ring(site, "a").revoke(KeyId("key_a"), UnixMs(2))
        assert (await with_newest(sets, ring))[1] == {}
        assert site.heads == []


def test_the_servers_certificate_is_checked_by_default() -> None:
    import httpx2

    context = httpx2.create_ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
