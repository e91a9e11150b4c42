"""The store that the settings name is opened with the keys that unseal it, and left as it was found."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from chatgateway.errors import StoreRefused, StoreUnavailable
from chatgateway.settings import Secret, Settings
from chatgateway.store.opening import opened_store

KEY, OTHER_KEY = (Secret(base64.b64encode(letter * 32).decode()) for letter in (b"k", b"o"))


class TestEmbedded:
    async def test_is_started_founded_and_stopped_again(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path / "data")
        async with opened_store(settings, die_with_parent=True) as opened:
            first, url = opened.store.id, opened.store.url
            assert opened.store.durability == "disk"
            sealed = opened.sealer.seal("signing", "prj_1", "key_1", b"secret")
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()
        async with opened_store(settings, die_with_parent=True) as opened:
            assert opened.store.id == first
            assert opened.sealer.open("signing", "prj_1", "key_1", sealed) == b"secret"

    async def test_that_runs_is_joined_and_stays_for_the_others(self, tmp_path: Path) -> None:
        settings = Settings(data=tmp_path / "data")
        async with opened_store(settings, die_with_parent=True) as first:
            async with opened_store(settings, die_with_parent=True) as second:
                assert first.store.id == second.store.id
            assert await first.store.now() > 0

    async def test_is_stopped_when_it_is_refused(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        async with opened_store(Settings(data=data), die_with_parent=True) as opened:
            url = opened.store.url
        with pytest.raises(StoreRefused, match="master key"):
            async with opened_store(Settings(data=data, master_key=OTHER_KEY), die_with_parent=True):
                pass
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()


class TestExternal:
    async def test_is_opened_with_the_key_of_the_settings(self, fresh_store: str) -> None:
        settings = Settings(store_url=Secret(fresh_store), master_key=KEY)
        async with opened_store(settings) as opened:
            first = opened.store.id
        async with opened_store(settings) as opened:
            assert opened.store.id == first

    async def test_is_refused_with_another_key(self, fresh_store: str) -> None:
        async with opened_store(Settings(store_url=Secret(fresh_store), master_key=KEY)):
            pass
        with pytest.raises(StoreRefused, match="master key"):
            async with opened_store(Settings(store_url=Secret(fresh_store), master_key=OTHER_KEY)):
                pass

    async def test_promises_the_grade_that_was_asked_for(self, server: Callable[..., str]) -> None:
        url = Secret(server(appendfsync="everysec"))
        async with opened_store(Settings(store_url=url, master_key=KEY)) as opened:
            assert opened.store.durability == "memory"
        with pytest.raises(StoreRefused, match="disk"):
            async with opened_store(Settings(store_url=url, master_key=KEY, durability="disk")):
                pass

    async def test_that_is_not_there_is_unavailable(self, free_port: int) -> None:
        url = Secret(f"redis://127.0.0.1:{free_port}")
        with pytest.raises(StoreUnavailable):
            async with opened_store(Settings(store_url=url, master_key=KEY)):
                pass
