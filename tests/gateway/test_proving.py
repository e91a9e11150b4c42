"""Whoever proves an address is known by it, and nobody learns anything from asking."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.gateway.indoors import Indoors, Tab, settled

from chatgateway.core import effects as fx
from chatgateway.core import proof
from chatgateway.core.project import App
from chatgateway.errors import MailboxRefused, OutsideRefused, OutsideUnavailable, StoreUnavailable
from chatgateway.gateway.postbox import Postbox
from chatgateway.outside.mail import Mail
from chatgateway.store import schema
from chatgateway.store.people import People
from chatgateway.types import Policy, ProjectId, UserId

ADA = "Ada@Shop.example"
_networks = itertools.count(1)


def code_in(mail: Mail) -> str:
    found = re.search(r"\b\d{6}\b", mail.text)
    assert found is not None
    return found[0]


def another(code: str) -> str:
    """Return a wrong code."""
    return f"{(int(code) + 1) % 10**6:06}"


class House:
    """A gateway whose mails go into a box, and visitors who each come from a network of their own."""

    def __init__(self, indoors: Indoors) -> None:
        self.indoors = indoors
        self.box = Postbox()
        indoors.parts.mailer = self.box

    async def demand(self, policy: Policy) -> None:
        def demanding(app: App) -> App:
            return dataclasses.replace(app, policy=policy)

        await self.indoors.parts.projects.update_app(self.indoors.app.id, demanding)

    async def stranger(self, token: str | None = None, *, address: str = "") -> Tab:
        number = next(_networks)
        tab = self.indoors.tab(address=address or f"10.{number // 256}.{number % 256}.1")
        tab.say("hello", ref="hello", app=self.indoors.app.id, token=token)
        tab.me = await tab.hears("welcome")
        return tab

    async def asked(self, tab: Tab, email: str = ADA) -> str:
        """Let a visitor ask for a code, and return the one that was sent."""
        await tab.do("prove_email", email=email)
        await self.indoors.idle()
        return code_in(self.box.letters[0])

    async def proved(self, tab: Tab, email: str = ADA) -> dict[str, Any]:
        return await tab.do("prove_email", code=await self.asked(tab, email))


@pytest.fixture
async def house(indoors: Indoors) -> AsyncIterator[House]:
    yield House(indoors)


async def rejected(tab: Tab, code: str) -> None:
    assert (await tab.ask("prove_email", code=code))["code"] == "code_rejected"


class TestVendors:
    async def test_p1_an_unidentified_visitor_gives_and_proves_an_address_before_chatting_and_becomes_a_customer(
        self, house: House
    ) -> None:
        await house.demand("email")
        visitor = await house.stranger()
        assert (visitor.me["policy"], visitor.me["identity"]) == ("email", "anonymous")
        for kind, fields in (("start", {"text": "hi"}), ("conversations", {}), ("open", {"conversation": "cnv_00a"})):
            assert (await visitor.ask(kind, **fields))["code"] == "email_required", kind
        shown = await house.proved(visitor)
        assert (shown["identity"], shown["email"], shown["email_proved"]) == ("email", ADA, True)
        await visitor.start("now I may")
        (person,) = await People(house.indoors.store).with_email(house.indoors.project.id, ADA)
        assert (person.user, person.email_proved) == (visitor.me["user"], True)

    async def test_p2_whoever_is_signed_in_types_at_once(self, house: House) -> None:
        await house.demand("email")
        ada = await house.stranger(house.indoors.token("ada"))
        await ada.start("no step in between")
        assert house.box.letters == ()
        assert (await ada.ask("prove_email", email=ADA))["code"] == "forbidden"


class TestAProvedAddress:
    async def test_marks_what_is_said_from_then_on_and_nothing_before(self, house: House) -> None:
        visitor = await house.stranger()
        conversation = await visitor.start("before")
        await visitor.open(conversation)
        await house.proved(visitor)
        await visitor.do("send", conversation=conversation, text="after")
        page = await house.stranger(visitor.me["session_token"])
        await page.open(conversation)
        shown = await page.hears("reset")
        assert [(m["text"], m["from"]["assurance"]) for m in shown["messages"]] == [
            ("before", "anonymous"), ("after", "email"),
        ]  # fmt: skip

    async def test_is_seen_by_agents_live_and_on_the_card(self, house: House) -> None:
        visitor, agent = await house.stranger(), await house.indoors.colleague()
        conversation = await visitor.start()
        await agent.open(conversation)
        await agent.do("inbox", project=house.indoors.project.id)
        await house.proved(visitor)
        shown = await agent.hears("identity")
        assert (shown["conversation"], shown["user"]) == (conversation, visitor.me["user"])
        assert (shown["identity"], shown["email"], shown["email_proved"]) == ("email", ADA, True)
        row = (await agent.hears("inbox", lambda page: not page.get("ref")))["rows"][0]
        card = row["visitor"]
        assert (card["assurance"], card["email"], card["email_proved"]) == ("email", ADA, True)

    async def test_is_known_in_the_visitors_other_tabs_and_after_a_reconnect(self, house: House) -> None:
        visitor = await house.stranger()
        tab = await house.stranger(visitor.me["session_token"])
        await house.proved(visitor)
        assert (await tab.hears("identity"))["identity"] == "email"
        await tab.start("from the other tab")
        again = await house.stranger(visitor.me["session_token"])
        assert (again.me["identity"], again.me["user"]) == ("email", visitor.me["user"])

    async def test_is_in_the_session_row_whether_that_was_there_before_or_comes_after(self, house: House) -> None:
        wrote, silent = await house.stranger(), await house.stranger()
        await wrote.start()
        for visitor in (wrote, silent):
            await house.proved(visitor, f"{visitor.me['user']}@shop.example")
        await silent.start()
        for visitor in (wrote, silent):
            (row,) = (await house.indoors.rows(visitor.me["user"])).values()
            assert row.assurance == "email"

    async def test_opens_nobodys_history_and_merges_nobody(self, house: House) -> None:
        first, second = await house.stranger(), await house.stranger()
        conversation = await first.start("mine")
        await house.proved(first)
        await house.proved(second)
        assert first.me["user"] != second.me["user"]
        assert (await second.ask("open", conversation=conversation))["code"] == "conversation_unknown"
        assert (await second.do("conversations"))["type"] == "ack"
        linked = await People(house.indoors.store).with_email(house.indoors.project.id, ADA)
        assert {person.user for person in linked} == {first.me["user"], second.me["user"]}

    async def test_is_not_that_of_whoever_signed_in_in_another_tab_meanwhile(self, house: House) -> None:
        visitor = await house.stranger()
        tab = await house.stranger(visitor.me["session_token"])
        await tab.do("authenticate", token=house.indoors.token("bob"))
        await house.proved(visitor)
        await settled()
        assert [frame for frame in tab.unread if frame["type"] == "identity"] == []
        assert tab.connection.session.identity is not None
        assert tab.connection.session.identity.assurance == "signed"


class TestAsking:
    async def test_for_something_that_is_no_address_is_an_error_before_anything(self, house: House) -> None:
        visitor = await house.stranger()
        for text in ("ada", "a@b", "a@x.co\r\nBcc: b@x.co", "<a@x.co>", "a@x.co, b@x.co", "ä@x.co"):
            assert (await visitor.ask("prove_email", email=text))["code"] == "email_malformed", text
        assert house.box.letters == ()
        # None of them was counted.
        for _ in range(3):
            await house.asked(visitor)

    async def test_without_a_mail_server_says_so(self, house: House) -> None:
        house.indoors.parts.mailer = None
        assert (await (await house.stranger()).ask("prove_email", email=ADA))["code"] == "mail_unconfigured"

    async def test_for_both_or_neither_is_refused(self, house: House) -> None:
        visitor = await house.stranger()
        for fields in ({}, {"email": ADA, "code": "123456"}):
            assert (await visitor.ask("prove_email", **fields))["code"] == "frame_rejected"

    async def test_is_answered_before_anybody_tries_to_send(self, house: House) -> None:
        class Stuck:
            def __init__(self) -> None:
                self.let_go = asyncio.Event()
                self.taken = 0

            async def send(self, mail: Mail) -> None:
                await self.let_go.wait()
                self.taken += 1

        house.indoors.parts.mailer = stuck = Stuck()
        assert (await (await house.stranger()).do("prove_email", email=ADA))["type"] == "ack"
        assert stuck.taken == 0
        stuck.let_go.set()
        await house.indoors.idle()
        assert stuck.taken == 1

    async def test_is_answered_alike_for_a_customer_a_stranger_and_a_mailbox_that_does_not_exist(
        self, house: House
    ) -> None:
        class Picky:
            async def send(self, mail: Mail) -> None:
                if mail.to.startswith("nobody"):
                    raise OutsideRefused("the mail server answered 550")

        customer = await house.stranger(house.indoors.token("ada", email="customer@shop.example"))
        await customer.start()
        await house.proved(await house.stranger(), "proved@shop.example")
        house.indoors.parts.mailer = Picky()
        answers = []
        for name in ("customer", "proved", "stranger", "nobody"):
            answers.append(await (await house.stranger()).do("prove_email", email=f"{name}@shop.example", ref="r"))
        assert answers == [{"type": "ack", "ref": "r"}] * 4

    async def test_too_often_for_one_address_is_answered_as_ever_and_sends_nothing(self, house: House) -> None:
        for _ in range(3):
            await house.asked(await house.stranger())
        fourth = await house.stranger()
        kept = await house.asked(fourth, "other@shop.example")
        assert (await fourth.do("prove_email", email="ada+x@shop.EXAMPLE", ref="r")) == {"type": "ack", "ref": "r"}
        await house.indoors.idle()
        assert len(house.box.letters) == 4
        # Were the code before still good, its being good would tell that nothing was sent.
        await rejected(fourth, kept)

    async def test_too_often_from_one_network_says_how_long_to_wait_whatever_the_address(self, house: House) -> None:
        for host in range(3):
            await house.asked(await house.stranger(address=f"203.0.113.{host}"), f"a{host}@shop.example")
        answer = await (await house.stranger(address="203.0.113.99")).ask("prove_email", email="new@shop.example")
        assert answer["code"] == "rate_limited"
        assert 14 * 60_000 < answer["retry"] <= 15 * 60_000
        await house.asked(await house.stranger(), "new@shop.example")

    async def test_a_flood_over_one_socket_sends_three(self, house: House) -> None:
        visitor = await house.stranger()
        refs = [f"r{number}" for number in range(12)]
        for ref in refs:
            visitor.say("prove_email", ref=ref, email=f"{ref}@shop.example")
        answers = [await visitor.answers(ref) for ref in refs]
        await house.indoors.idle()
        assert len(house.box.letters) == sum(answer["type"] == "ack" for answer in answers) == 3


class TestAnswering:
    async def test_with_a_code_is_right_once(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        await visitor.do("prove_email", code=f" {code[:3]}-{code[3:]} ")
        await rejected(visitor, code)

    async def test_from_two_tabs_at_once_is_right_in_one(self, house: House) -> None:
        visitor = await house.stranger()
        tab = await house.stranger(visitor.me["session_token"])
        code = await house.asked(visitor)
        answers = await asyncio.gather(*(one.ask("prove_email", code=code) for one in (visitor, tab)))
        assert sorted(answer["type"] for answer in answers) == ["error", "identity"]

    async def test_after_a_reconnect_is_right_too(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        visitor.leave()
        again = await house.stranger(visitor.me["session_token"])
        assert (await again.do("prove_email", code=code))["identity"] == "email"

    async def test_with_somebody_elses_code_is_wrong(self, house: House) -> None:
        mine, theirs = await house.stranger(), await house.stranger()
        for_me, for_them = await house.asked(mine), await house.asked(theirs, "bob@shop.example")
        if for_me != for_them:
            await rejected(theirs, for_me)
        without = await house.stranger()
        await rejected(without, for_me)

    async def test_the_sixth_time_is_wrong_even_when_right(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        for _ in range(5):
            await rejected(visitor, another(code))
        await rejected(visitor, code)

    async def test_the_fifth_time_is_right_when_right(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        for _ in range(4):
            await rejected(visitor, another(code))
        await visitor.do("prove_email", code=code)

    async def test_guesses_count_together_however_many_tabs_they_come_from(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        tabs = [await house.stranger(visitor.me["session_token"]) for _ in range(5)]
        await asyncio.gather(*(rejected(tab, another(code)) for tab in tabs))
        await rejected(visitor, code)

    async def test_what_is_no_code_at_all_costs_no_try(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        for text in ("1", "12345", "1234567", "abcdef", "12345\u00b2"):
            await rejected(visitor, text)
        await visitor.do("prove_email", code=code)

    async def test_too_late_is_wrong(self, house: House) -> None:
        visitor = await house.stranger()
        code = await house.asked(visitor)
        key = schema.proof(ProjectId(house.indoors.project.id), UserId(visitor.me["user"]))
        left_ms: Any = await house.indoors.store.hot.ask("PTTL", [key], [])
        assert 9 * 60_000 < left_ms <= 10 * 60_000
        await house.indoors.store.hot.ask("PEXPIRE", [key], [0])
        await rejected(visitor, code)

    async def test_with_the_code_before_the_last_is_wrong(self, house: House) -> None:
        visitor = await house.stranger()
        first, second = await house.asked(visitor), await house.asked(visitor)
        if first != second:
            await rejected(visitor, first)
        await visitor.do("prove_email", code=second)

    async def test_of_a_visitor_who_was_blocked_meanwhile_changes_nothing(self, house: House) -> None:
        visitor = await house.stranger()
        await visitor.start()
        code = await house.asked(visitor)
        parts, project, user = house.indoors.parts, house.indoors.project.id, UserId(visitor.me["user"])
        entry = parts.control.entry("person", project, user, "blocked", await house.indoors.store.now())
        await parts.control.withdraw(await parts.control.write(entry))
        for order in (fx.ProveEmail("r", "", code), fx.ProveEmail("r", "new@shop.example", "")):
            with pytest.raises(StoreUnavailable):
                await parts.proving.prove(visitor.connection, order)
        assert await parts.identities.get(project, user) is None
        assert len(house.box.letters) == 1


class TestGuessing:
    async def test_one_address_from_many_networks_the_luckiest_guess_is_right_only_where_a_mail_went_out(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proof, "code_from", lambda entropy: "123456")
        outcomes = []
        for _ in range(6):
            guesser = await house.stranger()
            await guesser.do("prove_email", email=ADA)
            outcomes.append((await guesser.ask("prove_email", code="123456"))["type"])
        await house.indoors.idle()
        assert outcomes == ["identity"] * 3 + ["error"] * 3
        assert len(house.box.letters) == 3

    async def test_many_addresses_from_one_network_are_three_codes_of_five_tries(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proof, "code_from", lambda entropy: "123456")
        judged = 0
        for number in range(5):
            guesser = await house.stranger(address=f"192.0.2.{number}")
            await guesser.ask("prove_email", email=f"a{number}@shop.example")
            for guess in range(7):
                await rejected(guesser, f"{guess:06}")
            pending = await house.indoors.parts.proofs.attempt(house.indoors.project.id, guesser.connection.user)
            judged += min(pending.tries - 1, proof.TRIES_MAX) if pending is not None else 0
            await rejected(guesser, "123456")
        assert judged == 15


class TestDelivery:
    async def test_is_tried_again_where_that_may_help_and_the_same_mail_goes_out(self, house: House) -> None:
        class Tired:
            def __init__(self) -> None:
                self.seen: list[Mail] = []

            async def send(self, mail: Mail) -> None:
                self.seen.append(mail)
                if len(self.seen) < 3:
                    raise OutsideUnavailable("the mail server answered 421")

        house.indoors.parts.proving.retry_after_s = (0.0, 0.0, 0.0)
        house.indoors.parts.mailer = tired = Tired()
        await (await house.stranger()).do("prove_email", email=ADA)
        await house.indoors.idle()
        assert len(tired.seen) == 3
        assert len(set(tired.seen)) == 1

    @pytest.mark.parametrize(
        ("error", "tries"), [(OutsideUnavailable("it answered 421"), 4), (OutsideRefused("it answered 550"), 1)]
    )
    async def test_is_given_up_after_a_while_or_at_once_and_the_log_says_neither_code_nor_address(
        self, house: House, error: OutsideUnavailable, tries: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[Mail] = []

        class Broken:
            async def send(self, mail: Mail) -> None:
                seen.append(mail)
                raise error

        house.indoors.parts.proving.retry_after_s = (0.0, 0.0, 0.0)
        house.indoors.parts.mailer = Broken()
        visitor = await house.stranger()
        await visitor.do("prove_email", email=ADA)
        await house.indoors.idle()
        assert len(seen) == tries
        await rejected(visitor, another(code_in(seen[0])))
        await visitor.do("prove_email", code=code_in(seen[0]))
        logged = "".join(capsys.readouterr())
        assert '"event":"mail.failed"' in logged
        assert str(error) in logged
        assert code_in(seen[0]) not in logged
        assert "shop.example" not in logged.lower()

    async def test_to_a_mailbox_that_does_not_exist_is_the_visitors_mistake_and_not_the_operators(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Picky:
            async def send(self, mail: Mail) -> None:
                raise MailboxRefused("it answered 550")

        house.indoors.parts.mailer = Picky()
        await (await house.stranger()).do("prove_email", email=ADA)
        await house.indoors.idle()
        logged = "".join(capsys.readouterr())
        assert '"level":"info","event":"mail.refused"' in logged
        assert '"level":"error"' not in logged
