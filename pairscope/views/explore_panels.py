"""What the sections of the Explore page share: what they look at, what is kept of it, and how a chart is framed."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from market import Bars, Floats, Integers, Label
from pairscope.live_chart import live_chart
from pairscope.methodology import tooltip
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime
from pairscope.views.clock import Clock
from pairscope.views.notices import inert

if TYPE_CHECKING:
    from analytics import PairAnalysis

KEPT = 8
"""So many results are kept for all tabs: a section of a pair up to a bar."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a section looks at: a pair, the bars of y and x, their analysis, and how times and colours are shown."""

    runtime: Runtime
    request: PairRequest
    bars: tuple[Bars, Bars]
    found: "PairAnalysis"
    label: Label
    clock: Clock
    theme: str
    ends_ms: int | None = None
    """Where it ends, in epoch milliseconds, because nobody records a leg; None where it ends now."""

    @property
    def names(self) -> tuple[str, str]:
        """What y and x are called."""
        return self.request.y.symbol, self.request.x.symbol

    @property
    def bar(self) -> str:
        """The length of a bar."""
        return str(self.request.timeframe)

    @property
    def key(self) -> str:
        """What a result depends on: the store, what is asked, the closed bars, and the tests with their hedge."""
        summary, hedge = self.found.summary, self.found.examination.hedge
        return (
            f"{self.runtime.settings.store} {self.request} {summary.end} {self.fingerprint()} "
            f"{summary.tested_end} {hedge.beta}"
        )

    def fingerprint(self) -> int:
        """Return a number that is another one as soon as a closed bar comes, goes or changes, also an early one.

        The forming bar is left out, or it would be another one at every trade.
        """
        number = 0
        for column in self.closed():
            number = zlib.crc32(column.data, number)
        return number

    def closed(self) -> tuple[Integers, Floats, Floats]:
        """Return times and prices of the closed bars."""
        joined = self.found.joined
        rows = joined.closed
        return joined.time[rows], joined.y[rows], joined.x[rows]


@st.cache_resource(max_entries=KEPT, show_spinner=False)
def kept(key: str, section: str, _make: Callable[[], Any]) -> Any:
    """Return what `_make` returns, made once for all tabs and refreshes that ask for the same.

    Args:
        key: what the result depends on.
        section: what it is.
    """
    return _make()


def evenly(time: Integers, step_ms: int, *columns: Floats) -> tuple[Integers, list[Floats]]:
    """Put columns onto all times from the first to the last; those that are missing are NaN, so that a lag is a lag."""
    if not len(time):
        return time, list(columns)
    rows = (time - time[0]) // step_ms
    many = int(rows[-1]) + 1
    if many == len(time):
        return time, list(columns)
    spaced = []
    for column in columns:
        whole = np.full(many, np.nan)
        whole[rows] = column
        spaced.append(whole)
    return time[0] + step_ms * np.arange(many, dtype=np.int64), spaced


def show_panel(
    title: str, explained: str, sentence: str, figure: Any, *, key: str, height: int, caution: str = ""
) -> None:
    """Show a chart below its title, and below what it says now.

    Args:
        title: of the chart.
        explained: the entry of docs/methodology.md that its tooltip comes from.
        sentence: what it says now, in plain words.
        figure: the chart.
        key: its name.
        height: of it, in CSS pixels.
        caution: why it is not to be trusted.
    """
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{title}**", help=tooltip(explained))
        st.caption(inert(sentence))
        if caution:
            st.caption(f":orange[:material/warning: {inert(caution)}]")
        live_chart(figure, key=key, height=height)
