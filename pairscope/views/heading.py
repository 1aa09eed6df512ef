"""The line above the figures: which symbol, from where, how fresh, how whole, and what time it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from ingest import LIVE_SECONDS, SymbolHealth
from market import DAY, MINUTE, Coverage, Instrument, Label, Tick, UnknownName
from pairscope.views.states import age_text, look_of, steady
from store import SqliteReader

WHOLE = 0.999
"""A larger share of a time counts as all of it."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How fresh a symbol is; the age of its last trade is None before the first."""

    state: str
    age_seconds: float | None
    message: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether its price may look live."""
        return self.age_seconds is not None and self.age_seconds <= LIVE_SECONDS


def pulse_of(role: str, line: SymbolHealth | None, tick: Tick | None, now: int) -> Pulse:
    """Tell how fresh a symbol is: by the recording, or by the store where this process does not record it."""
    age = max(0.0, (now - tick.time_ms) / 1000) if tick else None
    if line:
        return Pulse(line.state, age if line.age_seconds is None else line.age_seconds, line.message)
    if role == "viewer" and age is not None:
        return Pulse("live" if age <= LIVE_SECONDS else "silent", age)
    return Pulse("stored", age)


def show_heading(instrument: Instrument, label: Label, pulse: Pulse, *, paused: bool) -> None:
    """Show the symbol, its venue, where its trades come from, and how fresh they are."""
    st.subheader(instrument.symbol, anchor=False, width="content")
    st.badge(instrument.venue, color="gray", help="The venue whose trades these are.")
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
        help=steady(pulse.message) or look_of(pulse.state).meaning,
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


def clock_text(now: int, zone: str | None) -> str:
    """Write a time in UTC and, where that differs, in the browser's zone."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    text = f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"
    try:
        local = moment.astimezone(ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return text  # what the browser calls its zone is not known here
    return text if not local.utcoffset() else f"{text} · {local:%H:%M:%S} local"
