"""A secret is regenerated: exactly its sessions end, everywhere, and nothing of theirs is stored afterwards."""

from __future__ import annotations

import asyncio
import select
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import msgspec
from tests.acceptance.client import Client, mint_ref, read_log
from tests.acceptance.conftest import House
from tests.acceptance.gateway import Gateway
from tests.acceptance.operator import SHOP, Site
from tests.acceptance.traffic import Talker, judge
from websockets.frames import Frame, Opcode

from chatgateway.protocol import frames as f

TOO_EARLY_MS, TOO_LATE_MS = 30_000, 300_000
"""Between these a page whose server still signs with the old secret is told to come back."""


async def test_regenerating_one_of_three_keys_ends_exactly_its_sockets_of_fifty(house: House) -> None:
    operator = house.operator
    site, other = await asyncio.gather(operator.site("Exact"), operator.site("Elsewhere"))
    second, third = await asyncio.gather(operator.add_key(site, "second"), operator.add_key(site, "third"))
    await asyncio.gather(operator.agent("Eve", site), operator.agent("Eric", site))

    async def talker(number: int, place: Site, token: str | None) -> Talker:
        client = await Client.visitor(house.nodes[number % 2], place, token, can_refresh=True)
        begun = await client.start("hello")
        return Talker(client, begun.conversation)

    async def people(kid: str, count: int) -> list[Talker]:
        return [await talker(number, site, site.token(f"{kid}-{number}", kid=kid)) for number in range(count)]

    doomed = await people(second, 12)
    survivors = [*await people(site.kid, 12), *await people(third, 12)]
    survivors += [await talker(number, site, None) for number in range(6)]
    survivors += [await talker(number, other, other.token(f"them-{number}")) for number in range(4)]
    for number, name in enumerate(("Eve", "Eve", "Eric", "Eric")):
        agent = await Client.agent(house.nodes[number % 2], name)
        # Two answer people who are about to be cut off, two answer people who are not.
        conversation = (doomed, survivors)[number % 2][number].conversation
        await agent.open(conversation)
        survivors.append(Talker(agent, conversation))
    assert len(doomed) + len(survivors) == 50
    await asyncio.gather(*(one.said(2) for one in (*doomed, *survivors)))

    secret_file = house.place.home / "exact.secret"
    ran = await operator("key", "regenerate", site.project, second, "--yes", "--secret-file", str(secret_file))
    assert ran.status == 0, ran.err
    assert "2 of 2 nodes confirmed, 12 sessions ended" in ran.out
    assert "12 connected sessions will end; 12 of them return by themselves once their server signs" in ran.err
    # From here on nothing of the old key may take effect: where its conversations stand now, they stay.
    async with await Client.agent(house.nodes[0], "Eve") as witness:
        tops = {one.conversation: len(await read_log(witness, one.conversation)) for one in doomed}
        for one in doomed:
            goodbye, code = await one.client.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.reason, goodbye.retry) == (4301, "key_revoked", "fresh_token")
            assert code == 4301
        # The survivors go on for a while, and never noticed.
        await asyncio.gather(*(one.said(3) for one in survivors))
        await asyncio.gather(*(one.stop() for one in (*doomed, *survivors)))
        for one in survivors:
            assert one.client.is_open
            assert one.client.goodbye is None
            assert one.refusals == []
            assert not any(ack.repeated for ack in one.acks.values())
        answering = {one.conversation for one in survivors}
        for one in doomed:
            log = await read_log(witness, one.conversation)
            judge(log, one.acks)
            if one.conversation not in answering:
                assert len(log) == tops[one.conversation]
    for one in survivors[:-4]:
        theirs = [peer.acks for peer in survivors if peer.conversation == one.conversation]
        log = await read_log(one.client, one.conversation)
        judge(log, {ref: ack for acks in theirs for ref, ack in acks.items()})
        assert len(log) == 1 + sum(map(len, theirs)), "stored and never acknowledged, or twice"
    await asyncio.gather(*(one.client.leave() for one in survivors))

    verified = await operator("audit", "verify", site.project, "--json")
    assert [row["verdict"] for row in verified.json] == ["whole"]
    entries = (await operator("audit", "list", site.project, "--json")).json
    steps = [(entry["step"], entry["result"]) for entry in entries if entry["verb"] == "key regenerate"]
    assert steps[-1] == ("result", "2 of 2 nodes confirmed, 12 sessions ended")
    assert steps[0][0] == "intent"


