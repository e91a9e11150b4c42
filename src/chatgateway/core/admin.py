"""Who may operate the gateway over HTTP: what an admin token looks like, and for which projects it is good.

A token is 256 random bits, so a plain digest keeps it: nobody can try them all, and a slow hash would only cost time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from chatgateway.core.keyring import has_checksum, secret_text
from chatgateway.types import AdminId, KeyId, ProjectId, UnixMs

ADMIN_TOKEN_PATTERN: Final = re.compile(r"cga_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
"""For secret scanners; the last six characters are a checksum, as in a project's secrets."""


@dataclass(frozen=True, slots=True)
class AdminRecord:
    """An admin token as it is remembered: everything but the token."""

    id: AdminId
    name: str
    projects: tuple[ProjectId, ...] = ()
    """For which it is good. Empty: for all, those to come included."""
    created_at: UnixMs = UnixMs(0)
    last_used_at: UnixMs | None = None
    revoked_at: UnixMs | None = None
    prefix: str = "cga_"
    last_four: str = ""

    @property
    def revoked(self) -> bool:
        return self.revoked_at is not None

    @property
    def everywhere(self) -> bool:
        return not self.projects

    @property
    def kid(self) -> KeyId:
        """What a session rests on that this token granted."""
        return KeyId(self.id)

    @property
    def actor(self) -> str:
        """Who the audit says it was."""
        return f"{self.id} ({self.name})"

    def serves(self, project: ProjectId) -> bool:
        """Is it good for ``project``?"""
        return self.everywhere or project in self.projects

    def grants(self, project: ProjectId) -> bool:
        """May it open sessions in ``project``? Only one that is good for nothing else: revoking it ends them there."""
        return self.projects == (project,)


def admin_token(entropy: bytes) -> str:
    """Return the text of an admin token made of 32 random bytes. Raises ValueError for any other number of them."""
    return secret_text("cga_", entropy)


def is_admin_token(text: str) -> bool:
    """Is all of ``text`` an admin token, without a typing error? Says nothing about whether anybody made it."""
    return bool(ADMIN_TOKEN_PATTERN.fullmatch(text)) and has_checksum(text)


def admin_digest(token: str) -> str:
    """Return what a token is remembered by and looked up by."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
