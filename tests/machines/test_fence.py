"""Every order in which a sign-in, a message and a regenerate can meet, over the real Trust and the real Roster.

The drivers below are the steps that others can come between: a node's trust changes in one step, a script runs in one
step, everything else can be interleaved. Each driver can be told to follow a weaker rule; every weaker rule loses in at
least one schedule, so the tests would notice if the rules were weakened, and the rules themselves lose in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core.rotation import ControlEntry, Grounds, Trust
from chatgateway.gateway.connection import Connection
from chatgateway.gateway.roster import NOBODYS, Group, Roster
from chatgateway.types import KeyId, ProjectId, SessionId, UnixMs, UserId, Version

PROJECT = ProjectId("prj_1")
OLD, OTHER = KeyId("k_old"), KeyId("k_other")
NOW = UnixMs(1_795_249_707_000)
REGENERATED = ControlEntry("e_1", "key", PROJECT, OLD, "regenerated", NOW, Version(1))

Step = Iterator[Callable[[], bool] | None]
"""A driver: it yields between its steps, and what it yields says when it can go on."""


@dataclass(eq=False)
class Peer:
    """Stands for a connection: it is in the roster, and what is delivered to it is what its group allows."""

    kid: KeyId
    grounds: Grounds
    group: Group = NOBODYS
    live: bool = False
    ended: CloseCode | None = None

    def withdrawn(self, trust: Trust) -> bool:
        return self.group.withdrawn is not None or trust.judge(self.grounds) is not None


@dataclass
class World:
    """One node, one partition, and the control log."""

    trust: Trust = field(default_factory=Trust)
    roster: Roster = field(default_factory=Roster)
    committed: list[ControlEntry] = field(default_factory=list[ControlEntry])
    fence: Version = Version(0)
    bound: set[Peer] = field(default_factory=set[Peer])
    log: list[tuple[Peer, str]] = field(default_factory=list[tuple[Peer, str]])
    expected: list[str] = field(default_factory=list[str])
    """What the survivor says."""
    returned: bool = False
    """The command has told the operator that the old key is dead."""
    broken: str = ""

    def peer(self, kid: KeyId, *, live: bool) -> Peer:
        number = len(self.roster.connections)
        grounds = Grounds(SessionId(f"ses_{number}"), UserId(f"usr_{number}"), PROJECT, NOW, kid=kid)
        one = Peer(kid, grounds)
        self.roster.connections.add(cast(Connection, one))
        if live:
            self.join(one)
            self.bound.add(one)
            one.live = True
        return one

    def join(self, peer: Peer) -> None:
        peer.group = self.roster.join(cast(Connection, peer), peer.grounds)

    def script(self, version: Version) -> bool:
        """What append.lua and bind.lua do first: refuse as stale, or keep the fence at least at the version carried."""
        if version < self.fence:
            return False
        self.fence = max(self.fence, version)
        return True

    def accepted(self, peer: Peer, what: str) -> None:
        if self.returned and peer.kid == OLD:
            self.broken = self.broken or f"{what} of the dead key was accepted after the command had returned"


@dataclass(frozen=True)
class Rules:
    """What a gateway must do. Each can be weakened, to see that it is needed."""

    join_before_bind: bool = True
    judge_after_bind: bool = True
    bind_carries: str = "the version that verified"
    append_carries: str = "the version that judged"
    mark_before_advance: bool = True
    fence_before_return: bool = True
    judge_again_when_stale: bool = True


def caught_up(world: World) -> Callable[[], bool]:
    return lambda: world.trust.applied >= world.fence


def sign_in(world: World, rules: Rules, peer: Peer) -> Step:
    """gateway/signin.py: verify, join, bind, judge."""
    while True:
        verified_at = world.trust.applied
        if peer.kid in world.trust.revoked_keys(PROJECT):
            peer.ended = CloseCode.KEY_REVOKED
            return
        yield None
        if rules.join_before_bind:
            world.join(peer)
            yield None
        if world.script(verified_at if rules.bind_carries == "the version that verified" else world.trust.applied):
            world.bound.add(peer)
            world.accepted(peer, "a sign-in")
            break
        yield caught_up(world)
    yield None
    if rules.judge_after_bind and peer.withdrawn(world.trust):
        peer.ended = CloseCode.KEY_REVOKED
        return
    if not rules.join_before_bind:
        yield None
        world.join(peer)
    peer.live = peer.ended is None


def send(world: World, rules: Rules, peer: Peer, what: str) -> Step:
    """gateway/errands.py: judge, write with the tick's batch, and when it is stale judge again."""
    while True:
        if peer.ended is not None or peer.withdrawn(world.trust):
            peer.ended = CloseCode.KEY_REVOKED
            return
        judged_at = world.trust.applied
        yield None  # the tick's batch is on its way to the store
        if rules.append_carries != "the version that judged":
            judged_at = world.trust.applied
            yield None
        while not world.script(judged_at):
            yield caught_up(world)
            if rules.judge_again_when_stale:
                break
            judged_at = world.trust.applied
        else:
            world.log.append((peer, what))
            world.accepted(peer, what)
            return


def regenerate(world: World, rules: Rules) -> Step:
    """store/control.py: entry committed, fence raised, and when every node has applied it the command returns."""
    world.committed.append(REGENERATED)
    yield None
    if rules.fence_before_return:
        world.fence = max(world.fence, REGENERATED.version)
    yield lambda: world.trust.applied >= REGENERATED.version
    world.returned = True


