"""Explore: which leg leads, what the hedge leaves over, how it moves, and what every test says."""

from collections.abc import Callable, Mapping

import streamlit as st

from pairscope.runtime import Runtime, now_ms
from pairscope.views.choices import unknown_symbol
from pairscope.views.clock import both_texts, chosen_clock
from pairscope.views.ended import ended_mark, ended_text
from pairscope.views.explore_hedge import show_hedge
from pairscope.views.explore_lead import show_lead
from pairscope.views.explore_panels import Scene
from pairscope.views.explore_residuals import show_residuals
from pairscope.views.explore_tests import show_tests
from pairscope.views.heading import coverage_of, show_coverage
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert, instruments_of, nothing_yet, show_warnings
from pairscope.views.numerals import awaited_text
from pairscope.views.pair_choices import PARTS, Asked, show_pair_sidebar
from pairscope.views.pair_heading import OLDEST_BARS, is_current, pulse_of_pair, show_pair_heading
from pairscope.views.pair_sight import Sight, sight_of
from pairscope.views.verdict import signal_badge
from pairscope.warming import METHODS

LEAST_REFRESH = 10.0
"""Seconds between two looks at a section: what it shows changes slowly, and costs more than a price."""

WAITING = "explore waits"
"""In the session, whether a section was shown without numbers, because they were not ready."""

LEAD, RESIDUALS, HEDGE, TESTS = "lead", "residuals", "hedge", "tests"
TITLES = {LEAD: "Lead and lag", RESIDUALS: "Residuals", HEDGE: "Hedge over time", TESTS: "Tests"}
SECTIONS: Mapping[str, Callable[[Scene], None]] = {
    LEAD: show_lead, RESIDUALS: show_residuals, HEDGE: show_hedge, TESTS: show_tests,
}  # fmt: skip


def render(runtime: Runtime) -> None:
    """Show the page; its heading refreshes as on the Pair page, the section chosen more slowly."""
    with st.sidebar:
        asked = show_pair_sidebar(instruments_of(runtime), runtime.settings, parts=PARTS - {"costs", "rebased"})
    if said := unknown_symbol():
        st.warning(inert(said), icon=":material/search_off:")
    st.session_state[WAITING] = False
    live_part(_heading, run_every=asked.refresh)(runtime, asked)
    pace = None if asked.refresh is None else max(asked.refresh, LEAST_REFRESH)
    live_part(_section, run_every=pace)(runtime, asked)
    runtime.warming.begin()  # behind the first paint


def _heading(runtime: Runtime, asked: Asked) -> None:
    request, paused = asked.request, asked.refresh is None
    now, health, latest = now_ms(), runtime.health(), runtime.reader.latest()
    show_warnings(health, empty=not latest)
    if request is None:
        nothing_yet(runtime, least=2)
        return
    pulse = pulse_of_pair(runtime, request, health, latest, now)
    sight, clock = sight_of(runtime, request), chosen_clock()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        fresh = is_current(pulse, sight.found)
        why_not = "wrong options" if sight.refused else "paused" if paused else "" if fresh else "stale"
        show_pair_heading(request, sight.label, pulse, signal_badge(sight.found, why_not=why_not), paused=paused)
        show_coverage([coverage_of(runtime.reader, each, now) for each in (request.y, request.x)])
        st.space("stretch")
        st.caption(ended_mark(sight.ends_ms, clock) or inert(both_texts(now, clock)), width="content")
    if st.session_state.get(WAITING) and sight.found is not None and runtime.warming.ready(METHODS[-1]):
        st.rerun()


def _section(runtime: Runtime, asked: Asked) -> None:
    if asked.request is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        chosen = st.segmented_control(
            "Section", TITLES, format_func=TITLES.__getitem__, default=LEAD, required=True, key="explore",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        st.space("stretch")
        sight = sight_of(runtime, asked.request)
        st.caption(as_of(sight, chosen, now_ms()), width="content")
        st.button(
            "Renew", icon=":material/refresh:", key="renew", type="tertiary", help="Compute it for the newest bar."
        )
    awaited = sight.awaited or ("" if runtime.warming.ready(METHODS[-1]) else "The numbers are being made ready.")
    st.session_state[WAITING] = bool(awaited)
    if sight.refused:
        st.warning(inert(sight.refused), icon=":material/block:")
    elif awaited:
        st.info(awaited, icon=":material/hourglass_top:")
    else:
        _show(runtime, asked, sight, chosen)


def _show(runtime: Runtime, asked: Asked, sight: Sight, chosen: str) -> None:
    assert asked.request
    assert sight.found
    request, summary = asked.request, sight.found.summary
    into_bar = runtime.now_at(request.y.venue) % request.timeframe.ms
    pulse = pulse_of_pair(runtime, request, runtime.health(), runtime.reader.latest(), now_ms())
    coming, ended = is_current(pulse, sight.found), ended_text(sight.ends_ms, chosen_clock())
    missing = awaited_text(summary.n, summary.needed, request.timeframe.ms, into_bar, coming=coming, ended=ended)
    if missing:
        st.info(inert(missing), icon=":material/hourglass_top:")
    theme = st.context.theme.type or "dark"
    legs, clock = (sight.y, sight.x), chosen_clock()
    SECTIONS[chosen](Scene(runtime, request, legs, sight.found, sight.label, clock, theme, sight.ends_ms))


def as_of(sight: Sight, section: str, now: int) -> str:
    """Say up to when the bars go that the section is made of; in another colour when that is not of now."""
    found = sight.found
    if found is None or not found.examination.n:
        return ""
    clock, step = chosen_clock(), found.joined.timeframe.ms
    last = found.examination.end_ms if section == TESTS else int(found.joined.time[found.joined.closed][-1])
    [end] = clock.column_texts([last + step], now)
    text = f"As of {end} {inert(clock.name)}"
    return f":orange[{text}]" if found.summary.age_bars > OLDEST_BARS else text
