"""What the store's refusals mean: the one place where an error reply or a Redis exception becomes a StoreError.

Our scripts answer with a word, sometimes with a detail behind it:

    STALE [fence]      judged before the fence; without a number, or MISSING: the fence is not there
    WITHDRAWN mark     trust in this person or session was withdrawn
    CONFLICT [why]     a compare-and-set lost
    NOTFOUND [what]    the record does not exist
    any other word     StoreError, with the word as its text
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chatgateway.errors import Conflict, NotFound, Stale, StoreError, StoreUnavailable, Withdrawn

_NOT_NOW = frozenset(
    {
        *("LOADING", "BUSY", "READONLY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM"),
        *("CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED"),
    }
)
"""The server is there but does not do its work now."""


class ScriptUnknown(StoreError):
    """The server forgot a script (a restart, SCRIPT FLUSH). Nothing ran."""


def refusal(reply: str) -> StoreError:
    """Return what the error reply ``reply`` (without its dash) means."""
    # Lua's error_reply puts ERR in front of a word that stands alone.
    text = reply.removeprefix("ERR ")
    word, _, detail = text.partition(" ")
    match word:
        case "STALE":
            return Stale(int(detail) if detail.isdigit() else None)
        case "MISSING":
            return Stale(None)
        case "WITHDRAWN":
            return Withdrawn(detail)
        case "CONFLICT":
            return Conflict(detail or "changed meanwhile")
        case "NOTFOUND":
            return NotFound(detail or "such record")
        case "NOSCRIPT":
            return ScriptUnknown(text)
        case _ if word in _NOT_NOW:
            return StoreUnavailable(text)
        case _:
            return StoreError(text)


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Let what redis-py raises leave the block as a StoreError: nothing above the store knows a Redis exception."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    except RedisError as error:
        raise refusal(_whole(error)) from error


def _whole(error: RedisError) -> str:
    """redis-py cuts the known codes off the text and keeps them beside it."""
    code = str(getattr(error, "status_code", None) or "")
    text = str(error)
    return f"{code} {text}" if code and code != "ERR" and not text.startswith(code) else text
