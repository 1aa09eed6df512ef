"""What the sidebar asks for: which symbol, in bars of which length, how many, and how often anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from market import Instrument, Timeframe, UnknownName, WrongUse
from pairscope.runtime import NETWORK

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h")
USUAL = Timeframe.parse("5s")
UNKNOWN_KEY, DEFAULT_BARS_KEY = "unknown symbol", "default bars"
REFRESH = {"0.5 s": 0.5, "1 s": 1.0, "2 s": 2.0, "5 s": 5.0, "paused": None}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sidebar asks for."""

    instrument: Instrument
    timeframe: Timeframe
    shown: int


def show_sidebar(names: Sequence[Instrument], default_venue: str) -> tuple[Choice | None, float | None]:
    """Show the controls; return what is chosen, None where there is nothing yet, and the seconds between refreshes."""
    st.subheader("Pairscope", anchor=False)
    chosen = None
    if names:
        instrument = _choose_symbol(names, default_venue)
        bars = choose_bars(instrument.venue)
        shown = st.slider(
            "Bars shown",
            60,
            1_500,
            300,
            step=60,
            key="shown",
            bind="query-params",
            help="How many bars back the chart and the figures reach.",
        )
        chosen = Choice(instrument, bars, shown)
    return chosen, choose_refresh()


def choose_refresh() -> float | None:
    """Let the time between refreshes be chosen, in seconds; None while the page is paused."""
    refresh = st.select_slider(
        "Refresh every",
        REFRESH,
        value="1 s",
        key="refresh",
        persist_state="session",
        help="Recording goes on while the page is paused.",
    )
    return REFRESH[refresh]


def unknown_symbol() -> str:
    """Return what is wrong with the symbol that the address asked for; empty when it is here, or another was chosen."""
    return str(st.session_state.get(UNKNOWN_KEY, ""))


def _choose_symbol(names: Sequence[Instrument], default_venue: str) -> Instrument:
    """Let a symbol be chosen; the address names it in full, or it would mean another when a venue is added."""
    by_name, state = {str(name): name for name in names}, st.session_state
    if state.get("symbol") not in by_name:
        asked = st.query_params.get("symbol", "")
        state["symbol"], state[UNKNOWN_KEY] = str(names[0]), ""
        try:
            state["symbol"] = str(find_asked(asked, names, default_venue=default_venue) if asked else names[0])
        except WrongUse as error:
            state[UNKNOWN_KEY] = f"The address asks for a symbol that is not here: {error}. Shown is {names[0]}."
    name = st.selectbox("Symbol", by_name, key="symbol", format_func=label_of, on_change=_forget_unknown)
    if st.query_params.get("symbol") != name:
        st.query_params["symbol"] = name
    return by_name[name]


def _forget_unknown() -> None:
    st.session_state[UNKNOWN_KEY] = ""


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
    return Timeframe.parse(bars or default)


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
