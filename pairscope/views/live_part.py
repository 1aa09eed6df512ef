"""Parts of a page that are drawn anew by themselves."""

from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

Given = ParamSpec("Given")


def live_part(show: Callable[Given, None], *, run_every: float | None = None) -> Callable[Given, None]:
    """Return what draws a part of a page, and has it drawn anew by itself.

    It stands in a container of the page. When a part is drawn anew before the browser was sent what a run of the page
    has drawn of it, Streamlit drops the latter, and the browser moves what follows into the place of the part that it
    takes for gone; from then on it draws into wrong places. The container is always sent, and holds the place.

    Args:
        show: draws it.
        run_every: the seconds between two times; None: only when a control in it is used.
    """

    def placed(*args: Given.args, **kwargs: Given.kwargs) -> None:
        with st.container():
            st.fragment(show, run_every=run_every)(*args, **kwargs)

    return placed
