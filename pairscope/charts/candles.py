"""The candles of one symbol above their volume.

Prices are float64 (60,000.12 has no float32), volumes float32.
"""

import numpy as np

from market import Bars, Flags, Floats, Label
from pairscope.charts.theme import (
    DARK,
    GLYPH_PX,
    Spec,
    Theme,
    base_layout,
    blank,
    find_theme,
    inert,
    price_decimals,
    time_axis,
    value_axis,
    watermark,
    zone_note,
)

_PRICE_PANE, _VOLUME_PANE = [0.23, 1], [0, 0.2]


def candles(
    bars: Bars,
    *,
    theme: Theme | str = DARK,
    price_title: str = "price",
    volume_title: str = "volume",
    label: Label = "LIVE",
    fresh: bool = True,
    zone: str = "UTC",
) -> Spec:
    """Draw bars as candles above their volume, with what is doubtful about them marked.

    Bars from exchange candles are hollow, the forming bar is faint, and bars that overlap a gap stand in a band.

    Args:
        bars: what to draw; without any, the figure says what is awaited.
        theme: "dark", "light" or a theme of your own.
        price_title: what the price is, with its unit, such as "price, USDT".
        volume_title: what the volume is, with its unit, such as "volume, ETH".
        label: where the trades come from; anything but LIVE is written across the chart.
        fresh: whether the last price is of now; otherwise it is grey.
        zone: the time zone that the times of the bars are read in, such as Europe/Berlin.
    """
    look = find_theme(theme)
    if not len(bars):
        return blank(
            f"No {bars.timeframe} bars of {bars.instrument} yet",
            f"The first one appears with the first trade, and closes after {bars.timeframe}.",
            theme=look,
        )
    decimals = price_decimals(np.concatenate((bars.open, bars.high, bars.low, bars.close)))
    right = _label_px(bars.high.max(), decimals)
    layout = base_layout(look, revision=f"{bars.instrument} {bars.timeframe}", right=right) | {
        "xaxis": time_axis(look, zone) | {"anchor": "y2"},
        "yaxis": value_axis(look) | {"domain": _PRICE_PANE, "tickformat": f",.{decimals}f"},
        "yaxis2": value_axis(look) | _volume_axis(bars.volume),
        "shapes": [*_gap_band(bars, look), _last_line(bars, _last_colour(bars, look, fresh=fresh))],
        "annotations": [
            _axis_title(price_title, _PRICE_PANE, look, right=right),
            _axis_title(volume_title, _VOLUME_PANE, look, right=right),
            zone_note(look, zone, right=right),
            _last_price(bars, look, decimals, _last_colour(bars, look, fresh=fresh)),
            *watermark(label, look),
        ],
    }
    traces = [*_candle_traces(bars, look, decimals), _spacer(bars), _gap_marks(bars, look), *_volume_traces(bars, look)]
    return {"data": traces, "layout": layout}


def _candle_traces(bars: Bars, look: Theme, decimals: int) -> list[Spec]:
    """Two traces for each kind of bar, without and with a gap: the legend explains the kinds, and can hide them."""
    forming, klines = bars.forming, bars.klines & ~bars.forming
    kinds: tuple[tuple[str, Flags, Spec], ...] = (
        (inert(f"{bars.instrument.symbol} {bars.timeframe}"), ~forming & ~klines, _bodies(look)),
        ("from exchange candles", klines, _bodies(look, hollow=True)),
        ("forming", forming, _bodies(look) | {"opacity": 0.5}),
    )
    return [
        _candle_trace(bars[rows & (bars.gap == gap)], decimals, name, gap=gap, alone=not (rows & ~bars.gap).any())
        | style
        for name, rows, style in kinds
        for gap in (False, True)
    ]


def _candle_trace(bars: Bars, decimals: int, name: str, *, gap: bool, alone: bool) -> Spec:
    if not len(bars):
        return {"type": "candlestick", "visible": False}
    rows = "".join(f"<br>{word} %{{{word}:,.{decimals}f}}" for word in ("open", "high", "low", "close"))
    return {
        "type": "candlestick",
        "name": name,
        "legendgroup": name,
        "showlegend": alone or not gap,
        "x": bars.time.astype(np.float64),
        "open": bars.open,
        "high": bars.high,
        "low": bars.low,
        "close": bars.close,
        "whiskerwidth": 0,
        "hovertemplate": f"{name}{', trades are missing' if gap else ''}{rows}<extra></extra>",
    }


def _bodies(look: Theme, *, hollow: bool = False) -> Spec:
    def body(colour: str) -> Spec:
        return {"line": {"color": colour, "width": 1}, "fillcolor": "rgba(0,0,0,0)" if hollow else colour}

    return {"increasing": body(look.up), "decreasing": body(look.down)}


def _spacer(bars: Bars) -> Spec:
    """Two candles without prices, one bar apart, the second one after the last bar.

    Plotly makes candles as wide as the smallest distance between two: a lone bar would be 1 ms wide, bars around a
    pause as wide as the pause. They are lists, because plotly.js takes NaN in a typed array for a price.
    """
    last = float(bars.time[-1])
    nothing = {price: [None, None] for price in ("open", "high", "low", "close")}
    return {"type": "candlestick", "x": [last, last + bars.timeframe.ms], **nothing, "showlegend": False}


