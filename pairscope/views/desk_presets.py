"""Saved views: the settings of the Pair page under a name, kept in the store for every browser."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from market import WrongUse
from pairscope.addresses import PAIR, texts_of, values_of
from pairscope.commands import NAME_LENGTH
from pairscope.runtime import Runtime
from pairscope.stores.records import Record, read_records
from pairscope.views.choices import DEFAULT_BARS_KEY, UNKNOWN_KEY
from pairscope.views.notices import inert

CHOSEN_KEY, NAME_KEY, SAID_KEY = "saved view", "name of view", "views said"


def show_presets(runtime: Runtime) -> None:
    """Let a view be opened, deleted, or saved under a name."""
    records, state = read_records(runtime.reader, "preset"), st.session_state
    if records:
        if state.get(CHOSEN_KEY) not in records:
            state[CHOSEN_KEY] = next(iter(records))
        name = st.selectbox(
            "View", list(records), key=CHOSEN_KEY, help="Views are kept in the store, for all browsers."
        )
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Open view", key="open view", on_click=_open, args=(records[name],),
                width="stretch", help="Set all controls of this page as they were saved.",
            )  # fmt: skip
            st.button(
                "Delete view", key="delete view", on_click=_delete, args=(runtime, name),
                width="stretch", help="Delete this view for everyone.",
            )  # fmt: skip
    st.text_input(
        "Save as", key=NAME_KEY, max_chars=NAME_LENGTH, placeholder="a name", help="A view of that name is replaced."
    )
    st.button(
        "Save view", icon=":material/bookmark_add:", key="save view", on_click=_save, args=(runtime,), width="stretch",
        help="Keep the present settings of this page under that name.",
    )  # fmt: skip
    if said := state.get(SAID_KEY):
        st.warning(inert(said), icon=":material/bookmark:")
    elif not records:
        st.caption("No view is saved yet. A link to this page holds the same settings.")


def _save(runtime: Runtime) -> None:
    state = st.session_state
    name = str(state.get(NAME_KEY, ""))
    if not name.strip():
        state[SAID_KEY] = "Give the view a name first."
        return
    texts = texts_of({key: state[key] for key in PAIR if key in state})
    _tell(runtime.perform("preset save", {"preset": name, "values": texts}))
    if not state[SAID_KEY]:
        state[CHOSEN_KEY], state[NAME_KEY] = name.strip(), ""


def _delete(runtime: Runtime, name: str) -> None:
    _tell(runtime.perform("preset delete", {"preset": name}))


def _tell(outcome: Any) -> None:
    st.session_state[SAID_KEY] = f"{outcome.text[:1].upper()}{outcome.text[1:]}." if outcome.exit else ""


def _open(record: Record) -> None:
    """Set every control as the record says; one that is broken changes nothing, and is told by its name."""
    try:
        set_controls(values_of(record.name, record.values))
    except WrongUse as error:
        st.session_state[SAID_KEY] = f"{str(error)[:1].upper()}{str(error)[1:]}."
    else:
        st.session_state[SAID_KEY] = ""


def set_controls(values: Mapping[str, object]) -> None:
    """Set the controls of the Pair page; a leg that is not here is told as one of an address would be."""
    state = st.session_state
    for key, value in values.items():
        if key in ("y", "x"):
            state.pop(key, None)
            st.query_params[key] = str(value or "")
        elif key == "bars":
            state.pop(DEFAULT_BARS_KEY, None)
            if value is not None:
                state[key] = value
        else:
            state[key] = value
    state[UNKNOWN_KEY] = ""
