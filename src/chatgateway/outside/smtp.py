"""Hand mails to one SMTP server, and say in words that hold no address whether it took them.

A server's own words often quote the address, so of an answer only its number is told. The connection is encrypted
unless the operator says otherwise; encryption that is merely preferred is none against somebody in between.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

from chatgateway.errors import MailboxRefused, OutsideRefused, OutsideUnavailable, SettingsError
from chatgateway.outside.mail import Mail
from chatgateway.settings import Secret, Settings

STEP_MAX_S: Final = 10.0
"""One answer of the server; RFC 5321 section 4.5.3.2 grants minutes, but somebody waits for a code."""

MAIL_MAX_S: Final = 30.0
"""A whole mail: a server that answers each step just in time holds a connection no longer."""

AT_ONCE: Final = 4

_PORTS: Final = {"smtps": 465, "smtp": 587}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Encryption = Literal["from_the_start", "required", "never"]


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails go, as ``smtp_url`` says."""

    host: str
    port: int
    encryption: Encryption
    user: str = ""
    password: Secret | None = None

    def __str__(self) -> str:
        return f"the mail server {self.host}:{self.port}"


def smtp_of(settings: Settings) -> Smtp | None:
    """Return who sends mails, or None when no server is set. Raises SettingsError."""
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    return Smtp(parse_smtp_url(settings.smtp_url.reveal()), parse_mail_from(settings.mail_from))


def parse_smtp_url(url: str) -> SmtpServer:
    """Return the server behind ``smtps://user:pass@host:465`` or ``smtp://host:587?starttls=never``.

    ``starttls`` is "required" unless the url says "never". Raises SettingsError, which does not quote the url.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        starttls = options.pop("starttls", "required")
    except (ValueError, KeyError):
        raise _wrong("expected smtps://USER:PASSWORD@HOST:465 or smtp://HOST:587") from None
    if not host or options or parts.path not in ("", "/") or parts.fragment:
        raise _wrong("expected smtps://USER:PASSWORD@HOST:465 or smtp://HOST:587")
    if starttls not in ("required", "never") or (parts.scheme == "smtps" and parts.query):
        raise _wrong("starttls is required or never, and for smtp:// only")
    if bool(parts.username) != bool(parts.password):
        raise _wrong("a user needs a password, and a password a user")
    if starttls == "never" and parts.username and host not in _LOOPBACK:
        raise _wrong("starttls=never would send the password for everybody to read; leave it out")
    encryption: Encryption = (
        "from_the_start" if parts.scheme == "smtps" else "never" if starttls == "never" else "required"
    )
    password = Secret(unquote(parts.password)) if parts.password else None
    return SmtpServer(host, port, encryption, unquote(parts.username or ""), password)


def parse_mail_from(text: str) -> Address:
    """Return the sender: ``chat@shop.example`` or ``Shop <chat@shop.example>``. Raises SettingsError."""
    name, address = parseaddr(text)
    try:
        if not address.isascii() or not text.isprintable() or "@" not in address:
            raise ValueError
        return Address(name, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        raise SettingsError("mail_from: expected an address such as Shop <chat@shop.example>") from None


class Smtp:
    """Sends mails through one server, a few at a time, each on a connection of its own."""

    def __init__(self, server: SmtpServer, sender: Address, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._tls = tls
        self._turn = asyncio.Semaphore(AT_ONCE)

    def __repr__(self) -> str:
        return f"Smtp({self._server})"

    async def send(self, mail: Mail) -> None:
        """Hand over one mail. Raises OutsideUnavailable when it may be tried again, OutsideRefused when not.

        MailboxRefused: the address is to blame, and nobody else.
        """
        server = self._server
        try:
            message = self._composed(mail)
            async with self._turn, asyncio.timeout(MAIL_MAX_S):
                await aiosmtplib.send(
                    message,
                    sender=self._sender.addr_spec,
                    recipients=[mail.to],
                    hostname=server.host,
                    port=server.port,
                    username=server.user or None,
                    password=server.password.reveal() if server.password else None,
                    use_tls=server.encryption == "from_the_start",
                    start_tls=server.encryption == "required",
                    # Our own name would be looked up, and tells a stranger how the machine is called.
                    local_hostname=self._sender.domain,
                    timeout=STEP_MAX_S,
                    tls_context=self._tls,
                )
        except (aiosmtplib.SMTPException, OSError) as error:
            # Not chained: what the library holds quotes the address, and a traceback would show it.
            raise _translated(error, server) from None
        except (ValueError, IndexError, MessageError):
            # Raised by the standard library for what would be a second address or header.
            raise OutsideRefused("a mail needs one address, and a subject of one line") from None

    def _composed(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{mail.id}@{self._sender.domain}>"
        # RFC 3834 section 5: whoever answers mails while on holiday does not answer this one.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        return message


def _translated(error: Exception, server: SmtpServer) -> OutsideUnavailable:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
        if error.code >= 500:
            return MailboxRefused(f"{server} answered {error.code} to the address")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        # RFC 5321 section 4.2.1: 4 is "not now", 5 is "not like this".
        said = f"{server} answered {error.code}"
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            said += " to the user and password in smtp_url"
        return OutsideUnavailable(said) if error.code < 500 else OutsideRefused(said)
    if _is_untrusted(error):
        return OutsideRefused(f"{server} shows a certificate that this machine does not trust")
    if isinstance(error, aiosmtplib.SMTPTimeoutError | TimeoutError):
        return OutsideUnavailable(f"{server} does not answer in time")
    if isinstance(error, aiosmtplib.SMTPConnectError | aiosmtplib.SMTPServerDisconnected | OSError):
        return OutsideUnavailable(f"{server} cannot be reached, or hung up")
    return OutsideRefused(f"{server} does not offer what smtp_url asks for (STARTTLS, or a login)")


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wrong(expected: str) -> SettingsError:
    return SettingsError(f"smtp_url: {expected}")
