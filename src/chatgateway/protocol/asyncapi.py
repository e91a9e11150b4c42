"""The AsyncAPI 3.0 description of the wire, made from the frames themselves; docs/asyncapi.json is its output.

python -m chatgateway.protocol.asyncapi > docs/asyncapi.json
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

import msgspec

from chatgateway import __version__
from chatgateway.close_codes import CloseCode
from chatgateway.protocol import frames as f

_REF = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """Return the description of ``GET /v1/ws``: every frame that either side may say, and every close code."""
    said: tuple[Any, ...] = typing.get_args(f.AnyClientFrame)
    heard: tuple[Any, ...] = typing.get_args(f.AnyServerFrame)
    _, schemas = msgspec.json.schema_components((*said, *heard), ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "chatgateway",
            "version": __version__,
            "description": "Live chat. A client sends one frame per message, the gateway arrays of 1 to 64 frames.",
        },
        "channels": {
            "live": {
                "address": "/v1/ws",
                "messages": {
                    _type(frame, side): _ref(frame, side) for side, all_ in _sides(said, heard) for frame in all_
                },
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "say": _operation("receive", "What a client may say.", said, "client"),
            "hear": _operation("send", "What the gateway says.", heard, "server"),
        },
        "components": {
            "messages": {
                _type(frame, side): {
                    "name": _tag(frame),
                    "summary": inspect.getdoc(frame) or "",
                    "payload": {"$ref": _REF.format(name=frame.__name__)},
                }
                for side, all_ in _sides(said, heard)
                for frame in all_
            },
            "schemas": schemas,
        },
        "x-close-codes": {str(int(code)): code.reason for code in CloseCode},
    }


def encoded() -> str:
    """Return the document as indented JSON, the same text for the same frames."""
    return msgspec.json.format(msgspec.json.encode(document(), order="sorted"), indent=2).decode() + "\n"


def _sides(said: tuple[Any, ...], heard: tuple[Any, ...]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return ("client", said), ("server", heard)


def _tag(frame: Any) -> str:
    return str(frame.__struct_config__.tag)


def _type(frame: Any, side: str) -> str:
    return f"{side}_{_tag(frame)}"


def _ref(frame: Any, side: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{_type(frame, side)}"}


def _operation(action: str, summary: str, all_: tuple[Any, ...], side: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/live"},
        "messages": [{"$ref": f"#/channels/live/messages/{_type(frame, side)}"} for frame in all_],
    }


if __name__ == "__main__":
    print(encoded(), end="")  # noqa: T201