def _volume_traces(bars: Bars, look: Theme) -> list[Spec]:
    """One trace a colour: a colour a bar weighs ten bytes as text, and plotly.js warns of each as a number."""
    up = bars.close >= bars.open
    tick = _volume_format(bars.volume)
    return [_volume_trace(bars[up], look.up, tick), _volume_trace(bars[~up], look.down, tick)]


def _volume_trace(bars: Bars, colour: str, tick: str) -> Spec:
    if not len(bars):
        return {"type": "bar", "visible": False}
    return {
        "type": "bar",
        "name": "volume",
        "x": bars.time.astype(np.float64),
        "y": bars.volume.astype(np.float32),
        "yaxis": "y2",
        "width": bars.timeframe.ms * 0.7,
        "marker": {"color": colour, "line": {"width": 0}},
        "opacity": 0.45,
        "showlegend": False,
        "hovertemplate": f"volume %{{y:{tick}}}<extra></extra>",
    }


def _gap_marks(bars: Bars, look: Theme) -> Spec:
    """Mark bars that overlap a gap below their low: at 1,500 bars the band behind them is thinner than a pixel."""
    doubtful = bars[bars.gap]
    if not len(doubtful):
        return {"type": "scatter", "visible": False}
    below = (bars.high.max() - bars.low.min()) * 0.02
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "gap: trades are missing",
        "x": doubtful.time.astype(np.float64),
        "y": doubtful.low - below,
        "marker": {"symbol": "triangle-up", "size": 7, "color": look.warning},
        "hoverinfo": "skip",  # a marker draws the hover to itself from 20 px around; the candle says it too
    }


def _gap_band(bars: Bars, look: Theme) -> list[Spec]:
    """Shade the runs of bars that overlap a gap, as one shape: a shape a run could outweigh the bars."""
    runs = gap_runs(bars)
    if not runs:
        return []
    moments = np.array(runs, dtype="datetime64[ms]").astype(str)
    path = " ".join(f"M{start.replace('T', '_')},0V1H{end.replace('T', '_')}V0Z" for start, end in moments)
    band = {"type": "path", "path": path, "xref": "x", "yref": "paper", "layer": "below"}
    return [band | {"line": {"width": 0}, "fillcolor": look.warning, "opacity": 0.16}]


def gap_runs(bars: Bars) -> list[tuple[int, int]]:
    """Return ``(start, end)`` in epoch ms of each run of bars that overlap a gap, as its candles stand on the axis."""
    edges = np.flatnonzero(np.diff(bars.gap, prepend=False, append=False))
    half = bars.timeframe.ms // 2  # a candle is centred on the start of its bar
    return [
        (int(bars.time[first]) - half, int(bars.time[after - 1]) + half)
        for first, after in edges.reshape(-1, 2).tolist()
    ]


def _last_line(bars: Bars, colour: str) -> Spec:
    last = float(bars.close[-1])
    line = {"color": colour, "width": 1, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": last, "y1": last, "line": line, "opacity": 0.7}


def _last_price(bars: Bars, look: Theme, decimals: int, colour: str) -> Spec:
    return {
        "text": f"{bars.close[-1]:,.{decimals}f}",
        "xref": "paper",
        "x": 1,
        "xanchor": "left",
        "y": float(bars.close[-1]),
        "showarrow": False,
        "borderpad": 2,
        "xshift": 2,
        "bgcolor": colour,
        "font": {"color": look.background, "size": 12},
    }


def _last_colour(bars: Bars, look: Theme, *, fresh: bool) -> str:
    if not fresh:
        return look.muted
    return look.up if bars.close[-1] >= bars.open[-1] else look.down


def _volume_axis(volume: Floats) -> Spec:
    pane = {"domain": _VOLUME_PANE, "rangemode": "tozero", "fixedrange": True, "nticks": 4}
    return pane | {"tickformat": _volume_format(volume)}


def _axis_title(text: str, pane: list[float], look: Theme, *, right: int) -> Spec:
    """Write the title of a value axis at the edge; Plotly's own stands where the labels of that one pane end."""
    place = {"xref": "paper", "x": 1, "xshift": right - 9, "yref": "paper", "y": sum(pane) / 2, "showarrow": False}
    return place | {"text": inert(text), "textangle": -90, "yanchor": "middle", "font": {"color": look.muted}}


def _volume_format(volume: Floats) -> str:
    """Pick one format for all volumes of a chart: thousands and millions get a letter, fractions their digits."""
    peak = float(np.nanmax(volume))
    return ".3~s" if peak >= 10_000 else ",.0f" if peak >= 100 else f".{3 if peak >= 1 else 6}~f"


def _label_px(highest: float, decimals: int) -> int:
    """Return the right margin that the axis title and the longest price label need."""
    return len(f"{highest:,.{decimals}f}") * GLYPH_PX + 30
