"""What every distance from the world shares: one real store that dies with the tests, empty for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from chatgateway import log
from chatgateway.store.client import Store
from chatgateway.store.embedded import EmbeddedStore


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Watermarks and data go where nobody keeps theirs, and a field that the log would drop is an error."""
    home = tmp_path_factory.mktemp("home")
    log.configure("info", "json", strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        yield


@pytest.fixture(scope="session")
async def store_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The url of one embedded store for the whole run."""
    store = await EmbeddedStore.start(tmp_path_factory.mktemp("shared"), die_with_parent=True)
    yield store.url
    await store.stop()


@pytest.fixture
def fresh_store(store_url: str) -> str:
    """The url of an empty store, without even a schema: ``Store.open`` founds it."""
    with redis.Redis.from_url(store_url) as client:
        client.flushall()
        client.script_flush()
    return store_url


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    """An open, freshly founded store."""
    opened = await Store.open(fresh_store)
    yield opened
    await opened.close()
