"""What this machine remembers of withdrawn trust when the store itself has forgotten.

A file outside the data directory: a restored backup or a copied directory brings back old keys, but not an old
watermark. It holds no secret: versions, ids and names of what was withdrawn.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from chatgateway.core.rotation import ControlEntry


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    store: str
    entries: list[ControlEntry]


class Watermark:
    """The watermark of one store, by the store's own id. ``path`` None remembers nothing (an external tool, a test)."""

    def __init__(self, path: Path | None, store: str) -> None:
        self._path = path
        self._store = store

    def load(self) -> list[ControlEntry]:
        """Return the entries remembered for this store; none when there is no file or it speaks of another store.

        Raises OSError or msgspec.DecodeError for a file that cannot be read: trust must not be guessed.
        """
        if self._path is None or not self._path.exists():
            return []
        held = msgspec.json.decode(self._path.read_bytes(), type=_Remembered)
        return held.entries if held.store == self._store else []

    def save(self, entries: list[ControlEntry]) -> None:
        """Replace the file in one step. Entries of other nodes on this machine are kept: nothing is ever unlearned."""
        if self._path is None:
            return
        known = {entry.entry: entry for entry in (*self.load(), *entries)}
        held = _Remembered(store=self._store, entries=sorted(known.values(), key=lambda entry: entry.version))
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(held))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
