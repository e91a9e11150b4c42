"""Open the store that the settings name, embedded or external, with the keys that unseal it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from chatgateway.settings import Settings
from chatgateway.store.client import Store
from chatgateway.store.embedded import EmbeddedStore
from chatgateway.store.sealing import Sealer, master_keys_of, prove, read_master_keys


class OpenedStore(NamedTuple):
    store: Store
    sealer: Sealer


@asynccontextmanager
async def opened_store(
    settings: Settings, *, die_with_parent: bool = False, on_health: Callable[[str | None], None] = lambda _: None
) -> AsyncGenerator[OpenedStore]:
    """Yield the store, checked and unsealable, and leave it as it was found.

    An embedded store is joined when it runs; when none runs it is started, and stopped by the last to leave.
    ``on_health`` hears what ails an embedded one. Raises StoreUnavailable, StoreRefused, DataDirectoryInUse.
    """
    embedded: EmbeddedStore | None = None
    if settings.store_url is None:
        data = settings.data_directory
        # Before the store starts: only an empty directory is given a fresh master key.
        keys = read_master_keys(settings.master_key.reveal()) if settings.master_key else master_keys_of(data)
        embedded = await EmbeddedStore.start(data, die_with_parent, on_health=on_health)
        url = embedded.url
    else:
        assert settings.master_key is not None  # Settings insists
        keys = read_master_keys(settings.master_key.reveal())
        url = settings.store_url.reveal()
    try:
        store = await Store.open(url, durability=None if settings.durability == "auto" else settings.durability)
        try:
            sealer = Sealer(keys)
            await prove(store, sealer)
            yield OpenedStore(store, sealer)
        finally:
            await store.close()
    finally:
        if embedded is not None:
            await embedded.stop()
