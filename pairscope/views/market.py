"""The market: one symbol's candles, all symbols at a glance, and how the recording does."""

import streamlit as st

from market import Bars, Label, UnknownName
from pairscope.charts import blank, candles
from pairscope.live_chart import live_chart
from pairscope.runtime import Runtime, now_ms
from pairscope.views.choices import Choice, show_sidebar, unknown_symbol
from pairscope.views.figures import Units, figures_of, show_cards, units_of
from pairscope.views.heading import Pulse, clock_text, coverage_of, pulse_of, show_coverage, show_heading
from pairscope.views.notices import instruments_of, nothing_yet, show_warnings
from pairscope.views.recording import show_recording
from pairscope.views.symbols import show_symbols
from pairscope.views.venues import show_venues


def render(runtime: Runtime) -> None:
    """Show the page; its live part refreshes by itself."""
    names = instruments_of(runtime)
    with st.sidebar:
        choice, pause = show_sidebar(names, runtime.settings.venue)
    if said := unknown_symbol():
        st.warning(said, icon=":material/search_off:")
    st.fragment(_live, run_every=pause)(runtime, choice, paused=pause is None)


def _live(runtime: Runtime, choice: Choice | None, *, paused: bool = False) -> None:
    now, health, latest = now_ms(), runtime.health(), runtime.reader.latest()
    show_warnings(health, empty=not latest)
    if choice is None:
        nothing_yet(runtime)
        return
    lines = {line.instrument: line for line in health.feed.symbols} if health.feed else {}
    pulses = {each: pulse_of(health.role, lines.get(each), latest.get(each), now) for each in (*lines, *latest)}
    bars, label = _bars(runtime, choice, now), runtime.reader.label(choice.instrument)
    units, pulse = units_of(choice.instrument.symbol), pulses.get(choice.instrument, Pulse("stored", None))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show_heading(choice.instrument, label, pulse, paused=paused)
        show_coverage([coverage_of(runtime.reader, choice.instrument, now)])
        st.space("stretch")
        st.caption(clock_text(now, st.context.timezone), width="content")
    if not is_refused(bars, pulse):
        show_cards(figures_of(bars, units, age_seconds=pulse.age_seconds))
    _chart(choice, bars, label, units, pulse)
    left, right = st.columns([3, 2])
    with left:
        show_symbols(runtime, latest, lines, pulses, now)
        if health.feed:
            show_venues(health.feed)
    with right:
        show_recording(runtime, health)


def _bars(runtime: Runtime, choice: Choice, now: int) -> Bars | None:
    start = choice.timeframe.floor(now) - choice.shown * choice.timeframe.ms
    try:
        there = runtime.now_at(choice.instrument.venue)
        return runtime.reader.bars(choice.instrument, choice.timeframe, start, now=there)
    except UnknownName:
        return None  # it is streamed, but has not traded yet


def _chart(choice: Choice, bars: Bars | None, label: Label, units: Units, pulse: Pulse) -> None:
    theme = st.context.theme.type or "dark"
    if is_refused(bars, pulse):
        figure = blank(f"{choice.instrument.symbol} is not recorded", pulse.message, theme=theme)
    elif bars is None:
        title = f"No trade of {choice.instrument.symbol} yet"
        figure = blank(title, AWAITED.get(pulse.state, "The chart begins with the first one."), theme=theme)
    else:
        price, volume = f"price, {units.quote}", f"volume, {units.base}"
        figure = candles(bars, theme=theme, price_title=price, volume_title=volume, label=label, fresh=pulse.is_fresh)
    live_chart(figure, key="candles", height=460)


def is_refused(bars: Bars | None, pulse: Pulse) -> bool:
    """Tell whether there is nothing to show of a symbol, and nothing to wait for."""
    return pulse.state == "refused" and not (bars is not None and len(bars))


AWAITED = {
    "disconnected": "Its venue is not reached; the chart begins when it is.",
}
"""What is said in place of a chart, by the symbol's state."""
