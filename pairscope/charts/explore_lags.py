"""What moves first, and by how much: cross-correlations by lag, over time, by bar size and tick by tick.

A positive lag sets y beside an earlier x, so that x moves first; it is drawn at the right.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from market import DAY, HOUR, MINUTE, SECOND, Floats, Integers, Label
from pairscope.charts.explore_frame import (
    LINE,
    NO_BAR,
    band,
    corner,
    ends_of,
    framed,
    level,
    mixed,
    said,
    titled,
    zoned_axis,
)
from pairscope.charts.theme import DARK, Spec, Theme, blank, find_theme

if TYPE_CHECKING:
    from analytics import Correlation, CrossCorrelation, HayashiYoshida, LagCurve, LagHeatmap

SIZES = (1, 10, 100, SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, DAY)
LAGS = (-10_000, -1_000, -100, 0, 100, 1_000, 10_000)
Estimate = tuple[float, float, float]
"""A value, and the interval that holds it."""

NEAR_MS = 10.0
"""Lags below it are drawn evenly, longer ones by their logarithm."""


def cross_correlation_bars(
    found: "CrossCorrelation", *, names: tuple[str, str], bar: str, leads: int | None = None,
    theme: Theme | str = DARK, label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw the correlation at each lag, in the band in which it lies where there is none.

    Args:
        found: what to draw.
        names: what y and x are called.
        bar: the length of a bar, such as "5s".
        leads: the lag of the leg that leads, which is picked out.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look = find_theme(theme)
    values = found.frame["correlation"].to_numpy()
    if found.reason or not np.isfinite(values).any():
        return blank("No cross-correlation yet", found.reason, theme=look)
    lags, half = found.frame.index.to_numpy(dtype=np.float64), found.frame["high"].to_numpy()
    colours = np.where(np.abs(values) > half, look.accent, look.muted).astype(object)
    colours[lags == leads] = look.second
    bars: Spec = {"type": "bar", "x": lags, "y": values.astype(np.float32), "showlegend": False}
    bars |= {"marker": {"color": colours.tolist()}, **said("correlation", "+.3f")}
    return framed(
        look,
        [*band(lags, -half, half, look.muted), bars],
        x=titled(f"lag, bars of {bar}", look) | {"zeroline": True, "zerolinecolor": look.grid, "hoverformat": "+d"},
        y={"tickformat": ".2~f", "zeroline": True, "zerolinecolor": look.grid},
        labels=ends_of(np.append(values, -half), "+.2f"),
        revision=f"lags {names} {bar}",
        label=label,
        notes=_sides(names, look),
    )


def _sides(names: tuple[str, str], look: Theme) -> list[Spec]:
    """Say at both ends which leg moves first there."""
    y, x = names
    return [corner(f"← {y} moves first", look, at="left"), corner(f"{x} moves first →", look, at="right")]


def lag_heatmap(
    found: "LagHeatmap", time: Integers, *, names: tuple[str, str], bar: str, zone: str = "UTC",
    theme: Theme | str = DARK, label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw the cross-correlation of one past window after another: time to the right, lag upwards.

    Args:
        found: what to draw.
        time: the end of each window, in the milliseconds of the wall clock.
        names: what y and x are called.
        bar: the length of a bar.
        zone: what the time is called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look, matrix = find_theme(theme), found.matrix
    known = np.isfinite(matrix)
    if not known.any():
        missing = f"It takes {found.window:,} bars in a row in which both legs traded; longer bars miss fewer."
        return blank("No window is whole yet", missing, theme=look)
    most = max(0.1, math.ceil(float(np.abs(matrix[known]).max()) * 10) / 10)
    cells: Spec = {
        "type": "heatmap", "x": time.astype(np.float64), "y": found.lags.astype(np.float64),
        "z": np.where(known, matrix, np.nan).T.astype(np.float32), "zmin": -most, "zmax": most,
        "colorscale": _colours(look, quiet=min(0.9, 2 / math.sqrt(found.window) / most)),
        "hoverongaps": False,
        "hovertemplate": "lag %{y:+d}: %{z:+.3f}<extra></extra>",
        "colorbar": {
            "thickness": 8, "outlinewidth": 0, "x": 1.0, "xpad": 8, "ypad": 0, "nticks": 5, "tickformat": "+.1~f",
            "tickfont": {"color": look.muted},
        },
    }  # fmt: skip
    return framed(
        look,
        [cells],
        x=zoned_axis(look, zone),
        y=titled(f"lag, bars of {bar}", look)
        | {"tickformat": "d", "zeroline": False, "showgrid": False, "showspikes": False},
        labels=[f"{int(found.lags[0])}"],
        revision=f"heatmap {names} {bar} {found.window}",
        label=label,
        notes=[corner(f"↑ {names[1]} first   ↓ {names[0]} first", look, at="left")],
        right=54,
    )


def _colours(look: Theme, *, quiet: float) -> list[list[float | str]]:
    """Return colours from -1 to 1 that stay faint up to `quiet`, which chance alone reaches."""
    faint = [mixed(colour, look.background, 0.25) for colour in (look.down, look.accent)]
    places = (0.0, (1 - quiet) / 2, 0.5, (1 + quiet) / 2, 1.0)
    return [
        list(each) for each in zip(places, (look.down, faint[0], look.background, faint[1], look.accent), strict=True)
    ]


def bar_size_curve(
    by_size: "dict[int, Correlation]", by_pace: "dict[int, HayashiYoshida]", *, names: tuple[str, str],
    theme: Theme | str = DARK, label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw the correlation of bars by their length, beside that of the trades themselves.

    Args:
        by_size: the correlation of the bars of each length, in milliseconds.
        by_pace: the tick correlation of the last trade of each so many milliseconds; 1 is all trades.
        names: what y and x are called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look = find_theme(theme)
    bars = _certain({size: (each.value, each.low, each.high) for size, each in by_size.items()})
    ticks = _certain({pace: (each.correlation, each.low, each.high) for pace, each in by_pace.items()})
    if not bars and not ticks:
        return blank("No correlation yet", "It takes a few bars, or trades, of both legs.", theme=look)
    shapes = []
    if 1 in ticks:
        value, low, high = ticks[1]
        shapes = [level(value, look.third, dash="dash")]
        if math.isfinite(low):
            edges: Spec = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": low, "y1": high}
            shapes.append(edges | {"fillcolor": look.third, "opacity": 0.14, "line": {"width": 0}, "layer": "below"})
    key = LINE | {"x": [None], "y": [None], "line": {"color": look.third, "dash": "dash"}, "showlegend": bool(shapes)}
    every = [number for found in (bars, ticks) for values in found.values() for number in values]
    return framed(
        look,
        [
            _sized("bars of this length", bars, look.accent),
            _sized("trades, the last in each", ticks, look.second),
            key | {"name": "all trades", "hoverinfo": "skip"},
        ],
        x=titled("length of a bar, from which the last trade is taken", look)
        | {"type": "log", "tickvals": list(SIZES), "ticktext": [size_text(each) for each in SIZES]},
        y={"tickformat": ".2~f"},
        labels=ends_of(np.array(every), "+.2f"),
        revision=f"sizes {names}",
        label=label,
        shapes=shapes,
    )


def _certain(found: dict[int, Estimate]) -> dict[int, Estimate]:
    """Leave out what has no interval, unless nothing has one: of few bars any correlation may come."""
    known = {size: each for size, each in found.items() if math.isfinite(each[0])}
    return {size: each for size, each in known.items() if math.isfinite(each[1])} or known


def _sized(name: str, found: dict[int, Estimate], colour: str) -> Spec:
    """Return a line through values by size, each with its interval where it has one."""
    if not found:
        return NO_BAR
    sizes = np.array(list(found), dtype=np.float64)
    values, low, high = (np.array(each, dtype=np.float32) for each in zip(*found.values(), strict=True))
    room: Spec = {"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low}
    told = [
        f"{size_text(size)}: {value:+.3f}" + ("" if math.isnan(least) else f" ({least:+.3f} to {most:+.3f})")
        for size, (value, least, most) in found.items()
    ]
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": sizes, "y": values, "text": told,
        "line": {"color": colour, "width": 1.5}, "marker": {"color": colour, "size": 5},
        "error_y": room | {"color": colour, "thickness": 1, "width": 2},
        "hovertemplate": "%{fullData.name} %{text}<extra></extra>",
    }  # fmt: skip


def size_text(ms: int) -> str:
    """Write a short length of time in one unit: 10 ms, 5 s, 15 m, 1 h."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        if abs(ms) >= size:
            return f"{ms / size:g} {unit}"
    return f"{ms} ms"


