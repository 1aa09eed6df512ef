"""How much of each hour is recorded, as a calendar: a row for each day, a column for each hour of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairscope.charts.panes import clear, painted, side_px
from pairscope.charts.theme import DARK, Spec, Theme, base_layout, find_theme, inert

ROW_PX, TOP_PX, BOTTOM_PX = 22, 54, 24
EMPTY, CANDLES, UNRECORDED = 1, 2, 3
"""Hours that have no share to show: recorded without a trade; candles of the venue alone; nothing at all."""

_NEARLY = 0.995
_PAPER: Spec = {"xref": "paper", "yref": "paper", "showarrow": False}


@dataclass(frozen=True, slots=True)
class CalendarColumns:
    """What a calendar draws: a row for each day, from the top one down, each with 24 hours."""

    days: Sequence[str]
    share: NDArray[np.float64]
    """How much of the hour is recorded, from 0 to 1; NaN where there is none to show."""
    kind: NDArray[np.int8]
    """What is to be shown instead of a share; 0 where nothing is."""
    words: Sequence[Sequence[str]]
    """What is said of each hour when it is pointed at."""


def calendar_px(days: int) -> int:
    """Return the height that a calendar of so many days needs, in CSS pixels."""
    return days * ROW_PX + TOP_PX + BOTTOM_PX


def calendar(columns: CalendarColumns, *, theme: Theme | str = DARK, zone: str = "UTC", revision: str = "") -> Spec:
    """Draw the recorded share of each hour; holes stand out, and hours without a trade differ from unrecorded ones.

    Args:
        columns: what is drawn.
        theme: the colours, or their name.
        zone: of the days and hours.
        revision: names what is drawn.
    """
    look = find_theme(theme)
    days = [inert(day) for day in columns.days]
    left = side_px(days)
    layout = base_layout(look, revision=revision, right=8)
    layout |= {
        "hovermode": "closest",
        "margin": {"l": left, "r": 8, "t": TOP_PX, "b": BOTTOM_PX},
        "xaxis": _hours(look),
        "yaxis": _days(look, days),
        "annotations": [_legend(look, left), _zone(look, zone)],
    }
    kind = np.where(columns.kind > 0, columns.kind.astype(np.float64), np.nan)
    return {
        "data": [
            _tiles(columns, columns.share, 0.0, 1.0, share_scale(look)),
            _tiles(columns, kind, EMPTY, UNRECORDED, _kind_scale(look)),
        ],
        "layout": layout,
    }


def _tiles(
    columns: CalendarColumns, values: NDArray[np.float64], least: float, most: float, scale: list[list[object]]
) -> Spec:
    return {
        "type": "heatmap",
        "z": [[None if np.isnan(value) else float(value) for value in row] for row in values],
        "zmin": least,
        "zmax": most,
        "colorscale": scale,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "customdata": [[inert(words) for words in row] for row in columns.words],
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
    }


def share_scale(look: Theme) -> list[list[object]]:
    """From nothing in the colour of warnings to all in the accent's; what is nearly all is still seen as less."""
    return [[0.0, look.warning], [_NEARLY, _between(look.warning, look.accent)], [1.0, look.accent]]


def _between(one: str, other: str) -> str:
    """Return a colour between two, nearer to the first."""
    pairs = [(int(one[place : place + 2], 16), int(other[place : place + 2], 16)) for place in (1, 3, 5)]
    return "#" + "".join(f"{(3 * first + second) // 4:02x}" for first, second in pairs)


def _kind_scale(look: Theme) -> list[list[object]]:
    colours = kind_colours(look)
    bounds = [0.0, 0.25, 0.25, 0.75, 0.75, 1.0]
    return [[bound, colours[EMPTY + place // 2]] for place, bound in enumerate(bounds)]


def kind_colours(look: Theme) -> dict[int, str]:
    """Return the colours of hours without a share."""
    return {EMPTY: clear(look.accent, 0.4), CANDLES: clear(look.third, 0.6), UNRECORDED: clear(look.muted, 0.14)}


def _legend(look: Theme, left: int) -> Spec:
    colours = kind_colours(look)
    names = {
        "whole": look.accent,
        "in part": look.warning,
        "no trade": colours[EMPTY],
        "candles only": colours[CANDLES],
        "not recorded": clear(look.muted, 0.35),
    }
    text = "   ".join(f"{painted('■', colour)} {name}" for name, colour in names.items())
    return _PAPER | {
        "text": text,
        "y": 1,
        "yanchor": "bottom",
        "x": 0,
        "xanchor": "left",
        "xshift": -left,
        "yshift": 24,
        "font": {"color": look.muted},
    }


def _zone(look: Theme, zone: str) -> Spec:
    place: Spec = {"x": 1, "xanchor": "right", "y": 0, "yanchor": "top", "font": {"color": look.muted}}
    return _PAPER | place | {"text": inert(zone)}


def _hours(look: Theme) -> Spec:
    hours = list(range(0, 24, 3))
    return {
        "side": "top",
        "tickvals": hours,
        "ticktext": [f"{hour:02}" for hour in hours],
        "tickangle": 0,
        "tickfont": {"color": look.muted},
        "range": [-0.5, 23.5],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }


def _days(look: Theme, days: Sequence[str]) -> Spec:
    return {
        "tickvals": list(range(len(days))),
        "ticktext": list(days),
        "tickfont": {"color": look.muted},
        "range": [len(days) - 0.5, -0.5],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
