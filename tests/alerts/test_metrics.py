"""The numbers of alerts are those of the pair analysis, and the same ones in whichever stretch they are computed."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import analyze_pair
from market import MINUTE, SECOND, Bars, Floats, Instrument, Tick, Timeframe
from pairscope.alerts.metrics import METRICS, Rows, bars_before, is_heavy, rows_of, sample_pace, tick_rows
from pairscope.alerts.rules import Rule
from pairscope.numbers.examination import examine

T0 = 1_750_000_020_000
"""No whole multiple of the windows below."""

ETH, BTC = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
TWO_LEGS = ("z", "spread", "ratio", "correlation", "beta", "beta_drift", "volatility", "volatility_x")
METHODS = ("ols", "huber", "theil_sen", "tls", "kalman")
SMALL = Rule(when="", timeframe="1s", window=20, bars=120)


def prices(n: int, *, seed: int = 1, rho: float = 0.9) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    x = 60_000 + 5 * random.standard_normal(n).cumsum()
    noise, spread = 0.5 * random.standard_normal(n), np.zeros(n)
    for row in range(1, n):
        spread[row] = rho * spread[row - 1] + noise[row]
    return 0.05 * x - 400 + spread, x


def bars_of(closes: Floats, instrument: Instrument, **columns: Any) -> Bars:
    n = len(closes)
    none, volume = np.zeros(n, np.bool_), np.arange(1.0, n + 1)
    time = T0 + SECOND * np.arange(n, dtype=np.int64)
    flags = {"klines": none, "gap": none, "forming": none} | columns
    counts = np.ones(n, np.int64)
    return Bars(
        instrument, Timeframe(SECOND), time, closes, closes, closes, closes, volume, volume, volume, counts, **flags
    )


def pair(n: int, **options: Any) -> tuple[Bars, Bars]:
    y, x = prices(n, **options)
    return bars_of(y, ETH), bars_of(x, BTC)


def without(bars: Bars, *rows: int) -> Bars:
    return bars[np.isin(np.arange(len(bars)), rows, invert=True)]


def flagged(bars: Bars, *rows: int) -> Bars:
    return bars_of(bars.close, bars.instrument, gap=np.isin(np.arange(len(bars)), rows))


def same(one: Rows, other: Rows) -> bool:
    """Tell whether two stretches say the same, to the last bit."""
    plain = [(one.time, other.time), (one.end, other.end), (one.whole, other.whole)]
    columns = [(one.values[name], other.values[name]) for name in one.values]
    return all(np.array_equal(left, right) for left, right in plain) and all(
        np.array_equal(left, right, equal_nan=True) for left, right in columns
    )


def part(rows: Rows, since_ms: int, end_ms: int = 2**62) -> Rows:
    some = slice(*np.searchsorted(rows.time, (since_ms, end_ms)).tolist())
    values = {name: column[some] for name, column in rows.values.items()}
    return Rows(rows.time[some], rows.end[some], rows.whole[some], values)


@pytest.mark.parametrize("method", METHODS[:-1])
@pytest.mark.parametrize("options", [{}, {"log": True}, {"intercept": False}])
def test_values_are_those_of_the_pair_analysis(method: str, options: dict[str, Any]) -> None:
    y, x = pair(300)
    rule = replace(SMALL, method=method, **options)
    rows = rows_of(("z", "spread", "beta", "correlation"), rule, y, x, since_ms=T0)
    analysis = analyze_pair(y, x, window=20, method=method, **options)  # type: ignore[arg-type]
    for name, column in (("z", "zscore"), ("spread", "spread"), ("beta", "beta"), ("correlation", "correlation")):
        np.testing.assert_allclose(rows.values[name], analysis.columns[column], rtol=1e-8, atol=1e-9, err_msg=name)
        assert np.isfinite(rows.values[name]).sum() >= 280, name


def test_rows_are_joined_as_the_pair_analysis_joins_them() -> None:
    y, x = pair(200)
    y, x = without(y, *range(50, 60), 90), without(x, 55, 61, 120)
    cases: tuple[dict[str, Any], ...] = ({}, {"fill": 3}, {"minimum_volume": 40.0})
    for options in cases:
        rows = rows_of(("z", "spread"), replace(SMALL, **options), y, x, since_ms=T0)
        analysis = analyze_pair(y, x, window=20, **options)
        assert rows.time.tolist() == analysis.joined.time.tolist()
        np.testing.assert_allclose(rows.values["z"], analysis.columns["zscore"], rtol=1e-8, atol=1e-9)


def test_a_filter_is_that_of_the_analysis_of_its_own_two_stretches() -> None:
    y, x = pair(400)
    rule = replace(SMALL, method="kalman")
    rows = rows_of(("z", "beta", "spread"), rule, y, x, since_ms=T0)
    last = int(rows.time[-1])
    begun = last - last % (120 * SECOND) - 120 * SECOND
    analysis = analyze_pair(y.between(begun, 2**62), x.between(begun, 2**62), window=20, method="kalman")
    for name, column in (("z", "zscore"), ("beta", "beta"), ("spread", "spread")):
        assert rows.values[name][-1] == pytest.approx(analysis.columns[column][-1], rel=1e-12)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("method", ["ols", "tls", "kalman"])
def test_tests_are_those_of_the_examination_at_the_rows_of_their_grid(method: str, log: bool) -> None:
    y, x = pair(700, rho=0.5)
    rule = replace(SMALL, bars=300, method=method, log=log)
    assert sample_pace(rule) == 3
    rows = rows_of(("half_life", "coint_p", "break_p"), rule, y, x, since_ms=T0)
    row = next(row for row in range(600, 700) if rows.time[row] % (3 * SECOND) == 0)
    sample = slice(row - 299, row + 1)
    legs = [np.log(leg.close[sample]) if log else leg.close[sample] for leg in (y, x)]
    found = examine(legs[0], legs[1], y.time[sample], method="tls" if method == "tls" else "ols", log=log, window=20)
    wanted = {"half_life": found.half_life.half_life, "coint_p": found.cointegration.pvalue}
    for name, value in (wanted | {"break_p": found.beta_break.pvalue}).items():
        assert rows.values[name][row : row + 3].tolist() == [value] * 3, name
        assert math.isfinite(value)


def test_tests_are_not_known_before_they_have_all_their_bars() -> None:
    y, x = pair(300)
    rows = rows_of(("coint_p",), SMALL, y, x, since_ms=T0)
    known = np.flatnonzero(np.isfinite(rows.values["coint_p"]))
    assert known[0] == 119
    assert len(known) == 181


def test_a_spread_that_does_not_revert_has_an_infinite_half_life() -> None:
    random = np.random.default_rng(4)
    x = 100 + random.standard_normal(400).cumsum() * 0.1
    y = 2 * x + np.exp(np.arange(400) / 40)
    rows = rows_of(("half_life",), SMALL, bars_of(y, ETH), bars_of(x, BTC), since_ms=T0)
    assert math.inf in rows.values["half_life"]


@pytest.mark.parametrize("names", [TWO_LEGS, ("z", "spread", "beta"), ("beta_drift",), ("half_life", "coint_p")])
@pytest.mark.parametrize("method", ["ols", "huber", "tls", "kalman"])
def test_a_value_has_the_same_bits_in_every_stretch(names: tuple[str, ...], method: str) -> None:
    y, x = pair(600)
    y, x = flagged(without(y, 300, 301, 302, 420), 150, 470), flagged(without(x, 310, 340), 152, 430)
    rule = replace(SMALL, method=method)
    whole = rows_of(names, rule, y, x, since_ms=T0)
    assert 0 < whole.whole.sum() < len(whole)
    needed = bars_before(names, rule)
    for row in (*range(350, 560, 7), len(whole) - 1):
        since, context = int(whole.time[row]), int(whole.time[row - needed])
        legs = [leg.between(context, since + 5_000) for leg in (y, x)]
        piece = rows_of(names, rule, legs[0], legs[1], since_ms=since)
        assert len(piece) > 0
        assert same(piece, part(whole, since, since + 5_000))


@settings(max_examples=60)
@given(
    missing=st.sets(st.integers(0, 249), max_size=60),
    window=st.integers(3, 40),
    row=st.integers(200, 249),
    fill=st.integers(0, 3),
)
def test_missing_bars_change_no_bit_of_what_does_not_know_them(
    missing: set[int], window: int, row: int, fill: int
) -> None:
    y, x = pair(250)
    y, x = without(y, *(each for each in missing if each % 2)), without(x, *(each for each in missing if each % 2 == 0))
    rule = replace(SMALL, window=window, fill=fill)
    whole, since = rows_of(TWO_LEGS, rule, y, x, since_ms=T0), T0 + row * SECOND
    before = whole.time[whole.time < since]
    context = int(before[-min(bars_before(TWO_LEGS, rule), len(before))])
    piece = rows_of(TWO_LEGS, rule, y.between(context, 2**62), x.between(context, 2**62), since_ms=since)
    assert same(piece, part(whole, since)) or context == T0


def test_the_future_changes_nothing() -> None:
    y, x = pair(500)
    names = (*TWO_LEGS, "half_life", "coint_p", "break_p")
    before = rows_of(names, SMALL, y[:400], x[:400], since_ms=T0)
    mad = bars_of(np.concatenate((y.close[:400], 9 * y.close[400:])), ETH)
    after = rows_of(names, SMALL, mad, x, since_ms=T0)
    for name in names:
        assert np.array_equal(before.values[name], after.values[name][:400], equal_nan=True), name


def test_drift_of_the_hedge_is_its_change_against_a_window_ago() -> None:
    rows = rows_of(("beta", "beta_drift"), SMALL, *pair(100), since_ms=T0)
    beta, drift = rows.values["beta"], rows.values["beta_drift"]
    assert drift[60] == beta[60] / beta[40] - 1
    assert np.isnan(drift[:39]).all()
    assert math.isfinite(drift[39])


def test_prices_volumes_and_volatility_are_of_their_leg() -> None:
    y, x = pair(100)
    x = without(x, 50)
    rows = rows_of(
        ("price", "price_x", "ratio", "volume", "volume_x", "volatility", "volatility_x"),
        replace(SMALL, fill=1), y, x, since_ms=T0 + 50 * SECOND,
    )  # fmt: skip
    at = {name: column[0] for name, column in rows.values.items()}
    assert at["price"] == y.close[50]
    assert at["price_x"] == x.close[49]
    assert at["ratio"] == y.close[50] / x.close[49]
    assert (at["volume"], at["volume_x"]) == (51.0, 0.0)
    returns = np.diff(np.log(y.close[30:51]))
    assert at["volatility"] == pytest.approx(100 * returns.std(ddof=1), rel=1e-12)
    assert math.isfinite(at["volatility_x"])


def test_a_rule_about_one_symbol_has_the_rows_of_that_symbol() -> None:
    y, _ = pair(100)
    rows = rows_of(("price", "volume", "volatility"), SMALL, without(y, 3), None, since_ms=T0)
    assert len(rows) == 99
    assert rows.values["price"].tolist() == without(y, 3).close.tolist()
    assert rows.end.tolist() == (rows.time + SECOND).tolist()


def test_bars_that_may_still_change_are_no_rows() -> None:
    y, x = pair(100)
    forming = np.arange(100) == 99
    rows = rows_of(("price",), SMALL, bars_of(y.close, ETH, forming=forming), x, since_ms=T0)
    assert len(rows) == 99
    assert len(rows_of(("price",), SMALL, y, bars_of(x.close, BTC, forming=forming), since_ms=T0)) == 99


@pytest.mark.parametrize(
    ("name", "unfit"),
    [("price", 2), ("z", 29), ("beta_drift", 49), ("correlation", 30), ("coint_p", 129)],
)
def test_a_row_is_whole_when_no_gap_is_in_what_it_is_made_of(name: str, unfit: int) -> None:
    y, x = pair(300)
    rows = rows_of((name,), SMALL, flagged(y, 150, 160), x, since_ms=T0)
    spoilt = np.flatnonzero(~rows.whole)
    if name == "price":
        assert spoilt.tolist() == [150, 160]
    else:
        assert (int(spoilt[0]), len(spoilt) - 1) == (150, unfit)


def test_a_gap_is_seen_where_the_other_leg_has_no_bar_at_its_edges() -> None:
    y, x = pair(100)
    rows = rows_of(("z",), SMALL, flagged(y, 50, 51), without(x, 50, 51), since_ms=T0)
    assert len(rows) == 98
    assert not rows.whole[50]
    assert rows.whole[49]


def test_a_bar_that_was_filled_is_not_whole_when_its_source_is_at_a_gap() -> None:
    y, x = pair(100)
    rows = rows_of(("ratio",), replace(SMALL, fill=2), y, without(flagged(x, 50), 51), since_ms=T0)
    assert np.flatnonzero(~rows.whole).tolist()[:2] == [50, 51]


def test_no_bars_give_no_rows() -> None:
    y, x = pair(10)
    for rows in (
        rows_of(("z", "coint_p"), SMALL, y[:0], x[:0], since_ms=T0),
        rows_of(("z",), SMALL, y, x[:0], since_ms=T0),
        rows_of(("z",), SMALL, y, x, since_ms=T0 + MINUTE),
    ):
        assert len(rows) == 0
        assert rows.values["z"].tolist() == []


def test_trades_are_rows_of_their_prices() -> None:
    rows = tick_rows([Tick(*ETH, number, T0 + number, 100.0 + number, 1.0, "buy") for number in range(3)])
    assert rows.values["price"].tolist() == [100.0, 101.0, 102.0]
    assert rows.end.tolist() == rows.time.tolist() == [T0, T0 + 1, T0 + 2]
    assert rows.whole.all()
    assert len(tick_rows([])) == 0


def test_tests_alone_are_heavy() -> None:
    assert [name for name in METRICS if is_heavy((name,))] == ["half_life", "coint_p", "break_p"]


def test_reading_which_metrics_there_are_loads_no_numbers() -> None:
    code = "import sys, pairscope.alerts.metrics; sys.exit('pandas' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
