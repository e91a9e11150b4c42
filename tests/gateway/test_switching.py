"""Login, logout and switch in any order, twice, from several tabs: the state is what the last call names.

And no frame of one person reaches another. The machine is three tabs over the real parts, with an agent who talks into
every chat. Its model holds for each tab who it is, and for each credential that was ever given out whether it is still
good. A frame's conversation says whose it is, so that it can be told from anybody else's by looking at it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.gateway.indoors import Indoors, Tab, founded, settled
from tests.gateway.page import Page

from chatgateway.store.client import Store

_T = TypeVar("_T")
EXAMPLES = int(os.environ.get("SWITCHING_EXAMPLES", "30"))
TABS = st.sampled_from([0, 1, 2])
PEOPLE = st.sampled_from(["ada", "bob"])


@dataclass
class Who:
    """A session as the model knows it."""

    name: str
    """"ada" or "bob", or the number of a stranger."""
    token: str
    user: str
    session: str
    browser: str = ""
    """The user id of the stranger that this session signed in from."""

    @property
    def signed(self) -> bool:
        return self.name in ("ada", "bob")


@dataclass
class Seat:
    """A tab: its socket, and who it is by the model."""

    tab: Tab | None = None
    who: Who | None = None


class Switching(RuleBasedStateMachine):
    indoors: Indoors
    agent: Tab
    loop: asyncio.AbstractEventLoop
    examples = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.example = next(self.examples)
        self.seats = [Seat(), Seat(), Seat()]
        self.known: list[Who] = []
        """Everybody whom the gateway ever called by a token, dead or alive."""
        self.dead: set[str] = set()
        """Tokens that open nothing any more."""
        self.begun: dict[str, str] = {}
        """Conversation -> whose it is."""
        self.users: dict[str, str] = {}
        """Name -> user id."""

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def seated(self, number: int) -> int:
        """Return this tab, or the next one where somebody is: a rule about nobody shows nothing."""
        return next((one for one in (number, (number + 1) % 3, (number + 2) % 3) if self.seats[one].tab), number)

    def person(self, name: str) -> str:
        return f"{name}-{self.example}"

    def welcomed(self, number: int, frame: dict[str, Any], name: str, browser: str = "") -> None:
        """The gateway said who this tab is now: it must be who the model says."""
        seat = self.seats[number]
        assert frame["identity"] == ("signed" if name in ("ada", "bob") else "anonymous")
        if name in self.users:
            assert frame["user"] == self.users[name]
        else:
            assert frame["user"] not in self.users.values(), "somebody new, not somebody known"
            self.users[name] = frame["user"]
        seat.who = Who(name, frame["session_token"], frame["user"], frame["session"], browser)
        self.known.append(seat.who)

    @initialize(names=st.lists(PEOPLE, min_size=2, max_size=2))
    def two_tabs_are_open_and_both_have_said_something(self, names: list[str]) -> None:
        for number, name in enumerate(names):
            tab = self.run(self.indoors.visitor(self.indoors.token(self.person(name))))
            self.seats[number].tab = tab
            self.welcomed(number, tab.me, name)
            self.a_tab_says_something(number)

    # Coming and going

    @rule(number=TABS)
    def a_stranger_comes(self, number: int) -> None:
        self.leave(number)
        tab = self.run(self.indoors.visitor())
        self.seats[number].tab = tab
        self.welcomed(number, tab.me, f"stranger {len(self.users)}")

    @rule(number=TABS, name=PEOPLE, before=st.booleans(), data=st.data())
    def somebody_comes_signed_in(self, number: int, name: str, before: bool, data: st.DataObject) -> None:
        strangers = [who for who in self.known if not who.signed and who.token not in self.dead]
        earlier = data.draw(st.sampled_from(strangers)) if before and strangers else None
        self.leave(number)
        tab = self.run(
            self.indoors.visitor(self.indoors.token(self.person(name)), earlier=earlier.token if earlier else None)
        )
        self.seats[number].tab = tab
        self.welcomed(number, tab.me, name, earlier.user if earlier else "")

    @precondition(lambda self: self.known)
    @rule(number=TABS, data=st.data())
    def a_session_is_resumed(self, number: int, data: st.DataObject) -> None:
        """With any credential that was ever given out: the living open as who they were, the dead not at all."""
        who = data.draw(st.sampled_from(self.known))
        self.leave(number)
        if who.token in self.dead:
            assert self.run(self.indoors.refused(who.token)) in (4302, 4440)
            return
        tab = self.run(self.indoors.visitor(who.token))
        self.seats[number].tab = tab
        self.welcomed(number, tab.me, who.name, who.browser)

    def leave(self, number: int) -> None:
        seat = self.seats[number]
        if seat.tab is not None:
            self.look(seat)

            async def go() -> None:
                assert seat.tab is not None
                seat.tab.leave()
                await seat.tab.ended()
                await self.indoors.rows(seat.who.user if seat.who else "")

            self.run(go())
        self.seats[number] = Seat()

    # Changing who one is

    @precondition(lambda self: any(seat.who for seat in self.seats))
    @rule(number=TABS, name=PEOPLE)
    def a_tab_authenticates(self, number: int, name: str) -> None:
        number = self.seated(number)
        seat = self.seats[number]
        if seat.tab is None or seat.who is None:
            return
        was = seat.who
        answer = self.run(seat.tab.ask("authenticate", token=self.indoors.token(self.person(name))))
        if was.signed and was.name != name:
            assert answer["code"] == "identity_changed"
            return
        self.welcomed(number, answer, name, was.browser if was.signed else was.user)

    @rule(number=TABS, everywhere=st.booleans(), over_http=st.booleans())
    def a_tab_signs_out(self, number: int, everywhere: bool, over_http: bool) -> None:
        number = self.seated(number)
        seat = self.seats[number]
        if seat.tab is None or seat.who is None:
            return
        who = seat.who
        self.look(seat)
        if over_http:
            page = Page(self.indoors, who.token, address=f"203.0.113.{number}")
            assert self.run(page.post("/sign_out", {"everywhere": everywhere})).status_code == 204
            answer = None
        else:
            answer = self.run(seat.tab.do("sign_out", everywhere=everywhere))
        self.is_out(who, everywhere and who.signed, stays=None if over_http else seat)
        if answer is not None:
            self.welcomed(number, answer, f"stranger {len(self.users)}")

    @rule(number=TABS, data=st.data())
    def a_chosen_session_is_ended(self, number: int, data: st.DataObject) -> None:
        number = self.seated(number)
        seat = self.seats[number]
        if seat.who is None or not seat.who.signed:
            return
        mine = [who for who in self.known if who.name == seat.who.name]
        chosen = data.draw(st.sampled_from(mine))
        page = Page(self.indoors, seat.who.token, address=f"203.0.113.{number}")
        answer = self.run(page.ask("DELETE", f"/sessions/{chosen.session}"))
        assert answer.status_code == 204
        self.is_out(chosen, everywhere=False, stays=None)

    def is_out(self, who: Who, everywhere: bool, stays: Seat | None) -> None:
        """The model's whole rule of what one sign-out ends."""
        if everywhere:
            gone = [one for one in self.known if one.name == who.name]
        elif who.signed:
            gone = [
                one
                for one in self.known
                if one.session == who.session or (one.name == who.name and who.browser and one.browser == who.browser)
            ]
        else:
            gone = [who]
        strangers = {one.browser for one in gone if one.browser} | ({who.user} if not who.signed else set())
        gone += [one for one in self.known if one.user in strangers]
        self.dead |= {one.token for one in gone}
        over = {one.session for one in gone}
        for seat in self.seats:
            if seat.tab is None or seat.who is None or seat is stays:
                continue
            if seat.who.session in over or seat.who.user in strangers:
                assert self.run(seat.tab.ended()) in (4302, 4440)
                self.look(seat)
                self.seats[self.seats.index(seat)] = Seat()

    # Talking

    @rule(number=TABS)
    def a_tab_says_something(self, number: int) -> None:
        number = self.seated(number)
        seat = self.seats[number]
        if seat.tab is None or seat.who is None:
            return
        conversation = self.run(seat.tab.start(f"of {seat.who.name}"))
        self.run(seat.tab.open(conversation))
        self.begun[conversation] = seat.who.name
        # Followed from the beginning: an agent who comes later makes the hub look again who may listen.
        self.run(self.agent.open(conversation))

    @precondition(lambda self: self.begun)
    @rule(number=TABS, data=st.data())
    def a_tab_asks_for_a_conversation(self, number: int, data: st.DataObject) -> None:
        number = self.seated(number)
        seat, conversation = self.seats[number], data.draw(st.sampled_from(sorted(self.begun)))
        if seat.tab is None or seat.who is None:
            return
        answer = self.run(seat.tab.ask("open", conversation=conversation))
        owner = self.begun[conversation]
        if owner != seat.who.name and not self.may_hold(seat.who, owner):
            assert answer["code"] == "conversation_unknown"

    def may_hold(self, who: Who, owner: str) -> bool:
        """Is it a chat that this session's browser began before signing in?"""
        return bool(who.browser) and self.users.get(owner) == who.browser

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def an_agent_says_something(self, data: st.DataObject) -> None:
        self.run(self.answer(data.draw(st.sampled_from(sorted(self.begun)))))

    @precondition(lambda self: self.begun)
    @rule(number=TABS, data=st.data())
    def an_agent_says_something_while_a_tab_signs_out(self, number: int, data: st.DataObject) -> None:
        """What was said before may still be shown, and nothing from the moment on that the tab is somebody else."""
        number = self.seated(number)
        seat = self.seats[number]
        if seat.tab is None or seat.who is None:
            return
        tab, who = seat.tab, seat.who
        own = sorted(one for one, owner in self.begun.items() if owner == who.name)
        conversation = data.draw(st.sampled_from(own or sorted(self.begun)))
        self.run(tab.ask("open", conversation=conversation))
        self.look(seat)

        async def both() -> None:
            tab.say("sign_out", ref="out")
            await self.answer(conversation)
            async with asyncio.timeout(15):
                while not any(frame["type"] == "identity" and frame["ref"] == "out" for frame in tab.unread):
                    tab.socket.changed.clear()
                    await tab.socket.changed.wait()
            await self.answer(conversation)

        self.run(both())
        said = next(index for index, frame in enumerate(tab.unread) if frame.get("ref") == "out")
        answer, after = tab.unread[said], tab.unread[said + 1 :]
        tab.socket.frames = tab.unread[:said]
        self.look(seat)
        self.is_out(who, everywhere=False, stays=seat)
        self.welcomed(number, answer, f"stranger {len(self.users)}")
        tab.socket.frames = after
        self.look(seat)

    async def answer(self, conversation: str) -> None:
        agent = self.agent
        ref = (await agent.do("send", conversation=conversation, text="from an agent"))["ref"]
        # The hub hands out to all in one go: once the agent hears it, so has everybody who follows.
        await agent.hears("message", lambda frame: frame["ref"] == ref)
        await settled()
        agent.socket.frames.clear()

    # What is always true

    def look(self, seat: Seat) -> None:
        """Take what a tab was shown: nothing of anybody else."""
        if seat.tab is None or seat.who is None:
            return
        frames, seat.tab.socket.frames = seat.tab.socket.frames, []
        for frame in frames:
            for entry in frame.get("messages", [frame]):
                owner = self.begun.get(entry.get("conversation", ""))
                if owner is not None and owner != seat.who.name:
                    assert self.may_hold(seat.who, owner), f"{seat.who.name} was shown {entry}"

    @invariant()
    def every_tab_is_who_the_last_call_made_it(self) -> None:
        for number, seat in enumerate(self.seats):
            if seat.tab is None or seat.who is None:
                continue
            assert seat.tab.socket.closed is None
            assert seat.tab.connection.user == seat.who.user
            self.look(seat)
            page = Page(self.indoors, seat.who.token, address=f"192.0.2.{number}")
            assert self.run(page.get("/me")).json().get("user") == seat.who.user

    @invariant()
    def the_dead_stay_dead(self) -> None:
        for token in sorted(self.dead)[-3:]:
            answer = self.run(Page(self.indoors, token).get("/me"))
            assert answer.status_code == 401, answer.text

    def teardown(self) -> None:
        for conversation in self.begun:
            self.run(self.agent.do("leave", conversation=conversation))
        for number in range(len(self.seats)):
            self.leave(number)


@pytest.fixture
async def unhurried(store: Store, tmp_path: Path) -> AsyncIterator[Indoors]:
    """A gateway whose rates and counts nobody reaches."""
    plenty = {"commands_burst": 1_000_000, "requests_burst": 1_000_000, "connections_per_identity_max": 1_000}
    async with founded(store, tmp_path, **plenty) as opened:
        yield opened


async def test_whoever_signs_in_and_out_in_whatever_order_is_who_the_last_call_named(unhurried: Indoors) -> None:
    dana = await unhurried.colleague()

    class Here(Switching):
        indoors = unhurried
        agent = dana
        loop = asyncio.get_running_loop()

    limits = settings(
        max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=limits)
