"""The two legs of a pair, as they are chosen."""

from collections.abc import Sequence

import streamlit as st

from market import Instrument, WrongUse
from pairscope.views.choices import UNKNOWN_KEY, find_asked, label_of

LEGS = {"y": "The leg that is bought in a long spread.", "x": "Its hedge, sold in a long spread."}


def choose_legs(
    names: Sequence[Instrument], default_venue: str, *, largest_first: bool
) -> tuple[Instrument, Instrument]:
    """Let y and x be chosen, and swapped; the address names both in full.

    Args:
        names: what there is to choose from; the first two are the default.
        default_venue: the one that a bare symbol in the address means when several have it.
        largest_first: whether the first name is the one that hedges the second, and not the other way round.
    """
    by_name = {str(name): name for name in names}
    first = list(by_name)[:2]
    for leg, default in zip(LEGS, reversed(first) if largest_first else first, strict=True):
        _begin_with_asked(leg, default, names, default_venue)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Pair", anchor=False, width="content")
        st.button(
            "Swap", icon=":material/swap_vert:", key="swap", help="Swap y and x", on_click=_swap, shortcut="S",
            type="tertiary",
        )  # fmt: skip
    for leg, meaning in LEGS.items():
        st.selectbox(
            leg, by_name, key=leg, format_func=label_of, persist_state="session", help=meaning,
            on_change=_forget_unknown,
        )  # fmt: skip
    for leg in LEGS:
        if st.query_params.get(leg) != st.session_state[leg]:
            st.query_params[leg] = st.session_state[leg]
    y, x = (by_name[st.session_state[leg]] for leg in LEGS)
    return y, x


def _begin_with_asked(leg: str, default: str, names: Sequence[Instrument], default_venue: str) -> None:
    """Begin with the leg that the address names, or with the default."""
    state = st.session_state
    if state.get(leg) in [str(name) for name in names]:
        return
    state[leg], asked = default, st.query_params.get(leg, "")
    state.setdefault(UNKNOWN_KEY, "")
    if asked:
        try:
            state[leg] = str(find_asked(asked, names, default_venue=default_venue))
        except WrongUse as error:
            state[UNKNOWN_KEY] = f"The address asks for a symbol that is not here: {error}. Shown is {default}."


def _forget_unknown() -> None:
    st.session_state[UNKNOWN_KEY] = ""


def _swap() -> None:
    state = st.session_state
    state["y"], state["x"] = state["x"], state["y"]
