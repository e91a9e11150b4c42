"""Ask sites for the key sets that they publish (RFC 7517 section 5), and remember what they answered.

Whoever answers at such an address decides who may sign in, and need not mean well: https only, to public addresses
only (outside/address.py), no redirect, no proxy and no cookie, at most 64 KiB and 5 s for all of it, and what came is
read by the rules of core/public_key.py, off the event loop.

A site must neither be asked by every sign-in nor make sign-ins wait when it is down:

    fresh          for as long as Cache-Control says, within 5 min and 24 h
    cool-down      nobody is asked twice in 30 s, whatever stranger's token names an unknown key, whoever failed
    single flight  who needs an answer that was asked for already waits for the same one
    last good set  when asking fails, the set counts for 24 h after it ceased to be fresh
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx2

from chatgateway.core.keyring import KeyRing
from chatgateway.core.public_key import FollowedKey, followed_keys
from chatgateway.errors import OutsideUnavailable
from chatgateway.log import log
from chatgateway.outside.address import addresses_of
from chatgateway.types import KeyId

FRESH_MS_MIN: Final = 5 * 60_000
"""Also where the site says nothing: a key that it took out is believed a little longer, and no more."""
FRESH_MS_MAX: Final = 24 * 3_600_000
COOL_DOWN_MS: Final = 30_000
KEPT_MS: Final = 24 * 3_600_000
"""A site that is down for a day locks nobody out; who keeps us from asking keeps a stolen key alive for no longer."""

DOCUMENT_BYTES_MAX: Final = 65_536
ANSWER_S: Final = 5.0
"""For all of it: the name, the handshake, the document. Somebody waits to be signed in."""
CONNECT_S: Final = 2.0
"""For one address of several."""

SETS_MAX: Final = 1_024
"""Remembered at a time: 64 MiB at worst."""

_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})\"?(?=$|[\s,])", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=//)[^/]*@")
_FORGETFUL: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?=$|[\s,=])", re.IGNORECASE)


class Answer(NamedTuple):
    """What a site published."""

    keys: tuple[FollowedKey, ...]
    fresh_ms: int


@dataclass(slots=True)
class _Known:
    """What is known of one address. Instants are monotonic milliseconds."""

    keys: tuple[FollowedKey, ...] | None = None
    fresh_until: int = 0
    kept_until: int = 0
    asked_at: int | None = None
    failure: str = ""
    """Why the last attempt failed; "" when it did not."""
    asking: asyncio.Task[None] | None = None


class KeySets:
    """The key sets of all sites that projects follow, as this process knows them."""

    def __init__(
        self,
        *,
        private_addresses: bool = False,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        """``tls`` says whom to trust; None: the system's authorities, or those in SSL_CERT_FILE."""
        self._private_addresses = private_addresses
        self._tls = tls
        self._now = now
        self._known: dict[str, _Known] = {}

    def close(self) -> None:
        """Stop asking. Who waits for an answer is cancelled."""
        for known in self._known.values():
            if known.asking is not None:
                known.asking.cancel()

    def fresh(self, url: str) -> tuple[FollowedKey, ...] | None:
        """Return the set as it is known, without asking anybody; None unless it is fresh."""
        known = self._known.get(url)
        return known.keys if known is not None and self._now() < known.fresh_until else None

    async def get(self, url: str) -> tuple[FollowedKey, ...]:
        """Return the set at ``url``, asking for it when it is not fresh. Raises OutsideUnavailable."""
        return self.fresh(url) or await self.again(url)

    async def again(self, url: str) -> tuple[FollowedKey, ...]:
        """Return the set at ``url``, asking for it unless that was done lately: a key may be newer than what is known.

        Raises OutsideUnavailable.
        """
        known = self._known.get(url) or self._remember(url)
        if known.asking is None and (known.asked_at is None or self._now() - known.asked_at >= COOL_DOWN_MS):
            known.asked_at = self._now()
            known.asking = asyncio.create_task(self._ask(url, known))
        if known.asking is not None:
            # Shielded: who hangs up while waiting must not cancel it for the others.
            await asyncio.shield(known.asking)
        if known.keys is None or self._now() >= known.kept_until:
            raise OutsideUnavailable(known.failure)
        return known.keys

    async def _ask(self, url: str, known: _Known) -> None:
        """Fetch, and note what came. Never raises: the reason is for whoever waits."""
        try:
            if self._tls is None:
                self._tls = await asyncio.to_thread(httpx2.create_ssl_context)  # reads a file of 200 KiB
            answer = await fetch(url, self._tls, private_addresses=self._private_addresses)
        except OutsideUnavailable as error:
            known.failure = str(error)
            log.warning("keyset.unavailable", url=_shown(url), reason=known.failure)
        else:
            known.keys, known.failure = answer.keys, ""
            known.fresh_until = self._now() + answer.fresh_ms
            known.kept_until = known.fresh_until + KEPT_MS
            log.info("keyset.fetched", url=_shown(url), count=len(answer.keys), after_ms=answer.fresh_ms)
        finally:
            known.asking = None

    def _remember(self, url: str) -> _Known:
        if len(self._known) >= SETS_MAX:
            del self._known[min(self._known, key=lambda known: self._known[known].asked_at or 0)]
        return self._known.setdefault(url, _Known())


