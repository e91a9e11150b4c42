"""What this machine remembers of withdrawn trust when the store itself has forgotten.

A file outside the data directory, named after the store's own id: a restored backup or a copied directory brings back
old keys, but not an old watermark. It holds no secret: versions, ids and names of what was withdrawn. Lines are only
ever added, so several processes may write and none unlearns what another knew.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import StoreRefused

if sys.platform != "win32":
    import fcntl


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    store: str
    entry: ControlEntry


_decode = msgspec.json.Decoder(_Line).decode

LINE_MAX_BYTES = 4_096
"""Far more than one entry takes."""


class Watermark:
    """The watermark of one store, by the store's own id. ``path`` None remembers nothing."""

    def __init__(self, path: Path | None, store: str) -> None:
        self._path = path
        self._store = store
        self._written: set[tuple[str, int]] = set()

    def load(self) -> list[ControlEntry]:
        """Return the entries remembered for this store, by version; none when there is no file.

        An entry that was written again is returned under its last version. Raises OSError, or StoreRefused for a file
        that cannot be understood: trust must not be guessed.
        """
        if self._path is None or not self._path.exists():
            return []
        known: dict[str, ControlEntry] = {}
        # A last line without its end was being written when the process died; it was never relied on.
        for line in self._path.read_bytes().split(b"\n")[:-1]:
            try:
                held = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise StoreRefused(
                    f"{self._path} cannot be understood; restore it, or move it away knowingly"
                ) from error
            if held.store == self._store:
                known[held.entry.entry] = held.entry
        self._written |= {(entry.entry, entry.version) for entry in known.values()}
        return sorted(known.values(), key=lambda entry: entry.version)

    def save(self, entries: Iterable[ControlEntry]) -> None:
        """Add what this process has not written yet, in one write, synced to disk. Raises OSError."""
        fresh = [entry for entry in entries if (entry.entry, entry.version) not in self._written]
        if self._path is None or not fresh:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = b"".join(msgspec.json.encode(_Line(store=self._store, entry=entry)) + b"\n" for entry in fresh)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # One writer at a time, so that a line which a dying process left half can be told from one being written.
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file, _whole(file))
            if os.write(file, lines) < len(lines):
                # The next save cuts the half line; what was written whole before it is harmless twice.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(file)
        finally:
            os.close(file)
        self._written |= {(entry.entry, entry.version) for entry in fresh}


def _whole(file: int) -> int:
    """Return how many bytes of the file are whole lines."""
    size = os.fstat(file).st_size
    tail = os.pread(file, LINE_MAX_BYTES, max(0, size - LINE_MAX_BYTES))
    return size - len(tail) + tail.rfind(b"\n") + 1
