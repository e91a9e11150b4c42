"""The fuzzing target runs, and finds what it hunts for."""

from __future__ import annotations

import pytest
from tests.core.hostile_tokens import HONEST
from tests.fuzz import fuzz_compact
from tests.fuzz.fuzz_compact import hunt, seeds

from chatgateway.core.compact import Compact, read


def test_hunts_through_the_whole_corpus() -> None:
    caught = [hunt(seed) for seed in seeds()]
    assert len(caught) > 500
    assert caught.count(True) >= len(HONEST)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b'{"keys":[]}', b"[" * 9_000, b'{"a":1}', b'{"a":' * 9 + b"1" + b"}" * 9]
)
def test_hunts_through_junk(data: bytes) -> None:
    assert not hunt(data)


def test_finds_a_parser_that_takes_two_texts_for_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def lax(text: object) -> Compact:
        return read(str(text).replace("\n", ""))

    monkeypatch.setattr(fuzz_compact, "read", lax)
    with pytest.raises(AssertionError, match="taken off"):
        hunt(seeds()[0] + b"\n")
