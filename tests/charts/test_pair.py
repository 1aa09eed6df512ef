import subprocess
import sys
import time as timer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from market import Flags, Floats, Instrument, Timeframe, bars_from_rows
from pairscope.charts import DARK, LIGHT, PairColumns, pair_panes
from pairscope.charts.pair_lines import FORMING, GAP, POINTS
from pairscope.charts.patches import pack

ROOT = Path(__file__).resolve().parents[2]
START, STEP, WINDOW = 1_763_600_000_000, 1_000, 60
SPREAD, ZSCORE, BETA, CORRELATION = "y3", "y4", "y5", "y6"


def some_panes(n: int = 400, *, seed: int = 7, busy: bool = False, gap: Flags | None = None) -> PairColumns:
    """Make a pair whose spread returns to its mean, the last bar forming; a busy one changes its state at random."""
    rng = np.random.default_rng(seed)
    x = np.round(60_000.12 + np.cumsum(rng.normal(size=n)), 2)
    zscore = 2 * np.sin(np.arange(n) / 15) + rng.normal(size=n) / 4
    zscore[: WINDOW - 1] = np.nan
    known = np.where(np.isnan(zscore), np.nan, 1.0)
    state = np.where(zscore >= 2, -1, np.where(zscore <= -2, 1, 0)).astype(np.int8)
    flags = np.zeros(n, np.uint8) if gap is None else gap.astype(np.uint8) * np.uint8(GAP)
    flags[-1:] |= FORMING
    return PairColumns(
        time=START + np.arange(n) * STEP,
        price_y=np.round(0.05 * x + 3 * np.nan_to_num(zscore), 2),
        price_x=x,
        spread=known * zscore * 3,
        mean=known * rng.normal(size=n) / 10,
        std=known * 3,
        zscore=zscore,
        beta=known * (0.05 + rng.normal(size=n) / 1_000),
        correlation=known * np.tanh(rng.normal(size=n)),
        state=rng.integers(-1, 2, n).astype(np.int8) if busy else state,
        flags=flags,
    )


def head(panes: PairColumns, n: int) -> PairColumns:
    return PairColumns._make(column[:n] for column in panes)


def draw(panes: PairColumns | None = None, **options: Any) -> go.Figure:
    """Draw, and let Plotly look at every word."""
    return go.Figure(spec(panes, **options))


def spec(panes: PairColumns | None = None, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"names": ("ETHUSDT", "BTCUSDT"), "entry": 2.0, "exit": 0.5, "window": WINDOW}
    return pair_panes(some_panes() if panes is None else panes, **(given | options))


def line_of(figure: go.Figure, name: str) -> Any:
    """Return the line of the closed bars."""
    return next(trace for trace in figure.data if trace.name == name and trace.opacity is None)


def tail_of(figure: go.Figure, name: str) -> Any:
    """Return the line of the forming bars, None where there is none."""
    return next((trace for trace in figure.data if trace.name == name and trace.opacity), None)


def marks_of(figure: go.Figure) -> dict[str, Any]:
    return {trace.marker.symbol: trace for trace in figure.data if trace.mode == "markers"}


def texts(figure: go.Figure) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def tags(figure: go.Figure) -> dict[str, Any]:
    return {note.yref: note for note in figure.layout.annotations if note.bgcolor}


