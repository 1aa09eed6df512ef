"""Power, the worth of a sample, and the look-ahead check that must catch a planted leak."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from market import Floats, WrongUse
from pairscope.numbers.honesty import bars_needed, effective_sample_size, lookahead_check, power


@given(st.integers(0, 10**6), st.floats(0.01, 1e6), st.sampled_from([0.01, 0.05, 0.10]))
def test_power_lies_between_the_level_and_certainty(n: int, half_life: float, level: float) -> None:
    assert level - 1e-12 <= power(n, half_life, level=level) <= 1


@given(st.integers(0, 10**5), st.integers(0, 10**5), st.floats(0.1, 1e4))
def test_more_bars_never_find_less(n: int, more: int, half_life: float) -> None:
    assert power(n + more, half_life) >= power(n, half_life)
    assert power(n, half_life * 2) <= power(n, half_life)


def test_power_has_its_limits() -> None:
    assert power(500, math.inf) == pytest.approx(0.05)
    assert power(0, 30) == pytest.approx(0.05)
    assert power(500, 0.0) == power(10**6, 1e-9) == 1.0
    assert math.isnan(power(500, math.nan))


@given(st.floats(1, 1e5), st.floats(0.2, 0.99), st.sampled_from([0.01, 0.05, 0.10]))
def test_the_bars_that_are_needed_have_the_power_that_was_asked_for(
    half_life: float, wanted: float, level: float
) -> None:
    bars = bars_needed(half_life, power=wanted, level=level)
    assert power(int(bars), half_life, level=level) >= wanted - 1e-9
    assert power(max(int(bars) - 1, 0), half_life, level=level) <= wanted + 1e-9


def test_a_spread_that_never_reverts_needs_bars_without_end() -> None:
    assert bars_needed(math.inf) == math.inf
    assert math.isnan(bars_needed(math.nan))


@pytest.mark.parametrize(
    "call",
    [
        lambda: power(-1, 30),
        lambda: power(True, 30),
        lambda: power(100, -1.0),
        lambda: power(100, 30, level=0.03),
        lambda: bars_needed(30, power=0.05),
        lambda: bars_needed(30, power=1.0),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], float]) -> None:
    with pytest.raises(WrongUse, match="expected"):
        call()


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9, 0.98])
def test_an_autoregression_is_worth_what_theory_says(phi: float) -> None:
    rows = lfilter([1.0], [1.0, -phi], np.random.default_rng(1).standard_normal((40, 20_000)), axis=1)[:, 1000:]
    worth = np.mean([effective_sample_size(row) for row in rows])
    assert worth == pytest.approx(19_000 * (1 - phi) / (1 + phi), rel=0.08)


def test_the_mean_of_a_sample_errs_as_that_of_as_many_independent_values() -> None:
    rows = lfilter([1.0], [1.0, -0.8, 0.3], np.random.default_rng(2).standard_normal((2000, 600)), axis=1)[:, 100:]
    worth = np.median([effective_sample_size(row) for row in rows])
    assert rows.mean(axis=1).std() == pytest.approx(rows.std() / math.sqrt(worth), rel=0.1)


@given(st.integers(0, 10**6), st.sampled_from([1e-150, 1e-8, -1.0, 1e8, 1e150]))
def test_neither_scale_nor_sign_changes_the_worth(seed: int, scale: float) -> None:
    series = np.cumsum(np.random.default_rng(seed).normal(size=64))
    assert effective_sample_size(series * scale) == pytest.approx(effective_sample_size(series), rel=1e-9)


def test_order_makes_the_worth() -> None:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(size=1000))
    assert effective_sample_size(walk) < 20
    assert effective_sample_size(rng.permutation(walk)) > 500


@pytest.mark.parametrize(
    "poor", [[], [1.0], [1.0, 2.0], [4.0] * 100, [1e8] * 100, [math.nan] * 9, [1.0, math.nan, 2.0, 5.0, 1.0]]
)
def test_poor_data_are_worth_an_unknown_number(poor: list[float]) -> None:
    assert math.isnan(effective_sample_size(poor))


def test_any_array_like_is_worth_the_same() -> None:
    whole = np.random.default_rng(4).integers(-5, 5, size=101)
    for same in (whole.tolist(), pd.Series(whole), np.repeat(whole, 2)[::2], [math.nan, *whole]):
        assert effective_sample_size(same) == effective_sample_size(whole)


def test_a_perfect_alternation_is_worth_more_than_its_length() -> None:
    assert 100 < effective_sample_size([1.0, -1.0] * 50) < math.inf


PRICES = pd.Series(
    100 + np.cumsum(np.random.default_rng(5).normal(size=300)),
    index=pd.date_range("2026-01-01", periods=300, freq="min", tz="UTC"),
)
HOLED = PRICES.where(np.arange(300) % 7 > 0)


@dataclass(frozen=True)
class Framed:
    """A result object of the kind that analytics gives."""

    frame: pd.DataFrame


def framed(series: pd.Series) -> Framed:
    mean = series.rolling(20).mean()
    return Framed(pd.DataFrame({"mean": mean, "state": (series > mean).map({True: "up", False: "down"})}))


PAST_ONLY: dict[str, Callable[[Any], Any]] = {
    "rolling mean": lambda s: s.rolling(20).mean(),
    "warm-up dropped": lambda s: s.rolling(20).std().dropna(),
    "expanding": lambda s: s.expanding().mean(),
    "exponential": lambda s: s.ewm(span=9).mean(),
    "forward fill": lambda s: s.ffill(),
    "shifted": lambda s: s.shift(1),
    "array": lambda s: np.cumsum(s.to_numpy()),
    "frame with states": framed,
}

LEAKS: dict[str, Callable[[Any], Any]] = {
    "centred window": lambda s: s.rolling(21, center=True, min_periods=1).mean(),
    "whole-sample mean": lambda s: s - s.mean(),
    "whole-sample scale": lambda s: s / s.std(),
    "next value": lambda s: s.shift(-1),
    "reversed": lambda s: s[::-1].cumsum()[::-1],
    "rank": lambda s: s.rank(),
    "array": lambda s: s.to_numpy() - np.nanmax(s.to_numpy()),
    "a state": lambda s: pd.DataFrame({"side": (s > s.mean()).map({True: "up", False: "down"})}),
}


@pytest.mark.parametrize("name", PAST_ONLY)
@pytest.mark.parametrize("data", [PRICES, HOLED], ids=["whole", "holed"])
def test_an_estimator_of_the_past_is_clean(name: str, data: pd.Series) -> None:
    report = lookahead_check(PAST_ONLY[name], data)
    assert (report.clean, report.moved, report.count) == (True, (), 0)
    assert "no look-ahead found" in report.sentence or not report.compared


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("data", [PRICES, HOLED], ids=["whole", "holed"])
def test_a_planted_leak_is_caught_and_shown(name: str, data: pd.Series) -> None:
    report = lookahead_check(LEAKS[name], data)
    assert not report.clean
    first = report.moved[0]
    assert first.position < first.cut
    assert report.sentence.startswith(f"look-ahead: {report.count:,} of")


@pytest.mark.parametrize("fill", [lambda s: s.bfill(), lambda s: s.interpolate(limit_area="inside")])
def test_a_hole_filled_from_the_future_is_caught(fill: Callable[[Any], Any]) -> None:
    assert not lookahead_check(fill, HOLED).clean


def test_data_of_several_parts_are_changed_together() -> None:
    table = pd.DataFrame({"close": PRICES, "symbol": "BTCUSDT"})
    assert lookahead_check(lambda y, x: (y["close"] * x).rolling(9).mean(), (table, PRICES)).clean
    assert not lookahead_check(lambda y, x: y["close"] - x.mean(), (table, PRICES)).clean
    assert lookahead_check(np.add, (PRICES.to_numpy(), PRICES.tolist())).clean


def test_the_data_stay_as_they_are_even_under_an_estimator_that_writes() -> None:
    kept = PRICES.copy()

    def write(series: pd.Series) -> pd.Series:
        series.iloc[0] = 0.0
        return series

    assert lookahead_check(write, PRICES).clean
    pd.testing.assert_series_equal(PRICES, kept)


def test_rounding_is_not_a_leak_and_a_tiny_leak_is() -> None:
    def sums(series: pd.Series) -> Floats:
        return np.cumsum(series.to_numpy()) * (1 + 1e-15 * float(np.nansum(series)))

    assert lookahead_check(sums, PRICES).clean
    assert not lookahead_check(sums, PRICES, tolerance=0.0).clean


def test_at_most_a_hundred_moved_values_are_shown_and_all_are_counted() -> None:
    report = lookahead_check(LEAKS["whole-sample mean"], PRICES, cuts=9)
    assert len(report.moved) == 100 < report.count <= report.compared
    assert len(report.cuts) == 9


def test_what_has_no_rows_is_refused() -> None:
    with pytest.raises(WrongUse, match="returned float"):
        lookahead_check(lambda s: float(s.mean()), PRICES)
    with pytest.raises(WrongUse, match="rows"):
        lookahead_check(lambda y, x: y, (PRICES, PRICES[:9]))
    with pytest.raises(WrongUse, match="cuts"):
        lookahead_check(PAST_ONLY["shifted"], PRICES, cuts=0)
