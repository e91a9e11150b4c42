"""What an operator may choose, where the choice may come from, and what is wrong with it.

From the strongest to the weakest: flags, ``CHATGATEWAY_*`` variables, one TOML file. A name that nobody knows is an
error, so that a typing mistake is never a silent default; a complaint names the setting and never its value.
"""

from __future__ import annotations

import ast
import difflib
import hmac
import inspect
import ipaddress
import itertools
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from chatgateway.errors import SettingsError

PREFIX = "CHATGATEWAY_"
CONFIG = PREFIX + "CONFIG"
"""Names the TOML file when ``--config`` does not."""

_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Bytes = Annotated[int, msgspec.Meta(ge=256, le=1_048_576)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Rate = Annotated[float, msgspec.Meta(gt=0, le=100_000)]


class Secret:
    """A string that must be asked for by name. Printing, formatting or logging it shows nothing."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read once, checked, frozen and passed. However it is built, a value out of bounds raises SettingsError."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to listen on. Loopback, because TLS belongs to a proxy in front."""

    port: _Port = 8080
    """TCP port to listen on; 0 takes a free one and logs it. High, because nobody should run this as root."""

    public_url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/\s?#]+\Z")] | None = None
    """Scheme, host and port under which browsers reach the gateway. None: what the request says."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose X-Forwarded-For is believed. None by default: a visitor could forge the address."""

    data: Path | None = None
    """Directory of the embedded store. None: under XDG_DATA_HOME, where a user's data belongs."""

    store_url: Secret | None = None
    """External Redis or Valkey instead of the embedded one. A secret, because it may hold a password."""

    master_key: Secret | None = None
    """Encrypts signing secrets at rest. Lose it and every secret must be made anew. None: made beside an empty data."""

    watermark: Path | None = None
    """Remembers withdrawn trust outside the data, so that an old backup is noticed. None: under XDG_STATE_HOME."""

    durability: Literal["auto", "disk", "memory", "replica", "replica+disk"] = "auto"
    """What an acknowledgement must mean. Auto takes the strongest that the store offers."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged. A peer's mistake is info, ours is error."""

    log_format: Literal["auto", "json", "pretty"] = "auto"
    """Auto is pretty on a terminal and one JSON object per line elsewhere, as collectors want it."""

    inbound_max_bytes: _Bytes = 65_536
    """The largest frame that is read. Four times the longest text, for escapes and the frame around it."""

    text_max_bytes: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 16_384
    """The longest message. A long e-mail fits; a log file does not."""

    hello_max_bytes: _Bytes = 16_384
    """The largest frame of a stranger. A token of 8 KiB and 64 cursors fit."""

    headers_max_bytes: _Bytes = 16_384
    """The largest request head. Cookies of the host site never reach us, so this is plenty."""

    fragments_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """The most fragments of one message. Browsers send one; thousands of tiny ones are an attack."""

    hello_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0
    """How long a silent connection may stay. Long enough for a phone on a train."""

    handshake_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    """How long a request head may take. Slower ones hold a descriptor for nothing."""

    write_stall_s: Annotated[float, msgspec.Meta(gt=0, le=15)] = 10.0
    """A peer that takes no byte for so long is aborted. Below the 15 s in which a dead key's sockets must be gone."""

    heartbeat_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 25.0
    """Between two heartbeats. Proxies cut at 60 s of silence, some phones' networks at 30."""

    heartbeat_missed_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 20.0
    """How long the answer to a heartbeat may take before the connection counts as lost."""

    session_max_age_h: Annotated[float, msgspec.Meta(gt=0, le=168)] = 12.0
    """The oldest a connection may grow. A working day; then it returns inside a window and load evens out."""

    session_minutes: Annotated[int, msgspec.Meta(ge=1, le=60)] = 60
    """The longest life of a signed-in session token. Only a fresh customer token renews it."""

    anonymous_days: Annotated[int, msgspec.Meta(ge=1, le=400)] = 180
    """The sliding life of an anonymous credential. Half a year of absence ends the history in that browser."""

    in_flight_max: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    """Commands of one connection that may await their answer. A client's outbox needs no more to keep the line busy."""

    commands_per_s: _Rate = 10.0
    """Commands that one connection may send for long. Nobody types faster."""

    commands_burst: _Count = 30
    """Commands that may come at once. An outbox of a tunnel's length goes out after a reconnect."""

    requests_per_s: _Rate = 20.0
    """HTTP requests that one address may send for long. An office behind one address notices nothing."""

    requests_burst: _Count = 200
    """HTTP requests of one address that may come at once. A page asks for all its lists in one go."""

    admin_requests_per_s: _Rate = 100.0
    """HTTP requests that one admin token may send for long. A server tells of each login; many go in one import."""

    import_max_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_073_741_824)] = 67_108_864
    """The largest import over HTTP. A quarter of a million people; it waits on disk, and more may come in several."""

    typing_every_s: _Seconds = 2.0
    """At most one typing hint in so long. A hint shows for longer than that."""

    pings_per_s: _Rate = 2.0
    """Protocol pings that one peer may send. Browsers send none; each costs an answer."""

    outbound_max_frames: _Count = 256
    """Frames that may wait for a slow reader. Recovery is a range read, so queues stay small."""

    outbound_max_bytes: Annotated[int, msgspec.Meta(ge=16_384, le=16_777_216)] = 262_144
    """Bytes that may wait for a slow reader; half full drops hints, full ends the connection."""

    connections_per_address_max: _Count = 64
    """Connections of one address (IPv6: per /64) that are not signed in. An office behind one address fits."""

    connections_per_identity_max: _Count = 20
    """Connections of one person on one node. Many tabs fit; a runaway script does not."""

    admission_per_s: _Rate = 300.0
    """New connections that one process takes. A returning herd is spread instead of stalling those who are in."""

    jwks_private_addresses: bool = False
    """May key sets lie at private and loopback addresses? No: whoever sets one could reach into this network."""

    lease_s: Annotated[float, msgspec.Meta(ge=1, le=30)] = 3.0
    """After so long without the store a node accepts and delivers nothing: it may have missed a revocation."""

    cut_off_s: Annotated[float, msgspec.Meta(ge=2, le=300)] = 10.0
    """After so long without the store a node ends its sessions, so that they find a node that has one."""

    smtp_url: Secret | None = None
    """Mail server for codes: smtps://USER:PASSWORD@HOST:465, or smtp://HOST:587. None: nobody can prove an address."""

    mail_from: Annotated[str, msgspec.Meta(min_length=3, max_length=320)] | None = None
    """Sender of mails, such as Shop <chat@shop.example>. Needed with smtp_url: no server takes a mail from nobody."""

    mails_per_hour_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    """Mails that all visitors together may have sent in an hour. A flood costs money and the sender's good name."""

    drain_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 20.0
    """Over how long SIGTERM sends the sessions away. Within the 30 s that most supervisors wait."""

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(self):
            _convert(field.name, field.type, getattr(self, field.name), strict=True)
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise SettingsError("trusted_proxies: expected networks such as 10.0.0.0/8") from None
        if self.store_url is not None:
            if self.data is not None:
                raise SettingsError("data and store_url exclude each other: the store is embedded or external")
            if self.master_key is None:
                raise SettingsError("master_key: required with store_url (make one with: openssl rand -base64 32)")
        if (self.smtp_url is None) != (self.mail_from is None):
            raise SettingsError("smtp_url and mail_from need each other: where mails go, and whom they come from")
        for smaller, larger in _ORDER:
            if getattr(self, smaller) > getattr(self, larger):
                raise SettingsError(f"{smaller}: expected at most the value of {larger}")

    @property
    def data_directory(self) -> Path:
        """Where the embedded store lives, when it is embedded."""
        return self.data or _xdg("XDG_DATA_HOME", ".local/share")

    def watermark_of(self, store: str) -> Path:
        """Where trust withdrawn in ``store`` is remembered: by the store's own id, so that its copy is recognised."""
        return self.watermark or _xdg("XDG_STATE_HOME", ".local/state") / f"{store}.watermark"


