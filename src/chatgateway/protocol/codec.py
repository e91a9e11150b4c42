"""Bytes to frames and back.

msgspec's decoder raises three families of exceptions (its own, UnicodeDecodeError, RecursionError): all become
``Malformed`` here, so that nobody above can forget one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from chatgateway.errors import Malformed
from chatgateway.protocol.frames import AnyClientFrame, AnyServerFrame, Ref, ServerFrame

MAX_DEPTH = 16
"""Nesting of a client's JSON. Frames need 3."""

MAX_FRAMES_PER_MESSAGE = 64

_decode_client = msgspec.json.Decoder(AnyClientFrame).decode
_decode_server = msgspec.json.Decoder(list[AnyServerFrame]).decode
_encode = msgspec.json.Encoder().encode


class EventHead(msgspec.Struct, frozen=True):
    """The part of a published event that delivery looks at; the bytes themselves travel on undecoded."""

    type: str
    conversation: str = ""
    seq: int = 0
    at: int = 0
    link: str = ""
    prev: str = ""
    kind: str = ""
    subject: str = ""


class _Referred(msgspec.Struct, frozen=True):
    ref: Ref = ""


_decode_ref = msgspec.json.Decoder(_Referred).decode
_decode_head = msgspec.json.Decoder(EventHead).decode


def decode_client(data: bytes | str) -> Any:
    """Return the frame that a client said (one of ``AnyClientFrame``). Raises Malformed, naming the JSON path."""
    if _too_deep(data):
        raise Malformed(f"JSON may be nested {MAX_DEPTH} levels deep at most.")
    try:
        return _decode_client(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"This is not a frame of the protocol: {_explain(error)}.") from error


def ref_of(data: bytes | str) -> str:
    """Return the ref of something that is no frame, so that its sender can pair the refusal; "" when there is none."""
    try:
        return _decode_ref(data).ref
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def decode_server(data: bytes | str) -> list[AnyServerFrame]:
    """Return the frames of one message of the gateway; for tests and Python clients. Raises Malformed."""
    try:
        return _decode_server(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"This is not a message of the gateway: {_explain(error)}.") from error


def decode_head(event: bytes) -> EventHead:
    """Return what delivery needs to know of a published event. Raises Malformed."""
    try:
        return _decode_head(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not an event: {_explain(error)}") from error


def encode(frame: ServerFrame) -> bytes:
    """Return one frame as JSON, without the array around it."""
    return _encode(frame)


def join(frames: Iterable[bytes]) -> bytes:
    """Return one WebSocket message that holds these frames, in order."""
    return b"[" + b",".join(frames) + b"]"


def event_tail(frame: ServerFrame) -> bytes:
    """Return an event's JSON from its ``conversation`` on, closing brace included.

    The store's scripts know position and links only when they append, and put them in front: see append.lua.
    """
    encoded = _encode(frame)
    return encoded[encoded.index(b'"conversation":') :]


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error).rstrip(".")


def _too_deep(data: bytes | str) -> bool:
    """Cheap for what people say: only a frame with more opening brackets than the limit is looked at closely."""
    opening = (b"{", b"[") if isinstance(data, bytes) else ("{", "[")
    if data.count(opening[0]) + data.count(opening[1]) <= MAX_DEPTH:  # type: ignore[arg-type]
        return False
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in "}]":
            depth -= 1
    return False
