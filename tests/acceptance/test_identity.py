"""Who somebody is, across browsers and during a chat."""

from __future__ import annotations

import asyncio

import pytest
from tests.acceptance.client import Client, Refused
from tests.acceptance.conftest import House

from chatgateway.protocol import frames as f


async def test_a_person_finds_their_history_in_a_second_browser_on_another_node(house: House) -> None:
    site = await house.operator.site("History")
    here, there = house.nodes
    async with await Client.visitor(here, site, site.token("ada")) as first:
        begun = await first.start("where is my parcel?")
        await first.send(begun.conversation, "it was due on Monday")
        async with await Client.visitor(there, site, site.token("ada")) as second:
            assert second.me.user == first.me.user
            assert second.me.session != first.me.session
            assert [view.conversation for view in await second.conversations()] == [begun.conversation]
            shown = await second.open(begun.conversation)
            assert [message.text for message in shown] == ["where is my parcel?", "it was due on Monday"]
            assert {message.author.assurance for message in shown} == {"signed"}
            # And what is said in one is heard in the other, both ways, with the same bytes' position.
            said = await second.send(begun.conversation, "said in the second")
            heard = await first.hears("said in the second")
            assert (heard.at, heard.seq, heard.link) == (said.at, said.seq, said.link)


async def test_an_anonymous_history_is_shared_with_nobody(house: House) -> None:
    site = await house.operator.site("Strangers")
    here, there = house.nodes
    async with await Client.visitor(here, site) as first:
        begun = await first.start("psst")
        async with await Client.visitor(there, site) as stranger:
            assert stranger.me.user != first.me.user
            assert await stranger.conversations() == []
            with pytest.raises(Refused, match="conversation_unknown"):
                await stranger.open(begun.conversation)
        async with await Client.visitor(there, site, site.token("ada")) as signed_in:
            assert await signed_in.conversations() == []
            with pytest.raises(Refused, match="conversation_unknown"):
                await signed_in.send(begun.conversation, "let me in")
        # The same browser, with the credential that it kept, comes back to it on any node.
        async with await Client.visitor(there, site, first.me.session_token) as again:
            assert again.me.user == first.me.user
            assert [message.text for message in await again.open(begun.conversation)] == ["psst"]


async def test_the_agent_sees_the_badge_change_live_and_earlier_words_keep_their_mark(house: House) -> None:
    site = await house.operator.site("Upgrade")
    await house.operator.agent("Uma", site)
    here, there = house.nodes
    async with await Client.visitor(here, site) as visitor, await Client.agent(there, "Uma") as agent:
        begun = await visitor.start("hello?")
        conversation = begun.conversation
        shown = await agent.open(conversation)
        assert [message.author.assurance for message in shown] == ["anonymous"]

        became = await visitor.authenticate(site.token("ada", email="ada@shop.example"))
        assert (became.identity, became.name, became.user != visitor.me.user) == ("signed", "Ada", True)
        badge = await agent.want(f.Identity)
        assert (badge.conversation, badge.user, badge.identity) == (conversation, became.user, "signed")
        assert not badge.confirmed
        divider = await agent.want(f.Message, lambda message: message.kind == "signed_in")
        assert (divider.seq, divider.subject) == (2, became.user)

        await visitor.send(conversation, "it is me, Ada")
        heard = await agent.hears("it is me, Ada")
        assert (heard.conversation, heard.author.assurance, heard.author.name) == (conversation, "signed", "Ada")
        await agent.send(conversation, "good to see you")
        assert (await visitor.hears("good to see you")).author.role == "agent"

    log = await house.operator.history(site, conversation)
    marks = [(entry.get("kind", "text"), entry["from"]["assurance"], bool(entry["kid"])) for entry in log]
    assert marks == [
        ("text", "anonymous", False),
        ("signed_in", "signed", True),
        ("text", "signed", True),
        ("text", "agent", False),
    ]


async def test_a_chat_that_is_not_adopted_belongs_to_the_session_that_signed_in_and_to_no_other(house: House) -> None:
    site = await house.operator.site("Unadopted")
    here, there = house.nodes
    async with await Client.visitor(here, site) as visitor:
        begun = await visitor.start("begun as a stranger")
        stranger = visitor.me.session_token
        became = await visitor.authenticate(site.token("ada"))
        # The very session that signed in goes on, on this socket and, with its session token, on another node's.
        await visitor.send(begun.conversation, "still here")
        async with await Client.visitor(there, site, became.session_token) as reloaded:
            assert reloaded.me.session == became.session
            assert len(await reloaded.open(begun.conversation)) == 3
            assert [view.pending for view in await reloaded.conversations()] == [True]
        # The person's second browser, and whoever holds the stranger's credential, see nothing of it.
        async with await Client.visitor(there, site, site.token("ada")) as second:
            assert second.me.user == became.user
            assert await second.conversations() == []
            for command in ("open", "send", "read", "history"):
                fields = {"text": "mine!", "seq": 1, "before": (1, 1, "00000000")}
                answer = await second.ask(command, conversation=begun.conversation, **fields)
                assert isinstance(answer, f.Error), command
                assert answer.code == "conversation_unknown", command
        async with await Client.visitor(there, site, stranger) as before:
            with pytest.raises(Refused, match="conversation_unknown"):
                await before.send(begun.conversation, "I was first")
    log = await house.operator.history(site, begun.conversation)
    assert [entry.get("text", "") for entry in log] == ["begun as a stranger", "", "still here"]


