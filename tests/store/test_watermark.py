"""What a machine remembers of withdrawn trust, whatever becomes of the store."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from chatgateway.core.rotation import ControlEntry
from chatgateway.store.watermark import Watermark
from chatgateway.types import ProjectId, UnixMs, Version


def entry(number: int, name: str = "") -> ControlEntry:
    return ControlEntry(
        name or f"e{number}", "key", ProjectId("prj_1"), f"key_{number}", "revoked", UnixMs(7), Version(number)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "watermark.json"


def test_a_file_that_is_not_there_remembers_nothing(path: Path) -> None:
    assert Watermark(path, "sto_1").load() == []


def test_what_was_saved_is_loaded_by_the_next_process(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1), entry(2)])
    assert Watermark(path, "sto_1").load() == [entry(1), entry(2)]


def test_nothing_is_unlearned_by_saving_less(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1), entry(2)])
    Watermark(path, "sto_1").save([entry(3)])
    assert Watermark(path, "sto_1").load() == [entry(1), entry(2), entry(3)]


def test_an_entry_that_was_written_again_is_remembered_under_its_new_version(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1), entry(2)])
    Watermark(path, "sto_1").save([entry(9, "e1")])
    assert [(each.entry, each.version) for each in Watermark(path, "sto_1").load()] == [("e2", 2), ("e1", 9)]


def test_another_stores_file_says_nothing_of_this_one(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1)])
    assert Watermark(path, "sto_2").load() == []


def test_without_a_path_nothing_is_kept(tmp_path: Path) -> None:
    Watermark(None, "sto_1").save([entry(1)])
    assert Watermark(None, "sto_1").load() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"store":"sto_1"}', b"\xff"])
def test_a_file_that_cannot_be_read_is_an_error_and_never_nothing(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises((msgspec.DecodeError, OSError)):
        Watermark(path, "sto_1").load()
    with pytest.raises((msgspec.DecodeError, OSError)):
        Watermark(path, "sto_1").save([entry(1)])
    assert path.read_bytes() == content


def test_the_file_is_replaced_in_one_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Watermark(path, "sto_1").save([entry(1)])

    def fail(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        Watermark(path, "sto_1").save([entry(2)])
    assert Watermark(path, "sto_1").load() == [entry(1)]


def test_the_directory_is_its_owners_alone(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1)])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
