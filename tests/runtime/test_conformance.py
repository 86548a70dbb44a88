"""Every row has a test or a reason, and the table says so."""

import pytest

from .conformance import TABLE, marks, render
from .rows import DEPARTURES, REASONS, ROWS


@pytest.fixture(scope="module")
def marked():
    return marks()


def test_every_row_has_either_a_test_or_a_reason(marked):
    assert {row for row in ROWS if row not in marked} == set(REASONS)
    assert marked.keys() & REASONS.keys() == set()


def test_no_test_shows_a_row_that_does_not_exist(marked):
    assert marked.keys() <= ROWS.keys()
    assert DEPARTURES.keys() <= marked.keys()


def test_the_table_is_what_the_tests_say_and_all_of_them_passed(marked):
    assert TABLE.read_text() == render(marked, {}), "run: python -m tests.runtime.conformance"


def test_a_failed_test_shows_in_the_table(marked):
    (test, *_) = marked["S1"]
    assert render(marked, {test: "failed"}) != render(marked, {})


def test_every_section_of_the_list_is_whole():
    numbers = {"S": 79, "D": 20, "T": 9, "G": 8, "R": 18, "P": 10, "B": 4, "X": 12}
    expected = [f"{letter}{n}" for letter, last in numbers.items() for n in range(1, last + 1)]
    assert list(ROWS) == expected
