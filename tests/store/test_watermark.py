"""What a machine remembers of withdrawn trust, whatever becomes of the store."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import StoreRefused
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


@pytest.mark.parametrize("content", [b"{\n", b'{"store":"sto_1"}\n', b"\xff\n", b"\n"])
def test_a_line_that_makes_no_sense_is_an_error_and_never_nothing(path: Path, content: bytes) -> None:
    Watermark(path, "sto_1").save([entry(1)])
    path.write_bytes(path.read_bytes() + content)
    with pytest.raises(StoreRefused, match="cannot be understood"):
        Watermark(path, "sto_1").load()


def test_a_line_that_a_dying_process_left_half_is_dropped_and_the_next_one_is_whole(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1)])
    path.write_bytes(path.read_bytes() + b'{"store":"sto_1","entr')
    assert Watermark(path, "sto_1").load() == [entry(1)]
    Watermark(path, "sto_1").save([entry(2)])
    assert Watermark(path, "sto_1").load() == [entry(1), entry(2)]


def test_what_could_not_be_synced_is_written_again_by_the_next_save(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = Watermark(path, "sto_1")

    def fail(_: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            mark.save([entry(1)])
    path.write_bytes(b"")
    mark.save([entry(1)])
    assert Watermark(path, "sto_1").load() == [entry(1)]


def test_what_a_full_disk_took_only_half_of_is_an_error_and_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, write = Watermark(path, "sto_1"), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[: len(data) - 10]))
        with pytest.raises(OSError, match="No space"):
            mark.save([entry(1), entry(2)])
    mark.save([entry(1), entry(2)])
    assert Watermark(path, "sto_1").load() == [entry(1), entry(2)]


def test_saving_adds_a_line_and_never_writes_what_is_there_again(path: Path) -> None:
    mark = Watermark(path, "sto_1")
    mark.save([entry(1)])
    before = path.read_bytes()
    mark.save([entry(1), entry(2)])
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_directory_is_its_owners_alone(path: Path) -> None:
    Watermark(path, "sto_1").save([entry(1)])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
