"""Those who answer: what ends their sockets, and what ends somebody else's at their operator's word."""

from __future__ import annotations

import asyncio

import httpx2
from tests.acceptance.client import Client
from tests.acceptance.conftest import House

from chatgateway.protocol import frames as f


async def test_removing_an_agent_ends_their_sockets_on_every_node_and_their_cookie(house: House) -> None:
    site = await house.operator.site("Removal")
    await asyncio.gather(house.operator.agent("Rene", site), house.operator.agent("Rita", site))
    here, there = house.nodes
    visitor = await Client.visitor(here, site)
    begun = await visitor.start("hello?")
    async with httpx2.AsyncClient(base_url=there.url, trust_env=False) as browser:
        await browser.post("/v1/agents/login", json={"name": "Rene", "password": "correct horse"})
        assert (await browser.get("/v1/agents/me")).status_code == 200
        sockets = [await Client.agent(node, "Rene") for node in (here, there)]
        rita = await Client.agent(there, "Rita")
        for agent in (*sockets, rita):
            await agent.open(begun.conversation)
        answer = (await house.operator("agent", "remove", "Rene", "--yes", "--json")).json
        assert answer["nodes"] == "2 of 2 nodes confirmed, 2 sessions ended"
        for agent in sockets:
            goodbye, code = await agent.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.retry, code) == (4403, "no", 4403)
        assert (await browser.get("/v1/agents/me")).status_code == 401
        login = await browser.post("/v1/agents/login", json={"name": "Rene", "password": "correct horse"})
        assert login.json()["error"]["code"] == "login_rejected"
    await rita.send(begun.conversation, "I am here")
    assert (await visitor.hears("I am here")).author.name == "Rita"
    await asyncio.gather(visitor.leave(), rita.leave())


async def test_a_new_password_ends_an_agents_sockets_until_they_sign_in_with_it(house: House) -> None:
    site = await house.operator.site("Password")
    await house.operator.agent("Petra", site)
    sockets = [await Client.agent(node, "Petra") for node in house.nodes]
    changed = await house.operator("agent", "passwd", "Petra", "--yes", "--json", stdin="battery staple\n")
    assert changed.json["nodes"] == "2 of 2 nodes confirmed, 2 sessions ended"
    for agent in sockets:
        goodbye, code = await agent.ended()
        assert goodbye is not None
        assert (goodbye.code, code) == (4302, 4302)
    async with httpx2.AsyncClient(base_url=house.nodes[1].url, trust_env=False) as browser:
        old = await browser.post("/v1/agents/login", json={"name": "Petra", "password": "correct horse"})
        assert old.status_code == 401
    again = await Client.agent(house.nodes[1], "Petra", "battery staple")
    assert isinstance(await again.do("inbox", project=site.project), f.InboxPage)
    await again.leave()


async def test_blocking_a_person_ends_them_on_both_nodes_and_keeps_them_out(house: House) -> None:
    site = await house.operator.site("Block")
    here, there = house.nodes
    mallory = [await Client.visitor(node, site, site.token("mallory")) for node in (here, there)]
    begun = await mallory[0].start("nasty")
    bob = await Client.visitor(there, site, site.token("bob"))
    bobs = await bob.start("Bob's")
    answer = (await house.operator("user", "block", site.project, "mallory", "--yes", "--json")).json
    assert answer["nodes"] == "2 of 2 nodes confirmed, 2 sessions ended"
    for client in mallory:
        goodbye, code = await client.ended()
        assert goodbye is not None
        assert (goodbye.code, goodbye.retry, code) == (4403, "no", 4403)
    for token in (site.token("mallory"), mallory[0].me.session_token):
        refused = await Client.connect(there)
        await refused.say("hello", app=site.app, token=token)
        assert (await refused.ended())[1] == 4403
    await bob.send(bobs.conversation, "undisturbed")
    assert (await house.operator("user", "unblock", site.project, "mallory")).status == 0
    async with await Client.visitor(here, site, site.token("mallory")) as back:
        assert [message.text for message in await back.open(begun.conversation)] == ["nasty"]
    await bob.leave()


async def test_ending_one_session_leaves_the_persons_others(house: House) -> None:
    site = await house.operator.site("End")
    here, there = house.nodes
    lost = await Client.visitor(here, site, site.token("ada"))
    kept = await Client.visitor(there, site, site.token("ada"))
    begun = await kept.start("kept")
    answer = (await house.operator("session", "end", site.project, lost.me.session, "--yes", "--json")).json
    assert answer["nodes"] == "2 of 2 nodes confirmed, 1 session ended"
    goodbye, code = await lost.ended()
    assert goodbye is not None
    assert (goodbye.code, goodbye.retry, code) == (4302, "fresh_token", 4302)
    await kept.send(begun.conversation, "undisturbed")
    await kept.leave()


async def test_an_agent_who_is_away_or_gone_does_not_count_as_present(house: House) -> None:
    site = await house.operator.site("Presence")
    await house.operator.agent("Paul", site)
    here, there = house.nodes
    async with await Client.visitor(here, site) as visitor:
        assert not visitor.me.agents_present
        agent = await Client.agent(there, "Paul")
        await visitor.want(f.Presence, lambda presence: presence.agents_present)
        await agent.do("away", on=True)
        await visitor.want(f.Presence, lambda presence: not presence.agents_present)
        await agent.do("away", on=False)
        await visitor.want(f.Presence, lambda presence: presence.agents_present)
        await agent.leave()
        await visitor.want(f.Presence, lambda presence: not presence.agents_present)


async def test_what_agents_write_among_themselves_never_reaches_the_visitor(house: House) -> None:
    site = await house.operator.site("Notes")
    await asyncio.gather(house.operator.agent("Nora", site), house.operator.agent("Nick", site))
    here, there = house.nodes
    visitor = await Client.visitor(here, site)
    begun = await visitor.start("hello?")
    nora, nick = await Client.agent(here, "Nora"), await Client.agent(there, "Nick")
    for agent in (nora, nick):
        await agent.open(begun.conversation)
    await nora.do("note", conversation=begun.conversation, text="a difficult one")
    assert (await nick.want(f.NoteEntry)).text == "a difficult one"
    await nick.send(begun.conversation, "how can I help?")
    await visitor.hears("how can I help?")
    assert not [frame for frame in visitor.unread if isinstance(frame, f.NoteEntry)]
    assert all(
        "difficult" not in entry.get("text", "") for entry in await house.operator.history(site, begun.conversation)
    )
    await asyncio.gather(*(client.leave() for client in (visitor, nora, nick)))
