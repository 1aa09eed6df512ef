"""One symbol of the Market page: its figures, its candles, its last trades."""

from dataclasses import dataclass, replace

import streamlit as st

from market import Bars, Instrument, Label, Tick, UnknownName
from pairscope.charts import blank, candles
from pairscope.legs import ended_at
from pairscope.live_chart import live_chart
from pairscope.runtime import Runtime
from pairscope.views.clock import Clock
from pairscope.views.ended import ended_mark, ended_text
from pairscope.views.figures import Units, figures_of, show_cards, units_of
from pairscope.views.heading import Pulse, coverage_of, show_coverage, show_heading
from pairscope.views.market_choices import Asked
from pairscope.views.market_tape import show_tape

CHART_PX = 384

AWAITED = {
    "disconnected": "Its venue is not reached; the chart begins when it is.",
}
"""What is said in place of a chart, by the symbol's state."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One symbol, and what can be shown of it now."""

    instrument: Instrument
    label: Label
    pulse: Pulse
    bars: Bars | None
    """None where it is streamed, but has not traded yet."""
    newest: Tick | None
    ends_ms: int | None = None
    """Where its trades end, in epoch milliseconds, because nobody records it; None where they go on."""

    @property
    def units(self) -> Units:
        """What its amounts and prices are counted in."""
        return units_of(self.instrument.symbol)


def leg_of(runtime: Runtime, instrument: Instrument, asked: Asked, *, pulse: Pulse, newest: Tick | None) -> Leg:
    """Read what is shown of a symbol."""
    there, ends = runtime.now_at(instrument.venue), ended_at(runtime, instrument)
    last = there if ends is None else min(there, ends - 1)
    start = asked.timeframe.floor(last) - asked.shown * asked.timeframe.ms
    bars: Bars | None = None
    try:
        bars = runtime.reader.bars(instrument, asked.timeframe, start, now=there)
    except UnknownName:
        newest = None
    return Leg(instrument, runtime.reader.label(instrument), pulse, bars, newest, ends)


def show_leg(runtime: Runtime, leg: Leg, clock: Clock, now: int, *, place: int, paused: bool, note: str = "") -> None:
    """Show a symbol; `note` stands at the end of its first line."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show_heading(leg.instrument, leg.label, leg.pulse, paused=paused)
        show_coverage([coverage_of(runtime.reader, leg.instrument, now)])
        st.space("stretch")
        if said := ended_mark(leg.ends_ms, clock) or note:
            st.caption(said, width="content")
    if not is_refused(leg.bars, leg.pulse):
        ended = ended_text(leg.ends_ms, clock)
        show_cards(figures_of(leg.bars, leg.units, age_seconds=leg.pulse.age_seconds, ended=ended))
    chart, tape = st.columns([8, 5], gap="small")
    with chart:
        _show_candles(leg, clock, key=f"candles {place}")
    with tape:
        show_tape(runtime.reader, leg.newest, clock, leg.units, key=f"tape {place}", height=CHART_PX)


def _show_candles(leg: Leg, clock: Clock, *, key: str) -> None:
    theme, symbol = st.context.theme.type or "dark", leg.instrument.symbol
    if is_refused(leg.bars, leg.pulse):
        figure = blank(f"{symbol} is not recorded", leg.pulse.message, theme=theme)
    elif leg.ends_ms is not None and not (leg.bars is not None and len(leg.bars)):
        until = ended_text(leg.ends_ms, clock)
        figure = blank(
            f"No bars of {symbol} of this length", f"It ends on {until}; longer bars may be there.", theme=theme
        )
    elif leg.bars is None:
        hint = AWAITED.get(leg.pulse.state, "The chart begins with the first one.")
        figure = blank(f"No trade of {symbol} yet", hint, theme=theme)
    else:
        figure = candles(
            replace(leg.bars, time=clock.wall(leg.bars.time)),
            theme=theme,
            price_title=f"price, {leg.units.quote}",
            volume_title=f"vol., {leg.units.base}",
            label=leg.label,
            fresh=leg.pulse.is_fresh,
            zone=clock.name,
        )
    live_chart(figure, key=key, height=CHART_PX)


def is_refused(bars: Bars | None, pulse: Pulse) -> bool:
    """Tell whether there is nothing to show of a symbol, and nothing to wait for."""
    return pulse.state == "refused" and not (bars is not None and len(bars))
