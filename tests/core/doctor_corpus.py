"""Everything that the token doctor is shown: the mistake, and the words without which its sentence is of no use."""

from __future__ import annotations

from typing import Final

from tests.core.mistaken_claims import people, warned
from tests.core.mistaken_keys import headers, keys
from tests.core.mistaken_texts import around, not_tokens, parts
from tests.core.mistaken_times import times

CORPUS: Final = tuple(
    case for part in (not_tokens, around, parts, headers, keys, times, people, warned) for case in part()
)
