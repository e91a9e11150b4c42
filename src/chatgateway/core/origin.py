"""Decide which pages may use an app: what an origin is, when two are the same, and what an app's list matches.

An origin is scheme, host and port, nothing else (RFC 6454). Browsers send it in one spelling; people who fill in the
list do not, so both are brought into the browser's spelling and then compared as text. What has no single spelling is
refused rather than guessed: a host outside ASCII would be mapped differently by two standards.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Final

from chatgateway.errors import OriginForbidden

HOST_CHARS_MAX: Final = 253
NULL: Final = "null"
"""What sandboxed frames and ``file:`` pages send: every such page on earth. Allowed only where a list says so."""

WILDCARD: Final = "*."

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31})://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normalise(origin: str) -> str:
    """Return ``origin`` as browsers spell it: lower case, no default port. ``null`` stays ``null``.

    Raises OriginForbidden, whose sentence says what is wrong.
    """
    if origin == NULL:
        return NULL
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise _not_an_origin(origin, "write scheme://host or scheme://host:port, in ASCII (xn--… for other scripts)")
    scheme, host = match["scheme"].lower(), _host(origin, match["host"].lower())
    if match["port"] is None:
        return f"{scheme}://{host}"
    port = int(match["port"])
    if not 1 <= port <= 65_535 or match["port"].startswith("0"):
        raise _not_an_origin(origin, "a port is 1 to 65535")
    return f"{scheme}://{host}" if _DEFAULT_PORTS.get(scheme) == port else f"{scheme}://{host}:{port}"


@functools.lru_cache(maxsize=4_096)
def normalise_pattern(pattern: str) -> str:
    """Return an entry of an app's list in one spelling: an origin, or ``scheme://*.domain`` for its subdomains.

    The domain of a wildcard has two labels at least (or is ``localhost``): ``*.com`` is not a customer. Raises
    OriginForbidden.
    """
    scheme, found, rest = pattern.partition("://*.")
    if not found:
        return normalise(pattern)
    scheme, _, domain = normalise(f"{scheme}://{rest}").partition("://")
    name = domain.partition(":")[0]
    if name != "localhost" and ("." not in name or _NUMERIC.fullmatch(name.rpartition(".")[2])):
        raise _not_an_origin(pattern, "a wildcard stands before a domain of two labels or more")
    return f"{scheme}://{WILDCARD}{domain}"


def allowed(origin: str | None, patterns: tuple[str, ...], absent_ok: bool) -> bool:
    """May a page of this origin use an app with this list? ``None``: nothing was sent, as by native clients.

    An entry that is not a pattern matches nothing.
    """
    if origin is None:
        return absent_ok
    try:
        page = normalise(origin)
    except OriginForbidden:
        return False
    return any(_matches(page, pattern) for pattern in patterns)


def _matches(page: str, pattern: str) -> bool:
    try:
        entry = normalise_pattern(pattern)
    except OriginForbidden:
        return False
    scheme, found, domain = entry.partition("://" + WILDCARD)
    if not found:
        return page == entry
    return page.startswith(f"{scheme}://") and page.endswith("." + domain)


def _host(origin: str, host: str) -> str:
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise _not_an_origin(origin, "this is not an IPv6 address") from None
    labels = host.split(".")
    if len(host) > HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise _not_an_origin(origin, "this is not a host name")
    # Browsers read such a host as an IPv4 address, in any of its old spellings; only one of them is sent.
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _not_an_origin(origin, "this is not an IPv4 address") from None
    return host


def _not_an_origin(origin: str, why: str) -> OriginForbidden:
    return OriginForbidden(f"{origin[:100]!r} is not an origin: {why}.", detail="not_an_origin")
