"""What a page says when something is wrong, or when there is nothing to show yet."""

import re
from collections.abc import Sequence

import streamlit as st

from market import Instrument
from pairscope.runtime import Health, Runtime
from pairscope.views.states import steady

DATA_PAGE_KEY = "data page"
"""In the session, the page that takes files."""

PAIR_PAGE_KEY, MARKET_PAGE_KEY, ALERTS_PAGE_KEY = "pair page", "market page", "alerts page"
"""In the session, the pages that others lead to."""

_ADDRESS = re.compile(r"(https?:(?=//)|www(?=\.)|(?=@))", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=])")


def inert(text: str) -> str:
    """Write a foreign text, such as a symbol, so that Markdown takes no character of it for its own.

    Addresses are made links whatever is escaped in them; what cannot be seen, a word joiner, keeps them apart.
    """
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub("\\1\u2060", text))


def instruments_of(runtime: Runtime) -> list[Instrument]:
    """Return what is recorded or stored, what is recorded first."""
    streamed = [each.instrument for each in runtime.recorded()]
    return list(dict.fromkeys([*streamed, *runtime.reader.instruments()]))


def show_warnings(health: Health, *, empty: bool) -> None:
    """Show what a person should know; with nothing stored yet and no venue reached, one card says what to do."""
    said = [steady(each) for each in health.warnings]
    if empty and health.feed and health.feed.state in ("disconnected", "refused", "failing"):
        _show_without_network(said)
        return
    for warning in said[:1]:
        st.warning(inert(warning), icon=":material/warning:")
    _show_more(said[1:])


def _show_more(said: Sequence[str]) -> None:
    if said:
        with st.expander(f"{len(said)} more", icon=":material/warning:"):
            for warning in said:
                st.warning(inert(warning))


def _show_without_network(said: Sequence[str]) -> None:
    """Say in one card that no venue is reached, and what can be done all the same."""
    with st.container(border=True):
        st.markdown("**No venue is reached, and nothing is stored yet**")
        if said:
            st.warning(inert(said[0]), icon=":material/wifi_off:")
        st.markdown("Recording begins by itself when the venue answers. Without a network, there is still:")
        _show_offers()
        _show_more(said[1:])


def _show_offers() -> None:
    """Offer what needs no network: the simulated market, and files."""
    simulated, files = st.columns(2, gap="medium")
    with simulated:
        st.markdown("**The simulated market**, in a store of its own")
        st.code("python start.py --demo", language=None)
    with files:
        st.markdown("**A file** of trades or bars, to analyse or to import")
        _show_link("Upload a file")
        st.code("python -m pairscope replay FILE", language=None)


def _show_link(label: str) -> None:
    page = st.session_state.get(DATA_PAGE_KEY)
    if page:
        st.page_link(page, label=label, icon=":material/upload_file:")


def nothing_yet(runtime: Runtime, *, least: int = 1) -> None:
    """Say that a page needs so many symbols, and where they come from."""
    names = instruments_of(runtime)
    if len(names) >= least:
        st.rerun()  # for the sidebar to offer them
    if names:
        text = f"A pair needs two symbols, and only {inert(str(names[0]))} is here: add another one in the sidebar."
        st.info(text, icon=":material/info:")
        return
    text = f"{inert(runtime.settings.store)} holds no trades yet; they appear here with the first one."
    st.info(text, icon=":material/info:")
    _show_link("Or upload a file")
