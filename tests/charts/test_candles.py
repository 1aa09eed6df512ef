import dataclasses
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from numpy.typing import NDArray

from market import Bars, Flags, Instrument, Timeframe, UnknownName, bars_from_rows
from pairscope import charts
from pairscope.charts import DARK, LIGHT, Theme, blank, gap_runs
from pairscope.charts.patches import pack

START = 1_763_600_000_000


def candles(bars: Bars, **options: Any) -> go.Figure:
    """Draw, and let Plotly look at every word."""
    return go.Figure(charts.candles(bars, **options))


def some_bars(n: int = 40, *, base: float = 60_000.12, timeframe: str = "5s") -> Bars:
    """Make a random walk in cents of whole bars, without marks."""
    rng = np.random.default_rng(7)
    length = Timeframe.parse(timeframe)
    close = np.round(base + np.cumsum(rng.integers(-300, 301, n)) / 100, 2)
    rows = [
        (START + k * length.ms, price - 0.5, price + 1.25, price - 1.5, price, 1.0 + k % 7, price, 0.5, 3)
        for k, price in enumerate(close.tolist())
    ]
    return bars_from_rows(Instrument("simulated", "BTCUSDT"), length, rows)


def marked(bars: Bars, **rows: slice | int) -> Bars:
    """Set flags, such as ``gap=slice(3, 5)``."""
    flags: dict[str, Flags] = {}
    for name, where in rows.items():
        flags[name] = np.zeros(len(bars), np.bool_)
        flags[name][where] = True
    return dataclasses.replace(bars, **flags)  # type: ignore[arg-type]  # only flags are given


def drawn(figure: Any, kind: str) -> list[Any]:
    """Return the traces of one kind that are seen and hold numbers."""
    return [trace for trace in figure.data if trace.type == kind and trace.visible is None and trace.name]


def column(traces: list[Any], name: str) -> NDArray[np.float64]:
    """Return one column of several traces, in the order of time."""
    joined = np.concatenate([np.asarray(trace[name], np.float64) for trace in traces])
    order = np.argsort(np.concatenate([trace.x for trace in traces]))
    return joined[order]


def texts(figure: Any) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def test_each_bar_is_drawn_once_as_candle_and_once_as_volume() -> None:
    bars = marked(some_bars(), klines=slice(0, 10), gap=slice(8, 14), forming=-1)
    figure = candles(bars)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(column(drawn(figure, "candlestick"), name), getattr(bars, name))
    np.testing.assert_allclose(column(drawn(figure, "bar"), "y"), bars.volume, rtol=1e-6)


def test_x_is_epoch_milliseconds_on_a_date_axis() -> None:
    """Plotly sends datetime64 as text, and epoch milliseconds do not fit into a float32."""
    bars = some_bars()
    figure = candles(bars)
    for trace in [*drawn(figure, "candlestick"), *drawn(figure, "bar")]:
        assert trace.x.dtype == np.float64
    np.testing.assert_array_equal(column(drawn(figure, "candlestick"), "x"), bars.time)
    assert figure.layout.xaxis.type == "date"


def test_prices_keep_all_their_digits() -> None:
    bars = some_bars(base=60_000.12)
    (trace,) = drawn(candles(bars), "candlestick")
    assert trace.close.dtype == np.float64
    assert trace.close.tolist() == bars.close.tolist()


@pytest.mark.parametrize("pattern", ["plain", "all marks"])
def test_1500_bars_weigh_at_most_200_kb(pattern: str) -> None:
    bars = some_bars(1_500)
    if pattern == "all marks":
        bars = marked(bars, gap=slice(0, None, 2), klines=slice(0, None, 3), forming=-1)
    assert len(pack(charts.candles(bars))) <= 200_000


def test_exchange_candles_are_hollow_and_named() -> None:
    plain, klines = drawn(candles(marked(some_bars(), klines=slice(0, 10))), "candlestick")
    assert klines.name == "from exchange candles"
    assert len(klines.x) == 10
    assert klines.increasing.fillcolor == "rgba(0,0,0,0)"
    assert plain.increasing.fillcolor == DARK.up


def test_the_forming_bar_is_faint_and_named() -> None:
    bars = marked(some_bars(), forming=-1)
    plain, forming = drawn(candles(bars), "candlestick")
    assert (forming.name, forming.x.tolist()) == ("forming", [bars.time[-1]])
    assert forming.opacity < 1
    assert plain.opacity is None


def test_bars_that_overlap_a_gap_stand_in_a_band_with_a_mark_each() -> None:
    bars = marked(some_bars(), gap=slice(8, 11))
    figure = candles(bars)
    (marks,) = drawn(figure, "scatter")
    assert marks.x.tolist() == bars.time[8:11].tolist()
    assert "gap" in marks.name
    assert (marks.y < bars.low[8:11]).all()
    (band,) = [shape for shape in figure.layout.shapes if shape.type == "path"]
    assert band.path.count("M") == 1
    assert "trades are missing" in drawn(figure, "candlestick")[1].hovertemplate


