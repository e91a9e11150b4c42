"""However sign-ins interleave, and whoever dies in between, people are found as if one had come after the other.

The model is a dictionary: identifier to person. A sign-in is one step of it: nobody known, somebody new; one known,
that one, whose all identifiers are from now on; two known, a conflict that changes nothing. Sign-ins on the real store
run call by call, in an order drawn by dice; what they answered, and what is stored in the end, must be what the model
says for at least one order of whole sign-ins. Who died may have taken effect or not.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from chatgateway.core.person import Description, Identifier, Person
from chatgateway.errors import IdentityConflict
from chatgateway.store import identifiers as identifiers_module
from chatgateway.store.client import Store
from chatgateway.store.identities import Identities
from chatgateway.store.people import People
from chatgateway.types import ProjectId, UnixMs, UserId

ALL = tuple(Identifier(kind, "same") for kind in ("external_id", "email", "deskpro_id", "deskpro_email"))
"""One text in four namespaces."""

Names = tuple[Identifier, ...]
State = dict[Identifier, str]

CONFLICT, DEAD = "conflict", "dead"


class SignIn(NamedTuple):
    names: Names
    outcome: str
    """The user who was found, or how it ended."""


def explained(before: State, tried: Sequence[SignIn], after: State) -> bool:
    """Is there an order of whole sign-ins in which everybody hears what they heard?"""
    living = [one for one in tried if one.outcome != DEAD]
    dead = [one for one in tried if one.outcome == DEAD]
    effects = itertools.chain.from_iterable(itertools.combinations(dead, count) for count in range(len(dead) + 1))
    return any(
        state == after
        for chosen in effects
        for order in itertools.permutations([*living, *chosen])
        for state in _outcomes(before, order, after)
    )


def _outcomes(before: State, order: Sequence[SignIn], after: State) -> Iterator[State]:
    state = dict(before)
    for names, outcome in order:
        known = {state[name] for name in names if name in state}
        if len(known) > 1:
            if outcome not in (CONFLICT, DEAD):
                return
            continue
        if outcome == CONFLICT:
            return
        taken = set(state.values())
        user = known.pop() if known else after.get(names[0], "") if outcome == DEAD else outcome
        if outcome not in (user, DEAD) or (user in taken) is not bool(taken & {state.get(name) for name in names}):
            return
        state |= dict.fromkeys(names, user)
    yield state


@dataclass
class Turns:
    """Carries out one store call at a time, whosever turn it is."""

    store: Store
    dice: random.Random
    waiting: list[tuple[int, Any, asyncio.Future[Any]]] = field(default_factory=list[Any])
    lives: dict[int, int] = field(default_factory=dict[int, int])
    """How many calls an actor makes before it dies."""

    def of(self, actor: int) -> Any:
        """Return a store whose every call waits for its turn."""
        turns = self

        class Waiting:
            @property
            def hot(self) -> Waiting:
                return self

            async def ask(self, *call: Any) -> Any:
                future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                turns.waiting.append((actor, call, future))
                return await future

            async def now(self) -> UnixMs:
                return UnixMs(1_000)

        return Waiting()

    async def run(self, tasks: dict[int, asyncio.Task[str]]) -> None:
        """Let everybody go on until all are done or dead."""
        while True:
            busy = {actor for actor, task in tasks.items() if not task.done() and self.lives[actor] > 0}
            if not busy:
                return
            if busy - {actor for actor, _, _ in self.waiting}:
                await asyncio.sleep(0)
                continue
            ready = [one for one in self.waiting if one[0] in busy]
            chosen = self.dice.choice(ready)
            self.waiting.remove(chosen)
            actor, call, future = chosen
            self.lives[actor] -= 1
            reply = (await asyncio.gather(self.store.hot.ask(*call), return_exceptions=True))[0]
            if future.cancelled():
                continue
            if isinstance(reply, BaseException):
                future.set_exception(reply)
            else:
                future.set_result(reply)
            # Until the actor has asked for more, or is done.
            for _ in range(4):
                await asyncio.sleep(0)


async def signed_in(identities: Identities, project: ProjectId, names: Names, proposed: str) -> str:
    try:
        return (await identities.find_or_create(project, names, Description(), UserId(proposed))).user
    except IdentityConflict:
        return CONFLICT


async def stored(store: Store, project: ProjectId) -> tuple[State, list[Person]]:
    """Whom identifiers name, and who is recorded."""
    identities = Identities(store)
    found = {name: await identities.find(project, name) for name in ALL}
    people, _ = await People(store).page(project)
    return {name: person.user for name, person in found.items() if person is not None}, people


@pytest.fixture(params=[1, 2], ids=["rash", "patient"])
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Waiting is a turn that somebody else has; the rash take everybody for dead at first sight."""
    monkeypatch.setattr(identifiers_module, "PAUSE_S", 0.0)
    monkeypatch.setattr(identifiers_module, "PATIENCE", request.param)


