"""Deleting a symbol, or everything, after the words that confirm it were typed."""

import streamlit as st

from market import PairscopeError
from pairscope.runtime import Runtime
from pairscope.views.choices import label_of
from pairscope.views.data_changes import begin_change
from pairscope.views.notices import inert
from store import Deletion

EVERYTHING = "everything"


def show_deletion(runtime: Runtime) -> None:
    """Let a symbol be chosen, and begin its deletion."""
    st.markdown("**Delete**", help="Trades, bars, candles and ledgers of a symbol, or the whole store's.")
    names = [str(name) for name in runtime.reader.instruments()]
    if not names:
        st.caption("There is nothing to delete: the store is empty.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox(
            "What", [*names, EVERYTHING], key="to delete", width=260, label_visibility="collapsed",
            format_func=lambda name: "everything, and start afresh" if name == EVERYTHING else label_of(name),
            help="What is to be deleted.",
        )  # fmt: skip
        if st.button("Delete …", icon=":material/delete:", key="delete", help="Says first what would go."):
            st.dialog("Delete for good", icon=":material/delete:")(ask_deletion)(runtime, chosen)


def ask_deletion(runtime: Runtime, chosen: str) -> None:
    """Say what would go, and delete it when the words that confirm it are typed."""
    symbol = None if chosen == EVERYTHING else chosen
    try:
        plan = runtime.reader.deletion(symbol)
    except PairscopeError as error:  # another page, or command, was faster
        st.error(inert(str(error)))
        return
    recorded = {each.instrument for each in runtime.recorded()}
    st.markdown(said_of(plan, going_on=bool(recorded.intersection(plan.instruments))))
    typed = st.text_input(f"To confirm, type: {inert(plan.phrase)}", key="confirmation", autocomplete="off")
    if st.button("Delete", type="primary", key="delete for good", disabled=not typed):
        if typed.strip() != plan.phrase:
            st.error(f"Nothing was deleted: the words are {inert(repr(plan.phrase))}, not {inert(repr(typed))}.")
            return
        title = "Deletion of everything" if symbol is None else f"Deletion of {symbol}"
        begin_change(runtime, title, "delete", {"symbol": symbol, "confirm": typed.strip()})


def said_of(plan: Deletion, *, going_on: bool) -> str:
    """Write what a deletion removes, and what comes after it."""
    names = ", ".join(inert(str(name)) for name in plan.instruments) or "nothing"
    text = f"**{plan.ticks:,} trades** of {names} are deleted for good, with their bars, candles and ledgers."
    more = " It is being recorded, and begins anew with the next trade, unless it is removed from what is recorded."
    return f"{text}{more if going_on else ''} A backup keeps a copy."