def test_a_run_of_gap_bars_covers_the_pause_between_them() -> None:
    """Where trades are missing whole bars are missing too; the band has no hole there."""
    bars = marked(some_bars(20), gap=slice(5, 9))
    holed = bars[np.array([k not in (6, 7) for k in range(20)])]
    assert gap_runs(holed) == gap_runs(bars) == [(START + 5 * 5_000 - 2_500, START + 8 * 5_000 + 2_500)]


def test_runs_at_both_ends_are_closed() -> None:
    bars = marked(some_bars(6), gap=slice(0, None, 5))
    assert len(gap_runs(bars)) == 2
    assert gap_runs(some_bars(6)) == []


def test_traces_keep_their_places_when_marks_come_and_go() -> None:
    """Plotly remembers by place what the user has hidden."""
    bare = candles(some_bars())
    full = candles(marked(some_bars(), klines=slice(0, 9), gap=slice(5, 15), forming=-1))
    assert [trace.type for trace in bare.data] == [trace.type for trace in full.data]


def test_each_kind_of_bar_has_one_entry_in_the_legend() -> None:
    figure = candles(marked(some_bars(), klines=slice(0, 9), gap=slice(5, 15), forming=-1))
    shown = [trace.name for trace in figure.data if trace.visible is None and trace.showlegend is not False]
    assert shown == ["BTCUSDT 5s", "from exchange candles", "forming", "gap: trades are missing"]
    only_gaps = candles(marked(some_bars(), gap=slice(None)))
    assert drawn(only_gaps, "candlestick")[0].showlegend


def test_without_bars_the_figure_says_what_comes_next() -> None:
    figure = candles(some_bars(0))
    assert "No 5s bars of simulated:BTCUSDT yet" in texts(figure)
    assert "first trade" in texts(figure)
    assert not figure.data


def test_a_lone_bar_is_as_wide_as_its_timeframe() -> None:
    """Plotly takes the smallest distance between candles for their width; the spacer makes that one bar."""
    figure = candles(some_bars(1))
    (spacer,) = [trace for trace in figure.data if trace.type == "candlestick" and trace.name is None and trace.x]
    assert np.diff(np.asarray(spacer.x)).tolist() == [5_000]
    assert list(spacer.close) == [None, None]


@pytest.mark.parametrize(("theme", "look"), [("dark", DARK), ("light", LIGHT), (LIGHT, LIGHT)])
def test_a_theme_is_a_name_or_an_object(theme: Theme | str, look: Theme) -> None:
    figure = candles(some_bars(), theme=theme)
    assert figure.layout.paper_bgcolor == look.background
    assert drawn(figure, "candlestick")[0].increasing.line.color == look.up
    assert go.Figure(blank("nothing", "wait", theme=theme)).layout.font.color == look.text


def test_an_unknown_theme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="did you mean dark"):
        candles(some_bars(), theme="darc")


def test_the_label_is_written_across_unless_the_data_are_live() -> None:
    assert "SIMULATED" in texts(candles(some_bars(), label="SIMULATED"))
    assert "REPLAY" in texts(candles(some_bars(), label="REPLAY"))
    assert "LIVE" not in texts(candles(some_bars()))


def test_titles_carry_the_units_and_the_time_its_zone() -> None:
    figure = candles(some_bars(), price_title="price, USDT", volume_title="volume, BTC")
    assert {"price, USDT", "volume, BTC", "UTC"} <= set(texts(figure).split(" | "))


def test_times_are_named_by_their_zone() -> None:
    figure = candles(some_bars(), zone="Asia/Tokyo")
    assert "Asia/Tokyo" in texts(figure)
    assert figure.layout.xaxis.hoverformat.endswith("Asia/Tokyo")


def test_zoom_outlives_a_refresh_but_not_a_change_of_symbol_or_timeframe() -> None:
    """Plotly keeps what the user did for as long as `uirevision` stays, and only for a range that we do not set."""
    bars = some_bars()
    first, later = candles(bars[:-5]), candles(bars)
    assert first.layout.uirevision == later.layout.uirevision
    assert later.layout.xaxis.range is None
    assert candles(some_bars(timeframe="1m")).layout.uirevision != later.layout.uirevision


def test_the_last_price_is_marked_on_the_axis_with_fixed_decimals() -> None:
    bars = some_bars()
    figure = candles(bars)
    assert f"{bars.close[-1]:,.2f}" in texts(figure)
    assert figure.layout.yaxis.tickformat == ",.2f"


def test_a_last_price_that_is_not_of_now_is_grey() -> None:
    def colour(*, fresh: bool) -> str:
        figure = candles(some_bars(), theme="dark", fresh=fresh)
        [colour] = [note.bgcolor for note in figure.layout.annotations if note.bgcolor]
        return str(colour)

    assert colour(fresh=False) == DARK.muted
    assert colour(fresh=True) in (DARK.up, DARK.down)


def test_text_from_outside_is_shown_as_it_stands() -> None:
    figure = candles(some_bars(), price_title='price, <a href="https://example.com">%{y}</a>')
    assert '<a href="' not in texts(figure)
    assert "%{" not in texts(figure)
    assert "&lt;b&gt;" in texts(go.Figure(blank("<b>", "soon")))