async def round_of(store: Store, project: ProjectId, dice: random.Random) -> None:
    plain = Identities(store)
    for number in range(dice.randrange(3)):
        await signed_in(plain, project, tuple(dice.sample(ALL, dice.randint(1, 2))), f"usr_before{number}")
    before, _ = await stored(store, project)
    turns = Turns(store, dice)
    sets = {actor: tuple(dice.sample(ALL, dice.choice((1, 2, 2, 3, 3, 4)))) for actor in range(dice.randint(2, 4))}
    mortal = dice.random() < 0.3
    turns.lives = {actor: dice.randint(1, 12) if mortal and dice.random() < 0.5 else 1_000 for actor in sets}
    tasks = {
        actor: asyncio.create_task(signed_in(Identities(turns.of(actor)), project, names, f"usr_{actor}"))
        for actor, names in sets.items()
    }
    await turns.run(tasks)
    tried = [SignIn(names, tasks[actor].result() if tasks[actor].done() else DEAD) for actor, names in sets.items()]
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    after, people = await stored(store, project)
    story = f"{before=}\n{tried=}\n{after=}\n{people=}"
    assert explained(before, tried, after), story
    # Nobody is recorded whom nothing names, and a record names nothing that names somebody else.
    assert {person.user for person in people} >= set(after.values()), story
    for person in people:
        assert person.identifiers, story
        for name in person.identifiers:
            assert after.get(name) == person.user, story
    # Whoever comes next is not held up by the dead, and hears what the model says.
    names = tuple(dice.sample(ALL, 2))
    known = {after[name] for name in names if name in after}
    heard = await signed_in(plain, project, names, "usr_next")
    assert heard == (CONFLICT if len(known) > 1 else known.pop() if known else "usr_next"), story
    if heard != CONFLICT:
        state, people = await stored(store, project)
        (person,) = (one for one in people if one.user == heard)
        assert set(person.identifiers) >= set(names), story
        assert state == after | dict.fromkeys(names, heard), story


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", range(6))
async def test_sign_ins_that_interleave_are_as_if_one_came_after_the_other(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(25):
        await round_of(store, ProjectId(f"prj_{seed}_{number}"), dice)


class TestModel:
    """What explains everything explains nothing."""

    X, Y, *_ = ALL

    def test_does_not_explain_one_identifier_of_two_people(self) -> None:
        assert not explained({}, [SignIn((self.X,), "a"), SignIn((self.X,), "b")], {self.X: "a"})

    def test_does_not_explain_a_merge(self) -> None:
        before = {self.X: "a", self.Y: "b"}
        assert not explained(before, [SignIn((self.X, self.Y), "a")], {self.X: "a", self.Y: "a"})

    def test_does_not_explain_a_conflict_that_took_something(self) -> None:
        assert not explained({self.X: "a"}, [SignIn((self.X, self.Y), CONFLICT)], {self.X: "a", self.Y: "a"})

    def test_explains_a_conflict_between_two_who_came_first(self) -> None:
        tried = [SignIn((self.X, self.Y), CONFLICT), SignIn((self.X,), "a"), SignIn((self.Y,), "b")]
        assert explained({}, tried, {self.X: "a", self.Y: "b"})
