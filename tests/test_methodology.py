"""docs/methodology.md explains every number that is shown, in a form that the page can read."""

import dataclasses

import pytest

from analytics import PairSummary
from market import UnknownName
from pairscope.files import ANALYSIS_HEADER
from pairscope.methodology import DOCUMENT, SAME, entries, tooltip

WORDS = {"y", "x", "timeframe", "window", "method", "fit", "log", "intercept", "start", "end", "price_y", "price_x"}
"""Fields that say what was asked for, and need no explanation."""


def test_every_heading_is_an_entry_that_the_page_can_read() -> None:
    headings = [line[4:] for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("### ")]
    assert list(entries()) == headings
    assert len(set(headings)) == len(headings)


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_whole_and_its_tooltip_short(name: str) -> None:
    entry = entries()[name]
    assert entry.unit, "the unit is said"
    assert entry.formula
    assert entry.reference
    assert entry.caveat
    assert 20 < len(entry.tooltip) <= 240


def test_every_number_of_a_pair_has_a_tooltip() -> None:
    fields = {each.name for each in dataclasses.fields(PairSummary)} - WORDS
    columns = set(ANALYSIS_HEADER.split(",")) - WORDS - {"time", "flags", "label"}
    for name in fields | columns:
        assert tooltip(name)


def test_no_alias_hides_an_entry() -> None:
    assert set(SAME) & set(entries()) == set()


def test_an_unknown_number_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean zscore"):
        tooltip("zscor")
