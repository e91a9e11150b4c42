"""Nothing crosses from one project to another: every command, with the other project's ids."""

from __future__ import annotations

import asyncio

import pytest
from tests.acceptance.client import Client, Refused, mint_ref
from tests.acceptance.conftest import House
from tests.acceptance.operator import Operator, Site

from chatgateway.protocol import frames as f

BEFORE = (2**50, 1, "00000000")


def every_command(conversation: str, project: str) -> list[tuple[str, dict[str, object]]]:
    """Return each command that can name a conversation or a project, naming these."""
    here = {"conversation": conversation}
    return [
        ("open", here),
        ("open", here | {"cursor": (1, 0, "00000000")}),
        ("send", here | {"text": "crossing"}),
        ("read", here | {"seq": 1}),
        ("history", here | {"before": BEFORE}),
        ("assign", here),
        ("resolve", here),
        ("reopen", here),
        ("note", here | {"text": "crossing"}),
        ("inbox", {"project": project}),
        ("adopt", {}),
        ("unadopt", {"receipt": "adp_" + "0" * 20}),
        ("redact", here | {"seq": 1}),
        ("ask_to_verify", here),
    ]


@pytest.fixture
async def two(house: House) -> tuple[Site, Site]:
    """Two projects of one gateway, each with an agent."""
    operator = house.operator
    mine, theirs = await asyncio.gather(operator.site("Mine"), operator.site("Theirs"))
    await asyncio.gather(operator.agent(f"M{mine.project}", mine), operator.agent(f"T{theirs.project}", theirs))
    return mine, theirs


async def test_no_command_of_a_visitor_or_an_agent_reaches_into_another_project(
    house: House, two: tuple[Site, Site]
) -> None:
    mine, theirs = two
    here, there = house.nodes
    victim = await Client.visitor(here, mine, mine.token("ada"))
    begun = await victim.start("for our agents only")
    my_agent = await Client.agent(here, f"M{mine.project}")
    await my_agent.open(begun.conversation)
    before = await house.operator.history(mine, begun.conversation)

    # The same external id, the same words: another person all the same.
    stranger = await Client.visitor(there, theirs, theirs.token("ada"))
    assert stranger.me.user != victim.me.user
    their_agent = await Client.agent(there, f"T{theirs.project}")
    assert their_agent.me.projects == [theirs.project]
    for intruder in (stranger, their_agent):
        for verb, fields in every_command(begun.conversation, mine.project):
            answer = await intruder.ask(verb, **fields)
            assert isinstance(answer, f.Error), f"{verb} of {intruder.me.role} was answered {answer}"
            assert answer.code in ("conversation_unknown", "forbidden", "frame_rejected", "adoption_refused"), answer
        await intruder.say("typing", conversation=begun.conversation)
        await intruder.say("leave", conversation=begun.conversation)
        assert await intruder.conversations() == [] or intruder is their_agent

    # Nobody inside noticed anything: the next thing that both hear is the next thing that was said there.
    await victim.send(begun.conversation, "anybody there?")
    for insider in (victim, my_agent):
        heard = await insider.want(f.Message)
        while heard.text == "for our agents only":
            heard = await insider.want(f.Message)
        assert (heard.seq, heard.text) == (2, "anybody there?")
        assert not [one for one in insider.unread if isinstance(one, (f.TypingNow, f.NoteEntry, f.ReadMark))]
    assert not [one for one in (*stranger.unread, *their_agent.unread) if isinstance(one, (f.Message, f.Reset))]
    assert (await house.operator.history(mine, begun.conversation))[:1] == before
    await asyncio.gather(*(client.leave() for client in (victim, my_agent, stranger, their_agent)))


async def test_no_credential_of_one_project_is_good_in_another(house: House, two: tuple[Site, Site]) -> None:
    mine, theirs = two
    here, there = house.nodes
    async with await Client.visitor(here, mine) as stranger, await Client.visitor(here, mine, mine.token("a")) as ada:
        await stranger.start("mine")
        for token in (mine.token("ada"), stranger.me.session_token, ada.me.session_token):
            crossing = await Client.connect(there)
            await crossing.say("hello", app=theirs.app, token=token)
            goodbye, code = await crossing.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.retry, code) == (4401, "no", 4401)
            async with await Client.visitor(there, theirs) as live:
                answer = await live.ask("authenticate", token=token)
                assert answer.code in ("token_rejected", "identity_changed")
        # A stranger's credential of one project brings no chat along into another.
        async with await Client.visitor(
            there, theirs, theirs.token("ada"), earlier=stranger.me.session_token
        ) as brought:
            assert await brought.conversations() == []


async def test_resuming_another_projects_conversation_shows_nothing(house: House, two: tuple[Site, Site]) -> None:
    mine, theirs = two
    here, there = house.nodes
    async with await Client.visitor(here, mine) as victim:
        begun = await victim.start("private")
        cursor = (begun.at, begun.seq, begun.link)
        async with await Client.visitor(there, theirs, resume={begun.conversation: cursor}) as intruder:
            await intruder.want(f.Error, lambda error: error.code == "conversation_unknown")
            await victim.send(begun.conversation, "more of it")
            await victim.hears("more of it")
            own = await intruder.start("mine")
            await intruder.send(own.conversation, "and mine again")
            await intruder.hears("and mine again")
            heard = [one for one in intruder.unread if isinstance(one, (f.Message, f.Replay, f.Reset))]
            assert {one.conversation for one in heard} <= {own.conversation}


async def test_the_operator_must_name_the_right_project(house: House, two: tuple[Site, Site]) -> None:
    mine, theirs = two
    operator: Operator = house.operator
    async with await Client.visitor(house.nodes[0], mine, mine.token("ada")) as victim:
        begun = await victim.start("private")
        refused = await asyncio.gather(
            operator("history", theirs.project, begun.conversation),
            operator("history", theirs.project, victim.me.user),
            operator("user", "block", theirs.project, victim.me.user, "--yes"),
            operator("session", "end", theirs.project, victim.me.session, "--yes"),
            operator("key", "revoke", theirs.project, mine.kid, "--yes"),
        )
        for ran in refused:
            assert ran.status == 1, ran
            assert ran.out == ""
            assert "private" not in ran.err
        assert (await operator("session", "list", theirs.project, "--json")).json == []
        await victim.send(begun.conversation, "still here")


async def test_a_conversations_id_that_was_never_begun_is_unknown_to_everybody(house: House) -> None:
    site = await house.operator.site("Nowhere")
    async with await Client.visitor(house.nodes[0], site) as visitor:
        for name in ("cnv_" + "0" * 22, "cnv_ff" + "f" * 20, "x", mint_ref()):
            with pytest.raises(Refused, match="conversation_unknown"):
                await visitor.open(name)
            with pytest.raises(Refused, match="conversation_unknown"):
                await visitor.send(name, "hello?")
