"""What the Explore page computes and says in words."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analytics import (
    Autocorrelation,
    BetaBreak,
    JarqueBera,
    LeadLag,
    Trades,
    analyze_pair,
    autocorrelation,
    beta_break,
    cross_correlation,
    cross_correlation_heatmap,
    hayashi_yoshida_curve,
    jarque_bera,
    lead_lag,
    normal_quantiles,
    phillips_perron,
)
from market import Bars, Instrument, Tick, Timeframe
from pairscope.methodology import entries
from pairscope.pairs import PairRequest
from pairscope.views.clock import Clock
from pairscope.views.explore import as_of
from pairscope.views.explore_hedge import hedge_findings, hedge_rows, lines_of, paths_sentence
from pairscope.views.explore_lead import lead_findings
from pairscope.views.explore_panels import Scene, evenly, kept
from pairscope.views.explore_residuals import CHANGES, SPREAD, residuals_of
from pairscope.views.explore_tests import COLUMNS
from pairscope.views.explore_ticks import LAGS, MOST_TICKS, Tape, span_of, tick_findings
from pairscope.views.explore_verdicts import findings_of
from pairscope.views.explore_words import (
    break_sentence,
    curve_sentence,
    heat_sentence,
    lead_sentence,
    level_sentence,
    memory_sentence,
    shape_sentence,
    size_sentence,
    tail_sentence,
)
from pairscope.views.pair_sight import Sight
from store import SqliteStore

Y, X = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
NAMES = ("ETHUSDT", "BTCUSDT")
STEP, START = 5_000, 1_760_000_000_000
REQUEST = PairRequest(y=Y, x=X, timeframe=Timeframe(STEP), bars=900)


def leg(instrument: Instrument, price: Any, *, trades: int = 3) -> Bars:
    n = len(price)
    no, one = np.zeros(n, np.bool_), np.ones(n)
    time = START + STEP * np.arange(n, dtype=np.int64)
    return Bars(
        instrument, Timeframe(STEP), time, price, price, price, price, one, one, one, np.full(n, trades, np.int64),
        no, no, no,
    )  # fmt: skip


def prices(n: int = 900, *, lag: int = 0, seed: int = 1) -> tuple[Any, Any]:
    """A pair in which y follows x by so many bars."""
    rng = np.random.default_rng(seed)
    x = 60_000 + 20 * rng.normal(size=n + lag).cumsum()
    return 0.05 * x[:n] + rng.normal(size=n) / 4, x[lag:] if lag else x


def scene(n: int = 900, *, reader: Any = None, lag: int = 0, **asked: Any) -> Scene:
    request = replace(REQUEST, **asked)
    y, x = (leg(each, price) for each, price in zip((Y, X), prices(n, lag=lag), strict=True))
    end = START + STEP * n
    found = analyze_pair(y, x, now_ms=end, **request.options())
    runtime: Any = SimpleNamespace(
        reader=reader, now_at=lambda venue: end, settings=SimpleNamespace(store=f"sqlite:///{id(reader)}.db")
    )
    return Scene(runtime, request, (y, x), found, "SIMULATED", Clock("Europe/Berlin"), "dark")


# ------------------------------------------------------------------------------------------------ lead and lag


def test_a_leader_is_named_with_the_bars_and_the_time_it_is_ahead() -> None:
    found = lead_findings(scene(lag=2))
    text = lead_sentence(found.leader, found.cross, NAMES, STEP)
    assert text.startswith("ETHUSDT follows BTCUSDT by 2 bars (10 s): correlation +0.9")
    assert "bound ±0." in text
    assert "p < 0.001" in text
    assert heat_sentence(found.heat, found.leader, NAMES).startswith("BTCUSDT moves first in")


def test_legs_that_move_together_have_no_leader() -> None:
    found = lead_findings(scene())
    text = lead_sentence(found.leader, found.cross, NAMES, STEP)
    assert text.startswith("Neither leg leads (p ")
    assert "at lag 0, within the same bar" in text
    assert "The strongest lag is 0 in" in heat_sentence(found.heat, found.leader, NAMES)


@pytest.mark.parametrize("n", [0, 1, 5, 30, 70])
def test_few_bars_say_what_is_missing_and_break_nothing(n: int) -> None:
    view = scene(n)
    found = lead_findings(view)
    assert "nan" not in lead_sentence(found.leader, found.cross, NAMES, STEP)
    assert "nan" not in heat_sentence(found.heat, found.leader, NAMES)
    if n < 30:
        assert lead_sentence(found.leader, found.cross, NAMES, STEP).startswith("No answer yet: ")
    for kind in (SPREAD, CHANGES):
        left = residuals_of(view, kind)
        assert "nan" not in memory_sentence(left.memory, left.remembers.pvalue, STEP) + tail_sentence(left.quantiles)
    rows = hedge_rows(hedge_findings(view), 60, 5)
    assert "nan" not in str(rows)


def test_a_missing_bar_is_a_hole_and_not_a_shorter_lag() -> None:
    time, (filled,) = evenly(np.array([0, 5, 20]), 5, np.array([1.0, 2.0, 3.0]))
    assert time.tolist() == [0, 5, 10, 15, 20]
    np.testing.assert_array_equal(filled, [1, 2, math.nan, math.nan, 3])


def test_windows_with_a_missing_bar_are_counted() -> None:
    y, x = prices(200)
    y[100] = math.nan
    heat = cross_correlation_heatmap(y, x, max_lag=5, window=40)
    assert "windows with a missing bar left empty" in heat_sentence(heat, lead_lag(y, x, max_lag=5), NAMES)


def test_a_side_that_does_not_last_is_not_named() -> None:
    noise = np.exp(np.random.default_rng(2).normal(size=(2, 800)).cumsum(axis=1) / 1_000)
    heat, leader = cross_correlation_heatmap(*noise, max_lag=10, window=40), lead_lag(*noise, max_lag=10)
    assert heat_sentence(heat, leader, NAMES).startswith("No side lasts: the strongest lag changes")


def test_of_unrelated_legs_a_lead_over_time_is_claimed_in_one_of_twenty_at_most() -> None:
    rng, claimed = np.random.default_rng(0), 0
    for n, window in ((300, 60), (600, 60), (1_800, 600)) * 40:
        y, x = 100 + 0.01 * rng.normal(size=(2, n)).cumsum(axis=1)
        lag = min(20, math.isqrt(n - 1) - 1)
        step = max(window // 4, n // 200)
        heat = cross_correlation_heatmap(y, x, max_lag=lag, window=window, step=step)
        leader = lead_lag(y, x, max_lag=lag)
        claimed += "moves first" in heat_sentence(heat, leader, NAMES)
    assert claimed <= 6


def test_a_side_of_most_windows_is_not_named_where_the_test_of_all_bars_does_not_name_it() -> None:
    found = lead_findings(scene(lag=2))
    neither = replace(found.leader, leader="neither")
    assert "BTCUSDT is the stronger side in" in heat_sentence(found.heat, neither, NAMES)
    assert "not more than chance" in heat_sentence(found.heat, neither, NAMES)
    unknown = replace(found.leader, leader="")
    assert "which has not been tested" in heat_sentence(found.heat, unknown, NAMES)


def test_no_answer_has_a_reason() -> None:
    cross = cross_correlation([1.0, 2.0], [1.0, 2.0], max_lag=1)
    assert lead_sentence(lead_lag([1.0, 2.0], [1.0, 2.0], max_lag=1), cross, NAMES, STEP).startswith("No answer yet: ")
    unknown = LeadLag("", 0, math.nan, math.nan, math.nan, 900, "both are equal")
    whole = lead_findings(scene()).cross
    assert lead_sentence(unknown, whole, NAMES, STEP) == "No answer yet: both are equal."


# ------------------------------------------------------------------------------------------------------- trades


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "trades.db", clock=lambda: START, commit_ms=1)
    yield opened
    opened.close()


def ticks(instrument: Instrument, first: int, count: int, *, delay: int = 0) -> list[Tick]:
    """Trades every 500 ms; x answers `delay` later."""
    price = 100 * np.exp(np.random.default_rng(3).normal(size=20_000).cumsum() / 10_000)
    return [
        Tick(*instrument, number, START + 500 * number + delay, float(price[number]), 1.0, "buy")
        for number in range(first, first + count)
    ]


def test_a_tape_reads_on_and_knows_what_a_whole_reading_knows(store: SqliteStore) -> None:
    tape = Tape(store, Y)
    now = START
    for first in (0, 400, 800):
        store.append(ticks(Y, first, 400)).result()
        begin, end = START + 100 * first, START + 500 * (first + 400)
        read, whole = (each.read(begin, end, now=now) for each in (tape, Tape(store, Y)))
        np.testing.assert_array_equal(read.time, whole.time)
        np.testing.assert_array_equal(read.price, whole.price)
        assert len(read.time) == first + 400 - first // 5
    assert len(tape.read(START, START + 600_000, now=now).time) == 1_200, "an earlier start is read anew"


def test_a_tape_of_nothing_is_empty_and_begins_later(store: SqliteStore) -> None:
    tape = Tape(store, Y)
    assert len(tape.read(START, START + 1_000_000, now=START).time) == 0
    store.append(ticks(Y, 0, 10)).result()
    assert len(tape.read(START, START + 1_000_000, now=START).time) == 10


def test_trades_of_a_repair_are_seen_at_the_next_whole_reading(store: SqliteStore) -> None:
    store.append([*ticks(Y, 0, 100), *ticks(Y, 200, 200)]).result()
    tape, end = Tape(store, Y), START + 500_000
    assert len(tape.read(START, end, now=START).time) == 300
    store.append(ticks(Y, 100, 100)).result()
    assert len(tape.read(START, end, now=START + 299_999).time) == 300
    assert len(tape.read(START, end, now=START + 300_000).time) == 400


def test_trades_are_correlated_by_size_by_pace_and_by_lag(store: SqliteStore) -> None:
    store.append([*ticks(Y, 0, 8_000, delay=500), *ticks(X, 0, 8_000)]).result()
    found = tick_findings(scene(reader=store))
    text = curve_sentence(found.curve, NAMES)
    assert text.startswith("BTCUSDT moves first (p < 0.001, ratio ")
    assert "of the lags looked at, the strongest correlation, +1.00, is at +" in text
    assert found.by_pace[1].n_y == 7_999
    assert set(found.by_size) <= set(found.by_pace)
    said = size_sentence(found.by_size, found.by_pace)
    assert said.startswith("All trades say ")
    assert "bars of 1 s" in said
    assert not found.shortened


@pytest.mark.parametrize("seconds", [2, 3, 7])
def test_a_lead_of_whole_seconds_is_told_as_long_as_it_is(seconds: int) -> None:
    rng = np.random.default_rng(0)
    moves, ahead = rng.normal(size=20_000) / 100, 5 * seconds
    price, time = 100 + moves.cumsum(), 200 * np.arange(20_000)
    at_y, at_x = (np.sort(rng.choice(np.arange(ahead, 20_000), 6_000, replace=False)) for _ in "yx")
    curve = hayashi_yoshida_curve(
        Trades(time[at_y] + 3, price[at_y - ahead]), Trades(time[at_x], price[at_x]), lags_ms=LAGS
    )
    text = curve_sentence(curve, NAMES)
    assert text.startswith("BTCUSDT moves first (p < 0.001, ")
    assert text.endswith(f"is at +{seconds} s.")


def test_without_trades_it_says_what_is_missing(store: SqliteStore) -> None:
    found = tick_findings(scene(reader=store))
    assert size_sentence(found.by_size, found.by_pace).startswith("No answer yet: 0 ticks of y and 0 of x")
    assert curve_sentence(found.curve, NAMES).startswith("No answer yet: 0 ticks")


def test_no_more_trades_are_read_than_allowed() -> None:
    price = np.full(100, 1.0)
    end = START + STEP * 100
    assert span_of((leg(Y, price), leg(X, price)), end) == (START, False)
    many = leg(X, price, trades=MOST_TICKS // 10)
    assert span_of((leg(Y, price), many), end) == (START + STEP * 90, True)


def test_a_result_is_made_once_for_all_that_ask_for_the_same() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key

    for key in ("a", "a", "b"):
        assert kept(f"test {key}", "section", partial(make, key)) == key
    assert made == ["a", "b"]


def renewed(view: Scene, y: Bars, x: Bars) -> Scene:
    """The same scene at the same time, after bars have come, gone or changed."""
    now = view.runtime.now_at(REQUEST.y.venue)
    found = analyze_pair(y, x, now_ms=now, previous=view.found, **REQUEST.options())
    return replace(view, bars=(y, x), found=found)


def changed(bars: Bars, row: int, **columns: Any) -> Bars:
    """The same bars, but for one."""
    whole = {name: getattr(bars, name).copy() for name in columns}
    for name, value in columns.items():
        whole[name][row] = value
    return replace(bars, **whole)


def test_what_is_kept_is_made_anew_when_an_earlier_bar_comes_goes_or_changes() -> None:
    view = scene()
    y, x = view.bars
    few, gap = slice(800, None), np.arange(900) != 450
    looks = [
        (y, x), (y[few], x[few]), (y[gap], x[gap]), (changed(y, 450, close=1.0), x), (y, changed(x, 450, close=1.0)),
        (y[1:], x[1:]),
    ]  # fmt: skip
    scenes = [renewed(view, *legs) for legs in looks]
    assert len({each.found.summary.end for each in scenes}) == 1
    assert len({each.key for each in scenes}) == len(looks)
    counts = [len(kept(each.key, "count", partial(residuals_of, each, SPREAD)).time) for each in scenes]
    assert counts == [900, 100, 899, 900, 900, 899]


def test_what_is_kept_stays_while_only_the_bar_that_forms_changes() -> None:
    view = scene()
    y, x = (changed(leg, -1, forming=True) for leg in view.bars)
    forms = renewed(view, y, x)
    assert forms.key == renewed(view, changed(y, -1, close=1.0), x).key
    assert forms.key != view.key, "it has closed"
    assert renewed(view, y[:0], x[:0]).key


# ---------------------------------------------------------------------------------------------------- residuals


def test_the_last_residual_is_told_in_its_unit_and_in_deviations() -> None:
    text = level_sentence(-4.5, 0.5, 2.5, "USDT", 900, 2)
    assert text == "Now -4.50 USDT, 2.0 σ below the mean of 900 bars; σ 2.50 USDT."
    assert level_sentence(math.nan, math.nan, math.nan, "", 1, 2) == "No answer yet: 1 bar of both legs."


def test_residuals_are_those_of_the_hedge_of_all_bars() -> None:
    view = scene()
    left, hedge = residuals_of(view, SPREAD), view.found.examination.hedge
    time, y, x = view.closed()
    np.testing.assert_allclose(left.values, y - hedge.alpha - hedge.beta * x)
    assert left.mean == pytest.approx(0, abs=1e-9)
    changes = residuals_of(view, CHANGES)
    np.testing.assert_array_equal(changes.values, np.diff(left.values))
    assert (changes.time[0], len(left.time)) == (time[1], len(time))


def test_shape_tails_and_memory_are_told_in_words() -> None:
    rng = np.random.default_rng(4)
    normal, wild, slow = rng.normal(size=900), rng.standard_t(2, size=900), rng.normal(size=900).cumsum()
    assert shape_sentence(jarque_bera(normal)).startswith("Nothing speaks against a normal: skew ")
    assert shape_sentence(jarque_bera(wild)).startswith("Not normal: tails fatter")
    assert "the low and the high end too far out" in tail_sentence(normal_quantiles(wild))
    assert "no end too far out" in tail_sentence(normal_quantiles(normal))
    assert memory_sentence(autocorrelation(normal), 0.4, STEP).startswith("No memory from one bar to the next")
    assert "over all 5 lags shown" in memory_sentence(autocorrelation(slow, max_lag=5), 0.0, STEP)
    echo = autocorrelation(np.convolve(normal, [1, 1, 1]))
    assert "; inside the band at lag 3 for the first time (15 s);" in memory_sentence(echo, 0.0, STEP)


def test_memory_that_comes_back_is_not_said_to_be_gone() -> None:
    noise = np.random.default_rng(4).normal(size=1_800)
    wave = noise + 2 * np.sin(2 * np.pi * np.arange(1_800) / 12)
    late = noise[13:] + 0.6 * noise[12:-1] + 0.7 * noise[7:-6]
    for values in (wave, late, noise[12:] + 0.8 * noise[:-12]):
        assert "nothing" not in memory_sentence(autocorrelation(values, max_lag=40), 0.0, STEP)
    text = memory_sentence(autocorrelation(noise[12:] + 0.8 * noise[:-12], max_lag=40), 0.0, STEP)
    assert "of 40 lags outside the band, by chance about 2;" in text


def test_a_spread_is_not_tested_as_if_its_values_were_independent() -> None:
    slow = [0.0]
    for each in np.random.default_rng(5).normal(size=1_800):
        slow.append(0.96 * slow[-1] + each)
    shape, tails = jarque_bera(slow), normal_quantiles(slow)
    said = shape_sentence(shape, remembers=True)
    assert said.startswith("Skew ")
    assert said.endswith("; not tested, for its values depend on each other: see the changes for the test.")
    assert " p " not in said
    assert "5 %" not in tail_sentence(tails, remembers=True)
    assert "do not depend on each other" in tail_sentence(tails, remembers=True)


def test_what_is_not_normal_is_fat_thin_or_lopsided() -> None:
    rng = np.random.default_rng(6)
    for values, why in (
        (rng.standard_t(3, size=2_000), "tails fatter than a normal's"),
        (rng.uniform(size=2_000), "tails thinner than a normal's"),
        (rng.beta(2, 6, size=2_000), "lopsided"),
    ):
        assert shape_sentence(jarque_bera(values)).startswith(f"Not normal: {why}; ")


def test_nothing_left_over_has_a_reason() -> None:
    none = Autocorrelation(np.empty(0), np.empty(0), 0.95, 2, "2 values; expected 8 at least")
    assert memory_sentence(none, math.nan, STEP) == "No answer yet: 2 values; expected 8 at least."
    poor = JarqueBera(name="Jarque-Bera", null="", alternative="", reason="1 values are too few")
    assert shape_sentence(poor) == "No answer yet: 1 values are too few."


# ------------------------------------------------------------------------------------------------------- hedge


def test_the_hedge_is_told_by_window_by_filter_and_of_all_bars() -> None:
    found = hedge_findings(scene())
    text = paths_sentence(found.paths, 60, "BTC/ETH", 4)
    assert "by the last 60 bars" in text
    assert "the interval of all bars" in text
    names = [row["hedge"] for row in hedge_rows(found, 60, 4)]
    assert names == ["all bars, OLS", "last 60 bars, OLS", "Kalman filter, now"]
    assert hedge_rows(found, 60, 4)[1]["from"] == "–"
    assert [name for name, _, _ in lines_of(found)] == ["all bars"]


def test_a_changed_hedge_has_a_time_and_two_sides() -> None:
    view = scene()
    y, x = prices()
    y[450:] += 0.03 * (x[450:] - x[450])
    found = analyze_pair(leg(Y, y), leg(X, x), now_ms=START + STEP * 900, **REQUEST.options())
    changed = replace(view, found=found)
    assert found.examination.break_ms is not None
    split = hedge_findings(changed)
    assert split.split == pytest.approx(450, abs=30)
    assert [name for name, _, _ in lines_of(split)] == ["before", "after"]
    assert [row["hedge"] for row in hedge_rows(split, 60, 4)][1:3] == [
        "before the change, OLS",
        "after the change, OLS",
    ]
    text = break_sentence(found.examination.beta_break, "17:04:05 UTC", 3)
    assert text.startswith("The hedge changed at 17:04:05 UTC: β 0.05")


def test_an_unchanged_hedge_and_an_unknown_one_are_told_apart() -> None:
    assert break_sentence(beta_break(*prices(800)), "", 3).startswith("No change of the hedge within these bars (p ")
    poor = BetaBreak(name="beta break", null="", alternative="", reason="40 rows; the test needs 100")
    assert break_sentence(poor, "", 3) == "Whether it changed is not known: 40 rows; the test needs 100."


# ------------------------------------------------------------------------------------------------------- tests


def findings(view: Scene) -> dict[str, Any]:
    _, y, x = view.closed()
    rows = findings_of(
        view.found.examination, (phillips_perron(y), phillips_perron(x)), NAMES, window=60, bar_ms=STEP,
        break_text="17:04:05",
    )  # fmt: skip
    return {row.test: row for row in rows}


def test_every_test_has_its_figures_its_null_and_a_meaning() -> None:
    rows = findings(scene())
    assert len(rows) == 20
    assert {row.entry for row in rows.values()} <= set(entries())
    assert all(row.meaning and row.n != "–" for row in rows.values())
    assert "nan" not in str(rows)
    tests = [row for row in rows.values() if row.null != "–"]
    assert len(tests) == 14
    assert all(row.critical != "–" and row.lags.isdigit() for row in tests)


def test_a_tied_pair_is_said_to_be_tied_by_each_test_of_it() -> None:
    rows = findings(scene())
    for test in ("Phillips-Ouliaris", "Johansen, trace", "Johansen, max. eigenvalue"):
        assert rows[test].meaning == "rejected: the spread reverts, the legs are tied together"
    assert rows["Phillips-Ouliaris"].p == "< 0.001"
    assert rows["KPSS, BTCUSDT"].p == "< 0.01"
    assert rows["KPSS, BTCUSDT"].meaning == "rejected: BTCUSDT wanders, as prices do"
    assert rows["Variance ratio, spread"].critical == "±1.96"


def test_the_critical_value_says_on_which_side_each_test_rejects() -> None:
    words = COLUMNS["critical"]
    low, high = words.split("at or below it")
    for test in ("Dickey-Fuller", "Phillips-Perron", "Engle-Granger", "Phillips-Ouliaris"):
        assert test in low
        assert test not in high
    for row in findings(scene()).values():
        below = row.test.startswith(("ADF", "Phillips", "Engle"))
        if row.critical not in ("–", "±1.96"):
            above = float(row.statistic) - float(row.critical)
            assert (above <= 0 if below else above >= 0) is row.meaning.startswith("rejected"), row.test


@pytest.mark.parametrize("n", [0, 2, 12])
def test_tests_of_few_bars_say_why_there_is_no_answer(n: int) -> None:
    rows = findings(scene(n))
    assert len(rows) == 20
    assert "nan" not in str(rows)
    assert rows["Change of the hedge"].meaning.startswith("no answer: ")
    assert rows["Hurst exponent"].meaning.startswith("no answer: ")
    assert (rows["Change of the hedge"].statistic, rows["Change of the hedge"].p) == ("–", "–")


def test_a_small_sample_is_no_evidence_against_a_tie() -> None:
    view = scene(120, window=60)
    exam = replace(view.found.examination, cointegration=replace(view.found.examination.cointegration, pvalue=0.4))
    few = findings(replace(view, found=replace(view.found, examination=exam)))
    assert "too few bars to tell (power 0.0" in few[f"Engle-Granger, {exam.cointegration.direction}"].meaning


def test_the_time_that_is_shown_is_that_of_the_bars_and_of_the_zone() -> None:
    view = scene()
    sight = Sight(*view.bars, "SIMULATED", view.found)
    now = int(view.found.joined.time[-1])
    assert as_of(sight, "lead", now) == "As of 10:08:20 UTC"
    old = replace(view.found, summary=replace(view.found.summary, age_bars=5.0))
    assert as_of(replace(sight, found=old), "lead", now) == ":orange[As of 10:08:20 UTC]"
    assert as_of(replace(sight, found=None), "lead", now) == ""
    assert as_of(sight, "lead", now + 86_400_000).endswith(" 10:08:20 UTC")
    assert len(as_of(sight, "lead", now + 86_400_000)) > len(as_of(sight, "lead", now))
