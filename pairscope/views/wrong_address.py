"""An address that holds what it cannot: what is wrong is said, and the usual value takes its place."""

import streamlit as st

from pairscope.addresses import EXPLORE, FIELDS, complaints
from pairscope.views.clock import begin_zone


def replace_wrong() -> list[str]:
    """Replace what is wrong in the address, before any control reads it; return what is to be said."""
    state = st.session_state
    asked = {key: text for key, text in st.query_params.to_dict().items() if key not in state}
    said = complaints(asked)
    for key in said:
        field = FIELDS[key]
        if key in ("y", "x", "paused", *EXPLORE):
            del st.query_params[key]
        elif field.usual is not None:
            state[key] = field.usual
    zone = begin_zone()
    return [f"{each} The usual value is shown instead." for each in (*said.values(), *filter(None, [zone]))]
