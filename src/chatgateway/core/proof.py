"""Whether an anonymous visitor controls an address: six digits by mail, and how seldom they may be asked for.

A code belongs to one visitor and one address, holds ten minutes, and dies with its fifth try, with the right answer, or
with the next code. It belongs to the visitor, not to the socket: a phone that opens its mail app loses the socket.

What somebody outside may learn is the same for every address. So a visitor is told of the limit of their own network
and of everybody's, never of an address's: there the answer is as always, no mail is sent, and no answer is right.

How far guessing gets: an address is sent at most 12 codes a day, each with 5 tries: 60 guesses of a million. A network
has 15 in a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NamedTuple

from chatgateway.core.credential import CredentialRing
from chatgateway.core.keyring import Material
from chatgateway.core.person import folded_email
from chatgateway.errors import EmailMalformed
from chatgateway.types import ProjectId, UserId

CODE_DIGITS: Final = 6
LIFE_MS: Final = 10 * 60_000
TRIES_MAX: Final = 5
ENTROPY_BYTES: Final = 16
"""For one code: so much more than a million that no code is likelier than another by what anybody could measure."""

ADDRESS_MAX: Final = 254
"""Characters (RFC 5321 section 4.5.3.1.3, without the angle brackets)."""


class Ceiling(NamedTuple):
    """At most ``max`` in any ``window_ms``, wherever the window begins."""

    max: int
    window_ms: int


PER_NETWORK: Final = Ceiling(3, 15 * 60_000)
PER_ADDRESS: Final = (Ceiling(3, 15 * 60_000), Ceiling(12, 24 * 3_600_000))
EVERYBODYS_WINDOW_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Pending:
    """A code that was asked for and not yet answered rightly."""

    email: str
    digest: bytes
    """Keyed; empty when nothing was sent, and no answer is right."""
    tries: int
    """Answers so far, the one that is judged now included."""


class Letter(NamedTuple):
    subject: str
    text: str


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)({_ATOM}(?:\.{_ATOM})*)@((?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL})\Z")


def required_address(text: str) -> str:
    """Return the address in ``text``, without white space at its ends. Raises EmailMalformed.

    A dot-atom at a name with a dot (RFC 5321 section 4.1.2): no quoted names, which hardly a mailbox has, no bare host,
    which is ours, and ASCII only, because two addresses that look alike must not look alike to agents.
    """
    address = text.strip(" \t\r\n")
    if len(address) > ADDRESS_MAX or not _ADDRESS.match(address):
        raise EmailMalformed
    return address


def counted_as(address: str) -> str:
    """Return what the addresses of one mailbox share: ``Ada+news@`` and ``ada@`` are one person's patience."""
    local, _, domain = folded_email(address).rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def code_from(entropy: bytes) -> str:
    """Return six digits made of ``ENTROPY_BYTES`` random ones."""
    if len(entropy) < ENTROPY_BYTES:
        raise ValueError(f"a code needs {ENTROPY_BYTES} random bytes")
    return f"{int.from_bytes(entropy) % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def typed_code(text: str) -> str | None:
    """Return the code that somebody typed, or None when it is none: spaces, hyphens and other scripts' digits are."""
    digits = "".join(str(unicodedata.decimal(char, "x")) for char in text if char not in " \t\r\n\u00a0-")
    return digits if len(digits) == CODE_DIGITS and digits.isdigit() else None


def digest(code: str, project: ProjectId, user: UserId, email: str, ring: CredentialRing) -> bytes:
    """Return what is remembered of a code. Without the gateway's own key nobody finds the code by trying them all."""
    return _keyed(ring.keys[0], code, project, user, email)


def answers(code: str, pending: Pending, project: ProjectId, user: UserId, ring: CredentialRing) -> bool:
    """Is ``code`` the right answer, and in time? Takes as long for a wrong one."""
    right = False
    for key in ring.keys:
        right |= hmac.compare_digest(pending.digest, _keyed(key, code, project, user, pending.email))
    return right and pending.tries <= TRIES_MAX


def letter(code: str, project_name: str) -> Letter:
    """Return the mail that brings a code.

    The subject is without it: subjects are shown on locked screens and kept in the logs of every server on the way.
    No links and no markup: a mail that asks to click is what people are taught to distrust.
    """
    text = (
        f"{code} is your code for the chat with {project_name}.\n\n"
        f"Type it into the chat. It holds for {LIFE_MS // 60_000} minutes and works once.\n\n"
        "If this was not you, ignore this mail: without the code nothing happens.\n"
    )
    return Letter(f"Your code for {project_name}", text)


def _keyed(key: Material, *said: str) -> bytes:
    # No part holds a NUL, so that two lists of parts never make one text; the first part keeps it apart from what else
    # this key signs.
    return hmac.digest(key.reveal(), "\0".join(("email proof", *said)).encode(), hashlib.sha256)
