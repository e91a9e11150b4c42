"""Where the demo's mails go instead of out: a short list in memory, and the page that shows it."""

from __future__ import annotations

import html
from collections import deque
from typing import Final

from chatgateway.outside.mail import Mail

KEPT_MAX: Final = 50
"""Letters of a demo, not of a day."""

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Outbox · chatgateway</title>
<link rel="icon" href="/web/console/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/web/postbox.css">
</head>
<body>
<main>
<h1>Outbox</h1>
<p>Mails that the demo would have sent, the newest first. Nothing leaves this machine.
<a href="/demo/outbox">Look again</a></p>
{letters}
</main>
</body>
</html>
"""
_LETTER: Final = """\
<li><article>
<h2>{subject}</h2>
<p class="to">To {to}</p>
<pre>{text}</pre>
</article></li>"""


class Postbox:
    """Takes every mail, sends none."""

    def __init__(self) -> None:
        self._letters: deque[Mail] = deque(maxlen=KEPT_MAX)

    async def send(self, mail: Mail) -> None:
        """Put a mail on top of the others; the oldest of many falls out."""
        self._letters.appendleft(mail)

    @property
    def letters(self) -> tuple[Mail, ...]:
        """What is in it, the newest first."""
        return tuple(self._letters)

    def page(self) -> str:
        """Return the page. What strangers typed is text in it, never markup."""
        rows = [
            _LETTER.format(subject=html.escape(mail.subject), to=html.escape(mail.to), text=html.escape(mail.text))
            for mail in self._letters
        ]
        listed = f'<ol class="letters" reversed>\n{"".join(rows)}\n</ol>' if rows else "<p>No mail yet.</p>"
        return _PAGE.format(letters=listed)
