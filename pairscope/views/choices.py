"""What the sidebars of several pages ask for: which bars, how often anew, and which symbol an address means."""

from collections.abc import Sequence

import streamlit as st

from market import Instrument, Timeframe, UnknownName, WrongUse
from pairscope.addresses import REFRESH, TIMEFRAMES
from pairscope.runtime import NETWORK

USUAL = Timeframe.parse("5s")
UNKNOWN_KEY, DEFAULT_BARS_KEY, PAUSED_KEY = "unknown symbol", "default bars", "paused"


def choose_refresh() -> float | None:
    """Let the time between refreshes be chosen, in seconds; None while the page is paused."""
    state = st.session_state
    if PAUSED_KEY not in state:
        state[PAUSED_KEY] = st.query_params.get(PAUSED_KEY) == "true"
    left, right = st.columns(2, gap="small", vertical_alignment="bottom")
    refresh = left.select_slider(
        "Refresh every", REFRESH, value="1 s", key="refresh", bind="query-params",
        help="How often the figures and charts of this page are drawn anew.",
    )  # fmt: skip
    paused = bool(state[PAUSED_KEY])
    right.button(
        "Resume page" if paused else "Pause page", type="primary" if paused else "secondary",
        key="pause page", on_click=_turn_page, shortcut="P", width="stretch",
        help="Draw this page anew as before." if paused else "Keep this page as it is. Recording goes on.",
    )  # fmt: skip
    if paused:
        st.query_params[PAUSED_KEY] = "true"
    elif PAUSED_KEY in st.query_params:
        del st.query_params[PAUSED_KEY]
    return None if paused else REFRESH[refresh]


def _turn_page() -> None:
    st.session_state[PAUSED_KEY] = not st.session_state[PAUSED_KEY]


def unknown_symbol() -> str:
    """Return what is wrong with the symbol that the address asked for; empty when it is here, or another was chosen."""
    return str(st.session_state.get(UNKNOWN_KEY, ""))


def choose_bars(venue: str) -> Timeframe:
    """Let a length be chosen; until one is, it follows the venue, and one in the address wins."""
    default, state = first_timeframe(venue), st.session_state
    chosen = state.get("bars", st.query_params.get("bars"))
    if chosen not in TIMEFRAMES or chosen == state.get(DEFAULT_BARS_KEY):
        state["bars"] = default
    state[DEFAULT_BARS_KEY] = default
    bars = st.segmented_control(
        "Bars", TIMEFRAMES, required=True, key="bars", bind="query-params", help="The length of a bar."
    )
    with st.container(horizontal=True, gap="small"):
        for label, icon, step, shortcut in STEPS:
            st.button(
                label, icon=icon, key=label, type="tertiary", on_click=_step_bars, args=(step,), shortcut=shortcut,
                disabled=TIMEFRAMES.index(bars or default) == (0 if step < 0 else len(TIMEFRAMES) - 1),
            )  # fmt: skip
    return Timeframe.parse(bars or default)


STEPS = (
    ("Shorter", ":material/remove:", -1, "Shift+B"),
    ("Longer", ":material/add:", 1, "B"),
)
"""The two ways from one length of bars to the next: their names, icons, steps and keys."""


def _step_bars(step: int) -> None:
    state = st.session_state
    place = TIMEFRAMES.index(state["bars"]) + step
    state["bars"] = TIMEFRAMES[min(max(place, 0), len(TIMEFRAMES) - 1)]


def first_timeframe(venue: str) -> str:
    """Return the length of bars to begin with: 5s, or longer where the venue's candles of the past are."""
    words = NETWORK.get(venue)
    shortest = min(words.candle_lengths, default=USUAL) if words else USUAL
    return str(max(USUAL, shortest))


def label_of(name: str) -> str:
    """Return what a list calls an instrument: the same whatever else is in it, or the one watched would jump."""
    venue, _, symbol = name.partition(":")
    return f"{symbol} · {venue}"


def find_asked(text: str, names: Sequence[Instrument], *, default_venue: str) -> Instrument:
    """Return what an address asks for: a bare symbol means that of the only venue that has it, else the default's.

    Raises:
        WrongUse: when there is none such, or several venues have it and none is the default.
    """
    fitting = [each for each in names if text in (str(each), each.symbol)]
    if len(fitting) > 1:
        fitting = [each for each in fitting if each.venue == default_venue]
        if not fitting:
            raise WrongUse(f"several venues have {text}: choose one")
    if not fitting:
        raise UnknownName("symbol", text, [str(each) if ":" in text else each.symbol for each in names])
    return fitting[0]