def tick_lag_curve(
    found: "LagCurve", *, names: tuple[str, str], theme: Theme | str = DARK, label: Label = "LIVE"
) -> Spec:
    """Draw the tick correlation with x moved by each lag; short lags have more room than long ones.

    Args:
        found: what to draw.
        names: what y and x are called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look = find_theme(theme)
    values = found.frame["correlation"].to_numpy()
    known = np.isfinite(values)
    if not known.any():
        return blank("No lag curve yet", found.reason, theme=look)
    lags = found.frame.index.to_numpy()[known]
    low, high = (found.frame[name].to_numpy()[known] for name in ("low", "high"))
    place = _spaced(lags)
    line: Spec = LINE | {"mode": "lines+markers", "x": place, "y": values[known].astype(np.float32)}
    line |= {"line": {"color": look.accent, "width": 1.5}, "marker": {"color": look.accent, "size": 4}}
    line |= {"text": [_signed(int(lag)) for lag in lags], "name": "correlation"}
    line |= {"hovertemplate": "lag %{text}: %{y:+.3f}<extra></extra>"}
    peak = [] if found.lead_lag_ms is None else [float(_spaced(np.array([found.lead_lag_ms]))[0])]
    figure = framed(
        look,
        [*band(place, low, high, look.accent), line],
        x=titled("lag of the trades", look)
        | {"tickvals": _spaced(np.array(LAGS)), "ticktext": [_signed(each) for each in LAGS]},
        y={"tickformat": ".2~f", "zeroline": True, "zerolinecolor": look.grid},
        labels=ends_of(np.concatenate((low, high)), "+.2f"),
        revision=f"tick lags {names}",
        label=label,
        notes=_sides(names, look),
        shapes=[level(each, look.second, across="x") for each in peak],
    )
    figure["layout"]["hovermode"] = "closest"  # the place on the axis is no number that one could read
    return figure


def _spaced(lags: Integers) -> Floats:
    """Return where lags are drawn: evenly near 0, by their logarithm further out."""
    return np.arcsinh(lags / NEAR_MS)


def _signed(lag: int) -> str:
    return f"{'+' if lag > 0 else '−'}{size_text(abs(lag))}" if lag else "0"
