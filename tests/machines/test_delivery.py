"""Whatever is lost, late, repeated, rewound or trimmed, every reader shows each message once, in the log's order.

The world is a log that may lose its tail to a failover (with a clock behind), and be trimmed at its head. Two readers
stand for a hub or a client: core.delivery.Delivery judges what reaches them, and they do what PROTOCOL.md section 3
says about a "check". The model is the log itself: once all is quiet, a reader shows exactly what is stored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatgateway.core.delivery import Delivery, Verdict
from chatgateway.types import GENESIS_LINK, START, Position, UnixMs


class Entry(NamedTuple):
    position: Position
    prev: str
    ref: str


@dataclass
class Log:
    """What the store's scripts keep: positions chained by links, and the refs that were stored."""

    archive: list[Entry] = field(default_factory=list[Entry])
    """Trimmed from the log, and found again by paging back."""
    entries: list[Entry] = field(default_factory=list[Entry])
    clock: int = 1000

    @property
    def all(self) -> list[Entry]:
        return self.archive + self.entries

    @property
    def top(self) -> Position:
        return self.all[-1].position if self.all else START

    def append(self, ref: str) -> tuple[Position, Entry | None]:
        """Store once per ref, as append.lua does; return where, and the entry to publish when it is new."""
        for entry in self.all:
            if entry.ref == ref:
                return entry.position, None
        last = self.top
        at = UnixMs(max(self.clock, last.at))
        link = hashlib.sha1(f"{last.link}/{ref}/{at}".encode()).hexdigest()[:8]
        entry = Entry(Position(at, last.seq + 1, link), last.link, ref)
        self.entries.append(entry)
        return entry.position, entry

    def after(self, position: Position) -> list[Entry] | None:
        """Probe a position and read after it, as open.lua does. None: it is not there, or nobody can say."""
        present = position == self.top or any(entry.position == position for entry in self.entries)
        if not present and not (position == START and not self.archive):
            return None
        return [entry for entry in self.entries if entry.position[:2] > position[:2]]


