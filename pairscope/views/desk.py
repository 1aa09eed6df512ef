"""What every page shows at the end of its sidebar: recording, symbols, saved views, and the time zone."""

import streamlit as st

from ingest import FeedHealth
from pairscope.runtime import Runtime
from pairscope.views.clock import choose_zone
from pairscope.views.desk_presets import show_presets
from pairscope.views.desk_symbols import show_symbol_choices
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.states import VENUE_STATES, counted, look_of

REFRESH_SECONDS = 2.0
SAID_KEY = "recording said"


def show_desk(runtime: Runtime, *, of_pair: bool) -> None:
    """Show it; views are saved and opened where the page is `of_pair`."""
    with st.container(gap="small"):
        _show_parts(runtime, of_pair=of_pair)


def _show_parts(runtime: Runtime, *, of_pair: bool) -> None:
    live_part(_recording, run_every=REFRESH_SECONDS)(runtime)
    if runtime.ingestor:
        with st.expander("Symbols", icon=":material/playlist_add:"):
            show_symbol_choices(runtime)
    if of_pair:
        with st.expander("Saved views", icon=":material/bookmark:"):
            show_presets(runtime)
    choose_zone()


def _recording(runtime: Runtime) -> None:
    feed = runtime.ingestor.health() if runtime.ingestor else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("Recording", anchor=False, width="content")
        if feed:
            look = look_of(feed.state, VENUE_STATES)
            st.badge(feed.state.upper(), color=look.colour, help=look.meaning)
    if feed is None:
        st.caption("Another process records; this one shows what it stores, and leaves recording to it.")
        return
    st.caption(inert(feed_line(feed)), help=LINE_MEANING)
    if feed.label != "REPLAY":
        _show_switches(runtime, feed)
    if said := st.session_state.get(SAID_KEY):
        st.error(inert(said), icon=":material/error:")


LINE_MEANING = "The venues, the symbols that are recorded, and how many of their trades come in a second."


def feed_line(feed: FeedHealth) -> str:
    """Write where trades come from, of how many symbols, and how fast: binance-spot · 2 symbols · 214 trades/s."""
    names = [each.venue for each in feed.venues]
    venues = names[0] if len(names) == 1 else counted(len(names), "venue")
    rate = sum(each.trades_per_second for each in feed.symbols if each.state in ("live", "repairing", "quiet"))
    return f"{venues} · {counted(len(feed.symbols), 'symbol')} · {rate:,.{0 if rate >= 10 else 1}f} trades/s"


def _show_switches(runtime: Runtime, feed: FeedHealth) -> None:
    with st.container(horizontal=True, gap="small"):
        if feed.state == "stopped":
            _switch(runtime, "Start", ":material/play_arrow:", "recording go on", "Record again, from now on.")
            return
        if feed.state == "paused":
            _switch(runtime, "Resume", ":material/play_arrow:", "recording go on", "Go on, and fetch what was missed.")
        else:
            _switch(
                runtime, "Pause", ":material/pause:", "recording pause",
                "Let go of the venue, and receive nothing. What is missed is fetched when recording goes on.",
            )  # fmt: skip
        _switch(
            runtime, "Stop", ":material/stop:", "recording stop",
            "Receive nothing until Start, or until Pairscope is started again. What is missed until Start stays a gap "
            "that says so; the Data page can try to repair it. What was owed before is fetched, and all of it is after "
            "another start of Pairscope, or where the venue is not reached at Start.",
        )  # fmt: skip


def _switch(runtime: Runtime, label: str, icon: str, command: str, meaning: str) -> None:
    st.button(
        label, icon=icon, key=f"{label} recording", on_click=_perform, args=(runtime, command), width="stretch",
        help=meaning,
    )  # fmt: skip


def _perform(runtime: Runtime, command: str) -> None:
    outcome = runtime.perform(command, {})
    st.session_state[SAID_KEY] = outcome.text if outcome.exit else ""
