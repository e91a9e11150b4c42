"""A key pair, made where it will be used: the private part goes to a file that one user reads, and nowhere else.

Knows no store, so that it works on any machine and on every operating system.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

Kind = Literal["RS256", "ES256", "EdDSA"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

RSA_BITS: Final = 3_072
"""Good beyond 2030 (NIST SP 800-57 part 1, table 2)."""


def generate(algorithm: Kind, path: Path) -> tuple[Path, str]:
    """Write a new pair: the private part to ``path``, the public one beside it. Returns the latter's place and text.

    Raises click.UsageError when one of the files exists or cannot be written; then neither is left.
    """
    beside = path.with_name(path.name + ".pub")
    if beside.exists():
        raise _exists(beside)
    private, public = _made(algorithm)
    _write(path, private, 0o600)
    try:
        _write(beside, public, 0o644)
    except BaseException:
        path.unlink()
        raise
    return beside, public.decode()


def _made(algorithm: Kind) -> tuple[bytes, bytes]:
    match algorithm:
        case "RS256":
            key = rsa.generate_private_key(65_537, RSA_BITS)
        case "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Create ``path``; what stands there, a link included, is never followed, replaced or read by others meanwhile."""
    binary: int = getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.name == "nt" and mode == 0o600:
                _restrict(path)  # before anything is in it
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
        raise


def _restrict(path: Path) -> None:
    """Windows has no modes: take away what the file inherits, and grant it to this user alone."""
    done = subprocess.run(
        ["icacls", str(path), "/inheritance:r", "/grant:r", f"{getpass.getuser()}:F"], capture_output=True, check=False
    )
    if done.returncode:
        raise click.UsageError(f"{path} cannot be kept from other users of this machine; choose another directory")


def _exists(path: Path) -> click.UsageError:
    return click.UsageError(f"{path} exists already, and a key is never overwritten: choose another place with --out")