_ORDER = (
    ("text_max_bytes", "inbound_max_bytes"),
    ("hello_max_bytes", "inbound_max_bytes"),
    ("inbound_max_bytes", "outbound_max_bytes"),
    ("lease_s", "cut_off_s"),
)
"""Pairs that make no sense the other way round."""

_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def is_secret(name: str) -> bool:
    """Whether the setting must never be printed, and may come from a file (``NAME_FILE``)."""
    return "Secret" in str(_TYPES[name])


def load(flags: Mapping[str, object], environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """Return the effective settings: ``flags`` over ``environ`` over the TOML file.

    A flag that is None was not given. Raises SettingsError, which names the flag, variable or key.
    """
    chosen = config or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    values = _from_file(chosen) if chosen else {}
    values |= _from_environment(environ)
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given:
        if name not in _TYPES:
            raise _unknown(_flag(name), name, _flag)
    values |= {name: _convert(_flag(name), _TYPES[name], value) for name, value in given.items()}
    # One place replaces the other: a flag that names a store beats a weaker source that names one of the other kind.
    if given.get("data") is not None and "store_url" not in given:
        values.pop("store_url", None)
    if given.get("store_url") is not None and "data" not in given:
        values.pop("data", None)
    return Settings(**values)


def explanations() -> dict[str, str]:
    """Return the reason that stands under each field in this file, by field, in their order."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(inspect.getmodule(Settings) or Settings)).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    found: dict[str, str] = {}
    for field, reason in itertools.pairwise(body):
        match field, reason:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
            case _:
                pass
    return found


def example() -> str:
    """Return ``deploy/example.env``: every setting with its bounds, default and reason, commented out."""
    lines = ["# Every setting of chatgateway, with its default. Written by: chatgateway check --example", ""]
    reasons = explanations()
    for field in msgspec.structs.fields(Settings):
        default = field.default if field.default is not None else ""
        default = str(default).lower() if isinstance(default, bool) else default
        shown = ",".join(default) if isinstance(default, tuple) else str(default)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        lines += [f"# {reasons[field.name]}", f"# Expected: {_expected(field.type)}."]
        lines += [f"#{PREFIX}{field.name.upper()}={shown}"]
        if is_secret(field.name):
            lines += [f"#{PREFIX}{field.name.upper()}_FILE="]
        lines += [""]
    return "\n".join(lines[:-1]) + "\n"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser's own sentence may quote the line, and the line may hold a secret.
        raise SettingsError(f"{path}: not a TOML file") from error
    return _named(table, lambda name: f"{path}: {name}")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    ours = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in environ.items()
        if name.startswith(PREFIX) and name != CONFIG and text != ""
    }
    return _named(ours, lambda name: PREFIX + name.upper())


def _named(table: Mapping[str, object], spelled: Callable[[str], str]) -> dict[str, Any]:
    """Convert a table of settings; ``spelled`` says how its source writes a name."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        stem = name.removesuffix("_file")
        if name in _TYPES:
            values[name] = _convert(spelled(name), _TYPES[name], value)
        elif stem != name and stem in _TYPES and is_secret(stem):
            if stem in table:
                raise SettingsError(f"{spelled(stem)} and {spelled(name)} exclude each other")
            values[stem] = _read_secret(spelled(name), value)
        else:
            raise _unknown(spelled(name), name, spelled)
    return values


def _read_secret(where: str, path: object) -> Secret:
    try:
        text = Path(str(path)).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: the file cannot be read") from error
    if not text:
        raise SettingsError(f"{where}: the file is empty")
    return Secret(text)


def _unknown(where: str, name: str, spelled: Callable[[str], str]) -> SettingsError:
    nearest = difflib.get_close_matches(name, _TYPES, n=1, cutoff=0)
    return SettingsError(f"{where}: unknown setting; the nearest known one is {spelled(nearest[0])}")


def _convert(where: str, kind: Any, value: object, *, strict: bool = False) -> Any:
    if not strict and isinstance(value, str) and "tuple" in str(kind):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=_own_type)
    except msgspec.ValidationError:
        # Not chained: the library's sentence may hold the value.
        raise SettingsError(f"{where}: expected {_expected(kind)}") from None


