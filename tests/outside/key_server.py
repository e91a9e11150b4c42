"""A site that publishes its keys: a real TLS server on the loopback, with an authority of its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

NAME = "keys.example"
"""What the certificate is also good for."""


class Signer:
    """A key of the site's, and how the site calls it."""

    def __init__(self, algorithm: str, kid: str | None = None) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.key: Any = {
            "RS256": lambda: rsa.generate_private_key(65_537, 2_048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()

    @property
    def pem(self) -> str:
        public = self.key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def private_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def jwk(self) -> dict[str, Any]:
        named = {} if self.kid is None else {"kid": self.kid}
        return self._of(self.key.public_key()) | {"use": "sig"} | named

    @property
    def private_jwk(self) -> dict[str, Any]:
        return self._of(self.key)

    def token(self, external_id: str, **header: Any) -> str:
        """Sign as the site's server does; ``kid=None`` names no key."""
        now = int(time.time())
        claims = {"external_id": external_id, "name": external_id.title(), "iat": now, "exp": now + 600}
        named = {name: value for name, value in ({"kid": self.kid} | header).items() if value is not None}
        return jwt.encode(claims, self.key, self.algorithm, headers=named)

    def _of(self, key: Any) -> dict[str, Any]:
        return jwt.get_algorithm_by_name(self.algorithm).to_jwk(key, as_dict=True)


def document(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk for signer in signers]}).encode()


class KeyServer:
    """Answers every request with ``status``, ``headers`` and ``body``, when ``gate`` lets it."""

    def __init__(self, authority: Path, tls: ssl.SSLContext) -> None:
        self.authority = authority
        """The certificate to trust."""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.endless = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.heads: list[str] = []
        """Of every request, in order."""
        self.asked = asyncio.Event()
        self.sent_bytes = 0
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/keys.json"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    async def up(self) -> None:
        """Listen (again, on the same port)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        self.asked.set()
        await self.gate.wait()
        headers = {"Content-Length": str(len(self.body)), "Connection": "close"} | self.headers
        if self.endless:
            del headers["Content-Length"]
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {self.status} Because\r\n{head}\r\n".encode() + self.body)
        while self.endless:
            writer.write(b" " * 16_384)
            self.sent_bytes += 16_384
            await writer.drain()
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def key_server(home: Path, *signers: Signer) -> AsyncIterator[KeyServer]:
    """Yield a server that publishes the keys of ``signers``."""
    authority, chain = _certificates(home)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain)
    server = KeyServer(authority, tls)
    server.body = document(*signers)
    await server.up()
    yield server
    await server.down()


def _certificates(home: Path) -> tuple[Path, Path]:
    """Write an authority's certificate, and a server's with its key."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    top = (
        _certificate(name, name, root.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    below = (
        _certificate(x509.Name([]), name, leaf.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    authority, chain = home / "authority.pem", home / "server.pem"
    authority.write_bytes(top.public_bytes(Encoding.PEM))
    private = leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(private + below.public_bytes(Encoding.PEM))
    return authority, chain


def _certificate(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )
