"""The hedge ratio over time, followed in two ways, and the legs beside each other with their lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market import Floats, Integers, Label
from pairscope.charts.explore_frame import (
    LINE,
    NO_BAR,
    RIGHT_PX,
    band,
    ends_of,
    framed,
    level,
    said,
    titled,
    zoned_axis,
)
from pairscope.charts.explore_residuals import decimals_of, trimmed
from pairscope.charts.panes import side_px
from pairscope.charts.theme import DARK, Spec, Theme, blank, find_theme, inert, value_axis
from pairscope.charts.thinning import thin

POINTS, EDGES, DOTS = 700, 300, 700
BETA_PANE, FIT_PANE = [0.3, 1.0], [0.0, 0.22]


@dataclass(frozen=True, slots=True, eq=False)
class HedgePaths:
    """A hedge ratio by bar: `rolling` of each window with its R², `kalman` with its standard error.

    `time` is in the milliseconds of the wall clock. `whole`, `low` and `high` are the ratio of all bars; `broken` is
    when it changed, and `before` and `after` what it was on both sides, where it did.
    """

    time: Integers
    rolling: Floats
    fit: Floats
    kalman: Floats
    error: Floats
    whole: float
    low: float
    high: float
    broken: int | None = None
    before: float = math.nan
    after: float = math.nan


def hedge_paths(
    paths: HedgePaths, *, window: int, unit: str, zone: str = "UTC", theme: Theme | str = DARK, label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw the hedge ratio of a moving window and of a Kalman filter, above how well the window's line fits.

    Args:
        paths: what to draw.
        window: bars of the moving window.
        unit: what the ratio is counted in.
        zone: what the time is called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look = find_theme(theme)
    every = np.concatenate((paths.rolling, paths.kalman))
    known = every[np.isfinite(every)]
    if not len(known):
        return blank("No hedge ratio yet", f"The first one appears after {window:,} bars of both legs.", theme=look)
    rows = thin(paths.time, [paths.rolling, paths.kalman, paths.fit], POINTS)
    time, numbers = paths.time[rows].astype(np.float64), decimals_of(_core(known))
    low, high = paths.kalman - 1.96 * paths.error, paths.kalman + 1.96 * paths.error
    edges = thin(paths.time, [low, high], EDGES)
    figure = framed(
        look,
        [
            *band(paths.time[edges].astype(np.float64), low[edges], high[edges], look.second),
            _path(f"rolling, {window:,} bars", time, paths.rolling[rows], look.accent, numbers),
            _path("Kalman ± 95 %", time, paths.kalman[rows], look.second, numbers),
            *_steps(paths, look.third, numbers),
            _path("R²", time, paths.fit[rows], look.muted, ".3f") | {"yaxis": "y2", "showlegend": False},
        ],
        x=zoned_axis(look, zone) | {"anchor": "y2"},
        y=titled(f"β, {unit}" if unit else "β", look)
        | {"domain": BETA_PANE, "tickformat": trimmed(numbers), "range": _room(_core(known))},
        labels=ends_of(_core(known), numbers),
        revision=f"hedge {window}",
        label=label,
        shapes=_marks(paths, look),
    )
    figure["layout"]["yaxis2"] = (
        value_axis(look)
        | titled("R²", look)
        | {"side": "left", "domain": FIT_PANE, "nticks": 4, "tickformat": ".2~f", "range": [0, 1.02]}
    )
    return figure


def _path(name: str, time: Floats, values: Floats, colour: str, numbers: str) -> Spec:
    line = LINE | {"x": time, "y": values.astype(np.float32), "line": {"color": colour, "width": 1.3}}
    return line | said(name, numbers) | {"showlegend": True}


def _steps(paths: HedgePaths, colour: str, numbers: str) -> list[Spec]:
    """Return the ratio of all bars as a line, or that of both sides of a change as a step."""
    ends = [float(paths.time[0]), float(paths.time[-1])]
    style = {"line": {"color": colour, "width": 1.2, "dash": "dash"}, "showlegend": True}
    if paths.broken is not None:
        x, y = [ends[0], float(paths.broken), float(paths.broken), ends[1]], [paths.before] * 2 + [paths.after] * 2
        return [LINE | style | {"x": x, "y": y, **said("before and after the change", numbers)}]
    if math.isnan(paths.whole):
        return [NO_BAR]
    return [LINE | style | {"x": ends, "y": [paths.whole] * 2, **said("all bars, knows the future", numbers)}]


def _marks(paths: HedgePaths, look: Theme) -> list[Spec]:
    """Mark the change, or shade the interval of the ratio of all bars."""
    if paths.broken is not None:
        return [level(float(paths.broken), look.warning, across="x", dash="dash")]
    if math.isnan(paths.low):
        return []
    shade: Spec = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": paths.low, "y1": paths.high}
    return [shade | {"fillcolor": look.third, "opacity": 0.12, "line": {"width": 0}, "layer": "below"}]


def _core(values: Floats) -> Floats:
    """Return all but the wildest hundredth: a filter that has just begun would flatten the rest."""
    low, high = np.quantile(values, (0.005, 0.995))
    core: Floats = values[(values >= low) & (values <= high)]
    return core


def _room(values: Floats) -> list[float]:
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 0.01 * abs(high) or 1.0
    return [low - room, high + room]


def hedge_scatter(
    y: Floats, x: Floats, lines: Sequence[tuple[str, float, float]], *, names: tuple[str, str],
    units: tuple[str, str] = ("", ""), split: int | None = None, theme: Theme | str = DARK, label: Label = "LIVE",
) -> Spec:  # fmt: skip
    """Draw y against x, older bars fainter, with the lines that were fitted.

    Args:
        y, x: prices, or their logarithms, in time order.
        lines: what each line is called, its alpha and its beta.
        names: what y and x are called.
        units: what they are counted in.
        split: the row from which the hedge is another one; rows before it are of another colour.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look = find_theme(theme)
    if len(y) < 2:
        return blank("No bars of both legs yet", "Each bar in which both have traded is a point.", theme=look)
    rows = np.unique(np.linspace(0, len(y) - 1, DOTS).astype(np.intp))
    shown = [_format(leg) for leg in (y, x)]
    parts = [rows] if split is None else [rows[rows < split], rows[rows >= split]]
    dots: Spec = {"type": "scatter", "mode": "markers", "showlegend": False}
    dots["hovertemplate"] = f"{inert(names[1])} %{{x:{shown[1]}}}<br>{inert(names[0])} %{{y:{shown[0]}}}<extra></extra>"
    colours = [look.muted, look.accent][-len(parts) :]
    points = [
        dots | {"x": x[part], "y": y[part], "marker": {"color": colour, "size": 3.5, "opacity": 0.55}}
        for part, colour in zip(parts, colours, strict=True)
    ]
    ends = np.array([x.min(), x.max()])
    styles = ((look.second, "solid"), (look.third, "dash"), (look.text, "dot"))
    drawn = [
        LINE | {"x": ends, "y": alpha + beta * ends, "line": {"color": colour, "width": 1.5, "dash": dash}}
        | {"name": inert(name), "showlegend": True, "hoverinfo": "skip"}
        for (name, alpha, beta), (colour, dash) in zip(lines, styles, strict=False)
        if math.isfinite(alpha + beta)
    ]  # fmt: skip
    figure = framed(
        look,
        [*(points if len(points) == 2 else [NO_BAR, *points]), *drawn],
        x=titled(_axis_words(names[1], units[1]), look) | {"tickformat": trimmed(shown[1]), "nticks": 6},
        y=titled(_axis_words(names[0], units[0]), look) | {"tickformat": trimmed(shown[0])},
        labels=ends_of(y, shown[0]),
        revision=f"scatter {names} {units}",
        label=label,
        right=max(RIGHT_PX, side_px(ends_of(x, shown[1])) // 2),
    )
    figure["layout"]["hovermode"] = "closest"
    return figure


def _axis_words(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


def _format(values: Floats) -> str:
    return decimals_of(_core(values))
