"""The pair: what it is worth now, how it came there, what that means, and what was done about it."""

import streamlit as st

from pairscope.pairs import Offer, PairRequest, Pairs
from pairscope.runtime import Runtime, now_ms
from pairscope.views.cards import show_cards
from pairscope.views.choices import unknown_symbol
from pairscope.views.clock import Clock, both_texts, chosen_clock
from pairscope.views.ended import ended_mark, ended_text
from pairscope.views.figures import units_of
from pairscope.views.heading import coverage_of, pulse_of, show_coverage
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert, instruments_of, nothing_yet, show_warnings
from pairscope.views.numerals import awaited_text
from pairscope.views.pair_chart import show_pair_chart
from pairscope.views.pair_choices import Asked, show_pair_sidebar
from pairscope.views.pair_figures import cards_of, waiting_cards
from pairscope.views.pair_heading import is_current, show_pair_heading, worse
from pairscope.views.pair_sight import Sight, sight_of
from pairscope.views.verdict import show_download, show_signals, show_verdict, signal_badge


def render(runtime: Runtime) -> None:
    """Show the page; its live part refreshes by itself."""
    with st.sidebar:
        asked = show_pair_sidebar(instruments_of(runtime), runtime.settings)
    if said := unknown_symbol():
        st.warning(inert(said), icon=":material/search_off:")
    live_part(_live, run_every=asked.refresh)(runtime, asked)
    runtime.warming.begin()  # behind the first paint


def _live(runtime: Runtime, asked: Asked) -> None:
    request, paused = asked.request, asked.refresh is None
    now, clock, health, latest = now_ms(), chosen_clock(), runtime.health(), runtime.reader.latest()
    with st.container():  # what comes and goes has a place of its own, or all below it would be made anew
        show_warnings(health, empty=not latest)
    if request is None:
        nothing_yet(runtime, least=2)
        return
    lines = {line.instrument: line for line in runtime.recorded()}
    legs = (request.y, request.x)
    pulse = worse(*(pulse_of(health, lines.get(each), latest.get(each), now) for each in legs))
    sight = sight_of(runtime, request)
    fresh = is_current(pulse, sight.found)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        why_not = "wrong options" if sight.refused else "paused" if paused else "" if fresh else "stale"
        show_pair_heading(request, sight.label, pulse, signal_badge(sight.found, why_not=why_not), paused=paused)
        show_coverage([coverage_of(runtime.reader, each, now) for each in legs])
        st.caption(ended_mark(sight.ends_ms, clock) or both_texts(now, clock), text_alignment="right")
    into_bar_ms = runtime.now_at(request.y.venue) % request.timeframe.ms
    _show_numbers(sight, request, into_bar_ms=into_bar_ms, fresh=fresh, ended=ended_text(sight.ends_ms, clock))
    chart, beside = st.columns([10, 3], gap="small")
    with beside, st.container(border=True, gap="small"):
        _show_meaning(sight, request, clock, runtime.pairs)
    with chart:
        show_pair_chart(sight, request, clock, fresh=fresh, rebased=asked.rebased)


def _show_numbers(sight: Sight, request: PairRequest, *, into_bar_ms: int, fresh: bool, ended: str) -> None:
    note = st.container()
    if sight.refused:
        note.warning(inert(sight.refused), icon=":material/block:")
        st.container()  # in the place of the cards
        return
    if sight.found is None:
        note.info(sight.awaited, icon=":material/hourglass_top:")
        show_cards(waiting_cards("being made ready", sight.awaited), fresh=True)
        return
    summary = sight.found.summary
    step = request.timeframe.ms
    missing = awaited_text(summary.n, summary.needed, step, into_bar_ms, coming=fresh, ended=ended)
    if missing:
        note.info(inert(missing), icon=":material/hourglass_top:")
    units = (units_of(request.y.symbol), units_of(request.x.symbol))
    show_cards(cards_of(sight.found, units, missing="not enough bars" if missing else ""), fresh=fresh)


def _show_meaning(sight: Sight, request: PairRequest, clock: Clock, pairs: Pairs) -> None:
    if sight.found is None:
        st.markdown("**Verdict**")
        st.caption("None, with these options." if sight.refused else "It comes with the numbers.")
        return
    show_verdict(sight.found, clock)
    show_signals(sight.found, clock)
    show_download(pairs, Offer(sight.found, sight.label), request)
