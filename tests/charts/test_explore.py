"""The charts of the Explore page: what they draw, in words that Plotly knows, with and without data."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from analytics import (
    Trades,
    autocorrelation,
    bar_correlations,
    cross_correlation,
    cross_correlation_heatmap,
    hayashi_yoshida,
    hayashi_yoshida_curve,
    histogram,
    normal_quantiles,
)
from pairscope.charts import (
    DARK,
    HedgePaths,
    autocorrelation_bars,
    bar_size_curve,
    cross_correlation_bars,
    hedge_paths,
    hedge_scatter,
    lag_heatmap,
    quantile_plot,
    residual_histogram,
    residual_line,
    tick_lag_curve,
)
from pairscope.charts.explore_frame import mixed
from pairscope.charts.explore_lags import size_text
from pairscope.charts.patches import pack

NAMES = ("ETHUSDT", "BTCUSDT")
EVIL = ("<b>%{x}</b>", "[x](javascript:alert(1))")
START = 1_763_600_000_000
N = 900


def legs(n: int = N) -> tuple[Any, Any]:
    """A pair in which y follows x by one bar."""
    rng = np.random.default_rng(3)
    moves = rng.normal(size=n + 1) / 1_000
    x = 60_000 * np.exp(np.cumsum(moves[1:]))
    return 3_000 * np.exp(np.cumsum(moves[:-1] + rng.normal(size=n) / 2_000)), x


Y, X = legs()
TIME = START + 1_000 * np.arange(N, dtype=np.int64)
TICKS = Trades(TIME + 300, Y), Trades(TIME + 700, X)
SPREAD = np.random.default_rng(4).standard_t(4, size=N)
NONE = np.empty(0)
NO_TICKS = Trades(np.empty(0, np.int64), NONE)
SIZES = (1_000, 5_000, 60_000)


def some_paths(**change: Any) -> HedgePaths:
    beta = 0.05 + np.random.default_rng(5).normal(size=N) / 500
    beta[:59] = np.nan
    given: dict[str, Any] = {
        "time": TIME, "rolling": beta, "fit": np.abs(beta) * 10, "kalman": 0.9 * beta, "error": beta / 10,
        "whole": 0.05, "low": 0.049, "high": 0.051,
    }  # fmt: skip
    return HedgePaths(**(given | change))


def sizes_of(ticks: tuple[Trades, Trades]) -> dict[str, Any]:
    return {
        "by_size": bar_correlations(*ticks, sizes_ms=SIZES),
        "by_pace": {pace: hayashi_yoshida(*ticks, every_ms=pace) for pace in (1, *SIZES)},
    }


def drawn(names: tuple[str, str] = NAMES, **options: Any) -> dict[str, dict[str, Any]]:
    """Return every chart, of enough data."""
    both: dict[str, Any] = {"names": names, **options}
    left: dict[str, Any] = {"name": "spread", **options}
    heat = cross_correlation_heatmap(Y, X, max_lag=10, window=60)
    return {
        "lags": cross_correlation_bars(cross_correlation(Y, X, max_lag=10), bar="1s", leads=1, **both),
        "heatmap": lag_heatmap(heat, TIME[heat.times.to_numpy()], bar="1s", zone="Europe/Berlin", **both),
        "sizes": bar_size_curve(**sizes_of(TICKS), **both),
        "tick lags": tick_lag_curve(hayashi_yoshida_curve(*TICKS), **both),
        "line": residual_line(TIME, SPREAD, unit="USDT", zone="Europe/Berlin", **left),
        "histogram": residual_histogram(histogram(SPREAD), unit="USDT", **left),
        "quantiles": quantile_plot(normal_quantiles(SPREAD), **left),
        "memory": autocorrelation_bars(autocorrelation(SPREAD), bar="1s", **left),
        "hedge": hedge_paths(some_paths(), window=60, unit="BTC/ETH", zone="Europe/Berlin", **options),
        "change": hedge_paths(
            some_paths(broken=START + 400_000, before=0.04, after=0.06), window=60, unit="BTC/ETH", **options
        ),
        "scatter": hedge_scatter(
            Y, X, [("before", 1.0, 0.04), ("after", 2.0, 0.05)], units=("USDT", "USDT"), split=400, **both
        ),
    }


def empty() -> dict[str, dict[str, Any]]:
    """Return every chart, without data."""
    nan = np.full(5, math.nan)
    heat = cross_correlation_heatmap(Y[:40], X[:40], max_lag=10, window=60)
    left: dict[str, Any] = {"name": "spread"}
    return {
        "lags": cross_correlation_bars(cross_correlation(NONE, NONE, max_lag=10), bar="1s", names=NAMES),
        "heatmap": lag_heatmap(heat, TIME[:0], bar="1s", names=NAMES),
        "sizes": bar_size_curve(**sizes_of((NO_TICKS, NO_TICKS)), names=NAMES),
        "tick lags": tick_lag_curve(hayashi_yoshida_curve(NO_TICKS, NO_TICKS), names=NAMES),
        "line": residual_line(TIME[:0], NONE, unit="USDT", **left),
        "histogram": residual_histogram(histogram(NONE), unit="USDT", **left),
        "quantiles": quantile_plot(normal_quantiles(NONE), **left),
        "memory": autocorrelation_bars(autocorrelation(NONE), bar="1s", **left),
        "hedge": hedge_paths(
            some_paths(time=TIME[:5], rolling=nan, kalman=nan, fit=nan, error=nan), window=60, unit="BTC/ETH"
        ),
        "scatter": hedge_scatter(NONE, NONE, [], names=NAMES),
    }


CHARTS = drawn()


def figure(name: str) -> go.Figure:
    return go.Figure(CHARTS[name])


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_plotly_knows_every_word_and_every_chart_can_be_sent(theme: str) -> None:
    for spec in drawn(theme=theme, label="SIMULATED").values():
        assert go.Figure(spec).data
        assert len(pack(spec)) < 60_000
        assert "SIMULATED" in [note["text"] for note in spec["layout"]["annotations"]]


@pytest.mark.parametrize("name", empty())
def test_without_data_a_chart_says_what_is_missing(name: str) -> None:
    spec = empty()[name]
    assert go.Figure(spec).data == ()
    assert len(spec["layout"]["annotations"][0]["text"]) > 20


@pytest.mark.parametrize("name", CHARTS)
def test_axes_say_what_they_measure(name: str) -> None:
    layout = CHARTS[name]["layout"]
    assert layout["xaxis"]["title"]["text"]
    if name in ("line", "heatmap", "hedge"):
        assert layout["xaxis"]["title"]["text"] == "time, Europe/Berlin"
        assert "Europe/Berlin" in layout["xaxis"]["hoverformat"]


def test_foreign_names_are_inert() -> None:
    for spec in drawn(names=EVIL).values():
        del spec["layout"]["uirevision"]  # which nobody reads
        words = pack(spec).decode()
        assert "<b>" not in words
        assert "%{x}&lt;" not in words


def test_the_lag_of_the_leader_is_picked_out() -> None:
    bars = figure("lags").data[-1]
    assert bars.marker.color[list(bars.x).index(1)] == DARK.second
    assert max(zip(np.abs(bars.y), bars.x, strict=True))[1] == 1


def test_the_heatmap_has_time_to_the_right_and_lags_upwards() -> None:
    cells = figure("heatmap").data[0]
    assert np.asarray(cells.z).shape == (21, len(cells.x))
    assert (cells.zmin, cells.zmax) == (-cells.zmax, cells.zmax)
    assert [float(place) for place, _ in cells.colorscale] == sorted(float(place) for place, _ in cells.colorscale)


def test_lengths_without_an_interval_are_left_out() -> None:
    found = sizes_of(TICKS)
    assert math.isnan(found["by_size"][60_000].low)
    bars, ticks, _ = figure("sizes").data
    assert 60_000 not in bars.x
    assert bars.error_y.array.dtype == np.float32
    assert list(bars.x) == sorted(bars.x)
    assert 1 in ticks.x


def test_all_trades_are_a_line_in_its_interval() -> None:
    line, shade = CHARTS["sizes"]["layout"]["shapes"]
    every = sizes_of(TICKS)["by_pace"][1]
    assert (line["y0"], shade["y0"], shade["y1"]) == (every.correlation, every.low, every.high)


def test_short_lags_have_more_room_than_long_ones() -> None:
    place = dict(zip(figure("tick lags").data[-1].text, figure("tick lags").data[-1].x, strict=True))
    assert place["+100 ms"] - place["+10 ms"] > place["+10 s"] - place["+9 s"] > 0
    assert place["−1 s"] == -place["+1 s"]


@pytest.mark.parametrize(
    ("ms", "text"), [(10, "10 ms"), (1_000, "1 s"), (1_500, "1.5 s"), (120_000, "2 m"), (3_600_000, "1 h")]
)
def test_lengths_of_time_are_short(ms: int, text: str) -> None:
    assert size_text(ms) == text


def test_points_outside_the_band_of_a_normal_stand_out() -> None:
    points, found = figure("quantiles").data[-1], normal_quantiles(SPREAD)
    outside = (found.found < found.low) | (found.found > found.high)
    assert [colour == DARK.second for colour in points.marker.color] == outside.tolist()
    assert outside.any()


def test_a_changed_hedge_is_a_step_and_a_mark() -> None:
    step = next(trace for trace in figure("change").data if trace.name == "before and after the change")
    assert list(step.y) == [0.04, 0.04, 0.06, 0.06]
    assert CHARTS["change"]["layout"]["shapes"][0]["x0"] == START + 400_000
    assert "all bars, knows the future" in [trace.name for trace in figure("hedge").data]


def test_the_first_wild_bars_do_not_flatten_the_hedge() -> None:
    wild = some_paths().kalman.copy()
    wild[59:61] = 50.0
    low, high = hedge_paths(some_paths(kalman=wild), window=60, unit="")["layout"]["yaxis"]["range"]
    assert high - low < 0.1


def test_the_scatter_keeps_bars_before_and_after_a_change_apart() -> None:
    before, after, *lines = figure("scatter").data
    assert len(before.x) + len(after.x) <= 700
    assert before.marker.color != after.marker.color
    assert [line.name for line in lines] == ["before", "after"]


def test_a_long_line_is_thinned_and_keeps_its_ends() -> None:
    values = np.random.default_rng(6).normal(size=50_000).cumsum()
    line = residual_line(START + 1_000 * np.arange(50_000), values, name="spread", unit="")["data"][0]
    assert len(line["x"]) < 1_000
    assert (line["y"].min(), line["y"].max()) == (np.float32(values.min()), np.float32(values.max()))


def test_a_mixed_colour_lies_between_both() -> None:
    assert mixed("#ffffff", "#000000", 0.25) == "#404040"
