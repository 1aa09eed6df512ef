"""Which symbols are recorded: found in the venue's own list, added and removed while recording goes on."""

from collections.abc import Mapping

import streamlit as st

from market import Instrument, PairscopeError
from pairscope.runtime import FEEDS, NETWORK, Runtime
from pairscope.views.notices import inert

SHOWN = 8
"""So many symbols are listed at once; a search finds the others."""

SAID_KEY, SEARCH_KEY = "symbols said", "search symbols"


def show_symbol_choices(runtime: Runtime) -> None:
    """Show a search over what the venue lists, and what is recorded of it."""
    venue = st.selectbox(
        "Venue", venues_of(runtime), key="search venue", help="Whose list is searched; real and simulated never mix.",
    )  # fmt: skip
    text = st.text_input(
        "Search", key=SEARCH_KEY, placeholder="part of a name, such as BTC",
        help="Searched in the venue's own list, which may be asked of it first.",
    )  # fmt: skip
    recorded = [each.instrument for each in runtime.recorded() if each.instrument.venue == venue]
    found, said = find_listed(runtime, text, venue)
    shown = found if text.strip() else dict.fromkeys(recorded, "")
    with st.container(gap="xxsmall"):
        for instrument in list(shown)[:SHOWN]:
            _show_line(runtime, instrument, shown[instrument], recorded=instrument in recorded)
    if hint := inert(said) or more_text(len(shown), len(recorded), searched=bool(text.strip())):
        st.caption(hint)
    if wrong := st.session_state.get(SAID_KEY):
        st.error(inert(wrong), icon=":material/error:")


def venues_of(runtime: Runtime) -> list[str]:
    """Return the venues that can be recorded beside what is; that of the settings first."""
    simulated = bool(runtime.ingestor) and runtime.settings.venue == "simulated"
    names = [name for name in FEEDS if (name not in NETWORK) == simulated]
    return sorted(names, key=lambda name: name != runtime.settings.venue)


def find_listed(runtime: Runtime, text: str, venue: str) -> tuple[Mapping[Instrument, str], str]:
    """Return what a venue lists under a text, with its status, and what is wrong if it does not tell."""
    if not text.strip():
        return {}, ""
    try:
        return runtime.search(text, venue), ""
    except PairscopeError as error:
        return {}, f"{error}. A symbol can still be added by its full name: `python -m pairscope symbols add`."


def more_text(found: int, recorded: int, *, searched: bool) -> str:
    """Say how many symbols there are beside those that are shown."""
    more = f"{found - SHOWN:,} more; a longer text finds fewer." if found > SHOWN else ""
    if not searched:
        return more or ("Nothing of this venue is recorded. A search finds what it has." if not recorded else "")
    return more or ("" if found else "No symbol of this venue has that in its name.")


def _show_line(runtime: Runtime, instrument: Instrument, status: str, *, recorded: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        st.text(f"{instrument.symbol} {status}".strip(), width="stretch")
        label, icon = ("Remove", ":material/close:") if recorded else ("Add", ":material/add:")
        st.button(
            label, icon=icon, key=f"{label} {instrument}", type="tertiary", on_click=_change,
            args=(runtime, "symbols remove" if recorded else "symbols add", instrument),
            help="What is stored of it stays." if recorded else "Record it from now on, until this process ends.",
        )  # fmt: skip


def _change(runtime: Runtime, command: str, instrument: Instrument) -> None:
    outcome = runtime.perform(command, {"symbols": [instrument.symbol], "venue": instrument.venue})
    st.session_state[SAID_KEY] = outcome.text if outcome.exit else ""
