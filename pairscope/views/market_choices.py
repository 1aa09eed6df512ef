"""What the sidebar of the Market page asks for: which symbols, in which bars, how many, and how often anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from market import Instrument, Timeframe, WrongUse
from pairscope.settings import Settings
from pairscope.views.choices import UNKNOWN_KEY, choose_bars, choose_refresh, find_asked, label_of

DRAWN_KEY, OWN_KEY, PICKED_KEY, TURN_KEY = "symbols", "symbols are chosen", "symbol was picked", "symbols turn"
"""The symbols that are drawn, whether they were chosen here, whether one was just picked in the table, and how often
others were drawn than the control says. It is a new one then: a refresh under way may still tell what the browser had
in the old one, which must not undo it."""

MOST = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """What the sidebar asks for: symbols, in how many bars of which length, and the seconds between refreshes."""

    drawn: tuple[Instrument, ...]
    timeframe: Timeframe
    shown: int
    refresh: float | None


def show_market_sidebar(names: Sequence[Instrument], settings: Settings) -> Asked:
    """Show the controls, and return what they say."""
    drawn = _choose_drawn(names, settings) if names else ()
    bars = choose_bars(drawn[0].venue if drawn else settings.venue)
    shown = st.slider(
        "Bars shown", 60, 1_500, 300, step=60, key="shown", bind="query-params",
        help="How many bars back the charts and the figures reach.",
    )  # fmt: skip
    return Asked(drawn, bars, shown, choose_refresh())


def _choose_drawn(names: Sequence[Instrument], settings: Settings) -> tuple[Instrument, ...]:
    """Let symbols be chosen; until some are, they are the legs of the pair, and those in the address win."""
    by_name, state = {str(name): name for name in names}, st.session_state
    legs = _legs(list(by_name), largest_first=not settings.symbols)
    if OWN_KEY not in state:
        asked = _asked(names, settings.venue)
        state[OWN_KEY], state[DRAWN_KEY], state[TURN_KEY] = bool(asked), asked, 0
    _draw([name for name in state[DRAWN_KEY] if name in by_name] if state[OWN_KEY] else legs)
    _show_head(own=state[DRAWN_KEY] != legs)
    st.multiselect(
        "Symbols", by_name, default=state[DRAWN_KEY], key=control_key(), format_func=label_of, max_selections=MOST,
        placeholder="Choose up to four", on_change=_choose,
        help="What is drawn: the two legs of the pair, unless you choose others here or in the table of all symbols.",
    )  # fmt: skip
    if st.query_params.get_all(DRAWN_KEY) != state[DRAWN_KEY]:
        st.query_params[DRAWN_KEY] = state[DRAWN_KEY]
    return tuple(by_name[name] for name in state[DRAWN_KEY])


def control_key() -> str:
    """Return the key of the control as it is now."""
    return f"{DRAWN_KEY} {st.session_state[TURN_KEY]}"


def _draw(names: list[str]) -> None:
    """Draw other symbols than before, and begin a new control with them."""
    state = st.session_state
    if names != state[DRAWN_KEY]:
        state[DRAWN_KEY] = names
        state[TURN_KEY] += 1


def _choose() -> None:
    _own()
    st.session_state[DRAWN_KEY] = list(st.session_state[control_key()])


def _show_head(*, own: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Market", anchor=False, width="content")
        if own:
            st.button(
                "Pair", icon=":material/undo:", key="to pair", type="tertiary", on_click=_follow,
                help="Draw the two legs of the pair again.",
            )  # fmt: skip


def _legs(names: Sequence[str], *, largest_first: bool) -> list[str]:
    """Return the legs of the pair, y first; without a pair yet, those that it will begin with."""
    first = list(names[1::-1] if largest_first else names[:2])
    legs = [str(st.session_state.get(leg) or st.query_params.get(leg, "")) for leg in ("y", "x")]
    return list(dict.fromkeys(legs)) if set(legs) <= set(names) else first


def _asked(names: Sequence[Instrument], default_venue: str) -> list[str]:
    """Return the symbols that the address names; of one that is not here, keep what is to be said."""
    found, state = [], st.session_state
    state.setdefault(UNKNOWN_KEY, "")
    for text in st.query_params.get_all(DRAWN_KEY)[:MOST]:
        try:
            found.append(str(find_asked(text, names, default_venue=default_venue)))
        except WrongUse as error:
            state[UNKNOWN_KEY] = f"The address asks for a symbol that is not here: {error}. Others are shown."
    return list(dict.fromkeys(found))


def pick(names: Sequence[Instrument], key: str) -> None:
    """Draw the symbol alone whose row was clicked in the table of that key; rows are as `names`."""
    cells = st.session_state[key]["selection"]["cells"]
    if cells:
        _own()
        _draw([str(names[cells[0][0]])])
        st.session_state[PICKED_KEY] = True


def _own() -> None:
    st.session_state[OWN_KEY], st.session_state[UNKNOWN_KEY] = True, ""


def _follow() -> None:
    st.session_state[OWN_KEY], st.session_state[UNKNOWN_KEY] = False, ""
