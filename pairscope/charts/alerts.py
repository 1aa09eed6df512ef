"""What a rule would have done: the number it is about, its thresholds, and where it would have told somebody."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from market import Floats, Integers, Label
from pairscope.charts.explore_frame import LINE, NO_BAR, ends_of, framed, level, said, titled, zoned_axis
from pairscope.charts.explore_residuals import decimals_of, trimmed
from pairscope.charts.theme import DARK, Spec, Theme, blank, find_theme
from pairscope.charts.thinning import thin

POINTS = 1_300


class Fired(NamedTuple):
    """One alert of a preview: when, at which value, and on which side of its threshold."""

    time: int
    value: float
    direction: str


def preview_line(
    time: Integers,
    values: Floats,
    fired: Sequence[Fired],
    thresholds: Sequence[float],
    *,
    name: str,
    unit: str,
    revision: str,
    zone: str = "UTC",
    theme: Theme | str = DARK,
    label: Label = "LIVE",
) -> Spec:
    """Draw a number over time, with dotted thresholds and a mark at each alert.

    Args:
        time: in the milliseconds of the wall clock, ascending.
        values: the number, one for each time; NaN is "not known".
        fired: the alerts, by the same clock.
        thresholds: what the number is held against.
        name: what the number is called.
        unit: what it is counted in.
        revision: zoom outlives a refresh, not a change of this.
        zone: what the time is called.
        theme: "dark", "light" or a theme of your own.
        label: where the trades come from.
    """
    look, known = find_theme(theme), values[np.isfinite(values)]
    if len(known) < 2:
        return blank("Nothing to draw", f"There is no {name} in this time.", theme=look)
    rows = thin(time, [values], POINTS)
    numbers = decimals_of(np.concatenate((known, thresholds)))
    line = LINE | {"x": time[rows].astype(np.float64), "y": values[rows].astype(np.float64)}
    line |= {"line": {"color": look.accent, "width": 1.1}, **said(name, numbers)}
    marks = [_marks(fired, side, numbers, look) for side in ("above", "below")]
    return framed(
        look,
        [line, *marks],
        x=zoned_axis(look, zone),
        y=titled(f"{name}, {unit}" if unit else name, look) | {"tickformat": trimmed(numbers)},
        labels=ends_of(np.concatenate((known, thresholds)), numbers),
        revision=revision,
        label=label,
        shapes=[level(each, look.warning) for each in thresholds],
    )


def _marks(fired: Sequence[Fired], side: Literal["above", "below"], numbers: str, look: Theme) -> Spec:
    """Return the marks of the alerts on one side."""
    here = [each for each in fired if each.direction == side]
    if not here:
        return NO_BAR
    symbol = {"above": "triangle-down", "below": "triangle-up"}[side]  # it points at the line
    return {
        "type": "scatter",
        "mode": "markers",
        "x": np.array([each.time for each in here], np.float64),
        "y": np.array([each.value for each in here], np.float64),
        "marker": {"symbol": symbol, "size": 11, "color": look.second, "line": {"width": 1, "color": look.background}},
        "showlegend": True,
        **said(f"would have fired, {side}", numbers),
    }
