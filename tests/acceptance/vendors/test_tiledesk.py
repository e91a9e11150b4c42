"""Tiledesk's rows that want a running gateway: T2 to T5, T10, T13, T14; see docs/migrating/tiledesk.md."""

from __future__ import annotations

import pytest
from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import Customer, Newcomer


@pytest.fixture
async def shop(came_from: CameFrom) -> Newcomer:
    return await came_from("tiledesk")


async def test_T2_T3_T4_T5_A9_a_secret_is_shown_once_and_regenerating_revokes_it_and_disconnects(house: House) -> None:
    operator = house.operator
    site = await operator.site("Lost its secret", "--profile", "tiledesk")
    shop = Newcomer(house, "tiledesk", site)
    here, there = house.nodes

    async def shown() -> str:
        """Return what the commands say of the project and its keys."""
        verbs = (("key", "list"), ("project", "show"), ("audit", "list"))
        asked = [await operator(*verb, site.project, "--json") for verb in verbs]
        asked.append(await operator("key", "show", site.project, site.kid, "--json"))
        assert [one.status for one in asked] == [0, 0, 0, 0], asked
        return "".join(one.out + one.err for one in asked)

    assert site.secret not in await shown()
    old = site.secret
    live, stranger = await shop.visitor(here, shop.token("T5")), await shop.visitor(there)
    early = shop.token("T5")
    answer = await operator.regenerate(site, site.kid)
    assert (site.secret == answer["secret"], site.secret == old) == (True, False)

    goodbye, code = await live.ended()
    assert goodbye is not None
    assert (goodbye.reason, goodbye.retry, code) == ("key_revoked", "fresh_token", 4301)
    for node in (here, there):
        late = await Client.connect(node)
        await late.say("hello", app=site.app, token=early)
        assert (await late.ended())[1] == 4301
        async with await shop.visitor(node, shop.token("T5")) as again:
            assert again.me.user == live.me.user
    await stranger.start("no secret vouched for me")
    await stranger.leave()
    site.kid = answer["kid"]
    everything = await shown()
    assert old not in everything
    assert site.secret not in everything


async def test_T13_A8_agents_see_who_is_authenticated_and_who_is_not(house: House, shop: Newcomer) -> None:
    here, there = house.nodes
    async with (
        await shop.visitor(here, shop.token("T13")) as ada,
        await shop.visitor(here) as stranger,
        await shop.agent(there) as agent,
    ):
        begun = {tab.me.user: await tab.start("hello?") for tab in (ada, stranger)}
        page = await agent.do("inbox", project=shop.site.project)
        cards = {row.visitor.user: row.visitor for row in page.rows}
        assert [cards[tab.me.user].assurance for tab in (ada, stranger)] == ["signed", "anonymous"]
        for tab, assurance in ((ada, "signed"), (stranger, "anonymous")):
            conversation = begun[tab.me.user].conversation
            shown = await agent.open(conversation)
            assert [message.author.assurance for message in shown] == [assurance]
            await tab.send(conversation, f"live and {assurance}")
            assert (await agent.hears(f"live and {assurance}")).author.assurance == assurance


async def test_T10_T14_a_token_with_or_without_its_prefix_brings_the_same_person_to_two_browsers(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    token = shop.token(Customer("T14", "Edsger Dijkstra"))
    async with await shop.visitor(here, token) as desk, await shop.visitor(there, f"JWT {token}") as phone:
        begun = await desk.start("from the desk")
        assert (phone.me.user, phone.me.name) == (desk.me.user, "Edsger Dijkstra")
        assert [message.text for message in await phone.open(begun.conversation)] == ["from the desk"]
    async with await shop.visitor(there) as page:
        became = await page.authenticate(f"JWT {token}")
        assert became.user == desk.me.user
