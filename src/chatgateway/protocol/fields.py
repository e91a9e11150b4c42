"""What frames are made of: the shapes of their fields, with every bound that the decoder enforces."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

Text = Annotated[str, msgspec.Meta(min_length=1)]
"""What somebody says. The upper bound is in bytes, a setting, and judged by the session."""

Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Instant = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Link = Annotated[str, msgspec.Meta(min_length=8, max_length=8)]
Cursor = tuple[Instant, Seq, Link]
"""A position ``(at, seq, link)`` on the wire."""

MessageKind = Literal["text", "signed_in", "adopted", "unadopted", "assigned", "resolved", "reopened"]
"""What an entry of the log is. Only ``text`` was typed by somebody."""

InboxView = Literal["mine", "unassigned", "all", "resolved"]
ConversationState = Literal["open", "resolved"]
GoodbyeRetry = Literal["no", "resume", "start_anew", "fresh_token"]
ResetReason = Literal["opened", "trimmed", "diverged"]


def tag(name: str) -> str:
    """Return a frame's type on the wire: its class name in snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
