"""What all charts share: the colours, the axes, and the words around them.

A figure is sent again at every refresh, hence:

- x is epoch milliseconds as float64 on a date axis: text is three times as long. The browser makes text of it
  (live_chart.js), because plotly.js reads a number by the browser's clock, and a text as it stands;
- the template is "none": the stock one weighs 8 kB a figure and fights the page's colours;
- `uirevision` names what is drawn, so that zoom survives every refresh, but not a change of what is drawn;
- a trace keeps its place in the figure, with rows or without: by place Plotly remembers what the user has hidden.
"""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from market import Floats, Label, UnknownName

Spec = dict[str, Any]
"""A figure in Plotly's own words, ``{"data": [...], "layout": {...}}``, or a part of one.

Not `go.Figure`, which looks at every word anew at each refresh; tests do that once.
"""


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of all charts on one background; `up` and `down` differ for colour-blind eyes too.

    `accent`, `second` and `third` tell lines apart.
    """

    name: str
    background: str
    surface: str
    text: str
    muted: str
    grid: str
    accent: str
    second: str
    third: str
    up: str
    down: str
    warning: str


DARK = Theme(
    name="dark",
    background="#0e1117",
    surface="#161b24",
    text="#e6e9ef",
    muted="#8b93a1",
    grid="rgba(139,147,161,0.16)",
    accent="#4d9bff",
    second="#e8a33d",
    third="#b08cff",
    up="#2bb3a3",
    down="#f2784b",
    warning="#e3b341",
)
LIGHT = Theme(
    name="light",
    background="#ffffff",
    surface="#ffffff",
    text="#262b35",
    muted="#69717f",
    grid="rgba(105,113,127,0.16)",
    accent="#1f6fd6",
    second="#a35f00",
    third="#7a4fd0",
    up="#00867d",
    down="#d24a12",
    warning="#b7791f",
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}

_FONT = '"Source Sans", "Source Sans Pro", sans-serif'
_TIME_FORMATS = [
    {"dtickrange": [None, 1_000], "value": "%H:%M:%S.%L\n%-d %b %Y"},
    {"dtickrange": [1_000, 60_000], "value": "%H:%M:%S\n%-d %b %Y"},
    {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%-d %b %Y"},
    {"dtickrange": [86_400_000, "M1"], "value": "%-d %b\n%Y"},
    {"dtickrange": ["M1", None], "value": "%b\n%Y"},
]
GLYPH_PX = 7  # the width of a digit at 12 px; a fixed margin does not jump as automargin does when a label grows


def blank(title: str, hint: str, *, theme: Theme | str = DARK) -> Spec:
    """Draw no chart, but say what is missing (`title`) and what comes next (`hint`)."""
    look = find_theme(theme)
    text = f'{inert(title)}<br><span style="color:{look.muted};font-size:13px">{inert(hint)}</span>'
    note = {
        "text": text,
        "showarrow": False,
        "font": {"size": 17},
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
    }
    hidden = {"visible": False, "fixedrange": True}
    layout = base_layout(look, revision=title, right=0) | {"xaxis": hidden, "yaxis": hidden, "annotations": [note]}
    return {"data": [], "layout": layout}


def inert(text: str) -> str:
    """Return text that Plotly shows as it stands: tags, links, templates and formulas in it do nothing."""
    return escape(text, quote=False).replace("%{", "%&#123;").replace("$", "&#36;")


def find_theme(theme: Theme | str) -> Theme:
    """Return the theme of that name.

    Raises:
        UnknownName: when there is none.
    """
    if isinstance(theme, Theme):
        return theme
    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES)
    return THEMES[theme]


def price_decimals(prices: Floats) -> int:
    """Return how many decimals tell these prices fully, 8 at most, so that labels keep their width."""
    for decimals in range(8):
        if np.allclose(prices, np.round(prices, decimals), rtol=1e-11, atol=0):
            return decimals
    return 8


def watermark(label: Label, look: Theme, *, y: float = 0.62) -> list[Spec]:
    """Write across the chart, `y` of its height up, where the trades come from unless they are live."""
    if label == "LIVE":
        return []
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": y, "showarrow": False}
    # 44 px is as large as "SIMULATED" may be to fit on a phone.
    return [place | {"text": label, "opacity": 0.16, "font": {"size": 44, "color": look.muted, "weight": 700}}]


def zone_note(look: Theme, zone: str, *, right: int) -> Spec:
    """Name the zone of the time axis, past the last of its labels."""
    place = {"xref": "paper", "x": 1, "xanchor": "right", "xshift": right, "yref": "paper", "y": 0, "yanchor": "top"}
    return place | {"text": inert(zone), "showarrow": False, "font": {"color": look.muted}}


def base_layout(look: Theme, *, revision: str, right: int) -> Spec:
    return {
        "template": "none",
        "uirevision": revision,
        "autosize": True,
        "boxgroupgap": 0,
        "barmode": "overlay",
        "margin": {"l": 8, "r": right, "t": 28, "b": 36},
        "paper_bgcolor": look.background,
        "plot_bgcolor": look.background,
        "font": {"family": _FONT, "size": 12, "color": look.text},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {"bgcolor": look.surface, "bordercolor": look.grid, "font": {"size": 12, "color": look.text}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12, "color": look.muted}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": look.muted, "activecolor": look.accent},
    }


def _axis(look: Theme) -> Spec:
    return {
        "gridcolor": look.grid,
        "zeroline": False,
        "tickfont": {"color": look.muted},
        "showspikes": True,
        "spikemode": "across",
        "spikesnap": "cursor",
        "spikethickness": 1,
        "spikedash": "dot",
        "spikecolor": look.muted,
    }


def time_axis(look: Theme, zone: str = "UTC") -> Spec:
    """A date axis without a range: following the data is Plotly's default until the user zooms."""
    return _axis(look) | {
        "type": "date",
        "showgrid": False,
        "rangeslider": {"visible": False},
        "tickformatstops": _TIME_FORMATS,
        "hoverformat": f"%-d %b %Y %H:%M:%S {inert(zone)}",
    }


def value_axis(look: Theme) -> Spec:
    return _axis(look) | {"side": "right", "exponentformat": "none", "ticklabelstandoff": 4}
