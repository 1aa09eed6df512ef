"""What a page says when something is wrong, or when there is nothing to show yet."""

import re

import streamlit as st

from market import Instrument
from pairscope.runtime import Health, Runtime
from pairscope.views.states import steady

WITHOUT_NETWORK = (
    "`python start.py --demo` shows the simulated market, `python -m pairscope replay FILE` plays a recording into a"
    " store of its own."
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=])")


def inert(text: str) -> str:
    """Write a foreign text, such as a symbol, so that Markdown takes no character of it for its own."""
    return _MARKDOWN.sub(r"\\\1", text)


def instruments_of(runtime: Runtime) -> list[Instrument]:
    """Return what is recorded or stored, what is recorded first."""
    streamed = [each.instrument for each in runtime.recorded()]
    return list(dict.fromkeys([*streamed, *runtime.reader.instruments()]))


def show_warnings(health: Health, *, empty: bool) -> None:
    """Show what a person should know; with nothing stored yet, also what to do without a network."""
    said = [steady(each) for each in health.warnings]
    for warning in said[:1]:
        st.warning(warning, icon=":material/warning:")
    if more := said[1:]:
        with st.expander(f"{len(more)} more", icon=":material/warning:"):
            for warning in more:
                st.warning(warning)
    if empty and health.feed and health.feed.state in ("disconnected", "refused", "failing"):
        text = f"Recording begins by itself when the venue answers. Is there no network? {WITHOUT_NETWORK}"
        st.info(text, icon=":material/info:")


def nothing_yet(runtime: Runtime, *, least: int = 1) -> None:
    """Say that a page needs so many symbols, and where they come from."""
    names = instruments_of(runtime)
    if len(names) >= least:
        st.rerun()  # for the sidebar to offer them
    if names:
        text = (
            f"A pair needs two symbols, and only {inert(str(names[0]))} is here. "
            "`python -m pairscope symbols add SYMBOL` records another one."
        )
    else:
        text = f"`{runtime.settings.store}` holds no trades yet; they appear here with the first one. {WITHOUT_NETWORK}"
    st.info(text, icon=":material/info:")
