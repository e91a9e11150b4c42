"""Login, logout and switch in any order, twice, from two tabs: the state is what the last call names, and no frame of
one person reaches the other.

The machine is two tabs of one browser and a third one elsewhere, over the real parts. Its model holds for each tab who it is, and for each
credential whether it is still good. Everybody's conversations carry their owner's name in each text, so that a frame
can be told from anybody else's by looking at it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.gateway.indoors import Indoors, Tab
from tests.gateway.page import Page

_T = TypeVar("_T")
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
    """A tab: its socket, who it is by the model, and which conversation is on screen."""

    tab: Tab | None = None
    who: Who | None = None
    shown: set[str] = field(default_factory=set[str])


class Switching(RuleBasedStateMachine):
    indoors: Indoors
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
            seat.shown.clear()
            self.welcomed(number, answer, f"stranger {len(self.users)}")

    @rule(number=TABS, data=st.data())
    def a_chosen_session_is_ended(self, number: int, data: st.DataObject) -> None:
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
        seat = self.seats[number]
        if seat.tab is None or seat.who is None:
            return
        conversation = self.run(seat.tab.start(f"of {seat.who.name}"))
        self.run(seat.tab.open(conversation))
        seat.shown.add(conversation)
        self.begun[conversation] = seat.who.name

    @precondition(lambda self: self.begun)
    @rule(number=TABS, data=st.data())
    def a_tab_asks_for_a_conversation(self, number: int, data: st.DataObject) -> None:
        seat, conversation = self.seats[number], data.draw(st.sampled_from(sorted(self.begun)))
        if seat.tab is None or seat.who is None:
            return
        answer = self.run(seat.tab.ask("open", conversation=conversation))
        owner = self.begun[conversation]
        if owner == seat.who.name:
            if answer["type"] != "error":
                seat.shown.add(conversation)
        elif not self.may_hold(seat.who, owner):
            assert answer["code"] == "conversation_unknown"

    def may_hold(self, who: Who, owner: str) -> bool:
        """Is it a chat that this session's browser began before signing in?"""
        return bool(who.browser) and self.users.get(owner) == who.browser

    # What is always true

    def look(self, seat: Seat) -> None:
        """Take what a tab was shown: nothing of anybody else."""
        if seat.tab is None or seat.who is None:
            return
        frames, seat.tab.socket.frames = seat.tab.socket.frames, []
        for frame in frames:
            entries = [frame] if frame["type"] == "message" else frame.get("messages", [])
            for entry in entries:
                owner = self.begun.get(entry["conversation"])
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
        for number in range(len(self.seats)):
            self.leave(number)


@pytest.mark.parametrize("steps", [20])
async def test_whoever_signs_in_and_out_in_whatever_order_is_who_the_last_call_named(
    indoors: Indoors, steps: int
) -> None:
    class Here(Switching):
        pass

    Here.indoors, Here.loop = indoors, asyncio.get_running_loop()
    limits = settings(
        max_examples=120, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=limits)
