"""Analysis of two symbols of an upload, with the figures, chart and verdict of the Pair page; nothing is stored."""

import numpy as np
import streamlit as st

from market import Bars, PairscopeError, Timeframe, WrongUse
from pairscope.files import FileError, Upload
from pairscope.pairs import Offer, PairRequest
from pairscope.runtime import Runtime
from pairscope.views.cards import show_cards
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.data_upload_choices import MOST_BARS, Asked, choose_pair
from pairscope.views.data_upload_files import Reading
from pairscope.views.data_upload_options import page_words
from pairscope.views.figures import units_of
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.pair_chart import show_pair_chart
from pairscope.views.pair_figures import cards_of, waiting_cards
from pairscope.views.pair_sight import Sight
from pairscope.views.verdict import show_download, show_signals, show_verdict

WARMING_SECONDS = 1.0


def show_analysis(runtime: Runtime, reading: Reading) -> None:
    """Let two symbols be chosen, and show what there is between them."""
    assert reading.upload is not None
    if len(reading.held) < 2:
        st.info("A pair needs two symbols: upload the file of another one as well.", icon=":material/add:")
        return
    with st.sidebar:
        asked = choose_pair(reading, reading.upload)
    waiting = not runtime.warming.ready(asked.request.method)
    live_part(_show, run_every=WARMING_SECONDS if waiting else None)(runtime, reading, asked, waiting=waiting)


def _show(runtime: Runtime, reading: Reading, asked: Asked, *, waiting: bool) -> None:
    if waiting and runtime.warming.ready(asked.request.method):
        st.rerun()  # without the refresh
    clock, request = chosen_clock(), asked.request
    try:
        sight = sight_in(runtime, reading, asked)
    except PairscopeError as error:
        st.error(f"{inert(page_words(_sentence(error)))}", icon=":material/block:")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"{inert(request.y.symbol)} / {inert(request.x.symbol)}", anchor=False, width="content")
        st.badge(sight.label, color="violet", icon=":material/draft:", help="Of the files above; nothing is stored.")
        st.badge(f"bars of {request.timeframe}", color="gray", help="All figures below are of bars so long.")
        st.space("stretch")
        st.caption(inert(span_text(sight, clock)), width="content")
    _show_numbers(sight, request)
    chart, beside = st.columns([10, 3], gap="small")
    with beside, st.container(border=True, gap="small"):
        if sight.found is None:
            st.markdown("**Verdict**")
            st.caption("None, with these options." if sight.refused else "It comes with the numbers.")
        else:
            show_verdict(sight.found, clock)
            show_signals(sight.found, clock)
            show_download(runtime.pairs, Offer(sight.found, sight.label))
    with chart:
        show_pair_chart(sight, request, clock, fresh=True, rebased=asked.rebased)


def _show_numbers(sight: Sight, request: PairRequest) -> None:
    if sight.refused:
        st.warning(inert(sight.refused), icon=":material/block:")
    elif sight.found is None:
        st.info(sight.awaited, icon=":material/hourglass_top:")
        show_cards(waiting_cards("being made ready", sight.awaited), fresh=True)
    else:
        have, needed = sight.found.summary.n, sight.found.summary.needed
        if missing := "not enough bars" if have < needed else "":
            st.info(f"{have:,} of {needed:,} bars; shorter bars or a shorter window need fewer.")
        units = (units_of(request.y.symbol), units_of(request.x.symbol))
        show_cards(cards_of(sight.found, units, missing=missing), fresh=True)


def sight_in(runtime: Runtime, reading: Reading, asked: Asked) -> Sight:
    """Return what can be shown of a pair of an upload, as it was when it was asked for the last time.

    Raises:
        PairscopeError: when the legs share no time, or their bars do not add up.
    """
    assert reading.upload is not None
    if reading.shown is not None and reading.shown[0] == asked.request:
        return reading.shown[1]
    y, x = legs_of(reading.upload, asked.y, asked.x, asked.request.timeframe)
    label = reading.upload.label(y.instrument, x.instrument)
    if not runtime.warming.ready(asked.request.method):
        return Sight(y, x, label, awaited="The numbers are being made ready.")
    reading.shown = asked.request, analysed(Sight(y, x, label), asked.request)
    return reading.shown[1]


def analysed(sight: Sight, request: PairRequest) -> Sight:
    """Return a sight with the analysis of its legs, or with why there is none."""
    from analytics import analyze_pair  # behind the first paint

    try:
        found = analyze_pair(sight.y, sight.x, **request.options())
    except WrongUse as error:
        return Sight(sight.y, sight.x, sight.label, refused=_sentence(error))
    return Sight(sight.y, sight.x, sight.label, found)


def legs_of(upload: Upload, y: str, x: str, timeframe: Timeframe) -> tuple[Bars, Bars]:
    """Return the bars of both legs up to the last common one, so many at most.

    Raises:
        WrongUse: when both are the same symbol, or their bars do not add up.
        FileError: when they share no time.
    """
    if y == x:
        raise WrongUse(f"both legs are {y}: choose two symbols")
    legs = upload.leg(y, timeframe), upload.leg(x, timeframe)
    if not np.intersect1d(legs[0].time, legs[1].time).size:
        raise FileError(f"{y} and {x} share no bar of {timeframe}: their times are in the table above")
    last = min(int(each.time[-1]) for each in legs)
    start = last - (MOST_BARS - 1) * timeframe.ms
    first, second = (each.between(start, last + timeframe.ms) for each in legs)
    return first, second


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def span_text(sight: Sight, clock: Clock) -> str:
    """Write from when to when the legs reach, and whether that is all of them."""
    times = np.concatenate([sight.y.time, sight.x.time])
    most = f" · the last {MOST_BARS:,} bars" if max(len(sight.y), len(sight.x)) >= MOST_BARS else ""
    return f"{clock.text(int(times.min()))} to {clock.text(int(times.max()))} {clock.name}{most}"
