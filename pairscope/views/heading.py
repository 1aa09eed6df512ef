"""The line above the figures: which symbol, from where, how fresh, how whole, and what time it is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from ingest import LIVE_SECONDS, SymbolHealth
from market import DAY, Instrument, Label, Tick, UnknownName
from pairscope.runtime import Runtime

COLOURS = {"live": "green", "quiet": "blue", "stale": "orange", "silent": "orange"}


@dataclass(frozen=True, slots=True)
class Pulse:
    """How fresh a symbol is; the age of its last trade is None before the first."""

    state: str
    age_seconds: float | None


def pulse_of(role: str, line: SymbolHealth | None, tick: Tick | None, now: int) -> Pulse:
    """Tell how fresh a symbol is: by the recording, or by the store where this process does not record it."""
    if line:
        return Pulse(line.state, line.age_seconds)
    age = (now - tick.time_ms) / 1000 if tick else None
    if role == "viewer" and age is not None:
        return Pulse("live" if age <= LIVE_SECONDS else "silent", age)
    return Pulse("stored", age)


def show_heading(instrument: Instrument, label: Label, pulse: Pulse | None, *, paused: bool) -> None:
    """Show the symbol, its venue, where its trades come from, and how fresh they are."""
    st.subheader(instrument.symbol, anchor=False, width="content")
    st.badge(instrument.venue, color="gray", help="The venue whose trades these are.")
    if label != "LIVE":
        st.badge(label, icon=":material/science:", color="violet", help="These are not trades of a real market.")
    if paused:
        st.badge("PAUSED", icon=":material/pause:", color="orange", help="As of the time beside. Recording goes on.")
    elif pulse is None or pulse.state == "stored":
        st.badge("STORED", color="gray", help="This symbol is not being recorded now.")
    else:
        age = "" if pulse.age_seconds is None else f" {pulse.age_seconds:.1f} s"
        st.badge(
            f"{pulse.state.upper()}{age}",
            icon=":material/sensors:",
            color=COLOURS.get(pulse.state, "gray"),  # type: ignore[arg-type]
            help="Since the last trade. Live: at most 5 s. Quiet: not unusual for this symbol. Stale: unusual. "
            "Silent: seen from outside, this process does not record.",
        )


def show_coverage(runtime: Runtime, instrument: Instrument, now: int) -> None:
    """Show how much of the last day is recorded."""
    try:
        share = runtime.reader.coverage(instrument, now - DAY).share
    except UnknownName:
        return
    st.badge(
        f"24 h coverage {share:.0%}",
        color="blue" if share > 0.999 else "gray",
        help="How much of the last 24 hours is recorded without a gap; less where recording began later.",
    )


def clock_text(now: int, zone: str | None) -> str:
    """Write a time in UTC and, where that differs, in the browser's zone."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    text = f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"
    try:
        local = moment.astimezone(ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return text  # what the browser calls its zone is not known here
    return text if not local.utcoffset() else f"{text} · {local:%H:%M:%S} local"
