"""The line above a pair's figures: which legs, how fresh the worse of them is, and what the signal is."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from market import Instrument, Label, Tick
from pairscope.methodology import tooltip
from pairscope.pairs import PairRequest
from pairscope.runtime import Health, Runtime
from pairscope.views.heading import AT_REST, Pulse, pulse_of
from pairscope.views.notices import inert
from pairscope.views.states import age_text, look_of, steady
from pairscope.views.verdict import Colour

if TYPE_CHECKING:
    from analytics import PairAnalysis

OLDEST_BARS = 2.0
"""A last closed bar that is older makes no signal."""

STEADY = frozenset({"live", "repairing", "quiet"})
"""States in which what is shown is what the venue has: a quiet symbol has not traded, and that is known."""


def pulse_of_pair(
    runtime: Runtime, request: PairRequest, health: Health, latest: Mapping[Instrument, Tick], now: int
) -> Pulse:
    """Tell how fresh the less fresh of two legs is."""
    lines = {line.instrument: line for line in runtime.recorded()}
    return worse(*(pulse_of(health, lines.get(each), latest.get(each), now) for each in (request.y, request.x)))


def worse(y: Pulse, x: Pulse) -> Pulse:
    """Return the less fresh of two."""
    return max(y, x, key=lambda pulse: (pulse.state not in STEADY, _age(pulse)))


def is_current(pulse: Pulse, found: "PairAnalysis | None") -> bool:
    """Tell whether the numbers are of now: both legs are heard of, and the last bar is not old."""
    if not (pulse.is_fresh or pulse.state in STEADY) or pulse.state in ("stale", "disconnected", *AT_REST):
        return False
    return found is None or not found.summary.age_bars > OLDEST_BARS


def _age(pulse: Pulse) -> float:
    return math.inf if pulse.age_seconds is None else pulse.age_seconds


def show_pair_heading(
    request: PairRequest, label: Label, pulse: Pulse, signal: tuple[str, Colour], *, paused: bool
) -> None:
    """Show the legs, their venues, where their trades come from, how fresh they are, and the signal."""
    st.subheader(f"{inert(request.y.symbol)} / {inert(request.x.symbol)}", anchor=False, width="content")
    venues = dict.fromkeys((request.y.venue, request.x.venue))
    st.badge(inert(" / ".join(venues)), color="gray", help="The venue whose trades these are; of y and of x if two.")
    if label != "LIVE":
        st.badge(label, icon=":material/science:", color="violet", help="These are not trades of a real market.")
    if paused:
        st.badge("PAUSED", icon=":material/pause:", color="orange", help="As of the time beside. Recording goes on.")
    else:
        stored = pulse.state == "stored"
        age = "" if stored or pulse.age_seconds is None else f" {age_text(pulse.age_seconds)}"
        st.badge(
            f"{pulse.state.upper()}{age}",
            icon=None if stored else ":material/sensors:",
            color=look_of(pulse.state).colour,
            help=inert(steady(pulse.message)) or f"{look_of(pulse.state).meaning} The less fresh of the two legs.",
        )
    word, colour = signal
    st.badge(word, color=colour, help=tooltip("state"))
