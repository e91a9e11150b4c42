"""The one place where the parts of a gateway meet, start in order and stop in the reverse.

Order matters at both ends: the node learns all withdrawn trust before anybody is let in, and sessions are sent away
before the store is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.applications import Starlette

from chatgateway import __version__
from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.rotation import ControlEntry
from chatgateway.core.session import SessionRules
from chatgateway.errors import KeyUnknown, NotFound, StoreError, StoreRefused
from chatgateway.gateway.admission import Admission
from chatgateway.gateway.adoption import Adoption
from chatgateway.gateway.behalf import Behalf
from chatgateway.gateway.claims import Claims
from chatgateway.gateway.cors import Origins
from chatgateway.gateway.departure import Departure
from chatgateway.gateway.desk import Desk
from chatgateway.gateway.doors import Doors
from chatgateway.gateway.errands import Errands
from chatgateway.gateway.exchange import Exchange
from chatgateway.gateway.fanout import Fanout
from chatgateway.gateway.grants import Grants
from chatgateway.gateway.keysets import Signers
from chatgateway.gateway.node import Node
from chatgateway.gateway.outbox import Flusher
from chatgateway.gateway.pace import Pace
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.proving import Proving
from chatgateway.gateway.roster import Roster
from chatgateway.gateway.routes import routes
from chatgateway.gateway.server import Server, build_config
from chatgateway.gateway.signin import SignIn
from chatgateway.gateway.speaker import Speaker
from chatgateway.gateway.timing import TimingWheel
from chatgateway.gateway.wire import Wire
from chatgateway.log import log
from chatgateway.outside.mail import Mailer
from chatgateway.outside.smtp import smtp_of
from chatgateway.settings import Settings
from chatgateway.store import schema
from chatgateway.store.admins import Admins
from chatgateway.store.adoptions import Adoptions
from chatgateway.store.agents import Agents
from chatgateway.store.audit import Audit
from chatgateway.store.control import Control
from chatgateway.store.conversations import Conversations
from chatgateway.store.identities import Identities
from chatgateway.store.inbox import Inbox
from chatgateway.store.keyrings import KeyRings
from chatgateway.store.nodes import Nodes
from chatgateway.store.opening import OpenedStore, opened_store
from chatgateway.store.projects import Projects
from chatgateway.store.proofs import Proofs
from chatgateway.store.reports import Reports
from chatgateway.store.sessions import Sessions
from chatgateway.store.watermark import Watermark
from chatgateway.types import AdminId, KeyId, UserId

CHECK_EVERY_S = 60.0
SLICE = 200


def rules_of(settings: Settings) -> SessionRules:
    """Return the limits that every session enforces."""
    return SessionRules(
        hello_timeout_ms=int(settings.hello_timeout_s * 1000),
        hello_max_bytes=settings.hello_max_bytes,
        text_max_bytes=settings.text_max_bytes,
        in_flight_max=settings.in_flight_max,
        commands_per_s=settings.commands_per_s,
        commands_burst=settings.commands_burst,
        typing_every_ms=int(settings.typing_every_s * 1000),
        heartbeat_ms=int(settings.heartbeat_s * 1000),
        heartbeat_missed_ms=int(settings.heartbeat_missed_s * 1000),
        session_max_age_ms=int(settings.session_max_age_h * 3_600_000),
    )


@asynccontextmanager
async def assembled(
    settings: Settings, opened: OpenedStore, wheel: TimingWheel, mailer: Mailer | None = None
) -> AsyncGenerator[Parts]:
    """Yield the parts of a gateway that has caught up and holds a lease. Raises SettingsError, StoreError.

    ``mailer`` takes the mails instead of the server that the settings name.
    """
    store, sealer = opened
    keyrings = KeyRings(store, sealer)
    parts = Parts(
        settings=settings,
        rules=replace(rules_of(settings), durability=store.durability),
        store=store,
        sealer=sealer,
        projects=Projects(store),
        keyrings=keyrings,
        admins=Admins(store),
        identities=Identities(store),
        agents=Agents(store),
        sessions=Sessions(store),
        conversations=Conversations(store),
        inbox=Inbox(store),
        control=Control(store),
        reports=Reports(store),
        audit=Audit(store, sealer),
        adoptions=Adoptions(store),
        proofs=Proofs(store, settings.mails_per_hour_max),
        mailer=mailer or smtp_of(settings),
        credential_ring=await keyrings.gateway_ring(),
        wheel=wheel,
        flusher=Flusher(),
        roster=Roster(),
    )

    async def reassert(entry: ControlEntry) -> None:
        """What was restored with the store may call a dead key active and a signed-out person welcome: not again."""
        if entry.kind == "key":
            with contextlib.suppress(NotFound):
                # Sessions rest on admin tokens as on keys.
                await parts.admins.revoke(AdminId(entry.subject))
            with contextlib.suppress(KeyUnknown, ValueError, StoreError):
                now = parts.node.now()
                await keyrings.change(entry.project, lambda ring: ring.revoke(KeyId(entry.subject), now))
        elif entry.kind == "person" and entry.why in ("signed_out", "adopted", "blocked"):
            user = UserId(entry.subject)
            field = "blocked" if entry.why == "blocked" else "*"
            partitions = await parts.sessions.partitions(entry.project, user)
            await parts.control.mark_person(entry.project, user, list(partitions), field, str(entry.at))

    parts.node = Node(
        parts.control, Nodes(store), Watermark(settings.watermark_of(store.id), store.id), parts.roster,
        lease_s=settings.lease_s, cut_off_s=settings.cut_off_s, reassert=reassert,
    )  # fmt: skip
    parts.doors, parts.errands, parts.sign_in = Doors(parts), Errands(parts), SignIn(parts)
    parts.behalf, parts.pace, parts.origins = Behalf(parts), Pace(parts), Origins(parts)
    parts.departure, parts.grants = Departure(parts), Grants(parts)
    parts.admission, parts.exchange, parts.signers = Admission(parts), Exchange(parts), Signers(parts)
    parts.speaker, parts.claims = Speaker(parts), Claims(parts)
    parts.adoption, parts.proving = Adoption(parts), Proving(parts)
    subscriber = await store.open_subscriber(parts.node.id)
    parts.fanout, parts.desk = Fanout(parts, subscriber), Desk(parts, subscriber)

    def restored(channels: list[str]) -> None:
        parts.fanout.restored(channels)
        parts.desk.restored()

    def on_lease() -> None:
        parts.fanout.suspect_all()
        parts.desk.restored()

    subscriber.on_restored = restored
    node = parts.node
    node.active_agents = parts.desk.active_agents
    node.on_presence = parts.desk.presence_changed
    node.on_lease = on_lease
    node.on_cut_off = lambda: parts.errands.spawn(end_all(parts, CloseCode.LEASE_LOST))
    await subscriber.subscribe(schema.DOORBELL, node.ring_doorbell)
    await subscriber.subscribe(schema.TOLD, parts.adoption.told)
    parts.probe_age_ms = lambda: subscriber.probe_age_ms
    await node.start()
    watching = asyncio.create_task(_watch_store(parts), name="store.check")
    sweeping = asyncio.create_task(parts.adoption.sweep_on(), name="adoption.sweep")
    log.info(
        "gateway.started", node=node.id, server=store.server, durability=store.durability, detail=__version__,
        version=node.trust.applied,
    )  # fmt: skip
    try:
        yield parts
    finally:
        for task in (watching, sweeping):
            task.cancel()
        await asyncio.gather(watching, sweeping, return_exceptions=True)
        await parts.errands.stop()
        parts.signers.sets.close()
        await node.stop()
        await subscriber.close()


async def _watch_store(parts: Parts) -> None:
    """Look at the store's own settings each minute: eviction switched on at run time deletes conversations."""
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        try:
            await parts.store.check()
            parts.node.refuse("")
        except StoreRefused as error:
            log.error("store.refused", detail=str(error))
            parts.node.refuse(str(error))
        except StoreError:
            continue  # away: the lease says so