async def test_everything_that_the_old_secret_signed_is_refused_with_a_time_to_come_back(house: House) -> None:
    site = await house.operator.site("Refused")
    old = site.kid
    here, there = house.nodes
    live = await Client.visitor(here, site, site.token("ada"))
    begun = await live.start("before")
    exchanged = await post(there, site, site.token("ada"))
    assert exchanged.status_code == 200
    await house.operator.regenerate(site, old)
    assert (await live.ended())[1] == 4301

    async with httpx2.AsyncClient(base_url=here.url, trust_env=False) as browser:
        body = {"app": site.app, "token": site.token("ada", kid=old)}
        answer = await browser.post("/v1/token", json=body, headers={"Origin": SHOP})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_revoked")
    # A customer token with or without its kid, and session tokens that rested on it: all are told when to return.
    unnamed = Site(site.project, site.app, old, site.keys[old]).token("ada")
    tokens = [site.token("ada", kid=old), unnamed, live.me.session_token, exchanged.json()["session_token"]]
    for node in house.nodes:
        for token in tokens:
            refused = await Client.connect(node)
            await refused.say("hello", app=site.app, token=token)
            goodbye, code = await refused.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.retry, code) == (4301, "fresh_token", 4301)
            assert TOO_EARLY_MS <= goodbye.after_ms <= TOO_LATE_MS
        async with await Client.visitor(node, site) as stranger:
            answer = await stranger.ask("authenticate", token=tokens[0])
            assert answer.code == "key_revoked"
            assert TOO_EARLY_MS <= answer.retry <= TOO_LATE_MS
            await stranger.start("a stranger as before")
    assert len(await house.operator.history(site, begun.conversation)) == 1


async def test_an_open_tab_heals_with_a_token_of_the_new_secret_and_goes_on_in_its_conversation(house: House) -> None:
    site = await house.operator.site("Heal")
    await house.operator.agent("Hanna", site)
    here, there = house.nodes
    old = site.kid
    tab = await Client.visitor(here, site, site.token("ada"), can_refresh=True)
    begun = await tab.start("before")
    said = await tab.send(begun.conversation, "and then the secret was changed")
    agent = await Client.agent(there, "Hanna")
    await agent.open(begun.conversation)
    await house.operator.regenerate(site, old)
    await tab.ended()
    # The page's server has not been redeployed yet: it signs with the old secret.
    early = await Client.connect(there)
    await early.say("hello", app=site.app, token=site.token("ada", kid=old))
    goodbye, _ = await early.ended()
    assert goodbye is not None
    assert goodbye.after_ms >= TOO_EARLY_MS
    await agent.send(begun.conversation, "are you still there?")
    # Now it has been.
    cursor = {begun.conversation: (said.at, said.seq, said.link)}
    async with await Client.visitor(there, site, site.token("ada"), resume=cursor, can_refresh=True) as healed:
        assert healed.me.user == tab.me.user
        page = await healed.want(f.Replay)
        assert [msgspec.json.decode(raw)["text"] for raw in page.messages] == ["are you still there?"]
        await healed.send(begun.conversation, "here I am")
        assert (await agent.hears("here I am")).author.user == tab.me.user
        assert [view.conversation for view in await healed.conversations()] == [begun.conversation]
    await agent.leave()


