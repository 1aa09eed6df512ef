"""Panes that stand one below the other on one time axis: where each one is, and the words around it."""

from dataclasses import dataclass, field

from pairscope.charts.theme import GLYPH_PX, Spec, Theme

TITLE_PX = 34
"""The room between two panes, for the title of the lower one and half a label of each."""

TOP_PX, BOTTOM_PX = 32, 46
"""The room above the first pane and below the last one."""

LOWERED_PX = 9
"""How far the labels of the time stand below the lowest label of the last pane."""


@dataclass(frozen=True, slots=True)
class Tag:
    """The last value of a line, written on the right edge of its pane."""

    text: str
    value: float
    axis: str
    colour: str


@dataclass(slots=True, kw_only=True)
class Pane:
    """One pane; `title` and `note` stand above it, at its left and its right end.

    `labels` are the longest labels of its left axis, for the margin to have room for them; `right_labels` of the right.
    """

    title: str
    note: str = ""
    axes: dict[str, Spec] = field(default_factory=dict)
    traces: list[Spec] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    shapes: list[Spec] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    right_labels: list[str] = field(default_factory=list)


def pane_spans(height: int, shares: tuple[float, ...]) -> list[list[float]]:
    """Return from where to where each pane goes as parts of the plot, from the top one down.

    Args:
        height: of the whole chart, in CSS pixels.
        shares: of what the titles leave over; they add up to 1.
    """
    gap = TITLE_PX / max(height - TOP_PX - BOTTOM_PX, TITLE_PX * 2 * len(shares))
    room = 1 - gap * (len(shares) - 1)
    tops = [1 - sum(shares[:place]) * room - gap * place for place in range(len(shares))]
    return [[max(0.0, top - share * room), top] for top, share in zip(tops, shares, strict=True)]


def side_px(labels: list[str]) -> int:
    """Return the margin that these labels need."""
    return max(map(len, labels), default=0) * GLYPH_PX + 12


def words_of(pane: Pane, span: list[float], look: Theme, *, left: int) -> list[Spec]:
    """Return the annotations of a pane; `left` is the margin, in which the title begins."""
    above: Spec = {"xref": "paper", "yref": "paper", "y": span[1], "yanchor": "bottom", "yshift": 8, "showarrow": False}
    above |= {"font": {"color": look.muted}}
    title = above | {"text": pane.title, "x": 0, "xanchor": "left", "xshift": 8 - left}
    note = above | {"text": pane.note, "x": 1, "xanchor": "right"}
    return [title, *([note] if pane.note else []), *(_tag(tag, look) for tag in pane.tags)]


def _tag(tag: Tag, look: Theme) -> Spec:
    place: Spec = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 2, "yref": tag.axis, "y": tag.value}
    font = {"color": look.background, "size": 12}
    return place | {"text": tag.text, "showarrow": False, "borderpad": 2, "bgcolor": tag.colour, "font": font}


def painted(text: str, colour: str) -> str:
    """Return text in a colour of its own."""
    return f'<span style="color:{colour}">{text}</span>'


def clear(colour: str, alpha: float) -> str:
    """Return a colour that lets `1 - alpha` of what is behind it through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