def _own_type(kind: type, value: object) -> object:
    if isinstance(value, kind):
        return value
    if kind in (Secret, Path) and isinstance(value, str) and value:
        return Path(value).expanduser() if kind is Path else Secret(value)
    raise ValueError("not text")


def _expected(kind: Any) -> str:
    """Say in words what a setting's type admits."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.UnionType(types=types):
            (known,) = (one for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case known:
            pass
    match known:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            noun = "a whole number" if isinstance(known, msgspec.inspect.IntType) else "a number"
            low = f"from {known.ge:g}" if known.ge is not None else f"above {known.gt or 0:g}"
            return f"{noun} {low} to {known.le or 0:.12g}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.LiteralType(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case msgspec.inspect.VarTupleType():
            return "networks such as 10.0.0.0/8, separated by commas"
        case msgspec.inspect.StrType(pattern=str()):
            return "a URL without a path, such as https://chat.example"
        case msgspec.inspect.CustomType(cls=cls) if cls is Path:
            return "a path"
        case _:
            return "text"


def _xdg(variable: str, fallback: str) -> Path:
    # The base directory specification: a relative path in these variables is to be ignored.
    stated = Path(os.environ.get(variable, ""))
    return (stated if stated.is_absolute() else Path.home() / fallback) / "chatgateway"
