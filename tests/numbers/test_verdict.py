"""The verdict says what the numbers say, the gravest thing first, and never more."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from pairscope.numbers.trips import completed_trips
from pairscope.numbers.verdict import judge_pair


@dataclass(frozen=True)
class Numbers:
    """Those of a pair that one would trade."""

    n: int = 1000
    needed: int = 61
    timeframe: str = "1m"
    fit: str = "past"
    missing_share: float = 0.0
    removed: int = 0
    gap_bars: int = 0
    coint_pvalue: float = 0.001
    coint_reason: str = ""
    window: int = 60
    half_life: float = 12.0
    half_life_low: float = 9.0
    half_life_high: float = 20.0
    mean_reverting: bool = True
    power: float = 0.99
    break_pvalue: float = 0.5
    break_time: str = ""
    break_reason: str = ""
    edge_bp: float = 20.0
    cost_bp: float = 8.0
    realised_bp: float = 25.0
    realised_trips: int = 9
    age_bars: float = 0.5


GOOD = Numbers()


def test_all_good_is_tradeable() -> None:
    verdict = judge_pair(GOOD)
    assert verdict.word == verdict.sentence == "tradeable"
    assert all(reason.ok for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"n": 60}, "not enough data"),
        ({"coint_pvalue": math.nan, "coint_reason": "x does not move"}, "cannot be judged"),
        ({"coint_pvalue": 0.05}, "not cointegrated"),
        ({"coint_pvalue": 0.5, "power": 0.3}, "not proven"),
        ({"mean_reverting": False}, "not cointegrated"),
        ({"break_pvalue": 0.01}, "unstable"),
        ({"age_bars": 3.0}, "stale"),
        ({"edge_bp": math.nan, "realised_trips": 4}, "edge not known"),
        ({"edge_bp": -1.0}, "costs eat it"),
        ({"realised_bp": 7.0}, "costs eat it"),
        ({"realised_bp": 10.0}, "tradeable, small edge"),
        ({"gap_bars": 1}, "tradeable, with doubts"),
        ({"missing_share": 0.2}, "tradeable, with doubts"),
        ({"removed": 500}, "tradeable, with doubts"),
        ({"break_pvalue": math.nan, "break_reason": "too slow"}, "tradeable, with doubts"),
        ({"half_life_high": math.inf}, "tradeable, with doubts"),
        ({"fit": "whole"}, "tradeable, with doubts"),
    ],
)
def test_each_thing_that_is_wrong_has_its_word_and_is_said(changed: dict[str, Any], word: str) -> None:
    verdict = judge_pair(replace(GOOD, **changed))
    assert verdict.word == word
    assert verdict.sentence.startswith(f"{word}: ")
    assert verdict.reasons[0].ok is not True


def test_power_is_no_doubt_where_the_test_has_found_the_pair() -> None:
    assert judge_pair(replace(GOOD, power=0.2)).word == "tradeable"


def test_where_the_formula_has_no_answer_past_trips_have() -> None:
    assert judge_pair(replace(GOOD, edge_bp=math.nan, realised_bp=30.0)).word == "tradeable"


def test_past_trips_count_only_where_they_are_several() -> None:
    assert judge_pair(replace(GOOD, realised_bp=-50.0, realised_trips=4)).word == "tradeable"


def test_the_age_of_a_file_is_not_known_and_no_reproach() -> None:
    verdict = judge_pair(replace(GOOD, age_bars=math.nan))
    assert verdict.word == "tradeable"
    assert "as of the last bar; no open gap" in [reason.text for reason in verdict.reasons]


def test_what_a_test_says_of_itself_is_passed_on() -> None:
    numbers = replace(GOOD, break_pvalue=math.nan, break_reason="the spread comes back too rarely")
    assert any("too rarely" in reason.text for reason in judge_pair(numbers).reasons)


def test_trips_by_hand() -> None:
    y, x = np.array([10.0, 11, 12, 13, 9]), np.array([20.0, 20, 22, 20, 20])
    state, beta = np.array([0, 1, 1, 0, 0], np.int8), np.full(5, 0.5)
    trips = completed_trips(y, x, beta, state)
    assert trips.completed == 1
    assert trips.mean_bp == pytest.approx(1e4 * (2 - 0.5 * 0) / (11 + 0.5 * 20))


def test_a_reversal_ends_one_trip_and_begins_another_and_an_open_one_is_none() -> None:
    y, x = np.array([10.0, 10, 12, 11, 10]), np.full(5, 1.0)
    trips = completed_trips(y, x, np.zeros(5), np.array([0, -1, 1, -1, -1], np.int8))
    assert trips.completed == 2
    assert trips.mean_bp == pytest.approx(1e4 * ((-2 / 10) + (-1 / 12)) / 2)


@pytest.mark.parametrize(("after", "completed"), [(0, 1), (-1, 2)])
def test_a_position_that_began_before_the_first_row_is_no_trip(after: int, completed: int) -> None:
    y, x = np.array([99.0, 10, 10, 11, 11]), np.full(5, 1.0)
    trips = completed_trips(y, x, np.zeros(5), np.array([1, after, after, 1, 0], np.int8))
    assert trips.completed == completed
    assert trips.mean_bp == pytest.approx(0 if after == 0 else 1e4 * (-1 / 10) / 2)


def test_a_position_of_all_rows_is_no_trip() -> None:
    assert completed_trips(np.ones(3), np.ones(3), np.ones(3), np.ones(3, np.int8)).completed == 0


def test_no_position_is_no_trip() -> None:
    trips = completed_trips(np.ones(3), np.ones(3), np.ones(3), np.zeros(3, np.int8))
    assert trips.completed == 0
    assert math.isnan(trips.mean_bp)
