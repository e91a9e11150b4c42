"""A visitor proves an address over a real gateway, a real mail server and a real mail."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
from tests.acceptance.client import Client, Refused
from tests.acceptance.conftest import House
from tests.outside.posting import open_office

from chatgateway.protocol import frames as f

ADA = "ada@shop.example"


async def test_a_visitor_asks_reads_the_mail_answers_and_is_known_by_the_address(
    own_house: Callable[..., Awaitable[House]],
) -> None:
    async with open_office() as office:
        house = await own_house(
            2,
            CHATGATEWAY_SMTP_URL=f"smtp://127.0.0.1:{office.port}?starttls=never",
            CHATGATEWAY_MAIL_FROM="Shop <chat@shop.example>",
        )
        site = await house.operator.site("Beans & Co.", "--policy", "email")
        await house.operator.agent("Uma", site)
        here, there = house.nodes
        async with await Client.visitor(here, site) as visitor, await Client.agent(there, "Uma") as agent:
            assert (visitor.me.policy, visitor.me.identity) == ("email", "anonymous")
            with pytest.raises(Refused, match="email_required"):
                await visitor.start("let me in")

            assert isinstance(await visitor.do("prove_email", email=ADA), f.Ack)
            mail = await office.mail()
            assert (mail["To"], mail["Subject"]) == (ADA, "Your code for Beans & Co.")
            found = re.search(r"\b\d{6}\b", mail.get_content())
            assert found is not None
            with pytest.raises(Refused, match="code_rejected"):
                await visitor.do("prove_email", code=f"{(int(found[0]) + 1) % 10**6:06}")
            proved = await visitor.do("prove_email", code=found[0])
            assert isinstance(proved, f.Identity)
            assert (proved.identity, proved.email, proved.email_proved) == ("email", ADA, True)

            begun = await visitor.start("now I may")
            shown = await agent.open(begun.conversation)
            assert [message.author.assurance for message in shown] == ["email"]
            page = await agent.do("inbox", project=site.project)
            (row,) = page.rows
            assert (row.visitor.assurance, row.visitor.email, row.visitor.email_proved) == ("email", ADA, True)

            # The same browser on the other node: no code is asked for again.
            async with await Client.visitor(there, site, visitor.me.session_token) as again:
                assert (again.me.user, again.me.identity) == (visitor.me.user, "email")
                await again.send(begun.conversation, "and from here")

        # Whoever reads the logs learns neither the code nor the address.
        for gateway in house.gateways:
            written = gateway.log.read_text()
            assert found[0] not in written
            assert ADA not in written


async def test_without_a_mail_server_a_visitor_is_told_that_there_is_none(house: House) -> None:
    site = await house.operator.site("Mute")
    async with await Client.visitor(house.nodes[0], site) as visitor:
        with pytest.raises(Refused, match="mail_unconfigured"):
            await visitor.do("prove_email", email=ADA)