async def test_a_key_is_revoked_without_a_successor_and_the_other_key_stays(house: House) -> None:
    site = await house.operator.site("Revoke")
    second = await house.operator.add_key(site, "second")
    here, there = house.nodes
    doomed = await Client.visitor(here, site, site.token("ada", kid=second))
    kept = await Client.visitor(there, site, site.token("ada", kid=site.kid))
    begun = await kept.start("hi")
    answer = (await house.operator("key", "revoke", site.project, second, "--yes", "--json")).json
    assert answer["nodes"] == "2 of 2 nodes confirmed, 1 session ended"
    assert (await doomed.ended())[1] == 4301
    await kept.send(begun.conversation, "undisturbed")
    await kept.leave()


async def test_a_rehearsal_names_who_would_end_and_ends_nobody(house: House) -> None:
    site = await house.operator.site("Rehearsal")
    clients = [await Client.visitor(node, site, site.token(f"p{node.port}")) for node in house.nodes]
    begun = await clients[0].start("hi")
    named = (await house.operator("key", "regenerate", site.project, site.kid, "--dry-run", "--json")).json
    assert {row["session"] for row in named} == {client.me.session for client in clients}
    await clients[0].send(begun.conversation, "still here")
    unconfirmed = await house.operator("key", "regenerate", site.project, site.kid, "--json")
    assert unconfirmed.status == 2
    assert "--yes" in unconfirmed.err
    assert all(client.is_open for client in clients)
    await asyncio.gather(*(client.leave() for client in clients))


async def test_a_peer_that_reads_nothing_is_gone_within_15_s(house: House) -> None:
    site = await house.operator.site("Stalled")
    await house.operator.agent("Stella", site)
    here, there = house.nodes
    async with await Client.visitor(there, site, site.token("ada"), address="127.0.0.3") as ada:
        begun = await ada.start("hello")
    with await stalled_reader(here, site, site.token("ada"), begun.conversation) as peer:
        agent = await Client.agent(there, "Stella")
        await agent.open(begun.conversation)
        for _ in range(16):
            await agent.send(begun.conversation, "x" * 16_000)
        backlog = unsent_bytes(here.port, peer.getsockname()[1])
        assert backlog, "the peer's backlog must stand in the gateway's socket"
        await house.operator.regenerate(site, site.kid)
        gone = await asyncio.to_thread(wait_for_hang_up, peer, 15_000)
        assert gone, "TCP of a revoked session that never reads must be reset"
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0, "reset, not closed politely"
        assert unsent_bytes(here.port, peer_port(peer)) is None, "and nothing of it is left with us"
        await agent.leave()


async def test_a_node_that_slept_through_the_regeneration_refuses_what_was_queued(
    own_house: Callable[..., Awaitable[House]],
) -> None:
    house = await own_house(2)
    operator = house.operator
    site = await operator.site("Sleep")
    kept_kid = await operator.add_key(site, "kept")
    sleeper, awake = house.nodes
    doomed = [await Client.visitor(sleeper, site, site.token(f"d{number}", kid=site.kid)) for number in range(3)]
    kept = [await Client.visitor(sleeper, site, site.token(f"k{number}", kid=kept_kid)) for number in range(2)]
    kept.append(await Client.visitor(sleeper, site))
    elsewhere = await Client.visitor(awake, site, site.token("e", kid=site.kid))
    begun = {client: (await client.start("awake")).conversation for client in (*doomed, *kept)}

    def queue(text: str) -> dict[Client, list[str]]:
        return {
            client: client.say_together(
                *(("send", {"conversation": begun[client], "text": f"{text} {number}"}) for number in range(3))
            )
            for client in begun
        }

    sleeper.signal(signal.SIGSTOP)
    try:
        before = queue("before")
        old = site.kid
        answer = await operator.regenerate(site, old)
        # Its lease has run out meanwhile, so it counts as fenced: whoever is alive has confirmed.
        assert answer["nodes"] == "1 of 1 nodes confirmed, 1 session ended"
        during = queue("during")
    finally:
        sleeper.signal(signal.SIGCONT)
    assert (await elsewhere.ended())[1] == 4301
    for client in doomed:
        goodbye, code = await client.ended()
        assert goodbye is not None
        assert (goodbye.code, code) == (4301, 4301)
        assert not [frame for frame in client.unread if isinstance(frame, f.Ack) and frame.seq > 1]
        log = await operator.history(site, begun[client])
        assert [entry["text"] for entry in log] == ["awake"]
    # The survivors' words are answered too, each once: stored, or "not now", and then the same ref is good.
    for client in kept:
        refs = [*before[client], *during[client]]
        answers = await asyncio.gather(*(stored_at_last(client, begun[client], ref) for ref in refs))
        judge(await read_log(client, begun[client]), dict(zip(refs, answers, strict=True)), entered=refs)
        assert client.goodbye is None
        await client.leave()


