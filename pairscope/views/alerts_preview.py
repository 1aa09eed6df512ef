"""What a rule would have done: run over what is stored, beside the page, and drawn with a mark at each alert."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from market import DAY, HOUR, Instrument, PairscopeError
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.preview import Preview, preview
from pairscope.alerts.records import targets_of
from pairscope.alerts.rules import TICK, Rule, describe_pair, legs_of, values_of
from pairscope.charts.alerts import POINTS, Fired, preview_line
from pairscope.charts.thinning import thin
from pairscope.exports import label_of
from pairscope.jobs import Job, Progress
from pairscope.live_chart import live_chart
from pairscope.runtime import Runtime
from pairscope.views.alerts_state import REFUSED_KEY
from pairscope.views.clock import Clock
from pairscope.views.jobs import status_text
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.numerals import length_text
from pairscope.views.states import counted
from store import SqliteReader

SPANS = {"1 h": HOUR, "6 h": 6 * HOUR, "24 h": DAY, "all": None}
USUAL_SPAN = "24 h"
JOB_KEY, SPAN_KEY, TARGET_KEY = "rule preview", "preview span", "preview pair"
QUICK_SECONDS, REFRESH_SECONDS, CHART_PX = 0.8, 0.5, 300
MEANING = (
    "The rule is run over what is stored, through the same code that judges it live: what it says here is what would "
    "have been sent."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a preview is of: a rule in plain values, one of its pairs, and how far back."""

    values: Mapping[str, Any]
    target: str
    span: str


def forget_preview() -> None:
    """Show no preview, until another one is asked for."""
    st.session_state.pop(JOB_KEY, None)


def show_preview(runtime: Runtime, rule: Rule | None, clock: Clock) -> None:
    """Let a preview be asked for, and show the last one."""
    st.markdown("**Preview**", help=MEANING)
    recorded = [each.instrument for each in runtime.recorded()]
    targets = targets_of(rule, recorded=recorded, stored=runtime.reader.instruments()) if rule else []
    if len(targets) > 1:
        st.selectbox("Previewed pair", targets, key=TARGET_KEY, format_func=describe_pair, help="One of the rule's.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        span = st.segmented_control(
            "The last", SPANS, default=USUAL_SPAN, required=True, key=SPAN_KEY, label_visibility="collapsed",
            help="How far back the rule is run.",
        )  # fmt: skip
        chosen = st.session_state.get(TARGET_KEY) if len(targets) > 1 else None
        target = chosen if chosen in targets else next(iter(targets), "")
        st.button(
            "Preview", icon=":material/history:", key="preview rule", disabled=not target, on_click=_begin,
            args=(runtime, rule, target, span or USUAL_SPAN), help="Say how often it would have fired.",
        )  # fmt: skip
    kept: tuple[Job[Preview], Asked] | None = st.session_state.get(JOB_KEY)
    if kept is None:
        st.caption("A preview says how often the rule would have fired, before it is saved.")
        return
    job, asked = kept
    running = not job.wait(QUICK_SECONDS)
    live_part(_follow, run_every=REFRESH_SECONDS if running else None)(
        runtime, job, asked, rule, clock, running=running
    )


def _begin(runtime: Runtime, rule: Rule, target: str, span: str) -> None:
    asked = Asked(values_of(rule), target, span)
    y, _ = legs_of(target)
    now = runtime.now_at(Instrument.parse(y, venue="").venue)
    work = partial(previewed, runtime.reader, rule, target, SPANS[span], now)
    try:
        st.session_state[JOB_KEY] = runtime.jobs.start(f"Preview for {describe_pair(target)}", work), asked
    except PairscopeError as error:
        st.session_state[REFUSED_KEY] = str(error)


def previewed(reader: SqliteReader, rule: Rule, target: str, span: int | None, now: int, progress: Progress) -> Preview:
    """Run a rule over what is stored of one pair, and keep of its line what a chart can show.

    Args:
        reader: of the store.
        rule: what is run.
        target: the pair.
        span: how far back in milliseconds; None: all that is stored.
        now: how late it is.
        progress: told how far it is.
    """
    start = now - span if span else first_ms(reader, target, rule)
    found = preview(rule, reader, target, start=start, end=now, now=now, progress=progress)
    rows = thin(found.times, [found.series], POINTS)
    return replace(found, times=found.times[rows], series=found.series[rows])


def first_ms(reader: SqliteReader, target: str, rule: Rule) -> int:
    """Return since when both legs are stored."""
    legs = [Instrument.parse(each, venue="") for each in legs_of(target) if each]
    if rule.timeframe == TICK:
        begins = [reader.held(leg).trades_from_ms or 0 for leg in legs]
    else:
        begins = [(reader.bar_span(leg) or (0, 0))[0] for leg in legs]
    return max(begins)


def _follow(
    runtime: Runtime, job: Job[Preview], asked: Asked, rule: Rule | None, clock: Clock, *, running: bool
) -> None:
    if not job.is_over:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.progress(job.status.share, inert(status_text(job.status)))
            st.button("Stop", key="stop preview", icon=":material/close:", on_click=job.cancel, help="End the preview.")
        return
    if running:
        st.rerun()  # without the refresh
    if job.state != "done":
        why = job.status.text or f"it was {job.state}"
        st.warning(inert(f"No preview: {why}"), icon=":material/history:")
        return
    if rule is None or values_of(rule) != asked.values:
        st.caption(":orange[Of the rule before its last change: preview again.]")
    show_found(runtime, job.result, asked, clock)


def show_found(runtime: Runtime, found: Preview, asked: Asked, clock: Clock) -> None:
    """Show how often a rule would have fired, and where."""
    st.markdown(f"**{counted_text(found, asked.span)}**")
    st.caption(inert(around_text(found, clock)))
    metric = METRICS[found.metric]
    times = clock.wall(np.array([each.time_ms for each in found.fired], np.int64))
    marks = [Fired(time, each.value, each.direction) for time, each in zip(times.tolist(), found.fired, strict=True)]
    legs = [Instrument.parse(each, venue="") for each in legs_of(found.target) if each]
    figure = preview_line(
        clock.wall(found.times),
        found.series,
        marks,
        found.thresholds,
        name=metric.words,
        unit=metric.unit,
        revision=f"{asked} {clock.name}",
        zone=clock.name,
        theme=st.context.theme.type or "dark",
        label=label_of(runtime.reader, legs),
    )
    live_chart(figure, key="preview chart", height=CHART_PX)


def counted_text(found: Preview, span: str) -> str:
    """Write how often a rule would have fired: Would have fired 7 times in 24 h.

    Args:
        found: what came of it.
        span: what was asked for.
    """
    times = "once" if len(found.fired) == 1 else f"{len(found.fired):,} times"
    would = f"Would have fired {times}" if found.fired else "Would not have fired"
    return f"{would} in {span if SPANS[span] else length_text(found.end_ms - found.start_ms)}"


def around_text(found: Preview, clock: Clock) -> str:
    """Write what else is to be known of a preview: of which pair, over how many bars, and what it kept still about."""
    begin = int(found.times[0]) if len(found.times) else found.start_ms
    still = ", ".join(f"{count:,} × {reason}" for reason, count in found.suppressed.items())
    parts = (
        describe_pair(found.target), f"{counted(found.rows, 'row')} from {clock.text(begin)} {clock.name} on",
        f"{found.unfit:,} of them not judged, for trades are missing" if found.unfit else "",
        f"kept still: {still}" if still else "",
    )  # fmt: skip
    return " · ".join(filter(None, parts))
