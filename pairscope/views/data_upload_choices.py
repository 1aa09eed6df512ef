"""The controls of the Pair page, for the symbols of an upload."""

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from market import DAY, SECOND, Timeframe
from pairscope.addresses import ENTRY, EXIT, FILL, FITS, HEDGES, STOP, TIME_STOP, WINDOW
from pairscope.files import Upload, off_grid
from pairscope.pairs import PairRequest
from pairscope.views.costs import choose_costs
from pairscope.views.data_upload_files import Reading

LENGTHS = tuple(Timeframe.parse(each) for each in ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "4h", "1d"))
MOST_BARS = 86_400
USUAL_BARS = 300
"""Bars of trades are as long as leaves so many of them, to begin with."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is analysed, by the names of the upload, and how."""

    y: str
    x: str
    request: PairRequest
    rebased: bool


def lengths_of(upload: Upload, y: str, x: str) -> tuple[list[Timeframe], Timeframe]:
    """Return the lengths of bars that both symbols can be put together into, and the one to begin with."""
    bars = [upload.bars[name] for name in (y, x) if name in upload.bars]
    base = math.lcm(SECOND, *(each.timeframe.ms for each in bars))
    if bars and (any(off_grid(each) for each in bars) or base > 366 * DAY):
        return [bars[0].timeframe], bars[0].timeframe
    longer = [each for each in LENGTHS if each.ms > base and each.ms % base == 0]
    lengths = [Timeframe(base), *longer]
    if bars or upload.ticks is None:
        return lengths, lengths[0]
    span = int(upload.ticks.time[-1] - upload.ticks.time[0])
    fitting = [each for each in lengths if span >= USUAL_BARS * each.ms]
    return lengths, fitting[-1] if fitting else lengths[0]


def choose_pair(reading: Reading, upload: Upload) -> Asked:
    """Show the controls of the Pair page for the symbols of the upload."""
    names = [each.name for each in reading.held]
    state = st.session_state
    for leg, default in (("file y", names[0]), ("file x", names[1])):
        if state.get(leg) not in names:
            state[leg] = default
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Pair of the files", anchor=False, width="content")
        st.button(
            "Swap", icon=":material/swap_vert:", key="file swap", help="Swap y and x", on_click=_swap, type="tertiary"
        )
    y = st.selectbox(
        "y", names, key="file y", persist_state="session",
        help="The leg that is bought in a long spread.",
    )  # fmt: skip
    x = st.selectbox(
        "x", names, key="file x", persist_state="session",
        help="Its hedge, sold in a long spread.",
    )  # fmt: skip
    timeframe = _choose_length(upload, y, x)
    instruments = {each.name: each.instrument for each in reading.held}
    request = PairRequest(
        y=instruments[y], x=instruments[x], timeframe=timeframe, bars=MOST_BARS, **_choose_method(), **_choose_data()
    )
    rebased = st.toggle(
        "Rebased prices", key="file rebased", persist_state="session",
        help="Draw both prices on one axis, as 100 at the first bar, instead of one axis each.",
    )  # fmt: skip
    return Asked(y, x, request, rebased)


def _choose_method() -> dict[str, Any]:
    """Let the window, the hedge and the rules of the signal be chosen."""
    window = st.slider(
        "Window, bars", int(WINDOW.least), int(WINDOW.most), 60, step=int(WINDOW.step), key="file window",
        persist_state="session", help="Bars of the past that the hedge of each bar, and its z-score, know.",
    )  # fmt: skip
    method = st.segmented_control(
        "Hedge ratio", HEDGES, required=True, default="OLS", key="file hedge", persist_state="session",
        help="OLS: least squares. Huber, Theil-Sen: hardly moved by outliers. TLS: errors in both legs. "
        "Kalman: corrected a little by every bar.",
    )  # fmt: skip
    fit = st.segmented_control(
        "Fit", FITS, required=True, default="past only", key="file fit", persist_state="session",
        help="Past only: each bar's hedge knows the window before it. Whole window: one hedge for all bars, which "
        "past bars could not have known.",
    )  # fmt: skip
    entry = st.slider(
        "Entry, |z|", ENTRY.least, ENTRY.most, 2.0, step=ENTRY.step, key="file entry", persist_state="session",
        help="How far from its mean the spread must be before a position is opened.",
    )  # fmt: skip
    exit_z = st.slider(
        "Exit, |z|", EXIT.least, EXIT.most, 0.5, step=EXIT.step, key="file exit", persist_state="session",
        help="How near its mean the spread must be before a position is closed.",
    )  # fmt: skip
    rules = {"entry": round(entry, 2), "exit": round(exit_z, 2)}
    return {"window": window, "method": HEDGES[method], "fit": FITS[fit], **rules}


def _choose_data() -> dict[str, Any]:
    """Let be chosen what is done with the prices, and what a trade costs."""
    with st.expander("Stops, data and costs", icon=":material/tune:"):
        stop = st.number_input(
            "Stop, |z|", STOP.least, STOP.most, None, step=STOP.step, placeholder="none", key="file stop",
            persist_state="session", help="A position is given up when z runs on so far against it.",
        )  # fmt: skip
        time_stop = st.number_input(
            "Time stop, bars", int(TIME_STOP.least), int(TIME_STOP.most), None, step=int(TIME_STOP.step),
            placeholder="none", key="file timestop", persist_state="session",
            help="A position is given up when it is so many bars old.",
        )  # fmt: skip
        log = st.toggle(
            "Log prices", key="file log", persist_state="session", help="Analyse the logarithms of the prices."
        )
        intercept = st.toggle(
            "Intercept", value=True, key="file intercept", persist_state="session",
            help="Whether the hedge has an alpha; without one the spread is y - β x.",
        )  # fmt: skip
        fill = st.number_input(
            "Fill missing bars, bars", int(FILL.least), int(FILL.most), 0, key="file fill", persist_state="session",
            help="A bar that one leg lacks is filled from one at most so many bars old, and counted; 0 fills none.",
        )  # fmt: skip
        least = st.number_input(
            "Minimum volume of a bar", min_value=0.0, value=0.0, key="file volume", persist_state="session",
            help="Bars in which either leg traded less, in its own units, are left out and counted.",
        )  # fmt: skip
        costs = choose_costs("file costs", "file bp", persist_state="session")
    stops = {"stop": stop, "time_stop": time_stop}
    return stops | {"log": log, "intercept": intercept, "fill": fill, "minimum_volume": least, "costs": costs}


def _swap() -> None:
    state = st.session_state
    state["file y"], state["file x"] = state["file x"], state["file y"]


def _choose_length(upload: Upload, y: str, x: str) -> Timeframe:
    lengths, first = lengths_of(upload, y, x)
    names = {str(each): each for each in lengths}
    if st.session_state.get("file bars") not in names:
        st.session_state["file bars"] = str(first)
    chosen = st.segmented_control(
        "Bars", names, required=True, key="file bars", persist_state="session", help="The length of a bar."
    )
    return names[chosen or str(first)]
