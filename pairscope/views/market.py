"""The market: the candles, figures and last trades of a few symbols, their statistics, and all symbols at a glance."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from ingest import SymbolHealth
from market import Instrument, Tick
from pairscope.runtime import Health, Runtime, now_ms
from pairscope.views.choices import unknown_symbol
from pairscope.views.clock import both_texts, chosen_clock
from pairscope.views.heading import Pulse, pulse_of
from pairscope.views.live_part import live_part
from pairscope.views.market_choices import PICKED_KEY, Asked, show_market_sidebar
from pairscope.views.market_leg import Leg, leg_of, show_leg
from pairscope.views.market_numbers import show_numbers
from pairscope.views.market_stock import show_availability
from pairscope.views.notices import inert, instruments_of, nothing_yet, show_warnings
from pairscope.views.symbols import show_symbols

NUMBERS_SECONDS = 5.0
"""What hundreds of bars say hardly changes from second to second."""


def render(runtime: Runtime) -> None:
    """Show the page; its live parts refresh by themselves."""
    names = instruments_of(runtime)
    with st.sidebar:
        asked = show_market_sidebar(names, runtime.settings)
    if said := unknown_symbol():
        st.warning(inert(said), icon=":material/search_off:")
    slowly = asked.refresh and max(asked.refresh, NUMBERS_SECONDS)
    live_part(_show_legs, run_every=asked.refresh)(runtime, asked, known=bool(names))
    if names:
        live_part(_show_numbers, run_every=slowly)(runtime, asked)
        live_part(_show_symbols, run_every=asked.refresh)(runtime)
    runtime.warming.begin()  # behind the first paint


@dataclass(frozen=True, slots=True)
class Now:
    """What is known of all symbols at one moment, in epoch milliseconds."""

    now: int
    health: Health
    latest: Mapping[Instrument, Tick]
    lines: Mapping[Instrument, SymbolHealth]
    pulses: Mapping[Instrument, Pulse]

    @classmethod
    def of(cls, runtime: Runtime) -> "Now":
        """Look at everything once."""
        now, health, latest = now_ms(), runtime.health(), runtime.reader.latest()
        lines = {line.instrument: line for line in health.feed.symbols} if health.feed else {}
        pulses = {each: pulse_of(health, lines.get(each), latest.get(each), now) for each in (*lines, *latest)}
        return cls(now, health, latest, lines, pulses)

    def legs(self, runtime: Runtime, asked: Asked) -> list[Leg]:
        """Read what is shown of each symbol that is drawn."""
        stored = Pulse("stored", None)
        return [
            leg_of(runtime, each, asked, pulse=self.pulses.get(each, stored), newest=self.latest.get(each))
            for each in asked.drawn
        ]


def _show_legs(runtime: Runtime, asked: Asked, *, known: bool) -> None:
    found, clock = Now.of(runtime), chosen_clock()
    show_warnings(found.health, empty=not found.latest)
    if not known:
        nothing_yet(runtime)
        return
    for place, leg in enumerate(found.legs(runtime, asked)):
        note = both_texts(found.now, clock) if place == 0 else ""
        show_leg(runtime, leg, clock, found.now, place=place, paused=asked.refresh is None, note=note)
    if not asked.drawn:
        st.info("No symbol is chosen: choose some in the sidebar, or click one below.", icon=":material/show_chart:")


def _show_numbers(runtime: Runtime, asked: Asked) -> None:
    found = Now.of(runtime)
    if legs := found.legs(runtime, asked):
        show_numbers(runtime, legs, asked)
        show_availability(runtime.reader, legs, chosen_clock(), found.now)


def _show_symbols(runtime: Runtime) -> None:
    if st.session_state.pop(PICKED_KEY, False):
        st.rerun(scope="app")  # for the sidebar and the charts to show it
    found = Now.of(runtime)
    show_symbols(runtime, found.latest, found.lines, found.pulses, found.now)
