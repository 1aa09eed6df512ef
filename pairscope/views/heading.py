"""The line above the figures: which symbol, from where, how fresh, how whole, and what time it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from ingest import LIVE_SECONDS, SymbolHealth
from market import DAY, IMPORTED, MINUTE, Coverage, Instrument, Label, Tick, UnknownName
from pairscope.runtime import Health
from pairscope.views.notices import inert
from pairscope.views.states import age_text, look_of, steady
from store import SqliteReader

WHOLE = 0.999
"""A larger share of a time counts as all of it."""


AT_REST = frozenset({"paused", "stopped", "stored"})
"""States in which nothing is received because somebody wants it so: no price of them looks live."""

COMING = frozenset({"live", "quiet", "repairing"})
"""States in which trades come as the venue makes them."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How fresh a symbol is; the age of its last trade is None before the first."""

    state: str
    age_seconds: float | None
    message: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether its price may look live."""
        return self.state not in AT_REST and self.age_seconds is not None and self.age_seconds <= LIVE_SECONDS


def pulse_of(health: Health, line: SymbolHealth | None, tick: Tick | None, now: int) -> Pulse:
    """Tell how fresh a symbol is: by the recording, or by the store where this process does not record it."""
    age = max(0.0, (now - tick.time_ms) / 1000) if tick else None
    if line:
        pulse = Pulse(line.state, age if line.age_seconds is None else line.age_seconds, line.message)
        return _behind(pulse, health.waits_seconds)
    if health.role == "viewer" and tick and age is not None and tick.venue != IMPORTED:
        return Pulse("live" if age <= LIVE_SECONDS else "silent", age)
    return Pulse("stored", age)


def _behind(pulse: Pulse, waits_seconds: float) -> Pulse:
    """Age a symbol whose newest trades wait for the store: pages show what is stored."""
    if waits_seconds <= LIVE_SECONDS or pulse.age_seconds is None or pulse.age_seconds >= waits_seconds:
        return pulse
    state = "writing" if pulse.state in COMING else pulse.state
    return replace(pulse, state=state, age_seconds=waits_seconds)


def show_heading(instrument: Instrument, label: Label, pulse: Pulse, *, paused: bool) -> None:
    """Show the symbol, its venue, where its trades come from, and how fresh they are."""
    st.subheader(inert(instrument.symbol), anchor=False, width="content")
    st.badge(inert(instrument.venue), color="gray", help="The venue whose trades these are.")
    if label != "LIVE":
        st.badge(label, icon=":material/science:", color="violet", help="These are not trades of a real market.")
    if paused:
        st.badge("PAUSED", icon=":material/pause:", color="orange", help="As of the time beside. Recording goes on.")
        return
    stored = pulse.state == "stored"
    age = "" if stored or pulse.age_seconds is None else f" {age_text(pulse.age_seconds)}"
    st.badge(
        f"{pulse.state.upper()}{age}",
        icon=None if stored else ":material/sensors:",
        color=look_of(pulse.state).colour,
        help=inert(steady(pulse.message)) or look_of(pulse.state).meaning,
    )


def coverage_of(reader: SqliteReader, instrument: Instrument, now: int) -> Coverage | None:
    """Return how much of the last day is recorded, or of the time since recording began where that is shorter."""
    try:
        shown = reader.coverage(instrument, now - DAY)
        if shown.share <= WHOLE:
            since = reader.coverage(instrument)
            shown = since if since.start_ms > now - DAY else shown
    except UnknownName:
        return None
    return shown if shown.end_ms > shown.start_ms else None  # no trade, or none within the day


def show_coverage(coverages: Sequence[Coverage | None]) -> None:
    """Show the coverage of what is on the page, of several the least."""
    known = [each for each in coverages if each]
    if not known:
        return
    if len(known) < len(coverages):
        st.badge("coverage of one leg only", color="gray", help="The other one has no trade within the last 24 hours.")
        return
    shown = min(known, key=lambda each: (each.share, each.end_ms - each.start_ms))
    st.badge(
        coverage_text(shown),
        color="blue" if shown.share > WHOLE else "gray",
        help="How much is recorded without a gap: of the last 24 hours, or since the first trade where that is later.",
    )


def coverage_text(coverage: Coverage) -> str:
    """Write how much of a time is recorded: 24 h coverage 98%, or 10 min recorded, whole."""
    length = coverage.end_ms - coverage.start_ms
    if length >= DAY - MINUTE:  # up to the last trade, which may be a little ago
        return f"24 h coverage {coverage.share:.0%}"
    text = age_text(length / 1000)
    return f"{text} recorded, whole" if coverage.share > WHOLE else f"coverage {coverage.share:.0%} of {text}"
