"""One text per token, one meaning per JSON; how each hole would look is in hostile_tokens.py."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.cases import Case
from tests.core.hostile_tokens import HONEST
from tests.core.jose import CLAIMS, b64, claiming, token

from chatgateway.core.compact import DEPTH_MAX, NAMES_MAX, Compact, read
from chatgateway.errors import TokenRejected

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def reason(made: object) -> str:
    with pytest.raises(TokenRejected) as refusal:
        read(made)
    return refusal.value.detail


class TestRead:
    def test_gives_header_claims_and_the_text_without_its_prefix(self) -> None:
        made = token()
        parts = read("JWT " + made)
        assert parts == Compact(made, {"alg": "HS256", "typ": "JWT", "kid": "k_main"}, dict(CLAIMS)) == read(made)

    def test_shows_no_claim_when_printed(self) -> None:
        assert repr(read(token())) == "Compact(alg='HS256', claims=5)"

    @pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
    def test_takes_a_text_apart_in_one_way_only(self, case: Case) -> None:
        assert _written_again(read(case.token).text) == read(case.token).text

    @given(st.integers(0, 300), st.sampled_from("AQgwxyz019-_=+/. \n") | st.characters(), st.booleans())
    @example(226, "=", False)
    def test_takes_a_bent_text_apart_in_one_way_only_or_not_at_all(self, at: int, char: str, inserted: bool) -> None:
        made = token()
        at %= len(made) + 1
        bent = made[:at] + char + made[at if inserted else at + 1 :]
        try:
            text = read(bent).text
        except TokenRejected as refusal:
            assert refusal.detail
            return
        assert _written_again(text) == text == bent

    @pytest.mark.parametrize("run", [0, 1, 2], ids=["header", "claims", "signature"])
    @pytest.mark.parametrize("junk", ["=", "==", "!", "\n", " "])
    def test_takes_no_second_text_of_the_same_bytes(self, run: int, junk: str) -> None:
        runs = token().split(".")
        runs[run] += junk
        assert reason(".".join(runs)) == "base64"


class TestJson:
    @given(VALUES)
    def test_is_read_as_everybody_reads_it(self, value: Any) -> None:
        made = claiming(x=value)
        try:
            assert read(made).claims["x"] == value
        except TokenRejected as refusal:
            assert refusal.detail in ("too_deep", "size")
            assert _depth_of(value) + 1 > DEPTH_MAX or len(made) > 8_192

    @given(st.text('[]{}"\\a', max_size=60))
    def test_brackets_in_a_text_are_not_depth(self, text: str) -> None:
        assert read(claiming(x=text)).claims["x"] == text

    @pytest.mark.parametrize("count", [NAMES_MAX, NAMES_MAX + 1])
    def test_names_are_counted_in_each_object(self, count: int) -> None:
        made = claiming(x={f"n{n}": n for n in range(count)})
        if count > NAMES_MAX:
            assert reason(made) == "too_many_names"
        else:
            assert len(read(made).claims["x"]) == count

    @pytest.mark.parametrize("filling", ['"' + '\\"' * 2_800, "[" * 5_600, '{"":' * 1_400, '"\\' * 2_800, "9" * 5_600])
    def test_made_to_be_slow_is_refused(self, filling: str) -> None:
        made = token(b'{"x":' + filling.encode())
        assert reason(made) in ("not_json", "too_deep", "number")


def _written_again(text: str) -> str:
    return ".".join(b64(base64.urlsafe_b64decode(run + "==")) for run in text.split("."))


def _depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth_of(inner) for inner in json.loads(json.dumps(value)).values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth_of(inner) for inner in json.loads(json.dumps(value))), default=0)
    return 0