STATES: dict[str, PairColumns] = {
    "all": some_panes(),
    "one bar": head(some_panes(), 1),
    "warming up": head(some_panes(), 40),
    "gaps": some_panes(gap=np.arange(400) % 50 < 3),
    "long": some_panes(5_000, busy=True),
    "nothing forming": head(some_panes(), 399),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("options", [{}, {"rebased": True, "stop": 3.0, "whole_correlation": True, "theme": "light"}])
def test_plotly_knows_every_word_of_the_figure(state: str, options: dict[str, Any]) -> None:
    """The figure is not validated when it is made, because that takes longer than all else."""
    draw(STATES[state], **options)


def test_five_panes_stand_below_each_other_on_one_time_axis() -> None:
    figure = draw()
    spans = [figure.layout[name].domain for name in ("yaxis", "yaxis3", "yaxis4", "yaxis5", "yaxis6")]
    assert all(above[0] > below[1] for above, below in pairwise(spans))
    assert (spans[0][1], spans[-1][0]) == pytest.approx((1, 0))
    assert {trace.xaxis for trace in figure.data} == {None}
    assert (figure.layout.xaxis.type, figure.layout.xaxis.anchor) == ("date", "y6")
    assert (figure.layout.hovermode, figure.layout.hoversubplots) == ("x unified", "axis")


@pytest.mark.parametrize("height", [300, 760, 1_400])
def test_titles_have_the_same_room_at_every_height(height: int) -> None:
    figure = draw(height=height)
    gap = figure.layout.yaxis3.domain[0] - figure.layout.yaxis4.domain[1]
    assert gap * (height - 78) == pytest.approx(34, abs=0.1) or height == 300


def test_time_is_epoch_milliseconds_and_prices_keep_all_their_digits() -> None:
    panes = some_panes()
    figure = draw(panes)
    for name, column in (("ETHUSDT", panes.price_y), ("BTCUSDT", panes.price_x)):
        line = line_of(figure, name)
        assert line.x.dtype == line.y.dtype == np.float64
        np.testing.assert_array_equal(line.x, panes.time[:-1])
        np.testing.assert_array_equal(line.y, column[:-1])
    for name, column in (("spread", panes.spread), ("z-score", panes.zscore), ("β", panes.beta)):
        assert line_of(figure, name).y.dtype == np.float32
        np.testing.assert_allclose(line_of(figure, name).y, column[:-1], rtol=1e-6)


def test_each_price_has_an_axis_of_its_colour() -> None:
    layout = draw().layout
    assert (layout.yaxis.side, layout.yaxis.tickfont.color) == ("left", DARK.accent)
    assert (layout.yaxis2.side, layout.yaxis2.tickfont.color) == ("right", DARK.second)
    assert layout.yaxis2.overlaying == "y"


def test_rebased_prices_begin_at_100_on_one_axis() -> None:
    figure = draw(rebased=True)
    assert [line_of(figure, name).y[0] for name in ("ETHUSDT", "BTCUSDT")] == [100, 100]
    assert line_of(figure, "BTCUSDT").yaxis == "y"
    assert "yaxis2" not in figure.layout.to_plotly_json()
    assert "first bar = 100" in texts(figure)
    change = some_panes().price_x[-1] / some_panes().price_x[0] - 1
    assert f"{100 * change:+.2f} %" in texts(figure)


def test_the_band_is_the_mean_and_the_entry_around_it() -> None:
    panes = some_panes()
    lower, upper = [trace for trace in draw(panes, entry=1.5).data if trace.yaxis == SPREAD and trace.line.width == 0]
    np.testing.assert_allclose(lower.y, (panes.mean - 1.5 * panes.std)[:-1], rtol=1e-5)
    np.testing.assert_allclose(upper.y, (panes.mean + 1.5 * panes.std)[:-1], rtol=1e-5)
    assert upper.fill == "tonexty"


def levels(figure: go.Figure) -> list[float]:
    return sorted(shape.y0 for shape in figure.layout.shapes if shape.type == "line")


def test_thresholds_are_drawn_and_always_seen() -> None:
    figure = draw(entry=2.5, exit=0.25)
    assert levels(figure) == [-2.5, -0.25, 0.25, 2.5]
    assert figure.layout.yaxis4.autorangeoptions.include == (-3.0, 3.0)
    assert levels(draw(exit=0.0)) == [-2, 2]


def test_a_stop_is_drawn_when_z_comes_near_it() -> None:
    assert levels(draw(stop=3.0)) == [-3, -2, -0.5, 0.5, 2, 3]
    assert levels(draw(stop=9.0)) == [-2, -0.5, 0.5, 2]


def test_signals_stand_where_the_state_changes() -> None:
    state = np.zeros(400, np.int8)
    state[100:120], state[120:140], state[200:210] = 1, -1, -1
    panes = some_panes()._replace(state=state)
    marks = marks_of(draw(panes))
    bars = {symbol: ((trace.x - START) / STEP).tolist() for symbol, trace in marks.items()}
    assert bars == {"triangle-up": [100], "triangle-down": [120, 200], "circle-open": [140, 210]}
    assert marks["triangle-down"].y.tolist() == panes.zscore[[120, 200]].astype(np.float32).tolist()
    assert (marks["triangle-up"].marker.color, marks["triangle-down"].marker.color) == (DARK.up, DARK.down)


def test_a_position_from_before_the_first_bar_and_the_forming_bar_give_no_signal() -> None:
    state = np.ones(400, np.int8)
    state[-1] = -1
    assert marks_of(draw(some_panes()._replace(state=state))) == {}


def test_of_too_many_signals_the_figure_says_how_many_are_drawn() -> None:
    figure = draw(some_panes(20_000, busy=True))
    drawn = sum(len(trace.x) for trace in marks_of(figure).values())
    assert drawn <= 900
    assert f"{drawn:,} of 13," in texts(figure)
    assert "signals drawn" not in texts(draw())


def test_the_forming_bar_is_faint_and_joined_to_the_last_closed_one() -> None:
    panes = some_panes()
    figure = draw(panes)
    for name in ("ETHUSDT", "BTCUSDT", "spread", "z-score", "β", "correlation"):
        assert line_of(figure, name).x[-1] == panes.time[-2]
        tail = tail_of(figure, name)
        assert tail.x.tolist() == panes.time[-2:].tolist()
        assert (tail.line.dash, tail.hoverinfo) == ("dot", "skip")
        assert tail.opacity < 1
    assert tail_of(draw(head(panes, 399)), "z-score") is None


def test_a_gap_stands_in_a_band_that_covers_the_pause_in_it() -> None:
    gap = np.zeros(400, np.bool_)
    gap[100:104] = gap[300] = True
    there = np.ones(400, np.bool_)
    there[101:103] = False
    panes = PairColumns._make(column[there] for column in some_panes(gap=gap))
    [band] = [shape for shape in draw(panes).layout.shapes if shape.type == "path"]
    first, second = band.path.split(" ")
    assert (first.count("M"), second.count("M")) == (1, 1)
    moments = first.removesuffix("V0Z").replace("M", "").split(",0V1H")
    ends = [int(np.datetime64(moment.replace("_", "T"), "ms").astype(np.int64)) for moment in moments]
    assert ends == [START + 100 * STEP - 500, START + 103 * STEP + 500]


def test_gaps_that_would_touch_on_the_screen_are_one() -> None:
    panes = some_panes(50_000, gap=np.arange(50_000) % 2 == 0)
    [band] = [shape for shape in draw(panes).layout.shapes if shape.type == "path"]
    assert band.path.count("M") == 1


def test_the_warm_up_is_shaded_and_said() -> None:
    figure = draw()
    assert "from bar 60 on" in texts(figure)
    [shade] = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (shade.x0, shade.x1) == (START, START + (WINDOW - 1) * STEP)


def test_while_nothing_is_known_the_figure_says_what_is_missing() -> None:
    figure = draw(head(some_panes(), 37))
    assert texts(figure).count("37 of 60 bars") == 3
    assert texts(figure).count("37 of 61 bars") == 1  # a correlation is of returns
    assert not figure.layout.yaxis3.showticklabels
    assert not tags(figure)
    assert "not known yet" in texts(draw(head(some_panes(), 37), window=None))


def test_without_bars_the_figure_says_what_comes_next() -> None:
    figure = draw(head(some_panes(), 0))
    assert not figure.data
    assert "No bar of ETHUSDT and BTCUSDT yet" in texts(figure)


def test_the_edge_has_the_values_of_the_last_closed_bar() -> None:
    panes = some_panes()
    shown = tags(draw(panes))
    assert set(shown) == {SPREAD, ZSCORE, BETA, CORRELATION}
    assert shown[ZSCORE].text == f"{panes.zscore[-2]:+.2f}"
    assert shown[ZSCORE].y == panes.zscore[-2]
    assert shown[BETA].text == f"{panes.beta[-2]:.5f}"


def test_numbers_that_are_not_of_now_are_grey() -> None:
    fresh, old = draw(), draw(fresh=False)
    assert {note.bgcolor for note in tags(old).values()} == {DARK.muted}
    assert DARK.muted not in {note.bgcolor for note in tags(fresh).values()}
    newest = f"{some_panes().price_y[-1]:,.2f}</span>"
    assert f'{DARK.text}">{newest}' in texts(fresh)
    assert f'{DARK.muted}">{newest}' in texts(old)


def test_titles_carry_the_newest_prices_and_the_units() -> None:
    panes = some_panes()
    said = texts(draw(panes, price_units=("USDT", "EUR"), spread_unit="USDT", beta_unit="BTC per ETH"))
    assert f"{panes.price_x[-1]:,.2f}</span> EUR" in said
    assert f"{panes.price_y[-1]:,.2f}</span> USDT" in said
    assert "spread, USDT, in the band of its mean ± 2 σ" in said
    assert "hedge ratio β, BTC per ETH" in said
    assert "correlation of returns, 60 bars" in said
    assert texts(draw(panes, price_units=("USDT", "USDT"))).count("USDT</span>") == 2  # the names; the unit stands once
    assert "UTC" in said


def test_text_from_outside_is_shown_as_it_stands() -> None:
    evil = '<a href="https://example.com">%{y}</a>'
    figure = draw(names=(evil, evil), price_units=(evil, "<b>"), spread_unit=evil, beta_unit=evil)
    words = [texts(figure), *(f"{trace.name} {trace.hovertemplate}" for trace in figure.data)]
    assert not [each for each in words if "<a" in each or "<b>" in each]
    assert "%{y}<" not in texts(figure)


def test_long_names_are_cut_in_the_title_alone() -> None:
    name = "binance-futures:1000000MOGUSDT"
    figure = draw(names=(name, "BTCUSDT"))
    assert name not in texts(figure)
    assert "binance-futures:1…" in texts(figure)
    assert line_of(figure, name).name == name


def test_the_label_is_written_across_unless_the_data_are_live() -> None:
    assert "SIMULATED" in texts(draw(label="SIMULATED"))
    assert "LIVE" not in texts(draw())


def test_zoom_outlives_a_refresh_but_not_another_choice() -> None:
    def revision(**options: Any) -> Any:
        return draw(**options).layout.uirevision

    assert draw(some_panes(399)).layout.uirevision == revision()
    assert draw().layout.xaxis.range is None
    others = [revision(names=("A", "B")), revision(rebased=True), revision(revision="5s")]
    assert len({revision(), *others}) == 4


def test_the_time_axis_ends_with_the_data() -> None:
    """Signals near the edges would widen it."""
    edges = draw().layout.xaxis.autorangeoptions
    assert START - 2 * STEP <= edges.clipmin < START
    assert START + 399 * STEP < edges.clipmax <= START + 401 * STEP


def test_traces_keep_their_places_whatever_is_shown() -> None:
    """Plotly remembers by place."""
    assert {len(draw(panes).data) for panes in STATES.values()} == {17}


def test_the_correlation_may_have_its_whole_axis() -> None:
    assert draw(whole_correlation=True).layout.yaxis6.range == (-1, 1)
    assert draw().layout.yaxis6.range is None


@pytest.mark.parametrize(("theme", "look"), [("dark", DARK), ("light", LIGHT)])
def test_the_figure_has_the_colours_of_the_theme(theme: str, look: Any) -> None:
    figure = draw(theme=theme)
    assert figure.layout.paper_bgcolor == look.background
    assert line_of(figure, "ETHUSDT").line.color == look.accent


def test_the_hover_of_a_thinned_line_says_that_it_shows_the_bars_drawn() -> None:
    assert "nearest bars drawn" in draw(some_panes(5_000)).layout.xaxis.unifiedhovertitle.text
    assert draw().layout.xaxis.unifiedhovertitle.text is None


@pytest.mark.parametrize("gap", ["none", "scattered"])
def test_86400_bars_weigh_at_most_200_kb(gap: str) -> None:
    scattered = np.random.default_rng(1).random(86_400) < 0.0003
    panes = some_panes(86_400, busy=True, gap=scattered if gap == "scattered" else None)
    assert len(pack(spec(panes))) <= 200_000


@pytest.mark.nightly
def test_86400_bars_are_drawn_within_milliseconds() -> None:
    """It takes 6 ms on a quiet core; the bound leaves room for a busy one."""
    panes, took = some_panes(86_400), []
    for _ in range(7):
        start = timer.perf_counter()
        pack(spec(panes))
        took.append(timer.perf_counter() - start)
    assert min(took) < 0.04


def test_what_is_zoomed_to_is_drawn_whole_and_the_rest_thinly() -> None:
    panes = some_panes(50_000)
    start, end = START + 20_000 * STEP, START + 21_000 * STEP
    before, zoomed = draw(panes), draw(panes, seen=(start, end))
    for name in ("ETHUSDT", "spread", "z-score", "β", "correlation"):
        times = line_of(zoomed, name).x
        inside = times[(times >= start) & (times <= end)]
        assert inside.tolist() == list(range(start, end + 1, STEP))
        assert len(times) < 2 * POINTS
        assert times[[0, -1]].tolist() == line_of(before, name).x[[0, -1]].tolist()
    assert "nearest bars drawn" in before.layout.xaxis.unifiedhovertitle.text
    assert zoomed.layout.xaxis.unifiedhovertitle.text is None


def test_what_is_in_sight_hardly_changes_while_bars_come() -> None:
    """Past lines would flicker."""
    panes, seen = some_panes(50_000), (START + 5_000 * STEP, START + 30_000 * STEP)

    def drawn(first: int) -> set[float]:
        times = line_of(draw(PairColumns._make(column[first:] for column in panes), seen=seen), "z-score").x
        return set(times[(times >= seen[0]) & (times <= seen[1])].tolist())

    assert drawn(0) == drawn(1) == drawn(50)


def test_the_axes_reach_over_what_is_in_sight() -> None:
    panes, seen = some_panes(5_000), (START + 1_000 * STEP, START + 1_100 * STEP)
    figure = draw(panes, seen=seen)
    for axis, column in (("yaxis", panes.price_y), ("yaxis2", panes.price_x), ("yaxis5", panes.beta)):
        options, part = figure.layout[axis].autorangeoptions, column[980:1_120]
        assert part.min() - 0.1 * np.ptp(part) < options.clipmin < part.min()
        assert part.max() < options.clipmax < part.max() + 0.1 * np.ptp(part)
    assert figure.layout.yaxis4.autorangeoptions.clipmax > 2.4
    assert draw(panes).layout.yaxis.autorangeoptions.clipmin is None


@pytest.mark.parametrize("seen", [(0, 1), (START - 9e9, START + 9e9), (9e15, 9.1e15), (START + 0.5, START + 0.6)])
def test_a_zoom_to_anywhere_is_drawn(seen: tuple[float, float]) -> None:
    line = line_of(draw(some_panes(5_000, busy=True), seen=seen), "z-score")
    assert (np.diff(line.x) > 0).all()
    assert 100 < len(line.x) < 2 * POINTS


def test_times_are_named_by_their_zone() -> None:
    figure = draw(some_panes(5_000), zone="Europe/Berlin")
    assert "Europe/Berlin" in texts(figure)
    assert "UTC" not in texts(figure)
    assert figure.layout.xaxis.hoverformat.endswith("Europe/Berlin")
    assert "Europe/Berlin, nearest" in figure.layout.xaxis.unifiedhovertitle.text


def test_a_clock_that_is_put_back_is_drawn() -> None:
    panes = some_panes(5_000)
    back = np.where(np.arange(5_000) < 2_500, 0, 1_000_000)
    [band] = [
        shape
        for shape in draw(
            panes._replace(time=panes.time - back, flags=(np.arange(5_000) == 100) * np.uint8(GAP))
        ).layout.shapes
        if shape.type == "path"
    ]
    assert band.path.count("M") == 1


def test_the_title_says_which_bars_the_hedge_knows() -> None:
    assert "hedge ratio β of the last 60 bars, BTC/ETH" in texts(
        draw(beta_of="of the last 60 bars", beta_unit="BTC/ETH")
    )


def analysed(legs: list[Floats]) -> Any:
    from analytics import analyze_pair

    bars = [
        bars_from_rows(
            Instrument("simulated", symbol),
            Timeframe(STEP),
            [
                (START + k * STEP, p, p, p, p, 1.0, p, 0.5, 1, False, k == 7, k == 199)
                for k, p in enumerate(closes.tolist())
            ],
        )
        for symbol, closes in zip(("ETHUSDT", "BTCUSDT"), legs, strict=True)
    ]
    return analyze_pair(*bars, window=WINDOW)


def test_an_analysis_fits_into_the_panes() -> None:
    panes = some_panes(200)
    found = analysed([panes.price_y, panes.price_x])
    columns = PairColumns.of(found.joined.time, found.columns, found.joined.flags)
    assert columns.zscore is found.columns["zscore"]
    assert (columns.flags[-1], columns.flags[7]) == (FORMING, GAP)
    assert tags(draw(columns))[ZSCORE].text == f"{found.summary.zscore:+.2f}"


def test_columns_that_are_not_there_are_not_known() -> None:
    panes = some_panes(50)
    columns = PairColumns.of(panes.time, {"price_y": panes.price_y, "price_x": panes.price_x}, panes.flags)
    assert np.isnan(columns.zscore).all()
    assert not columns.state.any()
    assert "49 of 60 bars" in texts(draw(columns))


def test_charts_are_loaded_without_the_numbers() -> None:
    """They stand in the first paint; pandas and numba take a second each."""
    heavy = "{'pandas', 'numba', 'scipy', 'analytics', 'pairscope.numbers', 'streamlit'}"
    code = f"import sys, pairscope.charts; sys.exit(str({heavy} & set(sys.modules) or ''))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stderr.strip() == ""
