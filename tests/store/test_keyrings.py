"""Secrets are sealed in the store, no change of a ring is lost, and there is one gateway's own ring."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.core.jose import SIGNERS

from chatgateway.core.keyring import (
    KeyRing,
    SigningKey,
    fingerprint,
    followed_set,
    public_key,
    secret_from,
    shared_secret,
)
from chatgateway.core.public_key import FollowedKey, PublicMaterial
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import KeyUnknown, StoreRefused
from chatgateway.store import schema
from chatgateway.store.audit import Audit
from chatgateway.store.client import Store
from chatgateway.store.keyrings import USED_EVERY_MS, KeyRings
from chatgateway.store.sealing import MasterKey, Sealer
from chatgateway.types import KeyId, ProjectId, UnixMs, Version

PROJECT = ProjectId("prj_1")
NOW = UnixMs(1_795_000_000_000)
SECRET = secret_from(b"s" * 32, live=True)
PEM = SIGNERS["k_rsa"].public().decode()
URL = "https://shop.example/.well-known/jwks.json"
SEALER = Sealer((MasterKey(b"m" * 32),))


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def keyrings(store: Store) -> KeyRings:
    return KeyRings(store, SEALER)


def key(kid: str) -> SigningKey:
    """A secret of its own for each id; the one called ``key_1`` has ``SECRET``."""
    secret = SECRET if kid == "key_1" else secret_from(kid.encode().ljust(32), live=True)
    return shared_secret(KeyId(kid), secret, "backend", NOW)


async def everything(store: Store) -> bytes:
    """All bytes that the store holds, as they are: a dump compresses, and then hides what is looked for."""
    await store.redis.config_set("rdbcompression", "no")
    return b"".join([await store.redis.dump(name) async for name in store.redis.scan_iter()])


class TestRing:
    async def test_of_a_project_without_keys_is_empty_and_verifies_nothing(self, keyrings: KeyRings) -> None:
        assert await keyrings.load(PROJECT) == KeyRing()

    async def test_is_loaded_as_it_was_stored(self, keyrings: KeyRings) -> None:
        changed = await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")).add(key("key_2")))
        revoked = await keyrings.change(PROJECT, lambda ring: ring.revoke(KeyId("key_1"), NOW))
        assert (changed.ring.revision, revoked.ring.revision) == (1, 2)
        loaded = await keyrings.load(PROJECT)
        assert loaded == revoked.ring
        assert [(each.kid, each.state) for each in loaded.keys] == [("key_2", "active"), ("key_1", "revoked")]
        assert loaded.keys[1].secret.reveal() == SECRET.encode()

    async def test_of_one_project_is_not_anothers(self, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        assert await keyrings.load(ProjectId("prj_2")) == KeyRing()

    async def test_keeps_every_key_that_was_added_at_once(self, keyrings: KeyRings) -> None:
        adding = [keyrings.change(PROJECT, lambda ring, n=n: ring.add(key(f"key_{n}"))) for n in range(8)]
        await asyncio.gather(*adding)
        ring = await keyrings.load(PROJECT)
        assert {each.kid for each in ring.keys} == {f"key_{n}" for n in range(8)}
        assert ring.revision == 8

    async def test_is_not_changed_by_a_rule_that_refuses(self, store: Store, keyrings: KeyRings) -> None:
        with pytest.raises(KeyUnknown):
            await keyrings.change(PROJECT, lambda ring: ring.revoke(KeyId("key_9"), NOW))
        assert not await store.redis.exists(schema.key_ring(PROJECT))


class TestPublicKey:
    async def test_is_loaded_as_it_was_stored(self, keyrings: KeyRings) -> None:
        made = public_key(KeyId("key_1"), PEM, "chat", NOW)
        await keyrings.change(PROJECT, lambda ring: ring.add(made))
        assert (await keyrings.load(PROJECT)).keys == (made,)

    async def test_becomes_no_secret_by_writing_another_algorithm_beside_it(
        self, store: Store, keyrings: KeyRings
    ) -> None:
        """Whoever may write to the store could sign with what everybody may read."""
        await keyrings.change(PROJECT, lambda ring: ring.add(public_key(KeyId("key_1"), PEM, "chat", NOW)))
        held = await store.redis.hget(schema.key_ring(PROJECT), "value")
        assert held is not None
        assert held.count(b'"RS256"') == 1
        for other in (b'"HS256"', b'"EdDSA"'):
            await store.redis.hset(schema.key_ring(PROJECT), "value", held.replace(b'"RS256"', other))
            with pytest.raises(StoreRefused, match="changed or moved"):
                await keyrings.load(PROJECT)


class TestFollowedSet:
    async def test_is_remembered_by_its_address_and_not_by_what_it_held(self, store: Store, keyrings: KeyRings) -> None:
        made = followed_set(KeyId("key_1"), URL, "shop", NOW)
        found = (FollowedKey("r", "RS256", PublicMaterial(PEM.encode())),)
        await keyrings.change(PROJECT, lambda ring: ring.add(replace(made, followed=found)))
        assert (await keyrings.load(PROJECT)).keys == (made,)
        assert URL.encode() in (await store.redis.hget(schema.key_ring(PROJECT), "value") or b"")

    async def test_is_used_under_its_records_id(self, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(followed_set(KeyId("key_1"), URL, "shop", NOW)))
        await keyrings.touch(PROJECT, KeyId("key_1"), NOW)
        assert (await keyrings.load(PROJECT)).keys[0].last_used_at == NOW


class TestRingOfAnEarlierVersion:
    async def test_is_loaded(self, store: Store, keyrings: KeyRings) -> None:
        """As it was written before there were public keys: no address, and secrets sealed as they are today."""
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        sealed = SEALER.seal("signing", PROJECT, "key_1", SECRET.encode())
        earlier = {
            "kid": "key_1", "algorithm": "HS256", "sealed": base64.b64encode(sealed).decode(), "name": "backend",
            "state": "active", "created_at": NOW, "fingerprint": fingerprint(SECRET.encode()), "prefix": "cgs_live_",
            "last_four": SECRET[-4:],
        }  # fmt: skip
        await store.redis.hset(schema.key_ring(PROJECT), "value", json.dumps({"keys": [earlier]}))
        assert (await keyrings.load(PROJECT)).keys == (key("key_1"),)


class TestWithdrawnKey:
    async def test_is_in_ring_control_log_and_audit_at_once(self, store: Store, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        control = ControlEntry("e1", "key", PROJECT, "key_1", "regenerated", NOW)
        audit = Audit(store, SEALER)
        async with audit.recorded("root", "key regenerate", "key_1", project=PROJECT) as recording:
            changed = await keyrings.change(
                PROJECT, lambda ring: ring.regenerate(KeyId("key_1"), key("key_2"), NOW), control, recording
            )
            assert recording.begun
        assert changed.control is not None
        assert changed.control.version == Version(1)
        assert await store.redis.xlen(schema.LOG) == 1
        assert [entry.step for entry in await audit.entries(PROJECT)] == ["intent", "result"]

    async def test_has_one_control_entry_however_many_change_the_ring(self, store: Store, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        control = ControlEntry("e1", "key", PROJECT, "key_1", "revoked", NOW)
        await asyncio.gather(
            keyrings.change(PROJECT, lambda ring: ring.revoke(KeyId("key_1"), NOW), control),
            *(keyrings.change(PROJECT, lambda ring, n=n: ring.add(key(f"other_{n}"))) for n in range(4)),
        )
        assert await store.redis.xlen(schema.LOG) == 1


class TestSealed:
    async def test_secrets_are_nowhere_in_the_store(self, store: Store, keyrings: KeyRings) -> None:
        changed = await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        ring = await keyrings.gateway_ring()
        held = await everything(store)
        assert b"key_1" in held, "the search would find it"
        for secret in (SECRET.encode(), SECRET[9:52].encode(), ring.keys[0].reveal()):
            assert secret not in held
        assert SECRET not in repr(changed)

    async def test_rings_do_not_open_under_another_master_key(self, store: Store, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        await keyrings.gateway_ring()
        stranger = KeyRings(store, Sealer((MasterKey(b"x" * 32),)))
        with pytest.raises(StoreRefused, match="master key"):
            await stranger.load(PROJECT)
        with pytest.raises(StoreRefused, match="master key"):
            await stranger.gateway_ring()

    async def test_secrets_do_not_open_in_another_projects_ring(self, store: Store, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        other = ProjectId("prj_2")
        await store.redis.copy(schema.key_ring(PROJECT), schema.key_ring(other))
        with pytest.raises(StoreRefused, match="changed or moved"):
            await keyrings.load(other)


class TestLastUse:
    async def test_is_seen_in_the_ring_without_a_new_revision(self, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")).add(key("key_2")))
        await keyrings.touch(PROJECT, KeyId("key_1"), NOW)
        ring = await keyrings.load(PROJECT)
        assert [each.last_used_at for each in ring.keys] == [None, NOW]
        assert ring.revision == 1

    async def test_survives_a_change_of_the_ring(self, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        await keyrings.touch(PROJECT, KeyId("key_1"), NOW)
        await keyrings.change(PROJECT, lambda ring: ring.revoke(KeyId("key_1"), NOW))
        assert (await keyrings.load(PROJECT)).keys[0].last_used_at == NOW

    async def test_is_written_once_a_minute(self, keyrings: KeyRings) -> None:
        await keyrings.change(PROJECT, lambda ring: ring.add(key("key_1")))
        seen = []
        for later in (0, USED_EVERY_MS - 1, USED_EVERY_MS):
            await keyrings.touch(PROJECT, KeyId("key_1"), UnixMs(NOW + later))
            seen.append((await keyrings.load(PROJECT)).keys[0].last_used_at)
        assert seen == [NOW, NOW, NOW + USED_EVERY_MS]

    async def test_fails_nobody_when_the_store_is_gone(self, store: Store, keyrings: KeyRings) -> None:
        await store.close()
        await keyrings.touch(PROJECT, KeyId("key_1"), NOW)


class TestGatewayRing:
    async def test_is_made_once_however_many_ask(self, store: Store) -> None:
        nodes = [KeyRings(store, SEALER) for _ in range(8)]
        rings = await asyncio.gather(*(node.gateway_ring() for node in nodes))
        assert len({ring.keys for ring in rings}) == 1
        assert rings[0].revision == 1
        assert len(rings[0].keys[0].reveal()) == 32
