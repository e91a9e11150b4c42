"""What is sealed opens in its own place, under its own master key, and nowhere else."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from chatgateway.errors import StoreRefused
from chatgateway.store import schema, sealing
from chatgateway.store.client import Store
from chatgateway.store.sealing import Sealer, fresh_master_key, master_keys_of, prove, read_master_keys

PLACE = ("signing", "prj_1", "key_1")


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(read_master_keys(fresh_master_key()))


class TestSealed:
    def test_opens_where_it_was_sealed(self, sealer: Sealer) -> None:
        sealed = sealer.seal(*PLACE, b"cgs_live_secret")
        assert sealer.open(*PLACE, sealed) == b"cgs_live_secret"
        assert b"secret" not in sealed

    def test_is_never_the_same_twice(self, sealer: Sealer) -> None:
        assert sealer.seal(*PLACE, b"x") != sealer.seal(*PLACE, b"x")

    @pytest.mark.parametrize(
        "other",
        [
            ("session", "prj_1", "key_1"),
            ("signing", "prj_2", "key_1"),
            ("signing", "prj_1", "key_2"),
            ("signing", "prj_1k", "ey_1"),
            ("signingp", "rj_1", "key_1"),
        ],
    )
    def test_does_not_open_elsewhere(self, sealer: Sealer, other: tuple[str, str, str]) -> None:
        with pytest.raises(StoreRefused, match="changed or moved"):
            sealer.open(*other, sealer.seal(*PLACE, b"x"))

    def test_does_not_open_when_any_byte_changed(self, sealer: Sealer) -> None:
        sealed = sealer.seal(*PLACE, b"x")
        for position in range(len(sealed)):
            changed = bytearray(sealed)
            changed[position] ^= 1
            with pytest.raises(StoreRefused):
                sealer.open(*PLACE, bytes(changed))

    @pytest.mark.parametrize("length", [0, 1, 5, 20, 32])
    def test_does_not_open_when_cut(self, sealer: Sealer, length: int) -> None:
        with pytest.raises(StoreRefused):
            sealer.open(*PLACE, sealer.seal(*PLACE, b"x")[:length])


class TestMasterKeys:
    def test_of_old_open_and_the_newest_seals(self) -> None:
        old, new = fresh_master_key(), fresh_master_key()
        before = Sealer(read_master_keys(old))
        after = Sealer(read_master_keys(f"{new}\n{old}\n"))
        sealed = before.seal(*PLACE, b"x")
        assert after.open(*PLACE, sealed) == b"x"
        assert not after.is_current(sealed)
        resealed = after.seal(*PLACE, b"x")
        assert after.is_current(resealed)
        with pytest.raises(StoreRefused, match="another master key"):
            before.open(*PLACE, resealed)

    def test_give_each_purpose_a_key_of_its_own(self, sealer: Sealer) -> None:
        [audit], [other] = sealer.derived_keys("audit"), sealer.derived_keys("other")
        assert len(audit) == 32
        assert audit != other

    def test_are_read_as_plain_base64_too(self) -> None:
        material = bytes(range(223, 255))
        [key] = read_master_keys(base64.b64encode(material).decode() + "\n")
        assert key.reveal() == material

    @pytest.mark.parametrize("text", ["", "  \n", "cgm_short", "cgm_" + "*" * 43, "cgm_" + "A" * 60])
    def test_that_are_none_are_refused_without_quoting_them(self, text: str) -> None:
        with pytest.raises(StoreRefused) as refused:
            read_master_keys(text)
        assert not text.strip() or text not in str(refused.value)

    def test_show_nothing_when_printed(self) -> None:
        text = fresh_master_key()
        [key] = read_master_keys(text)
        shown = repr(key) + repr(Sealer((key,)))
        assert text not in shown
        assert key.reveal().hex() not in shown


class TestMasterKeyFile:
    def test_is_made_for_us_alone_in_an_empty_directory(self, tmp_path: Path) -> None:
        made = master_keys_of(tmp_path / "data")
        path = tmp_path / "data" / sealing.MASTER_KEY_FILE
        assert path.stat().st_mode & 0o777 == 0o600
        assert [key.id for key in master_keys_of(tmp_path / "data")] == [key.id for key in made]
        assert [entry.name for entry in path.parent.iterdir()] == [sealing.MASTER_KEY_FILE]

    def test_is_never_made_anew_beside_data(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        with pytest.raises(StoreRefused, match=r"master\.key is missing"):
            master_keys_of(tmp_path)

    def test_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        master_keys_of(tmp_path)
        (tmp_path / sealing.MASTER_KEY_FILE).chmod(0o640)
        with pytest.raises(StoreRefused, match="chmod 600"):
            master_keys_of(tmp_path)

    def test_of_two_writers_is_the_firsts(self, tmp_path: Path) -> None:
        path = tmp_path / sealing.MASTER_KEY_FILE
        sealing._write_once(path, "first")
        sealing._write_once(path, "second")
        assert path.read_text() == "first"


class TestCanary:
    async def test_takes_the_first_key_and_no_other(self, store: Store, sealer: Sealer) -> None:
        await prove(store, sealer)
        await prove(store, sealer)
        with pytest.raises(StoreRefused, match="not the one of this store"):
            await prove(store, Sealer(read_master_keys(fresh_master_key())))

    async def test_that_is_missing_beside_secrets_is_no_reason_to_trust(self, store: Store, sealer: Sealer) -> None:
        await store.redis.hset(schema.GATEWAY_RING, "revision", 1)
        with pytest.raises(StoreRefused, match="no proof"):
            await prove(store, sealer)
