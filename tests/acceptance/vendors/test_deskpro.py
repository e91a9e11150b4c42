"""Deskpro's rows that want a running gateway: D4 to D7, D10, D12 to D15, D20; see docs/migrating/deskpro.md."""

from __future__ import annotations

import json

import pytest
from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.operator import SHOP
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import Customer, Newcomer, ask

from chatgateway.protocol import frames as f


@pytest.fixture
async def shop(came_from: CameFrom) -> Newcomer:
    return await came_from("deskpro")


async def brought_in(shop: Newcomer, id_: str, name: str) -> str:
    """Tell of a person beforehand, as the site's server does; return the id that its tokens then say."""
    options = ("--project", shop.site.project, "--json")
    admin = (await shop.house.operator("admin", "create", "Synchronization", *options)).json["token"]
    address = f"/v1/admin/projects/{shop.site.project}/users/{id_}"
    answer = await ask(shop.house.nodes[0], "PUT", address, admin, {"name": name})
    assert answer.is_success, answer.text
    return answer.json()["deskpro_id"]


async def test_D4_D5_D15_a_person_is_made_by_the_first_use_and_made_to_match_by_the_next(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    known = len(await shop.people())
    john = Customer("d4", "John Smith")
    token = shop.token(john)
    assert len(await shop.people()) == known, "signing alone makes nobody"
    async with await shop.visitor(here, token) as first:
        user = first.me.user
    person = await shop.person(user)
    assert (person["name"], person["email"]) == ("John Smith", john.email)
    async with await shop.visitor(there, shop.token(john, last_name="Miller", timezone="Europe/Berlin")) as second:
        assert second.me.user == user
    person = await shop.person(user)
    assert (person["name"], person["timezone"]) == ("John Miller", "Europe/Berlin")
    assert len(await shop.people()) == known + 1


async def test_D6_A8_only_whoever_brings_a_token_is_confirmed(house: House, shop: Newcomer) -> None:
    here, there = house.nodes
    async with (
        await shop.visitor(here, shop.token("d6")) as confirmed,
        await shop.visitor(here) as unconfirmed,
        await shop.agent(there) as agent,
    ):
        assert (confirmed.me.identity, unconfirmed.me.identity) == ("signed", "anonymous")
        for tab in (confirmed, unconfirmed):
            # What a page says of its visitor confirms nobody.
            await tab.do("context", facts={"email": "boss@shop.example", "confirmed": "yes"})
            await tab.start("hello")
        page = await agent.do("inbox", project=shop.site.project)
        seen = {row.visitor.user: row.visitor.assurance for row in page.rows}
        assert (seen[confirmed.me.user], seen[unconfirmed.me.user]) == ("signed", "anonymous")


async def test_D7_the_confirmed_user_opens_old_conversations_and_begins_new_ones_as_that_user(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    async with await shop.visitor(here, shop.token("d7")) as before:
        old = await before.start("last week")
    async with await shop.visitor(there, shop.token("d7")) as today:
        assert [message.text for message in await today.open(old.conversation)] == ["last week"]
        await today.send(old.conversation, "once more")
        new = await today.start("something else")
        listed = [view.conversation for view in await today.conversations()]
        assert set(listed) == {old.conversation, new.conversation}
    for conversation in listed:
        log = await house.operator.history(shop.site, conversation)
        assert {entry["from"]["user"] for entry in log} == {before.me.user}


async def test_D10_A6_identifiers_of_two_people_are_refused_and_both_stay_as_they_were(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    ada = await brought_in(shop, "d10-ada", "Ada")
    async with await shop.visitor(here, shop.token(Customer("d10-bob", "Bob Jones"))) as bob:
        before = await shop.people()
        crossed = shop.token(Customer("d10-bob", "Mallory Mean"), deskpro_id=ada)
        async with await shop.visitor(there) as stranger:
            answer = await stranger.ask("authenticate", token=crossed)
            assert isinstance(answer, f.Error)
            assert (answer.code, answer.retry) == ("identity_conflict", "no")
            await stranger.start("a stranger as before")
        refused = await ask(there, "POST", "/v1/token", body={"app": shop.site.app, "token": crossed})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "identity_conflict")
        assert await shop.people() == before
        listed = (await house.operator("user", "conflicts", shop.site.project, "--json")).json
        assert f"deskpro_email d10-bob@shop.example names {bob.me.user}" in listed[0]["identifiers"]
        assert f"deskpro_id {ada} names {ada}" in listed[0]["identifiers"]


async def test_D12_everybody_is_in_group_1_and_whoever_brought_a_token_in_2_and_the_tokens_own(
    house: House, shop: Newcomer
) -> None:
    here, _ = house.nodes
    async with await shop.visitor(here, shop.token("d12", usergroup_ids=["3", "4"])) as signed:
        assert (await shop.person(signed.me.user))["groups"] == ["1", "2", "3", "4"]
    async with await shop.visitor(here) as stranger:
        await stranger.start("hello")
        assert (await shop.person(stranger.me.user))["groups"] == ["1"]


async def test_D13_A11_an_app_that_asks_everybody_to_sign_in_refuses_strangers_and_others_take_them(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    options = ("--origin", SHOP, "--profile", "deskpro", "--policy", "signed", "--json")
    strict = (await house.operator("app", "create", shop.site.project, "strict", *options)).json["app"]
    refused = await Client.connect(here)
    await refused.say("hello", app=strict)
    goodbye, code = await refused.ended()
    assert goodbye is not None
    assert (goodbye.reason, code) == ("forbidden", 4403)
    assert (await ask(there, "POST", "/v1/token", body={"app": strict})).status_code == 403
    async with await Client.connect(there) as signed:
        assert (await signed.hello(app=strict, token=shop.token("d13"))).identity == "signed"
    # The option belongs to the deployment: next door anybody may write, and is marked as what they are.
    async with await shop.visitor(here) as stranger:
        begun = await stranger.start("hello")
    log = await house.operator.history(shop.site, begun.conversation)
    assert [entry["from"]["assurance"] for entry in log] == ["anonymous"]


async def test_D14_a_person_who_was_brought_in_signs_in_by_a_token_with_nothing_but_the_id(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    user = await brought_in(shop, "d14", "Dorothy Vaughan")
    for node in (here, there):
        async with await shop.visitor(node, shop.signed({"deskpro_id": user})) as tab:
            assert (tab.me.user, tab.me.name, tab.me.identity) == (user, "Dorothy Vaughan", "signed")
    # All of them at once is the same.
    line = json.dumps({"external_id": "d14", "name": "Dorothy J. Vaughan"})
    imported = await house.operator("user", "import", shop.site.project, "-", stdin=line)
    assert imported.status == 0, imported.err
    async with await shop.visitor(here, shop.signed({"deskpro_id": user})) as tab:
        assert tab.me.name == "Dorothy J. Vaughan"


async def test_D20_a_page_of_the_gateways_own_signs_people_in_by_the_same_door(house: House, shop: Newcomer) -> None:
    here, _ = house.nodes
    options = ("--origin", here.url, "--profile", "deskpro", "--policy", "signed", "--json")
    app = (await house.operator("app", "create", shop.site.project, "help", *options)).json["app"]
    for origin, token, code in ((here.url, None, 4403), (SHOP, shop.token("d20"), 4403)):
        refused = await Client.connect(here, origin=origin)
        await refused.say("hello", app=app, token=token)
        assert (await refused.ended())[1] == code, "own pages have no other rights"
    async with await Client.connect(here, origin=here.url) as own, await shop.visitor(here, shop.token("d20")) as shops:
        welcome = await own.hello(app=app, token=shop.token("d20"))
        assert (welcome.user, welcome.identity) == (shops.me.user, "signed")