def follow(world: World, rules: Rules) -> Step:
    """gateway/node.py: apply what was committed in one step, then end who rested on it."""
    entries = list(world.committed)
    fresh = world.trust.apply(entries)
    if not rules.mark_before_advance:
        # The version first, what was withdrawn afterwards.
        world.trust = Trust(applied=fresh.applied)
        yield None
    world.trust = fresh
    for entry in entries:
        world.roster.mark_key(PROJECT, KeyId(entry.subject), CloseCode.KEY_REVOKED)
    concerned = cast("set[Peer]", world.roster.concerned(entries[0]))
    ending = [peer for peer in concerned if peer.withdrawn(world.trust)]
    yield None
    for peer in ending:
        peer.ended, peer.live = CloseCode.KEY_REVOKED, False


FOLLOWER = 2
"""Which driver is the node that follows the log: it begins when something is committed."""

Cast = Callable[[World, Rules], list[Step]]


def schedules(cast_of: Cast, rules: Rules) -> Iterator[tuple[str, World]]:
    """Yield the end of every possible schedule, and the schedule: which driver took each step.

    Drivers cannot be copied, so each schedule is played from the start: depth first, the prefix decides.
    """
    pending: list[str] = [""]
    while pending:
        prefix = pending.pop()
        world = World()
        drivers = cast_of(world, rules)
        waits: list[Callable[[], bool] | None] = [None] * len(drivers)
        waits[FOLLOWER] = lambda world=world: bool(world.committed)
        done = [False] * len(drivers)
        played = ""
        while True:
            able = [i for i in range(len(drivers)) if not done[i] and ((wait := waits[i]) is None or wait())]
            if not able:
                break
            if len(played) < len(prefix):
                chosen = int(prefix[len(played)])
            else:
                chosen = able[0]
                pending += [f"{played}{other}" for other in able[1:]]
            played += str(chosen)
            assert len(played) < 60, f"somebody goes round in circles: {played}"
            try:
                waits[chosen] = next(drivers[chosen])
            except StopIteration:
                done[chosen] = True
        assert all(done), f"{played}: somebody waits for ever"
        yield played, world


def signing_in(world: World, rules: Rules) -> list[Step]:
    """Somebody signs in with the old key while it is regenerated, and somebody else with another key."""
    return [
        sign_in(world, rules, world.peer(OLD, live=False)),
        regenerate(world, rules),
        follow(world, rules),
    ]


def surviving(world: World, rules: Rules) -> list[Step]:
    return [
        sign_in(world, rules, world.peer(OTHER, live=False)),
        regenerate(world, rules),
        follow(world, rules),
    ]


def talking(world: World, rules: Rules) -> list[Step]:
    """Somebody on the old key and a survivor talk while the old key is regenerated."""
    old, survivor = world.peer(OLD, live=True), world.peer(OTHER, live=True)
    world.expected = ["a survivor's message"]
    return [
        send(world, rules, old, "a message"),
        regenerate(world, rules),
        follow(world, rules),
        send(world, rules, survivor, "a survivor's message"),
    ]


def fault(world: World) -> str:
    """Return what is wrong at the end of a schedule, or nothing."""
    if world.broken:
        return world.broken
    for peer in cast("set[Peer]", world.roster.connections):
        if peer.kid == OLD and peer.live and peer.ended is None:
            return "a session lives on a dead key"
        if peer.kid == OLD and peer in world.bound and peer.group.withdrawn is None:
            return "events would be delivered to a session of a dead key"
        if peer.kid == OTHER:
            if peer.ended is not None or not peer.live:
                return "somebody with another key was ended"
            if peer.group.withdrawn is not None:
                return "somebody with another key is handed nothing"
    said = [what for peer, what in world.log if peer.kid == OTHER]
    if said != world.expected:
        return f"of the survivor is stored {said}"
    return ""


@pytest.mark.parametrize("cast_of", [signing_in, surviving, talking])
def test_the_rules_hold_in_every_schedule(cast_of: Cast) -> None:
    played = 0
    for schedule, world in schedules(cast_of, Rules()):
        assert fault(world) == "", schedule
        played += 1
    assert played > 50, "or there was nothing to interleave"


def test_a_survivor_is_judged_again_in_some_schedule() -> None:
    """Otherwise the schedules would not contain a stale call, and the test above would show nothing."""
    lengths = {played.count("3") for played, _ in schedules(talking, Rules())}
    assert len(lengths) > 1


WEAKER = {
    "bind before join": (signing_in, Rules(join_before_bind=False)),
    "no judgement after bind": (signing_in, Rules(judge_after_bind=False)),
    "bind carries the version of its own moment": (signing_in, Rules(bind_carries="now")),
    "append carries the version of the flush": (talking, Rules(append_carries="now")),
    "the version advances before the marks": (talking, Rules(mark_before_advance=False)),
    "the command returns before the fence stands": (talking, Rules(fence_before_return=False)),
    "a stale call is repeated without judging": (talking, Rules(judge_again_when_stale=False)),
}


@pytest.mark.parametrize(("cast_of", "rules"), WEAKER.values(), ids=WEAKER)
def test_a_weaker_rule_loses_in_some_schedule(cast_of: Cast, rules: Rules) -> None:
    assert any(fault(world) for _, world in schedules(cast_of, rules))
