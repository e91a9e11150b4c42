"""What a browser is told about reading our answers: CORS (the Fetch standard, section 3.2), per app.

Two kinds. Who brings a bearer token gets nothing that the browser adds by itself, so any page may read why it was
refused; only pages on the app's list are ever answered with more. Where a cookie counts, an answer is readable for
pages on the app's list alone, by exact name: never ``*``.

Which app is meant stands in the token or the body, which a preflight does not bring. So a preflight for the first kind
lets everybody ask, and one for the second whoever stands on some app's list; the request itself is judged by its app.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from chatgateway.core.origin import allowed
from chatgateway.types import UnixMs

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

Sharing = Literal["bearer", "cookie", "none"]
"""With pages that bring a token, with pages whose browser brings a cookie, or with no page of another origin."""

PREFLIGHT_S = 600
REREAD_MS = 5_000
"""An app that was just made waits so long at most for its first preflight with a cookie."""


def readable(origin: str | None, sharing: Sharing) -> dict[str, str]:
    """Return the headers of an answer whose app is not known, or not asked for."""
    if sharing == "none":
        return {}
    if sharing == "cookie" or not origin:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "Retry-After", "Vary": "Origin"}


def readable_with_cookie(origin: str | None) -> dict[str, str]:
    """Return the headers of an answer to a page that was found on its app's list."""
    if not origin:
        return {"Vary": "Origin"}
    return {**readable(origin, "bearer"), "Access-Control-Allow-Credentials": "true"}


def preflight(origin: str, methods: Sequence[str], *, with_token: bool, with_cookie: bool) -> dict[str, str]:
    """Return the headers that let a browser ask: with a bearer token, with a cookie, or with neither."""
    return {
        **(readable_with_cookie(origin) if with_cookie else readable(origin, "bearer")),
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": "authorization, content-type" if with_token else "content-type",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }


class Origins:
    """The origins that some app of this gateway lists."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lists: tuple[tuple[str, ...], ...] = ()
        self._read_at = UnixMs(-REREAD_MS)

    async def listed(self, origin: str) -> bool:
        """Is a page of this origin on any app's list? Raises StoreError."""
        if origin in self._parts.own_origins or self._holds(origin):
            return True
        now = self._parts.node.now()
        if now - self._read_at < REREAD_MS:
            return False
        self._read_at = now
        self._lists = tuple({app.origins for app in await self._parts.projects.list_apps()})
        return self._holds(origin)

    def _holds(self, origin: str) -> bool:
        return any(allowed(origin, patterns, absent_ok=False) for patterns in self._lists)