class Reader:
    """A hub's or a client's place in the conversation, and what a person sees there."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.delivery = Delivery(START)
        self.shown: list[Entry] = []
        self.arriving: list[Entry] = []
        self.outbox: list[str] = []
        self.acked: dict[str, Position] = {}

    def hear(self, entry: Entry) -> None:
        """A publication arrived, however late and however often."""
        match self.delivery.judge(entry.position, entry.prev):
            case Verdict.HAND_ON:
                self.hand_on(entry)
            case Verdict.DROP:
                pass
            case Verdict.CHECK:
                self.check()
        assert entry in self.shown or entry not in self.log.all, "what was heard and is stored is shown"

    def hand_on(self, entry: Entry) -> None:
        self.delivery.advance(entry.position)
        self.shown.append(entry)

    def check(self) -> None:
        """Show nothing of what came: read the log from the own position; it may be on no branch any more."""
        read = self.log.after(self.delivery.position)
        if read is None:
            self.delivery = Delivery(self.log.top)
            self.shown = list(self.log.all)
        else:
            for entry in read:
                assert self.delivery.judge(entry.position, entry.prev) is Verdict.HAND_ON
                self.hand_on(entry)
        self.review()

    def review(self) -> None:
        """An ack is evidence: what was acknowledged and is not where it was said to be is sent again."""
        shown = {entry.ref: entry.position for entry in self.shown}
        for ref, position in list(self.acked.items()):
            if shown.get(ref) != position:
                del self.acked[ref]
                if ref not in shown:
                    self.outbox.append(ref)

    def compare(self) -> None:
        """The top is looked at now and then: a lost last message has no successor that would tell."""
        if self.log.top != self.delivery.position:
            self.check()
        self.review()


READERS = st.sampled_from([0, 1])


class DeliveryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.readers = [Reader(self.log), Reader(self.log)]
        self.numbers = 0

    def send(self, reader: Reader, ref: str, *, heard: bool) -> None:
        position, entry = self.log.append(ref)
        if entry is not None:
            for other in self.readers:
                other.arriving.append(entry)
        if heard:
            reader.outbox.remove(ref)
            reader.acked[ref] = position

    @initialize(times=st.integers(0, 4))
    def some_have_talked_already(self, times: int) -> None:
        self.somebody_writes(1, heard=True, times=times)
        for which in (0, 1):
            self.all_publications_arrive(which)

    @rule(which=READERS, heard=st.booleans(), times=st.integers(1, 3))
    def somebody_writes(self, which: int, heard: bool, times: int) -> None:
        for _ in range(times):
            self.numbers += 1
            self.readers[which].outbox.append(f"r{self.numbers}")
            self.send(self.readers[which], f"r{self.numbers}", heard=heard)

    @precondition(lambda self: any(reader.outbox for reader in self.readers))
    @rule()
    def what_was_not_acknowledged_is_sent_again(self) -> None:
        for reader in self.readers:
            for ref in list(reader.outbox):
                self.send(reader, ref, heard=True)

    @rule(which=READERS, at=st.integers(0, 5), again=st.booleans())
    def a_publication_arrives_in_any_order_and_perhaps_again(self, which: int, at: int, again: bool) -> None:
        arriving = self.readers[which].arriving
        if arriving:
            index = -1 - at % len(arriving)
            self.readers[which].hear(arriving[index] if again else arriving.pop(index))

    @rule(which=READERS, at=st.integers(0, 5))
    def a_publication_is_lost(self, which: int, at: int) -> None:
        arriving = self.readers[which].arriving
        if arriving:
            arriving.pop(at % len(arriving))

    @rule(which=READERS)
    def all_publications_arrive(self, which: int) -> None:
        arriving, self.readers[which].arriving = self.readers[which].arriving, []
        for entry in arriving:
            self.readers[which].hear(entry)

    @rule(ms=st.integers(1, 3))
    def time_passes(self, ms: int) -> None:
        self.log.clock += ms

    @precondition(lambda self: self.log.entries)
    @rule(lost=st.integers(1, 3), clock=st.integers(-3, 3), refilled=st.integers(0, 4), newest_first=st.booleans())
    def a_failover_loses_the_tail_and_it_is_filled_by_others(
        self, lost: int, clock: int, refilled: int, newest_first: bool
    ) -> None:
        del self.log.entries[-lost:]
        self.log.clock += clock
        self.somebody_writes(0, heard=True, times=refilled)
        for reader in self.readers:
            if refilled and newest_first:
                reader.hear(reader.arriving.pop())

    @precondition(lambda self: self.log.entries)
    @rule()
    def the_head_is_trimmed(self) -> None:
        self.log.archive.append(self.log.entries.pop(0))

    @rule(which=READERS)
    def a_reader_compares_the_top(self, which: int) -> None:
        self.readers[which].compare()

    @rule(which=READERS)
    def a_reader_reconnects_and_resumes(self, which: int) -> None:
        self.readers[which].arriving.clear()
        self.readers[which].check()

    # What always holds

    @invariant()
    def what_is_shown_is_one_history(self) -> None:
        for reader in self.readers:
            assert len({entry.ref for entry in reader.shown}) == len(reader.shown), "shown twice"
            links = [GENESIS_LINK, *(entry.position.link for entry in reader.shown)]
            assert [entry.prev for entry in reader.shown] == links[:-1], "a hole, or two histories mixed"
            assert reader.delivery.position == (reader.shown[-1].position if reader.shown else START)

    def teardown(self) -> None:
        """All is quiet: everything arrives, and everybody looks at the top until nothing is left to send."""
        for which in (0, 1):
            self.all_publications_arrive(which)
        for _ in range(4):
            for reader in self.readers:
                reader.compare()
            self.what_was_not_acknowledged_is_sent_again()
        for reader in self.readers:
            reader.compare()
            assert reader.shown == self.log.all, "a reader shows what is stored, all of it, in order"
            stored = {entry.ref for entry in self.log.all}
            assert stored >= reader.acked.keys(), "acknowledged and silently gone"
            assert not reader.outbox
        refs = [entry.ref for entry in self.log.all]
        assert len(set(refs)) == len(refs), "stored twice"


DeliveryMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestDelivery = DeliveryMachine.TestCase
