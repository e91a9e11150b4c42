"""A real SMTP server in this process and loop, which keeps what it was given."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.policy
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "mailer", "p@ss/w%rd"


class Office:
    """Takes mails, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []
        self.users: list[object] = []
        self.refuses: str = ""
        """What is answered to a recipient instead of 250; ``{}`` stands for the address."""
        self.at_once = 0
        self.at_once_max = 0
        self.came = asyncio.Event()
        self.port = 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuses:
            return self.refuses.format(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        assert isinstance(envelope.content, bytes)
        parsed: Any = BytesParser(policy=email.policy.default).parsebytes(envelope.content)
        self.mails.append(parsed)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        self.users.append(session.auth_data)
        self.came.set()
        return "250 OK"

    async def mail(self) -> EmailMessage:
        """Return the newest mail, waiting for one that nobody has taken yet."""
        async with asyncio.timeout(15):
            await self.came.wait()
        self.came.clear()
        return self.mails[-1]


def _authenticator(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False, auth_data=USER if known else None)


@contextlib.asynccontextmanager
async def listening(protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on a free port of the loopback, and yield it."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def open_office(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, auth: bool = False
) -> AsyncIterator[Office]:
    """Yield an open post office. ``auth``: only those who log in may send."""
    office, loop = Office(), asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            office, loop=loop, hostname="mail.test", tls_context=starttls,
            authenticator=_authenticator if auth else None, auth_required=auth, auth_require_tls=starttls is not None,
        )  # fmt: skip

    async with listening(protocol, implicit) as office.port:
        yield office


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "mail.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))
