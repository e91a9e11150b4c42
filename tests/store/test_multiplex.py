"""The hot path: in order, at most once, and nobody's mistake is another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from chatgateway.errors import (
    Conflict,
    DurabilityTimeout,
    NotFound,
    Stale,
    StoreError,
    StoreUnavailable,
    Withdrawn,
)
from chatgateway.store import multiplex, schema
from chatgateway.store.client import Store
from chatgateway.store.multiplex import Confirmation, Multiplex
from chatgateway.store.script import Script


@pytest.fixture
async def hot(proxy: Any) -> AsyncIterator[Multiplex]:
    opened = await Multiplex.open(proxy.url)
    yield opened
    await opened.close()


async def settled(hot: Multiplex) -> None:
    """A reply has come back, so all before it have."""
    await hot.ask("PING")


class TestCall:
    async def test_hears_replies_in_the_order_of_the_calls(self, hot: Multiplex) -> None:
        heard: list[object] = []
        for number in range(1_000):
            hot.call("ECHO", (), (number,), heard.append)
        await settled(hot)
        assert heard == [b"%d" % number for number in range(1_000)]

    async def test_never_answers_from_within(self, hot: Multiplex) -> None:
        heard: list[object] = []
        hot.call("PING", (), (), heard.append)
        assert not heard
        await hot.close()
        heard.clear()
        hot.call("PING", (), (), heard.append)
        assert not heard

    async def test_of_one_tick_leave_as_one_write(self, hot: Multiplex, proxy: Any) -> None:
        proxy.asked.clear()
        await asyncio.gather(*(hot.ask("ECHO", (), (number,)) for number in range(100)))
        assert len(proxy.asked) == 1

    async def test_that_raises_in_its_callback_hurts_nobody_else(
        self, hot: Multiplex, capsys: pytest.CaptureFixture[str]
    ) -> None:
        heard: list[object] = []

        def broken(reply: object) -> None:
            raise ValueError("a mistake")

        hot.call("ECHO", (), ("1",), heard.append)
        hot.call("ECHO", (), ("2",), broken)
        hot.call("ECHO", (), ("3",), heard.append)
        await settled(hot)
        assert heard == [b"1", b"3"]
        assert "store.callback_failed" in capsys.readouterr().err

    async def test_may_call_again_from_its_callback(self, hot: Multiplex) -> None:
        heard = asyncio.get_running_loop().create_future()
        hot.call("PING", (), (), lambda _: hot.call(("ECHO", "again"), (), (), heard.set_result))
        assert await heard == b"again"

    async def test_keeps_no_more_in_flight_than_its_bound(
        self, hot: Multiplex, proxy: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(multiplex, "IN_FLIGHT_MAX", 10)
        proxy.answering.clear()
        proxy.asked.clear()
        asking = [asyncio.create_task(hot.ask("ECHO", (), (number,))) for number in range(25)]
        await asyncio.wait(asking, timeout=0.05)
        assert b"".join(proxy.asked).count(b"ECHO") == 10
        proxy.answering.set()
        assert await asyncio.gather(*asking) == [b"%d" % number for number in range(25)]

    async def test_beyond_the_queue_is_refused(self, hot: Multiplex, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(multiplex, "QUEUED_MAX", 2)
        replies = await asyncio.gather(*(hot.ask("PING") for _ in range(3)), return_exceptions=True)
        assert replies[:2] == [b"PONG", b"PONG"]
        assert isinstance(replies[2], StoreUnavailable)


class TestRefusal:
    @pytest.mark.parametrize(
        ("reply", "error", "told"),
        [
            ("STALE 7", Stale, "fence 7"),
            ("STALE", Stale, "fence None"),
            ("MISSING", Stale, "fence None"),
            ("WITHDRAWN blocked", Withdrawn, "blocked"),
            ("CONFLICT", Conflict, "changed"),
            ("CONFLICT revision 3", Conflict, "revision 3"),
            ("NOTFOUND agent", NotFound, "agent"),
            ("READONLY a replica", StoreUnavailable, "READONLY"),
            ("MEMBER", StoreError, "^MEMBER$"),
        ],
    )
    async def test_has_its_own_error(self, store: Store, reply: str, error: type[StoreError], told: str) -> None:
        words = ("EVAL", f"return redis.error_reply('{reply}')", 0)
        with pytest.raises(error, match=told) as hot:
            await store.hot.ask(words)
        with pytest.raises(error, match=told) as cold:
            await store.redis.execute_command(*words)
        assert hot.type is cold.type is error


class TestScript:
    async def test_that_the_server_forgot_runs_all_the_same(self, store: Store) -> None:
        script = Script("found")
        arguments = ([schema.SCHEMA], [1, "sto_x", 0])
        for _ in range(2):
            await store.hot.ask("SCRIPT", ["FLUSH"])
            assert await store.hot.ask(script, *arguments) == 0
            await store.hot.ask("SCRIPT", ["FLUSH"])
            assert await script.run(store.redis, *arguments) == 0

    async def test_that_was_forgotten_by_many_calls_at_once_runs_once_for_each_in_order(self, store: Store) -> None:
        await store.hot.ask("SCRIPT", ["FLUSH"])
        heard: list[tuple[int, object]] = []
        for number in range(20):
            store.hot.call(
                Script("found"),
                [f"{{x}}{number}"],
                [1, "s", 0],
                lambda reply, number=number: heard.append((number, reply)),
            )
        # Twice: the calls go out again behind the first of these.
        await settled(store.hot)
        await settled(store.hot)
        assert heard == [(number, 1) for number in range(20)]

    def test_is_read_once(self) -> None:
        assert Script("found") is Script("found")


class TestLostConnection:
    async def test_tells_those_in_flight_and_repeats_nothing(
        self, hot: Multiplex, proxy: Any, fresh_store: str
    ) -> None:
        await settled(hot)
        proxy.answering.clear()
        asking = [asyncio.create_task(hot.ask("INCR", ["n"])) for _ in range(3)]
        with redis.Redis.from_url(fresh_store) as client:
            async with asyncio.timeout(5):
                while client.get("n") != b"3":
                    await asyncio.sleep(0)
        await proxy.cut()
        proxy.answering.set()
        replies = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(reply) for reply in replies] == [StoreUnavailable] * 3
        assert await hot.ask("GET", ["n"]) == b"3"

    async def test_keeps_what_was_never_sent(self, hot: Multiplex, proxy: Any) -> None:
        await settled(hot)
        await proxy.close()
        await until_lost(hot)
        asking = asyncio.create_task(hot.ask("INCR", ["n"]))
        await asyncio.wait({asking}, timeout=0.05)
        await proxy.open()
        assert await asking == 1

    async def test_for_too_long_tells_those_who_wait(self, proxy: Any) -> None:
        hot = await Multiplex.open(proxy.url, deadline_s=0.1)
        await proxy.close()
        await until_lost(hot)
        with pytest.raises(StoreUnavailable, match="in time"):
            await hot.ask("INCR", ["n"])
        await hot.close()

    async def test_is_what_a_silent_server_gets(self, proxy: Any) -> None:
        hot = await Multiplex.open(proxy.url, deadline_s=0.1)
        proxy.answering.clear()
        with pytest.raises(StoreUnavailable, match="lost"):
            await hot.ask("PING")
        proxy.answering.set()
        assert await hot.ask("PING") == b"PONG"
        await hot.close()

    async def test_is_not_what_an_idle_server_gets(self, proxy: Any) -> None:
        hot = await Multiplex.open(proxy.url, deadline_s=0.02)
        await settled(hot)
        name = await hot.ask("CLIENT", ["ID"])
        await asyncio.sleep(0.1)  # five deadlines: nothing is owed, so nothing may happen
        assert await hot.ask("CLIENT", ["ID"]) == name
        await hot.close()

    async def test_at_close_tells_everybody(self, hot: Multiplex, proxy: Any) -> None:
        proxy.answering.clear()
        asking = [asyncio.create_task(hot.ask("PING")) for _ in range(3)]
        await asyncio.wait(asking, timeout=0.02)
        await hot.close()
        replies = await asyncio.gather(*asking, hot.ask("PING"), return_exceptions=True)
        assert [type(reply) for reply in replies] == [StoreUnavailable] * 4
        proxy.answering.set()


async def until_lost(hot: Multiplex) -> None:
    async with asyncio.timeout(5):
        while hot.connected:
            await asyncio.sleep(0)


class TestEntry:
    async def test_without_a_store_says_where_it_looked(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match=r"nothing\.sock cannot be reached: No such file"):
            await Multiplex.open(f"unix://{tmp_path}/nothing.sock")

    async def test_with_password_and_database(self, server: Callable[..., str]) -> None:
        url = server(password="p w@d", databases="3")
        with_database = await Multiplex.open(url + "/2")
        await with_database.ask("SET", ["here"], ["yes"])
        assert b"db=2" in await with_database.ask("CLIENT", ["INFO"])
        await with_database.close()
        for wrong in (url.replace("p%20w", "other"), url.replace(":p%20w%40d@", "")):
            with pytest.raises(StoreUnavailable, match="does not let us in") as refused:
                await Multiplex.open(wrong)
            assert "other" not in str(refused.value)


class TestConfirmation:
    async def test_that_does_not_come_is_told_to_those_who_wrote(self, fresh_store: str) -> None:
        hot = await Multiplex.open(fresh_store, confirmation=Confirmation(on_disk=False, replicas=1, max_ms=20))
        with pytest.raises(DurabilityTimeout):
            await hot.ask(Script("found"), [schema.SCHEMA], [1, "s", 0])
        assert await hot.ask("EXISTS", [schema.SCHEMA]) == 1
        with pytest.raises(StoreError, match="must be strings"):  # a refusal needs no replica
            await hot.ask(Script("found"), ["cg:{ctl}:other"], [])
        await hot.close()

    @pytest.mark.parametrize("on_disk", [False, True])
    async def test_by_a_replica_lets_replies_through(self, server: Callable[..., str], on_disk: bool) -> None:
        url = server(repl_diskless_sync_delay="0")
        server(replicaof=f"127.0.0.1 {url.rpartition(':')[2]}")
        confirmation = Confirmation(on_disk, replicas=1, max_ms=10_000)
        hot = await Multiplex.open(url, confirmation=confirmation, deadline_s=15)
        replies = await asyncio.gather(*(hot.ask(Script("found"), [f"k{n}"], [1, "s", 0]) for n in range(10)))
        assert replies == [1] * 10
        await hot.close()
