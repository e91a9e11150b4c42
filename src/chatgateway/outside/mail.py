"""What a mail is, and what every way of sending one promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A short, plain text to one address. It prints as nothing that is anybody's business."""

    to: str
    subject: str
    text: str
    id: str
    """Unguessable, and the same at each try: a mail that arrives twice is recognised."""

    def __repr__(self) -> str:
        return "Mail(…)"


class Mailer(Protocol):
    """Somebody who takes mails."""

    async def send(self, mail: Mail) -> None:
        """Hand over one mail. Raises OutsideUnavailable when it may be tried again, OutsideRefused when not."""
        ...
