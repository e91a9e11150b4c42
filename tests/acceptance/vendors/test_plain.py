"""Plain's rows that want a running gateway: P3, P5, P6, P10, P17, P18, P20, P21; see docs/migrating/plain.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.client import Client, Refused
from tests.acceptance.conftest import House
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import Customer, Newcomer, ask

from chatgateway.protocol import frames as f


@pytest.fixture
async def shop(came_from: CameFrom) -> Newcomer:
    return await came_from("plain")


@pytest.mark.parametrize("proved", [True, False])
async def test_P3_P9_P21_agents_read_what_a_signed_person_writes_with_the_tokens_full_name_and_email(
    proved: bool, house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    grace = Customer(f"P3-{proved}", "Grace Hopper")
    token = shop.token(grace, email={"email": grace.email, "isVerified": proved})
    async with await shop.visitor(here, token) as visitor, await shop.agent(there) as agent:
        begun = await visitor.start("hello?")
        page = await agent.do("inbox", project=shop.site.project)
        (card,) = (row.visitor for row in page.rows if row.conversation == begun.conversation)
        assert (card.name, card.short_name, card.external_id) == ("Grace Hopper", "Grace", grace.id)
        assert (card.email, card.email_proved, card.assurance) == (grace.email, proved, "signed")
        assert {"name", "email"} <= set(card.signed)
        await agent.open(begun.conversation)
        await visitor.send(begun.conversation, "are you there?")
        heard = await agent.hears("are you there?")
        assert (heard.author.name, heard.author.assurance) == ("Grace Hopper", "signed")


async def test_P5_pasted_keys_have_names_stand_side_by_side_and_are_taken_away_one_by_one(
    house: House, shop: Newcomer, tmp_path: Path
) -> None:
    operator, project = house.operator, shop.site.project
    here, there = house.nodes
    file = tmp_path / "second.pem"
    assert (await operator("key", "generate-pair", "--out", str(file))).status == 0
    pasted = Path(f"{file}.pub").read_text()
    made = (await operator("key", "add", project, "--public", "-", "--name", "Kiosk", "--json", stdin=pasted)).json
    kiosk = Newcomer(house, "plain", shop.site, file.read_text())
    names = {row["kid"]: row["name"] for row in (await operator("key", "list", project, "--json")).json}
    assert names[made["kid"]] == "Kiosk"
    assert "Till" in names.values()

    async with await shop.visitor(here, shop.token("P5")) as till, await kiosk.visitor(there, kiosk.token("P5")) as tab:
        assert till.me.user == tab.me.user
        assert (await operator("key", "revoke", project, made["kid"], "--yes", "--json")).status == 0
        assert (await tab.ended())[1] == 4301
        gone = await Client.connect(there)
        await gone.say("hello", app=shop.site.app, token=kiosk.token("P5"))
        assert (await gone.ended())[1] == 4301
        await till.start("my key still counts")


async def test_P6_the_apps_id_says_which_workspace_a_page_belongs_to(
    house: House, shop: Newcomer, came_from: CameFrom
) -> None:
    other = await came_from("canonical")
    here, there = house.nodes
    async with (
        await shop.visitor(here, shop.token("P6")) as ours,
        await other.visitor(here, other.token("P6")) as theirs,
    ):
        begun = await ours.start("for these agents")
        await theirs.start("for those")
        assert ours.me.user != theirs.me.user
        async with await shop.agent(there) as agent:
            page = await agent.do("inbox", project=shop.site.project)
            assert begun.conversation in [row.conversation for row in page.rows]
            assert {row.project for row in page.rows} == {shop.site.project}
    for app, token, code in ((other.site.app, shop.token("P6"), 4401), ("app_nobody", shop.token("P6"), 4404)):
        lost = await Client.connect(there)
        await lost.say("hello", app=app, token=token)
        assert (await lost.ended())[1] == code


async def test_P10_A5_an_externalId_seen_before_is_updated_and_another_one_is_somebody_new(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    assert (await shop.asked("P10")).status == 1
    for node, name in ((here, "A Name"), (there, "B Name")):
        async with await shop.visitor(node, shop.token(Customer("P10", name))) as tab:
            user = tab.me.user
            assert tab.me.name == name
        person = await shop.person("P10")
        assert (person["user"], person["name"]) == (user, name)
    # The same address under another id is another person.
    email = {"email": Customer("P10").email, "isVerified": True}
    async with await shop.visitor(here, shop.token("P10-other", email=email)) as other:
        assert other.me.user != user
    namesakes = [person["user"] for person in await shop.people() if person["email"] == email["email"]]
    assert sorted(namesakes) == sorted([user, other.me.user])


async def test_P17_P18_A10_whoever_logs_out_is_nobody_and_who_signs_in_next_sees_their_own_chats_alone(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    async with await shop.visitor(here, shop.token("P18-a")) as page:
        first = await page.start("A's")
        nobody = await page.do("sign_out")
        assert (nobody.identity, nobody.user == page.me.user) == ("anonymous", False)
        over = await ask(there, "GET", "/v1/conversations", page.me.session_token)
        assert (over.status_code, over.json()["error"]["code"]) == (401, "signed_out")
        for whose in ("nobody", "B"):
            if whose == "B":
                await page.authenticate(shop.token("P18-b"))
            assert await page.conversations() == []
            with pytest.raises(Refused, match="conversation_unknown"):
                await page.open(first.conversation)
        second = await page.start("B's")
        await page.do("sign_out")
        await page.authenticate(shop.token("P18-a"))
        assert [view.conversation for view in await page.conversations()] == [first.conversation]
        assert second.conversation != first.conversation


async def test_P20_what_agents_write_is_counted_until_it_is_read(house: House, shop: Newcomer) -> None:
    here, there = house.nodes
    async with await shop.visitor(here, shop.token("P20")) as page, await shop.agent(there) as agent:
        begun = await page.start("hello?")
        await agent.open(begun.conversation)
        for text in ("one", "two"):
            await agent.send(begun.conversation, text)
        counted = await ask(there, "GET", "/v1/unread", page.me.session_token)
        assert counted.json() == {"unread": 2}
        assert [view.unread for view in await page.conversations()] == [2]
        read = await page.hears("two")
        assert isinstance(await page.do("read", conversation=begun.conversation, seq=read.seq), f.Ack)
        assert (await ask(here, "GET", "/v1/unread", page.me.session_token)).json() == {"unread": 0}
