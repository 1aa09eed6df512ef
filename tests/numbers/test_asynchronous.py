"""Hayashi and Yoshida's correlation, against the double sum by hand, and on recorded trades."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import Floats, Integers, Tick, UnknownName, WrongUse
from pairscope.numbers.asynchronous import LAGS_MS, hayashi_yoshida, hayashi_yoshida_curve

Leg = tuple[Integers, Floats]


def ticks(
    rho: float = 0.8, *, rates: tuple[float, float] = (2, 2), seconds: int = 600, seed: int = 1
) -> tuple[Leg, Leg]:
    """Draw two correlated Brownian motions at the moments of two Poisson processes, `rates` trades a second."""
    generator = np.random.default_rng(seed)
    moments = [np.unique(generator.integers(0, 1000 * seconds, int(rate * seconds))) for rate in rates]
    grid = np.union1d(*moments)
    shared, own = generator.standard_normal((2, len(grid))) * np.sqrt(np.diff(grid, prepend=0)) * 1e-5
    paths = (np.cumsum(shared), np.cumsum(rho * shared + math.sqrt(1 - rho**2) * own))
    leg_y, leg_x = (
        (own, 100 * np.exp(path[np.searchsorted(grid, own)])) for own, path in zip(moments, paths, strict=True)
    )
    return leg_y, leg_x


def double_sum(leg_y: Leg, leg_x: Leg, lag: int = 0) -> tuple[float, float, int]:
    """Return correlation, covariance and number of overlaps over the common time, by the definition."""
    time_x = leg_x[0] + lag
    start, end = max(leg_y[0][0], time_x[0]), min(leg_y[0][-1], time_x[-1])
    in_y, in_x = (leg_y[0] >= start) & (leg_y[0] <= end), (time_x >= start) & (time_x <= end)
    (t, s), (r, q) = (
        (leg_y[0][in_y], time_x[in_x]),
        (np.diff(np.log(leg[1][at])) for leg, at in ((leg_y, in_y), (leg_x, in_x))),
    )
    overlap = (t[:-1, None] < s[None, 1:]) & (s[None, :-1] < t[1:, None])
    covariance = float((np.outer(r, q) * overlap).sum())
    return covariance / math.sqrt(float((r**2).sum() * (q**2).sum())), covariance, int(overlap.sum())


def bar_correlation(leg_y: pd.Series, leg_x: pd.Series, bar_ms: int) -> float:
    """Correlate the returns of last prices by bar, quiet bars filled, as dashboards do."""
    last = pd.concat([leg.groupby(leg.index // bar_ms).last() for leg in (leg_y, leg_x)], axis=1).sort_index()
    filled = last.reindex(range(int(last.index[0]), int(last.index[-1]) + 1)).ffill().dropna()
    return float(np.corrcoef(np.diff(np.log(filled.to_numpy()), axis=0).T)[0, 1])


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.3, 5), st.floats(0.3, 5))
def test_the_walk_is_the_double_sum(seed: int, rate_y: float, rate_x: float) -> None:
    leg_y, leg_x = ticks(rates=(rate_y, rate_x), seconds=60, seed=seed)
    found = hayashi_yoshida(leg_y, leg_x)
    correlation, covariance, overlaps = double_sum(leg_y, leg_x)
    assert found.correlation == pytest.approx(np.clip(correlation, -1, 1), rel=1e-9, abs=1e-12)
    assert found.covariance == pytest.approx(covariance, rel=1e-9, abs=1e-18)
    assert found.overlaps == overlaps


def test_one_example_by_hand() -> None:
    y, x = ([0, 10, 30, 40], [1, math.e, 1, math.e]), ([0, 20, 25, 40], [1, math.e, math.e**2, math.e])
    # y moves +1 (0-10), -1 (10-30), +1 (30-40); x moves +1 (0-20), +1 (20-25), -1 (25-40)
    expected = (1 * 1) + (-1 * 1) + (-1 * 1) + (-1 * -1) + (1 * -1)
    found = hayashi_yoshida(y, x)
    assert found.covariance == pytest.approx(expected)
    assert found.overlaps == 5
    assert found.correlation == pytest.approx(expected / 3)


def test_ticks_find_what_one_second_bars_lose() -> None:
    leg_y, leg_x = ticks(0.8, rates=(0.4, 0.4), seconds=30_000)
    bars = bar_correlation(pd.Series(leg_y[1], leg_y[0]), pd.Series(leg_x[1], leg_x[0]), 1000)
    assert bars == pytest.approx(0.15, abs=0.02)
    assert hayashi_yoshida(leg_y, leg_x).correlation == pytest.approx(0.80, abs=0.03)
    assert hayashi_yoshida(leg_y, leg_x, every_ms=1000).correlation == pytest.approx(0.80, abs=0.03)


def test_swap_and_scale_change_nothing() -> None:
    leg_y, leg_x = ticks()
    found = hayashi_yoshida(leg_y, leg_x)
    swapped = hayashi_yoshida((leg_x[0], leg_x[1] * 1e8), (leg_y[0], leg_y[1] * 1e-8))
    for name in ("correlation", "low", "high", "covariance"):
        assert getattr(swapped, name) == pytest.approx(getattr(found, name), rel=1e-7)


def test_identical_legs_correlate_wholly() -> None:
    leg, _ = ticks()
    found = hayashi_yoshida(leg, leg)
    assert (found.correlation, found.low, found.high) == pytest.approx((1, 1, 1))


def forms(leg: Leg) -> dict[str, Any]:
    """Return the same ticks in every form."""
    moments = pd.to_datetime(leg[0], unit="ms", utc=True)
    return {
        "series of datetimes": pd.Series(leg[1], moments),
        "series of microseconds in another zone": pd.Series(leg[1], moments.as_unit("us").tz_convert("Asia/Tokyo")),
        "series of milliseconds": pd.Series(leg[1], leg[0]),
        "frame": pd.DataFrame({"price": leg[1], "time_ms": leg[0]}),
        "frame of datetimes": pd.DataFrame({"price": leg[1], "time": moments}),
        "frame by index": pd.DataFrame({"price": leg[1]}, moments),
        "lists": (leg[0].tolist(), leg[1].tolist()),
        "datetimes of numpy": (leg[0].astype("datetime64[ms]"), leg[1]),
        "floats": (leg[0].astype(float), leg[1]),
        "ticks": [
            Tick("v", "A", k, t, p, 1.0, None)
            for k, (t, p) in enumerate(zip(*map(np.ndarray.tolist, leg), strict=True))
        ],
    }


@pytest.mark.parametrize("form", list(forms((np.arange(3), np.ones(3)))))
def test_every_form_of_ticks_is_read(form: str) -> None:
    leg_y, leg_x = ticks(seconds=60)
    assert hayashi_yoshida(forms(leg_y)[form], leg_x) == hayashi_yoshida(leg_y, leg_x)


def test_unsorted_ticks_are_sorted_and_the_last_of_a_millisecond_counts() -> None:
    (time, price), leg_x = ticks(seconds=60)
    order = np.random.default_rng(1).permutation(len(time))
    assert hayashi_yoshida((time[order], price[order]), leg_x) == hayashi_yoshida((time, price), leg_x)
    doubled = (np.repeat(time, 2), np.column_stack((price * 7, price)).ravel())
    found = hayashi_yoshida(doubled, leg_x)
    assert found.merged == len(time)
    assert found.correlation == hayashi_yoshida((time, price), leg_x).correlation


def test_ticks_without_a_time_or_a_price_are_left_out() -> None:
    leg_y, leg_x = ticks(seconds=60)
    time = pd.to_datetime(leg_y[0], unit="ms").insert(0, pd.NaT)
    poor = pd.Series([5.0, *leg_y[1]], time)
    poor = pd.concat([poor, pd.Series([math.nan, -1, 0, math.inf], time[5:9])])
    assert hayashi_yoshida(poor, leg_x) == hayashi_yoshida(leg_y, leg_x)


def test_what_lies_outside_the_common_time_is_not_used() -> None:
    leg_y, leg_x = ticks()
    late = leg_y[0] >= 200_000
    found = hayashi_yoshida((leg_y[0][late], leg_y[1][late]), leg_x)
    assert found.start_ms == leg_y[0][late][0]
    assert found.n_x < 0.7 * len(leg_x[0])


POOR: dict[str, tuple[Any, str]] = {
    "none": (([], []), "0 ticks of y"),
    "one": (([5], [1.0]), "of each are needed"),
    "two": (([5, 9], [1.0, 2.0]), "of each are needed"),
    "constant": ((np.arange(0, 60_000, 100), np.full(600, 3.0)), "y did not move"),
    "unknown": ((np.arange(600), np.full(600, math.nan)), "0 ticks of y"),
    "elsewhere": ((np.arange(10**9, 10**9 + 600), np.arange(1.0, 601)), "0 ticks of y and 0 of x"),
    "no ticks": ([], "0 ticks of y"),
}


@pytest.mark.parametrize("case", list(POOR))
def test_poor_ticks_are_nan_with_a_reason(case: str) -> None:
    leg, reason = POOR[case]
    found, curve = hayashi_yoshida(leg, ticks()[1]), hayashi_yoshida_curve(leg, ticks()[1], lags_ms=[-100, 0, 100])
    assert math.isnan(found.correlation)
    assert math.isnan(found.low)
    assert reason in found.reason
    assert curve.frame.isna().all(axis=None)
    assert curve.lead_lag_ms is None
    assert curve.reason


def test_few_ticks_have_a_value_but_no_interval() -> None:
    found = hayashi_yoshida(*ticks(seconds=20))
    assert math.isfinite(found.correlation)
    assert math.isnan(found.low)
    assert "an interval needs 64" in found.reason


def test_an_estimate_beyond_one_is_cut_and_says_so() -> None:
    leg_y = np.array([0, 10, 20, 30, 40]), np.array([1, 2, 2.2, 2.4, 4.0])
    leg_x = np.array([0, 8, 12, 28, 40]), np.array([1, 1.4, 2.2, 2.4, 3.6])
    found = hayashi_yoshida(leg_y, leg_x)
    assert double_sum(leg_y, leg_x)[0] > 1
    assert found.correlation == 1
    assert "was cut to 1" in found.reason


@pytest.mark.parametrize("lag", [300, 0, -300])
def test_the_curve_peaks_at_the_lead(lag: int) -> None:
    leg_y, leg_x = ticks(seconds=1200)
    found = hayashi_yoshida_curve((leg_y[0] + lag, leg_y[1]), leg_x)
    assert found.lead_lag_ms == pytest.approx(lag, abs=50)  # neighbouring lags overlap in nearly the same returns
    assert found.peak == pytest.approx(0.8, abs=0.1)
    assert found.leader == {300: "x", 0: "neither", -300: "y"}[lag]
    assert list(found.frame.index) == list(LAGS_MS)


def test_each_point_of_the_curve_is_the_double_sum() -> None:
    leg_y, leg_x = ticks(seconds=120)
    frame = hayashi_yoshida_curve(leg_y, leg_x, lags_ms=[-700, 0, 250]).frame
    for lag, row in frame.iterrows():
        assert row["correlation"] == pytest.approx(double_sum(leg_y, leg_x, int(str(lag)))[0], rel=1e-9)
        assert row["low"] < row["correlation"] < row["high"]


def test_a_lag_longer_than_the_common_time_is_unknown() -> None:
    frame = hayashi_yoshida_curve(*ticks(seconds=60), lags_ms=[-90_000, -100, 0, 100, 90_000]).frame
    assert frame["correlation"].isna().tolist() == [True, False, False, False, True]


def test_lags_of_one_direction_name_no_leader() -> None:
    found = hayashi_yoshida_curve(*ticks(), lags_ms=range(0, 500, 100))
    assert found.leader == ""
    assert math.isnan(found.pvalue)
    assert found.peak > 0.5


def test_wrong_use_is_named() -> None:
    leg_y, leg_x = ticks(seconds=10)
    with pytest.raises(WrongUse, match="ticks_y is int"):
        hayashi_yoshida(5, leg_x)
    with pytest.raises(WrongUse, match="3 times and 2 prices"):
        hayashi_yoshida(([1, 2, 3], [1.0, 2.0]), leg_x)
    with pytest.raises(UnknownName, match="did you mean Price"):
        hayashi_yoshida(leg_y, pd.DataFrame({"Price": [1.0], "time": [1]}))
    with pytest.raises(WrongUse, match="epoch milliseconds or datetimes"):
        hayashi_yoshida((["a", "b"], [1.0, 2.0]), leg_x)
    with pytest.raises(WrongUse, match="every_ms is 0"):
        hayashi_yoshida(leg_y, leg_x, every_ms=0)
    with pytest.raises(WrongUse, match="lags_ms is"):
        hayashi_yoshida_curve(leg_y, leg_x, lags_ms=[])


def recorded(shared_data: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(shared_data / "ticks" / f"{name}_trades.csv.gz").rename(columns={"trade_time_ms": "time_ms"})


def test_recorded_legs_answer_late_and_the_caution_says_it(shared_data: Path) -> None:
    eth, btc = recorded(shared_data, "spot_ethusdt"), recorded(shared_data, "spot_btcusdt")
    every = hayashi_yoshida(eth, btc)
    assert every.correlation == pytest.approx(0.193, abs=0.001)
    assert "bounce or delay" in every.caution
    assert every.end_ms is not None
    assert every.start_ms is not None
    assert every.end_ms - every.start_ms == pytest.approx(650_000, abs=1000)


def test_recorded_legs_share_more_than_their_bars_show(shared_data: Path) -> None:
    eth, btc = recorded(shared_data, "spot_ethusdt"), recorded(shared_data, "spot_btcusdt")
    found = hayashi_yoshida(eth, btc, every_ms=1000)
    bars = bar_correlation(eth.set_index("time_ms")["price"], btc.set_index("time_ms")["price"], 1000)
    assert bars == pytest.approx(0.67, abs=0.01)
    assert found.low > bars
    assert found.caution == ""
