"""Each row of docs/migrating has a test that bears its id, or a reason why there is none."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGES = TESTS.parent / "docs" / "migrating"

ROWS = {
    "README": ("A", 12),
    "plain": ("P", 23),
    "tiledesk": ("T", 15),
    "deskpro": ("D", 21),
    "pingstreams": ("S", 15),
    "livechat": ("L", 17),
}
"""For each page, the letter of its rows and how many there are."""

REASONS = ("Belongs to the widget: ", "No test: ")
"""How a cell without a test begins."""

_ROW = re.compile(r"\| ([A-Z]\d+) \| (.+) \| (.+) \|")
_TEST = re.compile(r"`(test_\w+)`")
_IDS = re.compile(r"test_(?:row_)?((?:[a-z]\d+_)+)", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    id: str
    behaviour: str
    held_by: str

    @property
    def tests(self) -> list[str]:
        return _TEST.findall(self.held_by)


def rows(page: str) -> Iterator[Row]:
    """Yield the rows of a page's table."""
    for line in (PAGES / f"{page}.md").read_text().splitlines():
        if found := _ROW.fullmatch(line):
            yield Row(*found.groups())


def borne_by(test: str) -> set[str]:
    """Return the ids that a test's name begins with."""
    found = _IDS.match(test)
    return set(found[1].upper().strip("_").split("_")) if found else set()


@functools.cache
def existing() -> frozenset[str]:
    """Return the name of every test in Python."""
    functions = (
        node
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(), path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(one.name for one in functions if one.name.startswith("test_"))


ALL = [pytest.param(row, id=row.id) for page in ROWS for row in rows(page)]


@pytest.mark.parametrize("page", ROWS)
def test_a_page_has_all_its_rows_in_order(page: str) -> None:
    letter, count = ROWS[page]
    assert [row.id for row in rows(page)] == [f"{letter}{number}" for number in range(1, count + 1)]


@pytest.mark.parametrize("row", ALL)
def test_a_row_is_held_by_tests_that_bear_its_id_or_says_why_there_is_none(row: Row) -> None:
    if not row.tests:
        assert row.held_by.startswith(REASONS), f"{row.id} has neither a test nor a reason"
        assert len(row.held_by.partition(": ")[2].split()) >= 4, f"{row.id}: the reason says nothing"
    for test in row.tests:
        assert test in existing(), f"{row.id}: there is no {test}"
        assert row.id in borne_by(test), f"{row.id}: {test} does not bear its id"


def test_no_test_bears_the_id_of_a_row_that_says_that_there_is_none() -> None:
    without = {row.id for page in ROWS for row in rows(page) if not row.tests}
    assert without.isdisjoint(id_ for test in existing() for id_ in borne_by(test))


def test_every_page_is_named_by_the_first_one() -> None:
    linked = re.findall(r"\]\((\w+)\.md\)", (PAGES / "README.md").read_text())
    assert sorted(linked) == sorted({path.stem for path in PAGES.glob("*.md")} - {"README"})
