"""What a hub or a client does with an entry that arrived: the decision table, row by row."""

from __future__ import annotations

import pytest

from chatgateway.core.delivery import REMEMBERED, Delivery, Verdict
from chatgateway.types import GENESIS_LINK, START, Position, UnixMs


def at(seq: int, branch: str = "a") -> Position:
    return Position(UnixMs(1000 + seq), seq, link(seq, branch))


def link(seq: int, branch: str = "a") -> str:
    return f"{branch}{seq:07x}" if seq else GENESIS_LINK


def delivered(upto: int, *, since: Position = START) -> Delivery:
    delivery = Delivery(since)
    for seq in range(since.seq + 1, upto + 1):
        assert delivery.judge(at(seq), link(seq - 1)) is Verdict.HAND_ON
        delivery.advance(at(seq))
    return delivery


class TestAnEntry:
    def test_that_follows_is_handed_on(self) -> None:
        assert delivered(3).judge(at(4), link(3)) is Verdict.HAND_ON

    def test_that_is_the_first_of_all_is_handed_on(self) -> None:
        assert Delivery(START).judge(at(1), GENESIS_LINK) is Verdict.HAND_ON

    @pytest.mark.parametrize("seq", [1, 2, 3])
    def test_that_was_seen_is_dropped(self, seq: int) -> None:
        assert delivered(3).judge(at(seq), link(seq - 1)) is Verdict.DROP

    @pytest.mark.parametrize("seq", [5, 6, 400])
    def test_after_a_gap_is_checked(self, seq: int) -> None:
        assert delivered(3).judge(at(seq), link(seq - 1)) is Verdict.CHECK

    def test_with_the_next_number_of_another_branch_is_checked(self) -> None:
        assert delivered(3).judge(at(4), link(3, "b")) is Verdict.CHECK

    @pytest.mark.parametrize("seq", [1, 2, 3])
    def test_with_a_known_number_and_instant_but_another_link_is_checked(self, seq: int) -> None:
        assert delivered(3).judge(at(seq, "b"), link(seq - 1)) is Verdict.CHECK

    def test_older_than_the_place_where_one_began_is_checked(self) -> None:
        assert delivered(12, since=at(10)).judge(at(9), link(8)) is Verdict.CHECK

    def test_older_than_what_is_remembered_is_checked(self) -> None:
        delivery = delivered(REMEMBERED + 20)
        assert delivery.judge(at(21), link(20)) is Verdict.DROP
        assert delivery.judge(at(20), link(19)) is Verdict.CHECK


class TestDelivery:
    def test_knows_the_very_entry_it_began_at(self) -> None:
        delivery = Delivery(at(10))
        assert delivery.knows(10, link(10))
        assert not delivery.knows(10, link(10, "b"))
        assert not delivery.knows(11, link(11))

    def test_judges_without_changing(self) -> None:
        delivery = delivered(3)
        for _ in range(2):
            assert delivery.judge(at(4), link(3)) is Verdict.HAND_ON
        assert delivery.position == at(3)

    def test_remembers_as_many_links_as_it_says_and_each_at_its_place(self) -> None:
        delivery = delivered(3 * REMEMBERED)
        known = [seq for seq in range(3 * REMEMBERED + 2) if delivery.knows(seq, link(seq))]
        assert known == list(range(2 * REMEMBERED + 1, 3 * REMEMBERED + 1))

    def test_shows_where_it_is(self) -> None:
        assert repr(delivered(3)) == "Delivery(3, a0000003)"