async def end_all(parts: Parts, code: CloseCode, window_ms: int = 0) -> None:
    """End every connection in slices; each is told when to come back, spread over ``window_ms``."""
    connections = list(parts.roster.connections)
    window = max(1, window_ms or parts.rules.retry_max_ms)
    for start in range(0, len(connections), SLICE):
        for connection in connections[start : start + SLICE]:
            connection.hear(fx.Ended(code, random.randrange(window)))  # noqa: S311
        await asyncio.sleep(0)


async def drain(parts: Parts) -> None:
    """Stop admitting, then send the sessions away over the drain time, so that they do not all return at once."""
    parts.doors.draining = True
    connections = list(parts.roster.connections)
    log.info("gateway.draining", node=parts.node.id, count=len(connections))
    window_ms = int(min(parts.settings.drain_s, len(connections) / parts.settings.admission_per_s) * 1000) + 500
    await end_all(parts, CloseCode.DRAINING, window_ms)
    # Their close frames have gone; wait for the peers' answers, but not for those who do not answer.
    deadline = asyncio.get_running_loop().time() + min(parts.settings.drain_s, 5.0)
    while parts.roster.connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def create_app(settings: Settings, wheel: TimingWheel | None = None) -> Starlette:
    """Return the gateway as an ASGI application.

    Live connections need the gateway's own socket classes (gateway/server.py): run it with ``run``, or pass them to
    uvicorn. The store is opened by the application's lifespan.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        turning = wheel or TimingWheel()
        async with (
            opened_store(settings, on_health=_tell_health) as opened,
            assembled(settings, opened, turning) as parts,
        ):
            app.state.parts = parts
            gc.collect()
            gc.freeze()
            yield

    return Starlette(routes=routes(), lifespan=lifespan)


def _tell_health(health: str | None) -> None:
    if health is None:
        log.info("store.recovered")
    else:
        log.error("store.ailing", detail=health)


async def run(settings: Settings, mailer: Mailer | None = None) -> int:
    """Serve until SIGTERM, and return the exit status. Raises SettingsError, StoreError before anybody is let in.

    ``mailer`` takes the mails instead of the server that the settings name.
    """
    wheel = TimingWheel()
    wire = Wire(
        wheel,
        handshake_ms=int(settings.handshake_timeout_s * 1000),
        head_max_bytes=settings.headers_max_bytes,
        write_stall_ms=int(settings.write_stall_s * 1000),
        fragments_max=settings.fragments_max,
        control_frames_per_s=max(1, int(settings.pings_per_s * 5)),
    )
    app = Starlette(routes=routes())
    config = build_config(
        app, wire=wire, host=settings.host, port=settings.port, message_max_bytes=settings.inbound_max_bytes,
        trusted_proxies=settings.trusted_proxies,
    )  # fmt: skip

    async def on_drain() -> None:
        await drain(app.state.parts)

    server = Server(config, on_drain)
    port = await server.bind()
    async with (
        opened_store(settings, on_health=_tell_health) as opened,
        assembled(settings, opened, wheel, mailer) as parts,
    ):
        parts.own_origins = _own_origins(settings, port)
        app.state.parts = parts
        log.info("gateway.listening", host=settings.host, port=port)
        gc.collect()
        gc.freeze()
        await server.serve()
    return 0


def _own_origins(settings: Settings, port: int) -> frozenset[str]:
    own = {f"http://{settings.host}:{port}", f"http://127.0.0.1:{port}", f"http://localhost:{port}"}
    if settings.public_url:
        own.add(settings.public_url)
    return frozenset(own)
