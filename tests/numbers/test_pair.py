"""The analysis of a pair: one object, past-only, counted, judged, and the same when bars are appended."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics import (
    PairAnalysis,
    adf,
    analyze_pair,
    engle_granger_both,
    half_life,
    hedge_ratio,
    lookahead_check,
    rolling_correlation,
    rolling_zscore_regression,
    signals,
)
from market import Bars, Instrument, Timeframe, UnknownName, WrongUse, bars_from_rows
from pairscope.numbers.costs import Costs
from pairscope.numbers.summary import METHODS

MINUTE = Timeframe.parse("1m")
T0 = 1_750_000_020_000
Y, X = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")


def prices(n: int, *, seed: int = 3, phi: float = 0.9) -> tuple[Any, Any]:
    """Return a cointegrated pair, y = 0.05 x - 400 + a spread that comes back."""
    random = np.random.default_rng(seed)
    x = 60_000 + 30 * random.standard_normal(n).cumsum()
    spread = np.zeros(n)
    for place in range(1, n):
        spread[place] = phi * spread[place - 1] + random.standard_normal()
    return 0.05 * x - 400 + spread, x


def bars(closes: Any, instrument: Instrument, *, forming: bool = False, start: int = T0) -> Bars:
    rows = [(start + 60_000 * i, close, close, close, close, 2.0, close, 1.0, 3) for i, close in enumerate(closes)]
    found = bars_from_rows(instrument, MINUTE, rows)
    if forming:
        found.forming[-1] = True
    return found


def pair(n: int = 600, *, forming: bool = False, **options: Any) -> tuple[Bars, Bars]:
    y, x = prices(n, **options)
    return bars(y, Y, forming=forming), bars(x, X, forming=forming)


@pytest.fixture(scope="module")
def analysed() -> PairAnalysis:
    return analyze_pair(*pair())


COLUMNS = [
    *("price_y", "price_x", "alpha", "beta", "spread", "mean", "std", "zscore", "r2", "correlation", "state"),
    *("why", "flags"),
]


def test_the_frame_holds_every_bar_by_its_start_in_utc(analysed: PairAnalysis) -> None:
    frame = analysed.frame
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 600
    assert frame.index[0] == pd.Timestamp(T0, unit="ms", tz="UTC")


def test_what_varies_is_what_the_single_functions_give(analysed: PairAnalysis) -> None:
    y, x = (analysed.frame[name] for name in ("price_y", "price_x"))
    single = rolling_zscore_regression(y, x, window=60).frame
    for name in ("alpha", "beta", "spread", "std", "zscore"):
        pd.testing.assert_series_equal(analysed.frame[name], single[name], rtol=1e-12)
    correlation = rolling_correlation(y, x, window=60)
    pd.testing.assert_series_equal(analysed.frame["correlation"], correlation, rtol=1e-12)
    states = signals(single["zscore"], entry=2.0, exit=0.5).frame["state"]
    assert (analysed.frame["state"] == states).all()


def test_the_summary_is_what_the_single_tests_give(analysed: PairAnalysis) -> None:
    y, x, found = analysed.frame["price_y"], analysed.frame["price_x"], analysed.summary
    hedge = hedge_ratio(y, x)
    assert (found.beta, found.beta_low, found.r2) == (hedge.beta, hedge.low, hedge.r2)
    assert found.coint_pvalue == engle_granger_both(y, x).pvalue
    assert found.adf_x_pvalue == adf(x).pvalue
    back = half_life(y - hedge.alpha - hedge.beta * x, fitted=True)
    assert found.half_life == pytest.approx(back.half_life, rel=1e-12)


def test_a_planted_pair_is_found(analysed: PairAnalysis) -> None:
    found = analysed.summary
    assert found.beta_low < 0.05 < found.beta_high
    assert found.coint_pvalue < 0.001
    assert found.johansen_rank == 1
    assert found.half_life_low < -math.log(2) / math.log(0.9) < found.half_life_high
    assert analysed.verdict.word == "tradeable, small edge"
    assert analyze_pair(*pair(), costs="none").verdict.word == "tradeable"
    assert analyze_pair(*pair(), costs="kraken").verdict.word == "costs eat it"


def test_two_walks_are_no_pair() -> None:
    random = np.random.default_rng(11)
    y, x = (1000 + random.standard_normal(3000).cumsum() for _ in range(2))
    found = analyze_pair(bars(y, Y), bars(x, X))
    assert found.verdict.word == "not cointegrated", "3,000 bars would have found a half-life of one window"
    assert any(reason.about == "cointegration" and reason.ok is False for reason in found.verdict.reasons)


def test_costs_decide_whether_a_pair_is_worth_it() -> None:
    cheap = analyze_pair(*pair(), costs=Costs(0.1)).summary
    dear = analyze_pair(*pair(), costs="coinbase").summary
    assert cheap.gross_bp == dear.gross_bp
    assert cheap.edge_bp > 0 > dear.edge_bp
    assert dear.breakeven < 1 < cheap.breakeven


def test_the_edge_by_hand(analysed: PairAnalysis) -> None:
    last = analysed.frame.iloc[-1]
    worth = last["price_y"] + last["beta"] * last["price_x"]
    assert analysed.summary.gross_bp == pytest.approx(1e4 * 1.5 * last["std"] / worth)


def test_with_too_few_bars_it_says_how_many_are_missing() -> None:
    found = analyze_pair(*pair(20))
    assert found.verdict.word == "not enough data"
    assert "20 of 61 bars" in found.verdict.sentence
    assert math.isnan(found.summary.zscore)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_next_to_nothing_is_not_an_error(n: int) -> None:
    found = analyze_pair(*pair(n))
    assert found.verdict.word == "not enough data"
    assert len(found.frame) == n
    assert math.isnan(found.summary.beta)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_looks_into_the_future(method: Any) -> None:
    y, x = prices(300)
    index = pd.date_range("2026-01-01", periods=300, freq="min", tz="UTC")
    data = pd.Series(y, index, name="Y"), pd.Series(x, index, name="X")
    report = lookahead_check(lambda *legs: analyze_pair(*legs, method=method, window=40).frame, data)
    assert report.clean, report.sentence


def test_the_whole_fit_looks_into_the_future_and_says_so() -> None:
    y, x = prices(300)
    index = pd.date_range("2026-01-01", periods=300, freq="min", tz="UTC")
    data = pd.Series(y, index, name="Y"), pd.Series(x, index, name="X")
    report = lookahead_check(lambda y, x: analyze_pair(y, x, fit="whole").frame[["spread"]], data)
    assert not report.clean
    found = analyze_pair(*data, fit="whole")
    assert found.uses_future
    assert any("use the future" in reason.text for reason in found.verdict.reasons)
    assert found.frame["beta"].nunique() == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("log", [False, True])
def test_appending_gives_what_a_fresh_analysis_gives(method: Any, log: bool) -> None:
    y, x = pair(260)
    options = {"method": method, "log": log, "window": 30}
    found = analyze_pair(y[:200], x[:200], **options)
    for n in range(201, 260):
        found = analyze_pair(y[:n], x[:n], previous=found, **options)
        if n % 10 in (1, 2, 9):  # it grew by one, twice, and often
            fresh = analyze_pair(y[:n], x[:n], **options)
            pd.testing.assert_frame_equal(found.frame, fresh.frame, rtol=1e-9)


def test_appending_follows_a_forming_bar_and_a_sliding_window() -> None:
    y, x = pair(300)
    found = analyze_pair(y[:200], x[:200])
    for n in range(201, 260):
        part_y, part_x = y[n - 200 : n].copy(), x[n - 200 : n].copy()
        for part in (part_y, part_x):
            part.forming[-1] = True
            part.close[-1] *= 1.001
        found = analyze_pair(part_y, part_x, previous=found)
        fresh = analyze_pair(part_y, part_x)
        found_numbers, fresh_numbers = (each.frame[60:].drop(columns=["state", "why"]) for each in (found, fresh))
        pd.testing.assert_frame_equal(found_numbers, fresh_numbers, rtol=1e-9)
        whole = analyze_pair(bars([*y.close[: n - 1], part_y.close[-1]], Y, forming=True),
                             bars([*x.close[: n - 1], part_x.close[-1]], X, forming=True))  # fmt: skip
        assert found.frame["state"].tolist() == whole.frame["state"].tolist()[-200:], "a position outlives its entry"


def test_a_bar_that_was_refilled_is_computed_again() -> None:
    y, x = pair(200)
    before = analyze_pair(y.copy(), x)
    y.close[150] += 5
    changed = analyze_pair(y, x, previous=before)
    pd.testing.assert_frame_equal(changed.frame, analyze_pair(y, x).frame, rtol=1e-9)


def test_a_kalman_filter_goes_on_as_bars_fall_off_at_the_beginning() -> None:
    y, x = pair(300)
    found = analyze_pair(y[:200], x[:200], method="kalman", window=30)
    said = dict(zip(found.frame.index, found.frame["state"], strict=True))
    for n in range(201, 260):
        part_y, part_x = y[n - 200 : n].copy(), x[n - 200 : n].copy()
        for part in (part_y, part_x):
            part.forming[-1] = True
        found = analyze_pair(part_y, part_x, method="kalman", window=30, previous=found)
        closed = found.frame.iloc[:-1]
        assert all(said.get(time, state) == state for time, state in closed["state"].items()), (
            "the past is not rewritten"
        )
        said |= dict(closed["state"].items())
    whole = analyze_pair(y[:259], x[:259], method="kalman", window=30).frame
    np.testing.assert_allclose(found.frame["beta"], whole["beta"].iloc[-200:], rtol=1e-9)


def test_other_prices_at_the_same_times_are_tested_anew() -> None:
    y, x = pair(600)
    before = analyze_pair(y, x)
    random = np.random.default_rng(2)
    other_y, other_x = (bars(1000 + random.standard_normal(600).cumsum(), each) for each in (Y, X))
    found = analyze_pair(other_y, other_x, previous=before)
    assert found.summary.coint_pvalue == analyze_pair(other_y, other_x).summary.coint_pvalue


def test_what_the_caller_does_to_its_bars_later_changes_nothing() -> None:
    y, x = pair(200)
    found = analyze_pair(y, x)
    before = found.frame.copy()
    y.close[:] = 1.0
    pd.testing.assert_frame_equal(found.frame, before)
    fresh = analyze_pair(y, x, previous=found)
    assert math.isnan(fresh.summary.zscore), "a leg that does not move has no z-score"


@pytest.mark.parametrize("options", [{"fill": 3}, {"intercept": False}, {"log": True}, {"fill": 2, "method": "kalman"}])
def test_no_option_looks_into_the_future(options: dict[str, Any]) -> None:
    y, x = prices(300)
    index = pd.date_range("2026-01-01", periods=300, freq="min", tz="UTC")
    late = pd.Series(y, index, name="Y")
    late.iloc[[50, 51, 120, 200, 201, 202]] = np.nan

    def estimate(y: "pd.Series[float]", x: "pd.Series[float]") -> pd.DataFrame:
        return analyze_pair(y, x, window=40, **options).frame

    report = lookahead_check(estimate, (late, pd.Series(x, index, name="X")))
    assert report.clean, report.sentence


def test_without_an_intercept_the_spread_that_is_traded_is_the_one_that_is_tested() -> None:
    y, x = prices(1500)
    found = analyze_pair(bars(y + 4000, Y), bars(x, X), intercept=False)
    assert found.examination.cointegration.pvalue == engle_granger_both(y + 4000, x, trend="n").pvalue
    assert not found.verdict.word.startswith("tradeable")


def test_tests_are_made_again_once_the_bars_have_grown_by_one_percent() -> None:
    y, x = pair(600)
    first = analyze_pair(y[:590], x[:590])
    kept = analyze_pair(y[:595], x[:595], previous=first)
    again = analyze_pair(y, x, previous=first)
    assert kept.summary.tested_bars == 590
    assert kept.summary.tested_end == first.summary.tested_end
    assert again.summary.tested_bars == 600
    assert again.summary.coint_pvalue == analyze_pair(y, x).summary.coint_pvalue


def test_other_options_begin_anew() -> None:
    y, x = pair(200)
    before = analyze_pair(y, x, window=30)
    pd.testing.assert_frame_equal(
        analyze_pair(y, x, window=50, previous=before).frame, analyze_pair(y, x, window=50).frame
    )


def test_the_forming_bar_makes_no_signal_and_no_number_of_the_summary() -> None:
    y, x = pair(200)
    whole = analyze_pair(y, x)
    spike_y, spike_x = bars([*y.close, 1e4], Y, forming=True), bars([*x.close, x.close[-1]], X, forming=True)
    found = analyze_pair(spike_y, spike_x)
    assert found.frame["flags"].iloc[-1] == "forming"
    assert found.frame["state"].iloc[-1] == whole.frame["state"].iloc[-1]
    left, right = (pd.Series(asdict(each.summary), dtype=object) for each in (found, whole))
    pd.testing.assert_series_equal(left, right)


def test_a_gap_makes_no_signal() -> None:
    y, x = pair(200)
    y.close[150] += 50
    assert analyze_pair(y, x).frame["state"].iloc[150] == -1
    y.gap[150] = True
    found = analyze_pair(y, x)
    assert found.frame["state"].iloc[150] != -1
    assert found.summary.gap_bars == 1
    assert found.frame["flags"].iloc[150] == "gap"


def test_missing_filled_and_removed_bars_are_counted() -> None:
    y, x = pair(200)
    holed = y[np.r_[0:100, 103:200]]
    found = analyze_pair(holed, x)
    assert (found.summary.n, found.summary.missing_y) == (197, 3)
    filled = analyze_pair(holed, x, fill=2)
    assert (filled.summary.n, filled.summary.filled_y, filled.summary.missing_y) == (199, 2, 1)
    assert (filled.frame["flags"] == "filled").sum() == 2
    x.volume[7] = 0.1
    assert analyze_pair(y, x, minimum_volume=1).summary.removed == 1


def test_an_old_last_bar_is_said() -> None:
    y, x = pair(200)
    end = int(y.time[-1]) + 60_000
    assert analyze_pair(y, x, now_ms=end + 30_000).summary.age_bars == 0.5
    found = analyze_pair(y, x, now_ms=end + 600_000)
    assert any(reason.about == "freshness" and reason.ok is False for reason in found.verdict.reasons)


def test_the_same_leg_twice_is_refused() -> None:
    y, _ = pair(100)
    with pytest.raises(WrongUse, match="both legs are simulated:ETHUSDT"):
        analyze_pair(y, y)


def test_identical_legs_are_not_a_number_and_no_crash() -> None:
    y, _ = pair(300)
    found = analyze_pair(y, bars(y.close, X))
    assert math.isnan(found.summary.coint_pvalue)
    assert found.verdict.word == "cannot be judged"
    assert math.isnan(found.summary.half_life), "what is left is rounding"
    scaled = analyze_pair(y, bars(y.close * 3 - 7, X))
    assert math.isnan(scaled.summary.half_life)
    assert scaled.verdict.word == "cannot be judged"


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("costs", 5.0, WrongUse),
        ("log", "no", WrongUse),
        ("minimum_volume", math.inf, WrongUse),
        ("window", 99999999, WrongUse),
        ("method", "hubr", UnknownName),
        ("fit", "future", UnknownName),
        ("window", 2, WrongUse),
        ("exit", 3, WrongUse),
    ],
)
def test_options_that_make_no_sense_are_refused(option: str, value: Any, error: type[Exception]) -> None:
    y, x = pair(100)
    with pytest.raises(error, match=str(value)):
        analyze_pair(y, x, **{option: value})


def test_every_value_of_the_record_is_plain(analysed: PairAnalysis) -> None:
    plain = (str, int, float, bool, type(None))
    record = analysed.to_record()
    reasons = record.pop("reasons")
    assert all(type(value) in plain for value in record.values()), record
    assert all(set(reason) == {"about", "ok", "text"} for reason in reasons)


@pytest.mark.parametrize("closes", [np.full(300, 5.0), np.r_[np.full(150, 5.0), np.full(150, 6.0)], np.arange(300.0)])
def test_dead_legs_are_not_an_error(closes: Any) -> None:
    _, x = pair(300)
    for found in (analyze_pair(bars(closes, Y), x), analyze_pair(x, bars(closes, Y))):
        assert not found.verdict.word.startswith("tradeable")


def test_legs_at_a_level_of_a_hundred_million_are_judged_as_without_it() -> None:
    y, x = prices(400)
    plain = analyze_pair(bars(y, Y), bars(x, X)).summary
    far = analyze_pair(bars(y + 1e8, Y), bars(x + 1e8, X)).summary
    assert far.beta == pytest.approx(plain.beta, rel=1e-6)
    assert far.zscore == pytest.approx(plain.zscore, rel=1e-5)
    assert far.coint_pvalue == pytest.approx(plain.coint_pvalue, rel=1e-4)
