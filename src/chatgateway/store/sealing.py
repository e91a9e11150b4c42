"""Seal what must not be readable in the store: AES-256-GCM under a master key that never is in the store.

A sealed value is bound to its place: purpose, project, key id and the version of this format are authenticated with it,
so that a value copied to another record does not open there. In bytes:

    1  version (1)   4  id of the master key   12  nonce   …  ciphertext and tag

Master keys form a ring, newest first: the first one seals, all of them open. A canary in the schema record tells at
start whether the ring belongs to this store.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chatgateway.errors import StoreRefused
from chatgateway.store import schema

if TYPE_CHECKING:
    from chatgateway.store.client import Store

MASTER_KEY_PREFIX = "cgm_"
MASTER_KEY_BYTES = 32
MASTER_KEY_FILE = "master.key"

_VERSION = 1
_ID_BYTES = 4
_NONCE_BYTES = 12
_CANARY = b"chatgateway"


class MasterKey:
    """256 bits. Printing it shows its id only."""

    __slots__ = ("_material", "id")

    def __init__(self, material: bytes) -> None:
        if len(material) != MASTER_KEY_BYTES:
            raise ValueError("a master key has 32 bytes")
        self._material = material
        self.id = hashlib.sha256(b"chatgateway master key id\0" + material).digest()[:_ID_BYTES]

    def __repr__(self) -> str:
        return f"MasterKey({self.id.hex()})"

    def reveal(self) -> bytes:
        return self._material


def fresh_master_key() -> str:
    """Return a new master key as text."""
    return MASTER_KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode().rstrip("=")


def read_master_keys(text: str) -> tuple[MasterKey, ...]:
    """Return the ring that ``text`` holds: keys apart by white space or commas, newest first.

    A key is ``cgm_…``, or 32 bytes in base64. Raises StoreRefused, without quoting the text.
    """
    keys: list[MasterKey] = []
    for word in text.replace(",", " ").split():
        digits = word.removeprefix(MASTER_KEY_PREFIX).rstrip("=").replace("+", "-").replace("/", "_")
        try:
            keys.append(MasterKey(base64.b64decode(digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True)))
        except ValueError:
            raise StoreRefused(
                "The master key is malformed: expected cgm_ and 43 characters, or 32 bytes in base64."
            ) from None
    if not keys:
        raise StoreRefused("The master key is empty.")
    return tuple(keys)


def master_keys_of(data: Path) -> tuple[MasterKey, ...]:
    """Return the ring of a data directory; make it (0600) when the directory is still empty.

    Call it before the embedded store starts. Raises StoreRefused when a used directory has lost its key, or when others
    may read it.
    """
    path = data / MASTER_KEY_FILE
    # Looked at in this order: whoever fills the directory has made the key before.
    used = (data / "store").exists()
    if not path.exists():
        if used:
            raise StoreRefused(
                f"The master key {path} is missing, and without it the signing secrets in {data} cannot be read: "
                "put it back from your backup, or give it as CHATGATEWAY_MASTER_KEY."
            )
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_once(path, fresh_master_key() + "\n")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreRefused(f"Others may read the master key: run chmod 600 {path}")
    return read_master_keys(path.read_text())


def _write_once(path: Path, text: str) -> None:
    """Create ``path`` whole or not at all; of two writers the first wins."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".master-")  # 0600 from the first moment
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)  # noqa: PTH108


class Sealer:
    """Seals with the first master key, opens with any of them."""

    def __init__(self, master_keys: tuple[MasterKey, ...]) -> None:
        if not master_keys:
            raise ValueError("a sealer needs a master key")
        self._keys = master_keys
        self._ciphers = {key.id: AESGCM(key.reveal()) for key in master_keys}

    def __repr__(self) -> str:
        return f"Sealer({', '.join(key.id.hex() for key in self._keys)})"

    def seal(self, purpose: str, project: str, kid: str, plaintext: bytes) -> bytes:
        """Return ``plaintext`` sealed for this place."""
        key = self._keys[0]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[key.id].encrypt(nonce, plaintext, _place(purpose, project, kid))
        return bytes([_VERSION]) + key.id + nonce + ciphertext

    def open(self, purpose: str, project: str, kid: str, sealed: bytes) -> bytes:
        """Return what was sealed for this place. Raises StoreRefused when it was not, or under another master key."""
        head = 1 + _ID_BYTES
        if len(sealed) < head + _NONCE_BYTES + 16 or sealed[0] != _VERSION:
            raise StoreRefused(f"A sealed {purpose} has an unknown format; was it written by a newer version?")
        cipher = self._ciphers.get(sealed[1:head])
        if cipher is None:
            raise StoreRefused(
                f"A sealed {purpose} was written under another master key ({sealed[1:head].hex()}); "
                f"this gateway has {', '.join(key.id.hex() for key in self._keys)}."
            )
        try:
            return cipher.decrypt(
                sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :], _place(purpose, project, kid)
            )
        except InvalidTag:
            raise StoreRefused(f"A sealed {purpose} was changed or moved in the store.") from None

    def is_current(self, sealed: bytes) -> bool:
        """Say whether ``sealed`` is under the newest master key; a re-wrap skips it."""
        return sealed[1 : 1 + _ID_BYTES] == self._keys[0].id

    def derived_keys(self, purpose: str) -> tuple[bytes, ...]:
        """Return a 32-byte key for ``purpose`` from each master key, newest first (HKDF-like, one HMAC-SHA-256)."""
        label = f"chatgateway {purpose}".encode()
        return tuple(hmac.digest(key.reveal(), label, "sha256") for key in self._keys)


def _place(purpose: str, project: str, kid: str) -> bytes:
    """Length before each part: ("a", "bc") and ("ab", "c") are different places."""
    parts = (purpose.encode(), project.encode(), kid.encode())
    return bytes([_VERSION]) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


async def prove(store: Store, sealer: Sealer) -> None:
    """Make sure that ``sealer`` has the master key of ``store``; a store without secrets takes it as its own.

    Raises StoreRefused.
    """
    canary: Any = await store.hot.ask("HGET", [schema.SCHEMA, "canary"])
    if canary is None:
        if await store.hot.ask("EXISTS", [schema.GATEWAY_RING]):
            raise StoreRefused("The store holds sealed secrets but no proof of its master key; restore a backup.")
        await store.hot.ask("HSETNX", [schema.SCHEMA, "canary"], [sealer.seal("canary", "", store.id, _CANARY)])
        # Of two gateways with different keys that start at once one loses here.
        canary = await store.hot.ask("HGET", [schema.SCHEMA, "canary"])
    try:
        sealer.open("canary", "", store.id, canary)
    except StoreRefused as error:
        raise StoreRefused(
            "The master key is not the one of this store: give the right one as CHATGATEWAY_MASTER_KEY."
        ) from error
