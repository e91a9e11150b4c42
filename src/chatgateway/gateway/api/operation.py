"""What an HTTP operation is: one row of the table from which routes are registered and OpenAPI is written.

A row says who may call, what goes in and what comes out; its handler gets all of it checked. Tables stand beside their
handlers (visitor.py, token.py, …) and meet in table.py.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import msgspec
from starlette.requests import Request

from chatgateway.errors import PeerError
from chatgateway.gateway.cors import Sharing
from chatgateway.protocol.fields import Id

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

Auth = Literal["none", "session", "admin", "cookie"]
"""Nobody in particular, the bearer of a session token or of an admin token, or whoever the browser's cookie names."""

Gate = Literal["policy", "none", "leaving"]
"""What a session must meet: its app's policy; only that it lives; or not even that its page may still come in."""

ExternalIdPath = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]

W = TypeVar("W")
B = TypeVar("B")
Q = TypeVar("Q")

_PLACEHOLDER = re.compile(r"{(\w+)}")


@dataclass(slots=True)
class Call(Generic[W, B, Q]):
    """One request, checked: who asks, what stands in path, query and body. ``None`` where the row says nothing."""

    parts: Parts
    request: Request
    who: W
    """A Visit, an AdminRecord or a Caller, as the row's ``auth`` says."""
    path: Mapping[str, str]
    query: Q
    body: B
    caller: Caller
    """Where it comes from."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """To be sent with the answer, a refusal too."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    method: Method
    path: str
    """Placeholders stand for one segment each; a segment may hold an escaped slash."""
    summary: str
    handle: Callable[[Call[Any, Any, Any]], Awaitable[Any]]
    """Returns what is sent as JSON, None for an answer without a body, or a Response of its own."""
    auth: Auth = "none"
    gate: Gate = "policy"
    takes: Any = None
    """Of the body: a Struct, or several that their tag tells apart."""
    optional: bool = False
    """May the body be absent? Then it says nothing."""
    lines: type[msgspec.Struct] | None = None
    """Of each line of a body that the handler reads by itself."""
    query: type[msgspec.Struct] | None = None
    gives: Any = None
    errors: tuple[type[PeerError], ...] = ()
    """Beyond those that everybody meets who calls so."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Types of the path's placeholders that are not ids."""
    status: int = 0
    """Of a success; 0: 200, or 204 without a body."""
    details: str = ""
    everywhere: bool = False
    """Only for admin tokens of all projects."""
    ends: bool = False
    """Answers with what the nodes said: 424, beside the same fields, where a living one did not confirm."""
    rehearsal: Any = None
    """What it gives with ``dry_run``, when nothing is changed."""
    may_create: bool = False
    """Answers 201 where it made what it gives."""

    @property
    def success(self) -> int:
        return self.status or (204 if self.gives is None else 200)

    @property
    def sharing(self) -> Sharing:
        """With which pages of other origins the answer is shared."""
        return {"none": "bearer", "session": "bearer", "cookie": "cookie", "admin": "none"}[self.auth]  # type: ignore[return-value]

    @property
    def placeholders(self) -> dict[str, Any]:
        """The path's parameters, in order, with their types."""
        return {name: self.parameters.get(name, Id) for name in _PLACEHOLDER.findall(self.path)}

    @property
    def name(self) -> str:
        """Its id in the OpenAPI document: what its handler is called."""
        return self.handle.__name__

    @property
    def tag(self) -> str:
        """The noun that its handler's module is called by."""
        return self.handle.__module__.rpartition(".")[2]
