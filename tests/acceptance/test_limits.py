"""Every limit that a stranger can reach from outside: at it, just over it, far over it."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from tests.acceptance.client import Client, Refused, mint_ref
from tests.acceptance.conftest import House
from tests.acceptance.operator import SHOP, Site
from websockets.frames import Frame, Opcode

from chatgateway.core.conversation import new_ref
from chatgateway.protocol import frames as f
from chatgateway.types import UnixMs

TEXT_BYTES = 16_384
HELLO_BYTES = 16_384
INBOUND_BYTES = 65_536
IN_FLIGHT = 16
BURST = 30
FRAGMENTS = 64
DEPTH = 16


@pytest.fixture(scope="module")
async def site(house: House) -> Site:
    made = await house.operator.site("Limits")
    await house.operator.agent("Lin", made)
    return made


def padded(size: int, **fields: object) -> str:
    """Return a frame of exactly ``size`` bytes, by a field that the protocol does not know."""
    bare = len(msgspec.json.encode(fields | {"pad": ""}))
    return msgspec.json.encode(fields | {"pad": "x" * (size - bare)}).decode()


class TestSizes:
    async def test_a_text_has_16_kib_in_utf_8(self, house: House, site: Site) -> None:
        async with await Client.visitor(house.nodes[0], site) as visitor:
            begun = await visitor.start("x" * TEXT_BYTES)
            await visitor.send(begun.conversation, "é" * (TEXT_BYTES // 2))
            for text in ("x" * (TEXT_BYTES + 1), "é" * (TEXT_BYTES // 2) + "x", "x" * 60_000):
                with pytest.raises(Refused, match="too_big"):
                    await visitor.send(begun.conversation, text)
            empty = await visitor.ask("send", conversation=begun.conversation, text="")
            assert empty.code == "malformed"
            assert (await visitor.send(begun.conversation, "x")).seq == 3

    async def test_hello_has_16_kib(self, house: House, site: Site) -> None:
        for size, code in ((HELLO_BYTES, None), (HELLO_BYTES + 1, 4413), (60_000, 4413)):
            client = await Client.connect(house.nodes[0])
            await client.say_raw(padded(size, type="hello", ref="h", app=site.app))
            if code is None:
                await client.want(f.Welcome)
                await client.leave()
            else:
                goodbye, closed = await client.ended()
                assert goodbye is not None
                assert (goodbye.code, closed) == (code, code)

    async def test_a_frame_has_64_kib(self, house: House, site: Site) -> None:
        for size, fits in ((INBOUND_BYTES, True), (INBOUND_BYTES + 1, False), (1_000_000, False)):
            client = await Client.visitor(house.nodes[0], site)
            await client.say_raw(padded(size, type="conversations", ref="c"))
            if fits:
                await client.answer("c")
                await client.leave()
            else:
                assert (await client.ended())[1] == 4413

    async def test_json_is_nested_16_deep(self, house: House, site: Site) -> None:
        async with await Client.visitor(house.nodes[0], site) as visitor:
            for depth, code in ((DEPTH, None), (DEPTH + 1, "malformed"), (5_000, "malformed")):
                nested = "[" * (depth - 1) + "]" * (depth - 1)
                await visitor.say_raw(f'{{"type":"conversations","ref":"d","pad":{nested}}}')
                if code is None:
                    await visitor.answer("d")
                else:
                    assert (await visitor.want(f.Error)).code == code

    async def test_a_message_has_64_fragments_and_binary_is_refused(self, house: House, site: Site) -> None:
        text = b'{"type":"conversations","ref":"f"}'.ljust(4 * FRAGMENTS)
        for count, code in ((FRAGMENTS, None), (FRAGMENTS + 1, 4400), (2_000, 4400)):
            client = await Client.visitor(house.nodes[0], site)
            whole = text.ljust(count)
            size = len(whole) // count
            pieces = [whole[start * size : (start + 1) * size] for start in range(count - 1)]
            pieces.append(whole[(count - 1) * size :])
            client.write(
                b"".join(
                    Frame(Opcode.TEXT if not index else Opcode.CONT, piece, fin=index == count - 1).serialize(mask=True)
                    for index, piece in enumerate(pieces)
                )
            )
            if code is None:
                await client.answer("f")
                await client.leave()
            else:
                assert (await client.ended())[1] == code
        binary = await Client.visitor(house.nodes[0], site)
        await binary.say_raw(b'{"type":"conversations","ref":"b"}')
        assert (await binary.ended())[1] == 4400


class TestRates:
    async def test_16_commands_may_be_unanswered(self, house: House, site: Site) -> None:
        for refused, together in ((0, IN_FLIGHT), (1, IN_FLIGHT + 1), (10, IN_FLIGHT + 10)):
            async with await Client.visitor(house.nodes[0], site) as visitor:
                begun = await visitor.start("hi")
                one = ("send", {"conversation": begun.conversation, "text": "x"})
                answers = [await visitor.answer(ref) for ref in visitor.say_together(*[one] * together)]
                assert [answer.seq for answer in answers[:IN_FLIGHT]] == list(range(2, IN_FLIGHT + 2))
                over = answers[IN_FLIGHT:]
                assert [(answer.code, answer.retry) for answer in over] == [("rate_limited", 500)] * refused
                # What was refused is stored when it is said again.
                assert (await visitor.send(begun.conversation, "x")).seq == IN_FLIGHT + 2

    async def test_30_commands_may_come_at_once_and_10_a_second_after_that(self, house: House, site: Site) -> None:
        async with await Client.visitor(house.nodes[0], site) as visitor:
            # Answered without asking the store, so only the rate is in the way.
            together = [("context", {"page": "https://shop.example/"})] * (BURST + 10)
            answers = [await visitor.answer(ref) for ref in visitor.say_together(*together)]
            assert all(isinstance(answer, f.Ack) for answer in answers[:BURST])
            refused = [answer for answer in answers if isinstance(answer, f.Error)]
            assert len(refused) >= 8, "the tick may have lasted a tenth of a second, not more"
            assert {answer.code for answer in refused} == {"rate_limited"}
            assert all(0 < answer.retry <= 100 for answer in refused)
            assert isinstance(await visitor.do("context"), f.Ack)

    async def test_whoever_does_not_listen_to_that_is_ended_as_abusive(self, house: House, site: Site) -> None:
        visitor = await Client.visitor(house.nodes[0], site)
        visitor.say_together(*[("context", {})] * 200)
        goodbye, code = await visitor.ended()
        assert goodbye is not None
        assert (goodbye.code, goodbye.retry, code) == (4429, "no", 4429)

    async def test_typing_is_told_once_in_2_s(self, house: House, site: Site) -> None:
        agent = await Client.agent(house.nodes[1], "Lin")
        async with await Client.visitor(house.nodes[0], site) as visitor:
            begun = await visitor.start("hi")
            await agent.open(begun.conversation)
            visitor.say_together(*[("typing", {"conversation": begun.conversation})] * 50)
            await visitor.send(begun.conversation, "typed")
            await agent.hears("typed")
            assert len([frame for frame in agent.unread if isinstance(frame, f.TypingNow)]) == 1
        await agent.leave()

    async def test_hello_must_come_within_5_s(self, house: House, site: Site) -> None:
        silent = await Client.connect(house.nodes[0])
        goodbye, code = await silent.ended()
        assert goodbye is not None
        assert (goodbye.code, goodbye.retry, code) == (4005, "resume", 4005)
        early = await Client.connect(house.nodes[0])
        await early.say("send", conversation="cnv_" + "0" * 22, text="hi")
        assert (await early.ended())[1] == 4400
        async with await Client.visitor(house.nodes[0], site) as twice:
            await twice.say("hello", app=site.app)
            assert (await twice.ended())[1] == 4400


class TestRefs:
    async def test_a_ref_is_a_uuid_of_now(self, house: House, site: Site) -> None:
        async with await Client.visitor(house.nodes[0], site) as visitor:
            begun = await visitor.start("hi")
            now = time.time_ns() // 1_000_000
            for ahead_ms, code in ((60_000, None), (130_000, "ref_ahead"), (10**9, "ref_ahead")):
                ref = new_ref(UnixMs(now + ahead_ms), b"0123456789")
                answer = await visitor.ask("send", ref=ref, conversation=begun.conversation, text="x")
                assert getattr(answer, "code", None) == code
            for ref in ("1", "x" * 64, mint_ref().upper(), mint_ref().replace("-7", "-4", 1)):
                answer = await visitor.ask("send", ref=ref, conversation=begun.conversation, text="x")
                assert answer.code == "frame_rejected", ref
            assert (await visitor.send(begun.conversation, "x")).seq == 3

    async def test_reserved_commands_say_so(self, house: House, site: Site) -> None:
        async with await Client.visitor(house.nodes[0], site) as visitor:
            begun = await visitor.start("hi")
            for verb in ("redact", "ask_to_verify"):
                answer = await visitor.ask(verb, conversation=begun.conversation, seq=1)
                assert answer.code == "frame_rejected"
                assert "reserved" in answer.sentence


class TestConnections:
    async def test_one_person_has_20_on_a_node(self, house: House, site: Site) -> None:
        here, there = house.nodes
        clients = [await Client.visitor(here, site, site.token("many")) for _ in range(20)]
        over = await Client.connect(here)
        await over.say("hello", app=site.app, token=site.token("many"))
        goodbye, code = await over.ended()
        assert goodbye is not None
        assert (goodbye.code, code) == (4409, 4409)
        assert all(client.is_open for client in clients)
        # Somebody else from the same address, and the same person elsewhere, are welcome.
        clients.append(await Client.visitor(here, site, site.token("other")))
        clients.append(await Client.visitor(there, site, site.token("many")))
        await asyncio.gather(*(client.leave() for client in clients))

    async def test_one_address_has_64_that_are_not_signed_in(self, house: House, site: Site) -> None:
        here = house.nodes[0]
        at = "127.0.0.64"
        clients = [await Client.connect(here, address=at) for _ in range(64)]
        over = await Client.connect(here, address=at)
        goodbye, code = await over.ended()
        assert goodbye is not None
        assert (goodbye.code, code) == (4409, 4409)
        assert all(client.is_open for client in clients)
        # Whoever signs in makes room; other addresses never noticed.
        await clients[0].hello(app=site.app, token=site.token("room"))
        clients.append(await Client.connect(here, address=at))
        await clients[-1].hello(app=site.app)
        clients.append(await Client.visitor(here, site))
        await asyncio.gather(*(client.leave() for client in clients))

    async def test_a_flood_from_one_address_is_refused_before_the_upgrade(self, house: House) -> None:
        here = house.nodes[0]
        head = (
            f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {SHOP}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        writers: list[asyncio.StreamWriter] = []
        statuses: list[bytes] = []
        try:
            # These never answer a close frame, so each is counted until it is aborted.
            for _ in range(2 * 64 + 2):
                reader, writer = await asyncio.open_connection("127.0.0.1", here.port, local_addr=("127.0.0.65", 0))
                writers.append(writer)
                writer.write(head.encode())
                statuses.append((await reader.readline()).split()[1])
        finally:
            for writer in writers:
                writer.transport.abort()
        assert statuses == [b"101"] * 128 + [b"503"] * 2