def with_fresh(sets: KeySets, ring: KeyRing) -> KeyRing:
    """Return ``ring`` with the followed sets that are known and fresh. Asks nobody."""
    found = {key.kid: sets.fresh(key.url) or () for key in ring.keys if key.algorithm == "JWKS"}
    return ring.following(found) if found else ring


async def with_newest(sets: KeySets, ring: KeyRing) -> tuple[KeyRing, Mapping[KeyId, OutsideUnavailable]]:
    """Ask once more for the sets that ``ring`` follows, all at a time.

    Returns the ring with what is known now, and by the record's id why a set cannot be had. A set whose record is dead
    vouches for nobody, so it is not asked for.
    """
    followed = ring.usable("JWKS")
    found: dict[KeyId, tuple[FollowedKey, ...]] = {}
    missing: dict[KeyId, OutsideUnavailable] = {}
    answers = await asyncio.gather(*(sets.again(key.url) for key in followed), return_exceptions=True)
    for key, answer in zip(followed, answers, strict=True):
        if isinstance(answer, OutsideUnavailable):
            missing[key.kid] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[key.kid] = answer
    return ring.following(found), missing


async def fetch(url: str, tls: ssl.SSLContext, *, private_addresses: bool) -> Answer:
    """Ask ``url`` for its key set, now. Raises OutsideUnavailable, with what is wrong there."""
    try:
        async with asyncio.timeout(ANSWER_S):
            asked = _https(url)
            addresses = await addresses_of(asked.host, asked.port or 443, private=private_addresses)
            if not addresses:
                raise _unavailable(
                    url, "its name leads to private addresses only (jwks_private_addresses would allow them)"
                )
            document, fresh_ms = await _document(url, asked, addresses, tls)
            # Dozens of RSA keys are milliseconds of arithmetic, and every connection of this node would wait for it.
            return Answer(await asyncio.to_thread(followed_keys, document), fresh_ms)
    except TimeoutError as error:
        raise _unavailable(url, f"it took longer than {ANSWER_S:.0f} s") from error
    except httpx2.HTTPError as error:
        raise _unavailable(url, f"the connection failed ({error})") from error
    except OSError as error:
        raise _unavailable(url, f"its name cannot be looked up ({error.strerror})") from error
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise _unavailable(url, "that is no web address") from error
    except ValueError as error:
        raise _unavailable(url, str(error)) from error


async def _document(url: str, asked: httpx2.URL, addresses: list[str], tls: ssl.SSLContext) -> tuple[bytes, int]:
    """Return what the first address that can be reached publishes, and for how long it may be believed."""
    for address in addresses:
        # A client of its own each time: no cookie and no open connection is left for the next.
        transport = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=timeout) as client:
            request = client.build_request(
                "GET",
                asked.copy_with(host=address),
                headers={"Host": asked.netloc.decode(), "Accept": "application/json", "Accept-Encoding": "identity"},
                extensions={"sni_hostname": asked.host},
            )
            try:
                response = await client.send(request, stream=True, follow_redirects=False)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
                continue
            async with contextlib.aclosing(response):
                return await _body(url, response), _fresh_ms(response.headers.get("Cache-Control", ""))
    raise AssertionError("unreachable")


async def _body(url: str, response: httpx2.Response) -> bytes:
    if response.has_redirect_location:
        raise _unavailable(url, "it leads elsewhere, and redirects are not followed: give the final address")
    if response.status_code != 200:
        raise _unavailable(url, f"it answered with status {response.status_code}")
    # A few packed bytes may be gigabytes: we asked for it as it is.
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unavailable(url, "it sends its answer packed, unasked")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > DOCUMENT_BYTES_MAX:
            raise _unavailable(url, f"it sends more than {DOCUMENT_BYTES_MAX:,} bytes")
    return bytes(body)


def _https(url: str) -> httpx2.URL:
    asked = httpx2.URL(url)
    if asked.scheme != "https" or not asked.host or asked.userinfo or not 0 < (asked.port or 443) <= 65_535:
        raise _unavailable(url, "key sets are followed over https only, without a password in the address")
    return asked


def _fresh_ms(cache_control: str) -> int:
    """Return for how long an answer counts as fresh (RFC 9111 section 5.2.2), within our own bounds."""
    said = _MAX_AGE.search(cache_control)
    if said is None or _FORGETFUL.search(cache_control):
        return FRESH_MS_MIN
    return min(max(int(said[1]) * 1000, FRESH_MS_MIN), FRESH_MS_MAX)


def _unavailable(url: str, what: str) -> OutsideUnavailable:
    return OutsideUnavailable(f"the key set at {_shown(url)} cannot be had: {what}")


def _shown(url: str) -> str:
    """Without what may be a secret."""
    return _USERINFO.sub("", url.partition("?")[0])
