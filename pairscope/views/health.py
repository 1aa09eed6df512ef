"""Health: how recording does, what it promises and whether that holds now, and what the log says."""

from collections.abc import Sequence

import streamlit as st

from pairscope.runtime import Health, Runtime, now_ms
from pairscope.views.clock import both_texts, chosen_clock
from pairscope.views.figures import show_cards
from pairscope.views.health_figures import health_figures
from pairscope.views.health_log import show_log
from pairscope.views.health_process import memory_bytes, show_process
from pairscope.views.health_promises import Promise, promises_of, show_promises
from pairscope.views.health_rejects import show_rejects
from pairscope.views.health_symbols import show_lines_of_symbols
from pairscope.views.health_trail import Trail, trail_of
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.recording import show_recording
from pairscope.views.states import counted, steady
from pairscope.views.venues import show_venues

REFRESH_SECONDS, LOG_SECONDS = 1.0, 5.0


def render(runtime: Runtime) -> None:
    """Show the page; the state refreshes every second, the log more slowly."""
    live_part(_live, run_every=REFRESH_SECONDS)(runtime)
    live_part(show_log, run_every=LOG_SECONDS)(runtime.settings.log_file)
    runtime.warming.begin()  # behind the first paint


def _live(runtime: Runtime) -> None:
    now, health, trail, memory = now_ms(), runtime.health(), trail_of(runtime), memory_bytes()
    if health.feed:
        trail.note(health.feed.symbols)
    promises = promises_of(health, runtime.settings, memory=memory)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _show_heading(health, promises)
        st.space("stretch")
        st.caption(both_texts(now, chosen_clock()), width="content")
    for warning in health.warnings:
        st.warning(inert(steady(warning)), icon=":material/warning:")
    show_cards(health_figures(health, trail, runtime.settings, memory=memory))
    left, right = st.columns([8, 5], gap="medium")
    with left:
        _show_feed(health, trail)
        show_recording(runtime, health)
        show_rejects(runtime.reader, chosen_clock())
    with right:
        show_promises(promises)
        show_process(runtime, health, memory)


def _show_heading(health: Health, promises: Sequence[Promise]) -> None:
    st.subheader("Health", anchor=False, width="content")
    if health.feed and health.feed.label != "LIVE":
        meaning = "These are not trades of a real market."
        st.badge(health.feed.label, icon=":material/science:", color="violet", help=meaning)
    if health.role == "viewer":
        st.badge("VIEWER", color="gray", help="Another process records; this one shows what it stores.")
    broken = sum(each.kept is False for each in promises)
    if broken:
        st.badge(f"{counted(broken, 'promise')} not kept", icon=":material/error:", color="red", help=NOT_KEPT)
    else:
        st.badge("every promise kept", icon=":material/check:", color="green", help="Of those that can be seen now.")


NOT_KEPT = "What is wrong, and what to do, stands below beside each of them."


def _show_feed(health: Health, trail: Trail) -> None:
    if health.feed is None:
        st.info("This process does not record, so there is no feed to show; the owner's own Health page shows it.")
    else:
        show_lines_of_symbols(health.feed.symbols, trail)
        show_venues(health.feed)
