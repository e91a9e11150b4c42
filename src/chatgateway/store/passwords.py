"""Turn agents' passwords into Argon2id hashes (RFC 9106), and compare, without stalling the event loop.

One computation takes 64 MiB and about a quarter of a second in a thread; at most two run at once.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

PASSWORD_MIN = 8
"""Characters (NIST SP 800-63B section 5.1.1.2)."""

PASSWORD_MAX = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess costs an attacker, and one login costs us (RFC 9106 section 4, second recommendation)."""

    memory_kib: int = 65_536
    iterations: int = 3
    lanes: int = 1


class Passwords:
    """Hashes and compares; at most ``at_once`` at a time."""

    def __init__(self, cost: Cost | None = None, at_once: int = 2) -> None:
        self._cost = cost or Cost()
        self._turn = asyncio.Semaphore(at_once)
        self._nobodys = ""

    async def hash(self, password: str) -> str:
        """Return the PHC string to store. Raises ValueError for a password that is too short or too long."""
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise ValueError(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")
        return await self._derived(password)

    async def matches(self, password: str, phc: str) -> bool:
        """Whether ``password`` is the one. An empty ``phc`` matches nothing and takes as long as any other."""
        if not phc and not self._nobodys:
            self._nobodys = await self._derived(secrets.token_hex(16))
        async with self._turn:
            return await asyncio.to_thread(_verified, password[: PASSWORD_MAX + 1], phc or self._nobodys) and bool(phc)

    async def _derived(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._derive, password)

    def _derive(self, password: str) -> str:
        cost = self._cost
        argon2id = Argon2id(
            salt=secrets.token_bytes(16),
            length=32,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        )
        return argon2id.derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def _verified(password: str, phc: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), phc)
    except InvalidKey:
        return False
    return True
