"""What the small charts of the Explore page share: one plot, a value axis at the left, words in its corners."""

import numpy as np

from market import Floats, Label
from pairscope.charts.panes import clear, side_px
from pairscope.charts.theme import Spec, Theme, base_layout, inert, time_axis, value_axis, watermark

BOTTOM_PX, TOP_PX, BARE_PX, RIGHT_PX, TITLE_PX = 44, 26, 8, 14, 22
LINE: Spec = {"type": "scatter", "mode": "lines", "showlegend": False}
NO_BAR: Spec = {"type": "scatter", "visible": False, "showlegend": False}
"""Keeps the place of a trace that has nothing to show."""


def framed(
    look: Theme,
    traces: list[Spec],
    *,
    x: Spec,
    y: Spec,
    labels: list[str],
    revision: str,
    label: Label = "LIVE",
    notes: list[Spec] | None = None,
    shapes: list[Spec] | None = None,
    right: int = RIGHT_PX,
) -> Spec:
    """Return a figure of one plot.

    Args:
        look: the colours.
        traces: what is drawn.
        x, y: what is special about the axes.
        labels: the longest labels of the left axis, for the margin to have room for them.
        revision: zoom outlives a refresh, not a change of this.
        label: where the trades come from; anything but LIVE is written across the chart.
        notes, shapes: words and shapes upon it.
        right: the right margin, in CSS pixels.
    """
    layout = base_layout(look, revision=revision, right=right)
    worded = bool(notes) or any(each.get("showlegend") for each in traces)
    left = side_px(labels) + (TITLE_PX if "title" in y else 0)
    layout["margin"] = {"l": left, "r": right, "t": TOP_PX if worded else BARE_PX, "b": BOTTOM_PX}
    layout["legend"] |= {"traceorder": "normal"}
    layout |= {
        "xaxis": value_axis(look) | {"side": "bottom", "showgrid": False} | x,
        "yaxis": value_axis(look) | {"side": "left", "nticks": 6} | y,
        "annotations": [*(notes or []), *watermark(label, look, y=0.5)],
        "shapes": shapes or [],
        "bargap": 0.25,
    }
    return {"data": traces, "layout": layout}


def titled(text: str, look: Theme) -> Spec:
    """Return the words below an axis, with its unit."""
    return {"title": {"text": inert(text), "font": {"color": look.muted, "size": 12}, "standoff": 6}}


def zoned_axis(look: Theme, zone: str) -> Spec:
    """Return a time axis that names its zone, below it and beside each time pointed at."""
    return time_axis(look, zone) | titled(f"time, {zone}", look)


def corner(text: str, look: Theme, *, at: str) -> Spec:
    """Write into the top corner of the plot, at its left or its right end."""
    place = {"xref": "paper", "yref": "paper", "x": float(at == "right"), "xanchor": at, "y": 1, "yanchor": "bottom"}
    return place | {"text": inert(text), "showarrow": False, "font": {"color": look.muted}}


def level(value: float, colour: str, *, across: str = "y", dash: str = "dot") -> Spec:
    """Return a line across the whole plot at a value of the y axis, or of the x axis."""
    along = "x" if across == "y" else "y"
    ends = {f"{across}ref": across, f"{across}0": value, f"{across}1": value}
    ends |= {f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1}
    return {"type": "line", "line": {"color": colour, "width": 1, "dash": dash}} | ends


def band(x: Floats, low: Floats, high: Floats, colour: str, *, alpha: float = 0.18) -> list[Spec]:
    """Return two traces that shade what lies between two lines."""
    edge = LINE | {"x": x, "line": {"width": 0}, "hoverinfo": "skip"}
    lower, upper = (edge | {"y": side.astype(np.float32)} for side in (low, high))
    return [lower, upper | {"fill": "tonexty", "fillcolor": clear(colour, alpha)}]


def mixed(colour: str, ground: str, share: float) -> str:
    """Return a colour as it looks through to its ground: `share` of it, and of the ground the rest."""
    parts = ((int(colour[at : at + 2], 16), int(ground[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(share * one + (1 - share) * other):02x}" for one, other in parts)


def said(name: str, numbers: str) -> Spec:
    """Return what is told of a trace where one points at it."""
    return {"name": inert(name), "hovertemplate": f"%{{fullData.name}} %{{y:{numbers}}}<extra></extra>"}


def ends_of(values: Floats, numbers: str) -> list[str]:
    """Return the lowest and the highest value as labels."""
    known = values[np.isfinite(values)]
    return [format(float(end), numbers) for end in (known.min(), known.max())] if len(known) else []
