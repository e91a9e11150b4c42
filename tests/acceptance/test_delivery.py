"""A message is stored once, whoever is told of it how often."""

from __future__ import annotations

import asyncio

from tests.acceptance.client import Client, mint_ref
from tests.acceptance.conftest import House

from chatgateway.protocol import frames as f

ROUNDS = 50


async def test_the_same_ref_sent_to_both_nodes_at_once_is_one_message(house: House) -> None:
    site = await house.operator.site("Twice")
    here, there = house.nodes
    one = await Client.visitor(here, site, site.token("ada"))
    two = await Client.visitor(there, site, site.token("ada"))
    begun = await one.start("at once")
    await two.open(begun.conversation)
    seqs: list[int] = []
    for number in range(ROUNDS):
        ref = mint_ref()
        told = [client.do("send", ref=ref, conversation=begun.conversation, text=str(number)) for client in (one, two)]
        first, second = await asyncio.gather(*told)
        assert (first.at, first.seq, first.link) == (second.at, second.seq, second.link)
        assert sorted((first.repeated, second.repeated)) == [False, True]
        seqs.append(first.seq)
    assert seqs == list(range(2, ROUNDS + 2))
    for client in (one, two):
        # Each is told once too, in order.
        heard = [await client.want(f.Message, lambda message: message.text.isdecimal()) for _ in range(ROUNDS)]
        assert [int(message.text) for message in heard] == list(range(ROUNDS))
        assert not [frame for frame in client.unread if isinstance(frame, f.Message) and frame.text.isdecimal()]
    log = await house.operator.history(site, begun.conversation)
    assert [entry["seq"] for entry in log] == list(range(1, ROUNDS + 2))
    assert len({entry["ref"] for entry in log}) == ROUNDS + 1
    await asyncio.gather(one.leave(), two.leave())


async def test_the_same_first_message_on_both_nodes_begins_one_conversation(house: House) -> None:
    site = await house.operator.site("Begin")
    here, there = house.nodes
    one = await Client.visitor(here, site, site.token("ada"))
    two = await Client.visitor(there, site, site.token("ada"))
    ref = mint_ref()
    first, second = await asyncio.gather(*(client.do("start", ref=ref, text="hi") for client in (one, two)))
    assert (first.conversation, first.seq) == (second.conversation, second.seq)
    assert len(await one.conversations()) == 1
    await asyncio.gather(one.leave(), two.leave())


async def test_the_same_ref_of_two_people_is_two_messages(house: House) -> None:
    site = await house.operator.site("Same")
    await house.operator.agent("Sam", site)
    here, there = house.nodes
    async with await Client.visitor(here, site) as visitor, await Client.agent(there, "Sam") as agent:
        begun = await visitor.start("hi")
        await agent.open(begun.conversation)
        ref = mint_ref()
        answers = await asyncio.gather(
            *(client.do("send", ref=ref, conversation=begun.conversation, text="me") for client in (visitor, agent))
        )
        assert sorted(answer.seq for answer in answers) == [2, 3]
        assert not any(answer.repeated for answer in answers)


async def test_a_reader_that_comes_back_with_its_cursor_gets_exactly_what_it_missed(house: House) -> None:
    site = await house.operator.site("Cursor")
    here, there = house.nodes
    async with await Client.visitor(here, site, site.token("ada")) as writer:
        begun = await writer.start("0")
        acks = [await writer.send(begun.conversation, str(number)) for number in range(1, 20)]
        seen = acks[8]
        resume = {begun.conversation: (seen.at, seen.seq, seen.link)}
        async with await Client.visitor(there, site, site.token("ada"), resume=resume) as reader:
            page = await reader.want(f.Replay)
            assert [codec_seq(raw) for raw in page.messages] == list(range(11, 21))
            await writer.send(begun.conversation, "live again")
            assert (await reader.hears("live again")).seq == 21
        # A position that never was: the whole tail replaces what was shown.
        never = {begun.conversation: (seen.at, seen.seq, "deadbeef")}
        async with await Client.visitor(there, site, site.token("ada"), resume=never) as reader:
            page = await reader.want(f.Reset)
            assert (page.why, len(page.messages)) == ("diverged", 21)


def codec_seq(raw: bytes) -> int:
    from chatgateway.protocol import codec

    return codec.decode_head(bytes(raw)).seq