async def test_another_persons_token_on_a_signed_in_socket_changes_nothing(house: House) -> None:
    site = await house.operator.site("Switch")
    here, _ = house.nodes
    async with await Client.visitor(here, site, site.token("ada")) as ada:
        begun = await ada.start("I am Ada")
        answer = await ada.ask("authenticate", token=site.token("bob"))
        assert (answer.code, answer.retry) == ("identity_changed", "no")
        refreshed = await ada.authenticate(site.token("ada"))
        assert (refreshed.user, refreshed.session) == (ada.me.user, ada.me.session)
        await ada.send(begun.conversation, "still Ada")


async def test_only_what_the_projects_server_signed_makes_a_live_session_somebody(house: House) -> None:
    site = await house.operator.site("Credentials")
    here, there = house.nodes
    async with (
        await Client.visitor(here, site, site.token("ada")) as ada,
        await Client.visitor(there, site, site.token("bob")) as bob,
        await Client.visitor(there, site) as stranger,
    ):
        begun = await ada.start("I am Ada")
        for client in (ada, stranger):
            for token in (bob.me.session_token, stranger.me.session_token, "cgt_" + "x" * 43):
                answer = await client.ask("authenticate", token=token)
                assert isinstance(answer, f.Error)
                assert answer.code == "token_rejected"
        # Still Ada, still on the word of her key: when it dies, she goes, and the stranger stays.
        await ada.send(begun.conversation, "still Ada")
        assert (await house.operator.regenerate(site, site.kid))["nodes"] == "2 of 2 nodes confirmed, 2 sessions ended"
        assert (await ada.ended())[1] == 4301
        await stranger.start("still a stranger")


async def test_signing_out_where_nobody_may_be_a_stranger_ends_the_socket(house: House) -> None:
    site = await house.operator.site("NoStrangers", "--policy", "signed")
    ada = await Client.visitor(house.nodes[0], site, site.token("ada"))
    await ada.start("I am Ada")
    await ada.say("sign_out")
    goodbye, code = await ada.ended()
    assert goodbye is not None
    assert (goodbye.code, goodbye.retry, code) == (4440, "no", 4440)
    again = await Client.connect(house.nodes[1])
    await again.say("hello", app=site.app, token=ada.me.session_token)
    assert (await again.ended())[1] == 4440


async def test_signing_out_starts_a_new_stranger_and_leaves_other_people_alone(house: House) -> None:
    site = await house.operator.site("SignOut")
    here, there = house.nodes
    bob = await Client.visitor(here, site, site.token("bob"))
    bobs = await bob.start("Bob's")
    ada = await Client.visitor(here, site, site.token("ada"))
    adas = await ada.start("Ada's")
    tab = await Client.visitor(there, site, ada.me.session_token)
    elsewhere = await Client.visitor(there, site, site.token("ada"))

    nobody = await ada.do("sign_out")
    assert isinstance(nobody, f.Identity)
    assert (nobody.identity, nobody.user == ada.me.user) == ("anonymous", False)
    assert await ada.conversations() == []
    with pytest.raises(Refused, match="conversation_unknown"):
        await ada.send(adas.conversation, "who is this?")
    await ada.start("a stranger's first words")
    # The other tab of the same browser shares the session, and ends; the person's other browser goes on.
    assert await tab.ended() == (tab.goodbye, 4440)
    assert tab.goodbye is not None
    assert tab.goodbye.retry == "no"
    assert len(await elsewhere.open(adas.conversation)) == 1
    await bob.send(bobs.conversation, "undisturbed")
    # What was signed out stays out, on both nodes.
    for node in house.nodes:
        gone = await Client.connect(node)
        await gone.say("hello", app=site.app, token=ada.me.session_token)
        assert (await gone.ended())[1] == 4440

    assert isinstance(await elsewhere.do("sign_out", everywhere=True), f.Identity)
    await asyncio.gather(*(client.leave() for client in (ada, elsewhere, bob)))


async def test_signing_out_everywhere_ends_that_persons_sessions_on_both_nodes(house: House) -> None:
    site = await house.operator.site("Everywhere")
    here, there = house.nodes
    ada = await Client.visitor(here, site, site.token("ada"))
    begun = await ada.start("Ada's")
    others = [await Client.visitor(node, site, site.token("ada")) for node in (here, there, there)]
    bob = await Client.visitor(there, site, site.token("bob"))
    bobs = await bob.start("Bob's")

    nobody = await ada.do("sign_out", everywhere=True)
    assert nobody.identity == "anonymous"
    for other in others:
        goodbye, code = await other.ended()
        assert goodbye is not None
        assert (goodbye.code, goodbye.retry, code) == (4302, "fresh_token", 4302)
    await bob.send(bobs.conversation, "undisturbed")
    again = await Client.visitor(there, site, site.token("ada"))
    assert [message.text for message in await again.open(begun.conversation)] == ["Ada's"]
    await asyncio.gather(*(client.leave() for client in (ada, bob, again)))
