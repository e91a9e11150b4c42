"""What the log may say: a noun, a past participle, and fields from a list.

A field that is not on the list is dropped and counted, so that no token, secret or text of a message is logged by an
oversight. What libraries log goes through here too, from warnings up: their info lines quote whole URLs. As the last
line of defence, whatever looks like a credential is cut out of every string.

The logger is ours alone; nothing here changes structlog's process-wide configuration.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

Format = Literal["auto", "json", "pretty"]

FIELDS = frozenset(
    {
        # who and where
        *("project", "app", "session", "user", "agent", "conversation", "node", "key", "kid", "role", "assurance"),
        *("origin", "address", "client", "channel", "partition", "method", "path", "status"),
        # what happened
        *("code", "close", "detail", "reason", "error", "exception", "entry", "kind", "verb", "state", "signal"),
        # how much, how long, where in a log
        *("seq", "at", "version", "revision", "fence", "count", "total", "bytes", "took_ms", "after_ms", "pid"),
        # this process and its store
        *("host", "port", "url", "data", "durability", "server", "logger", "attempt"),
    }
)
"""Fields that may appear. A token, a secret or the text of a message is none of them."""

_ALWAYS = frozenset({"event", "level"})

_CREDENTIALS = re.compile(
    r"cg[savt]_[A-Za-z0-9_.=-]{8,}"  # our secrets, admin tokens, session tokens, tickets
    r"|cgl_[A-Za-z0-9_-]{8,}"  # login links
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*"  # a JWT, also a cut one
    r"|(?<=://)[^/\s@]+(?=@)"  # name and password of a URL
    r"|(?<=\?)[^\s\"']+"  # a query string
)

dropped: collections.Counter[str] = collections.Counter()
"""How often a field was refused, by its name."""


class FieldRefused(Exception):
    """A field that is not on the list, while ``strict``."""


class _Sink:
    """Where lines go. ``strict`` makes a refused field an exception, for tests."""

    def __init__(self) -> None:
        self.level = logging.INFO
        self.stream: TextIO | None = None
        self.strict = False
        self.pretty: structlog.dev.ConsoleRenderer | None = None

    def write(self, line: str) -> None:
        stream = self.stream or sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not end a conversation.
            dropped["(line)"] += 1


_sink = _Sink()


def _allow(_logger: Any, name: str, event: EventDict) -> EventDict:
    if logging.getLevelNamesMapping().get(name.upper(), logging.ERROR) < _sink.level:
        raise structlog.DropEvent
    event["level"] = name
    for field in event.keys() - FIELDS - _ALWAYS - {"exc_info"}:
        dropped[field] += 1
        if _sink.strict:
            raise FieldRefused(field)
        del event[field]
    return event


def _scrub(_logger: Any, _name: str, event: EventDict) -> EventDict:
    return {field: _clean(value) for field, value in event.items()}


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _CREDENTIALS.sub("…", value if isinstance(value, str) else str(value))


def _render(_logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    instant = time.time_ns() // 1_000_000
    if _sink.pretty is None:
        head = {"at": instant, "level": event.pop("level"), "event": event.pop("event")}
        # ASCII only: no terminal control, no broken line, no lone surrogate leaves this function.
        return json.dumps(head | dict(event), separators=(",", ":"))
    trace = event.pop("exception", None)
    shown: dict[str, Any] = {field: _printable(value) for field, value in event.items()}
    shown["timestamp"] = time.strftime("%H:%M:%S", time.localtime(instant / 1000)) + f".{instant % 1000:03}"
    line = str(_sink.pretty(None, name, shown))
    return line if trace is None else line + "\n" + "\n".join(map(str, map(_printable, str(trace).splitlines())))


def _printable(value: object) -> object:
    """A peer's string must not steer the operator's terminal."""
    return repr(value) if isinstance(value, str) and not value.isprintable() else value


class _Line:
    """The innermost logger: a rendered line goes to the sink, whatever its level."""

    def __getattr__(self, _level: str) -> Any:
        return _sink.write


log: FilteringBoundLogger = structlog.wrap_logger(
    _Line(),
    processors=[_allow, structlog.processors.format_exc_info, _scrub, _render],
    wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    context_class=dict,
)
"""``log.info("session.closed", session=session, code="key_revoked")``; ``log.bind(node=…)`` for what stays the same."""


class _FromLibraries(logging.Handler):
    """Carries what uvicorn, asyncio and others log over to ours, as the event ``library.warned`` or ``.failed``."""

    def emit(self, record: logging.LogRecord) -> None:
        say = log.error if record.levelno >= logging.ERROR else log.warning
        event = "library.failed" if record.levelno >= logging.ERROR else "library.warned"
        say(event, logger=record.name, detail=record.getMessage(), exc_info=record.exc_info)


def configure(
    level: str = "info",
    form: Format = "auto",
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    strict: bool = False,
) -> None:
    """Choose what is logged and how; called once by the command, before anything serves.

    ``stream`` None is standard error, looked up at each line. ``strict`` raises FieldRefused for an unlisted field.
    """
    _sink.level = logging.getLevelNamesMapping()[level.upper()]
    _sink.stream = stream
    _sink.strict = strict
    terminal = (stream or sys.stderr).isatty()
    pretty = form == "pretty" or (form == "auto" and terminal)
    colours = terminal and not environ.get("NO_COLOR")
    _sink.pretty = structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=28) if pretty else None
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _FromLibraries)]
    root.addHandler(_FromLibraries(level=max(_sink.level, logging.WARNING)))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        # The access line of a WebSocket quotes its whole query string.
        logger.setLevel(logging.CRITICAL + 1 if name == "uvicorn.access" else logging.WARNING)