async def stored_at_last(client: Client, conversation: str, ref: str) -> f.Ack:
    """Return the acknowledgement of what was sent, sending it again as often as the gateway asks for it."""
    answer = await client.answer(ref)
    while isinstance(answer, f.Error):
        assert answer.code == "store_unavailable", answer
        await asyncio.sleep(int(answer.retry) / 1000)
        answer = await client.do("send", ref=ref, conversation=conversation, text="again")
    return answer


async def test_a_regeneration_finds_nodes_that_started_and_stopped_meanwhile(
    own_house: Callable[..., Awaitable[House]],
) -> None:
    house = await own_house(1)
    site = await house.operator.site("Churn")
    third = await house.operator.add_key(site, "third")
    late = await house.serve()
    client = await Client.visitor(late, site, site.token("ada", kid=third))
    assert (await house.operator.regenerate(site, third))["nodes"] == "2 of 2 nodes confirmed, 1 session ended"
    assert (await client.ended())[1] == 4301
    await house.gateways[0].stop()
    answer = await house.operator.regenerate(site, site.kid)
    assert answer["nodes"] == "1 of 1 nodes confirmed, 0 sessions ended"
    # One that starts afterwards has learnt it all before it lets anybody in.
    fresh = await house.serve()
    refused = await Client.connect(fresh)
    await refused.say("hello", app=site.app, token=site.token("ada", kid=third))
    assert (await refused.ended())[1] == 4301


async def post(gateway: Gateway, site: Site, token: str) -> httpx2.Response:
    """Exchange a token over HTTP, as a page does before it opens a socket."""
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as browser:
        return await browser.post("/v1/token", json={"app": site.app, "token": token}, headers={"Origin": SHOP})


# A peer that never reads


async def stalled_reader(gateway: Gateway, site: Site, token: str, conversation: str) -> socket.socket:
    """Open a WebSocket by hand, follow a conversation, and never read again."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", gateway.port))
    head = (
        f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nOrigin: {SHOP}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(peer, head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await loop.sock_recv(peer, 1_024)
    assert answer.startswith(b"HTTP/1.1 101")
    for frame in (
        {"type": "hello", "ref": "h", "app": site.app, "token": token},
        {"type": "open", "ref": mint_ref(), "conversation": conversation},
    ):
        data = Frame(Opcode.TEXT, msgspec.json.encode(frame)).serialize(mask=True)
        await loop.sock_sendall(peer, data)
    answer = b""
    while b'"reset"' not in answer:
        answer += await loop.sock_recv(peer, 4_096)
    return peer


def peer_port(peer: socket.socket) -> int:
    """Our own port; a reset socket has forgotten its name on some kernels, hence the fallback."""
    return int(peer.getsockname()[1])


def wait_for_hang_up(peer: socket.socket, within_ms: int) -> bool:
    """Wait for the connection's end without reading a byte; False when it does not come."""
    poll = select.poll()
    poll.register(peer, 0)  # errors and hang-ups are always told
    return bool(poll.poll(within_ms))


def unsent_bytes(local_port: int, remote_port: int) -> int | None:
    """Return what the kernel still holds for the peer in the gateway's socket; None when there is no such socket."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if int(local.split(":")[1], 16) == local_port and int(remote.split(":")[1], 16) == remote_port:
            return int(queues.split(":")[0], 16)
    return None
