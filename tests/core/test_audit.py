"""No entry of a chain can be changed, taken out, put in, moved or cut off without a trace."""

from __future__ import annotations

import dataclasses

import pytest

from chatgateway.core.audit import EMPTY, AuditEntry, Head, chained, decoded, encoded, first_fault
from chatgateway.types import UnixMs

KEY = b"k" * 32
OTHER = b"o" * 32


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        seq=0,
        at=UnixMs(1_795_000_000_000 + number),
        step="intent",
        actor="root",
        verb="key regenerate",
        target=f"key_{number}",
        request=f"r{number}",
        previous="",
    )


def chain(length: int, key: bytes = KEY) -> tuple[list[AuditEntry], Head]:
    entries: list[AuditEntry] = []
    head = EMPTY
    for number in range(length):
        entries.append(chained(entry(number), head, key))
        head = Head(entries[-1].seq, entries[-1].hash)
    return entries, head


class TestUntouchedChain:
    @pytest.mark.parametrize("length", [0, 1, 5])
    def test_has_no_fault(self, length: int) -> None:
        assert first_fault(*chain(length), [KEY]) is None

    def test_begins_with_entry_one(self) -> None:
        assert [each.seq for each in chain(3)[0]] == [1, 2, 3]

    def test_holds_under_an_earlier_master_key_too(self) -> None:
        assert first_fault(*chain(3, OTHER), [KEY, OTHER]) is None

    def test_survives_being_stored(self) -> None:
        entries, head = chain(3)
        assert first_fault([decoded(encoded(each)) for each in entries], head, [KEY]) is None


class TestTampering:
    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(AuditEntry)])
    def test_with_any_field_is_found_where_it_happened(self, field: str) -> None:
        entries, head = chain(5)
        changed = {"seq": 99, "at": 99, "step": "result"}.get(field, "changed")
        entries[2] = dataclasses.replace(entries[2], **{field: changed})
        fault = first_fault(entries, head, [KEY])
        assert fault is not None
        assert fault.seq == 3

    def test_by_deleting_is_found(self) -> None:
        entries, head = chain(5)
        del entries[2]
        assert first_fault(entries, head, [KEY]) == (3, "out of place")

    def test_by_deleting_the_first_is_found(self) -> None:
        entries, head = chain(5)
        assert first_fault(entries[1:], head, [KEY]) == (1, "out of place")

    def test_by_inserting_a_copy_is_found(self) -> None:
        entries, head = chain(5)
        entries.insert(2, entries[1])
        assert first_fault(entries, head, [KEY]) == (3, "out of place")

    def test_by_inserting_what_lacks_the_key_is_found(self) -> None:
        entries, head = chain(5)
        entries.append(chained(entry(9), head, OTHER))
        assert first_fault(entries, Head(6, entries[-1].hash), [KEY]) == (6, "altered")

    def test_by_reordering_is_found(self) -> None:
        entries, head = chain(5)
        entries[1], entries[2] = entries[2], entries[1]
        assert first_fault(entries, head, [KEY]) == (2, "out of place")

    def test_by_cutting_the_end_is_found(self) -> None:
        entries, head = chain(5)
        assert first_fault(entries[:3], head, [KEY]) == (4, "cut")

    def test_with_the_head_is_found(self) -> None:
        entries, _ = chain(5)
        assert first_fault(entries, Head(4, entries[3].hash), [KEY]) == (5, "head differs")
        assert first_fault(entries, Head(5, "0" * 64), [KEY]) == (5, "head differs")

    def test_of_end_and_head_together_is_found_with_a_published_head(self) -> None:
        entries, head = chain(5)
        shorter = Head(3, entries[2].hash)
        assert first_fault(entries[:3], shorter, [KEY]) is None
        assert first_fault(entries[:3], shorter, [KEY], published=head) == (4, "cut")

    def test_by_somebody_with_the_key_is_found_with_a_published_head(self) -> None:
        _, published = chain(3)
        forged = [chained(dataclasses.replace(entry(0), actor="nobody"), EMPTY, KEY)]
        for number in (1, 2):
            forged.append(chained(entry(number), Head(forged[-1].seq, forged[-1].hash), KEY))
        assert first_fault(forged, Head(3, forged[-1].hash), [KEY]) is None
        fault = first_fault(forged, Head(3, forged[-1].hash), [KEY], published=published)
        assert fault == (3, "not the published chain")


def test_what_is_no_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="not an audit entry"):
        decoded(b'{"seq":"one"}')
