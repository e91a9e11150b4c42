"""Who may come in: floods are refused before the upgrade, too many from one place are told so after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core.identity import Agent, Anonymous, Authenticated
from chatgateway.core.rotation import Grounds
from chatgateway.gateway.doors import Doors, block
from chatgateway.gateway.roster import Roster
from chatgateway.settings import Settings
from chatgateway.types import AgentId, KeyId, ProjectId, SessionId, UnixMs, UserId

PROJECT = ProjectId("prj_1")
FAR = UnixMs(2**50)


class Caller:
    """A connection as the doors see it."""

    def __init__(self, address: str) -> None:
        self.caller = SimpleNamespace(address=address)
        self.session = SimpleNamespace(identity=None, project=PROJECT)
        self.heard: list[Any] = []

    def hear(self, event: Any) -> None:
        self.heard.append(event)

    @property
    def refused(self) -> bool:
        return [event.code for event in self.heard] == [CloseCode.TOO_MANY_CONNECTIONS]


class House:
    """Doors that let in 3 strangers of one address, 2 sockets of one person, and 10 callers a second."""

    def __init__(self) -> None:
        self.now = UnixMs(1_000_000)
        self.roster = Roster()
        parts: Any = SimpleNamespace(
            settings=Settings(connections_per_address_max=3, connections_per_identity_max=2, admission_per_s=10),
            node=SimpleNamespace(now=lambda: self.now),
            roster=self.roster,
        )
        self.doors = Doors(parts)

    def come(self, address: str = "192.0.2.1") -> Any:
        caller: Any = Caller(address)
        self.doors.entered(caller)
        return caller

    def sign_in(self, caller: Any, identity: Any, session: str) -> None:
        caller.session.identity = identity
        self.roster.join(caller, Grounds(SessionId(session), identity.user, PROJECT, UnixMs(1)))
        self.doors.identified(caller)


@pytest.fixture
def house() -> House:
    return House()


def person(name: str = "usr_1") -> Authenticated:
    return Authenticated(user=UserId(name), kid=KeyId("key_1"), expires_at=FAR)


class TestAddress:
    def test_may_have_so_many_strangers_and_no_more(self, house: House) -> None:
        assert [house.come().refused for _ in range(5)] == [False, False, False, True, True]

    def test_is_its_own_and_not_its_neighbours(self, house: House) -> None:
        for _ in range(3):
            house.come("192.0.2.1")
        assert not house.come("192.0.2.2").refused

    def test_of_ipv6_counts_by_its_64(self, house: House) -> None:
        assert [house.come(f"2001:db8::{n}").refused for n in range(1, 5)] == [False, False, False, True]
        assert not house.come("2001:db8:0:1::1").refused

    def test_of_ipv4_seen_through_ipv6_is_one_host_not_the_whole_internet(self, house: House) -> None:
        assert [house.come(f"::ffff:192.0.2.{n}").refused for n in range(1, 6)] == [False] * 5
        assert block("::ffff:192.0.2.1") == block("192.0.2.1")

    def test_has_room_again_when_somebody_leaves(self, house: House) -> None:
        callers = [house.come() for _ in range(3)]
        house.doors.release(callers[0])
        house.doors.release(callers[0])
        assert [house.come().refused for _ in range(2)] == [False, True]

    def test_does_not_count_those_who_signed_in(self, house: House) -> None:
        for n in range(5):
            caller = house.come()
            house.sign_in(caller, person(f"usr_{n}"), f"ses_{n}")
            assert not caller.refused

    def test_counts_anonymous_visitors_as_strangers(self, house: House) -> None:
        for n in range(3):
            house.sign_in(house.come(), Anonymous(UserId(f"usr_{n}"), FAR), f"ses_{n}")
        assert house.come().refused

    def test_is_forgotten_with_its_last_socket(self, house: House) -> None:
        for caller in [house.come(f"192.0.2.{n}") for n in range(100)]:
            house.doors.release(caller)
        assert len(house.doors._strangers) == len(house.doors._counted) == 0


class TestPerson:
    def test_may_have_so_many_sockets_and_no_more(self, house: House) -> None:
        callers = [house.come(f"192.0.2.{n}") for n in range(3)]
        for n, caller in enumerate(callers):
            house.sign_in(caller, person(), f"ses_{n}")
        assert [caller.refused for caller in callers] == [False, False, True]

    def test_is_not_another_person(self, house: House) -> None:
        for n in range(6):
            caller = house.come(f"192.0.2.{n}")
            house.sign_in(caller, person(f"usr_{n % 3}"), f"ses_{n}")
            assert not caller.refused

    def test_who_is_an_agent_has_no_project_to_be_counted_in(self, house: House) -> None:
        for n in range(5):
            caller = house.come()
            caller.session.project = ""
            agent = Agent(UserId("agt_1"), AgentId("agt_1"), "Ann", frozenset({PROJECT}), FAR)
            house.sign_in(caller, agent, f"ses_{n}")
            assert not caller.refused


class TestFlood:
    def test_is_refused_above_the_rate_and_let_in_a_second_later(self, house: House) -> None:
        answers = [house.doors.refuses(f"192.0.2.{n}") for n in range(11)]
        assert [answer is None for answer in answers] == [True] * 10 + [False]
        house.now = UnixMs(house.now + 1_000)
        assert house.doors.refuses("192.0.2.1") is None

    def test_of_one_address_is_refused_before_the_upgrade(self, house: House) -> None:
        for _ in range(6):
            house.come()
        assert "address" in (house.doors.refuses("192.0.2.1") or "")
        assert house.doors.refuses("192.0.2.2") is None

    def test_that_was_refused_by_address_takes_nothing_from_the_others(self, house: House) -> None:
        for _ in range(6):
            house.come()
        for _ in range(50):
            house.doors.refuses("192.0.2.1")
        assert house.doors.refuses("192.0.2.2") is None

    def test_is_refused_entirely_while_draining(self, house: House) -> None:
        house.doors.draining = True
        assert "stopping" in (house.doors.refuses("192.0.2.1") or "")


def test_what_is_no_address_counts_by_its_text() -> None:
    assert block("unix") == "unix"
