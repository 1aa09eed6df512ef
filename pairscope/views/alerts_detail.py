"""One decision with all that is known of it: what it saw, its rule as it was, its deliveries, and an explanation."""

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from market import PairscopeError
from pairscope.alerts.explain import Explanation, explain
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.records import sentence_of, severity_of
from pairscope.alerts.rules import describe_pair
from pairscope.runtime import Runtime, now_ms
from pairscope.stores.alerts import Decision, read_delivery_states, read_receipts
from pairscope.views.alerts_active import show_acknowledging, show_marks, show_view_button
from pairscope.views.alerts_words import (
    SEVERITIES,
    SEVERITY_ICONS,
    STATES,
    bar_text,
    found_text,
    receipt_text,
    value_text,
    word_of,
)
from pairscope.views.clock import Clock
from pairscope.views.notices import inert
from pairscope.views.numerals import length_text
from pairscope.views.recording import show_lines
from pairscope.views.states import counted

EXPLAINED_KEY = "alert explained"
EXPLAINING = "Compute it again from the trades that are stored now, and compare."
LINES = {
    "When": "The end of its bar, and when it was decided.",
    "Bar": "What it is about.",
    "Found": "What the condition found.",
    "Why": "Why it was not told, or was held.",
    "Over": "When the rule was armed again, or what was held was judged.",
    "Seen": "When somebody acknowledged it.",
    "Note": "What was noted.",
}


def show_detail(runtime: Runtime, decision: Decision, clock: Clock, why_not: str) -> None:
    """Show it."""
    _show_head(runtime, decision, why_not)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**What was decided**")
        with st.container(border=True, gap="xxsmall"):
            show_lines(lines_of(decision, clock), LINES)
        _show_deliveries(runtime, decision, clock)
    with right:
        st.markdown("**What it saw**", help="The numbers of its bar, as they were when it was decided.")
        with st.container(border=True, gap="xxsmall"):
            _show_inputs(decision.inputs, clock)
        st.markdown(f"**The rule as it was** · rule {decision.rule_id}")
        st.markdown(inert(sentence_of(decision.rule)))
        with st.expander("All of the rule", icon=":material/data_object:"):
            st.code(json.dumps(decision.rule, indent=1, ensure_ascii=False), language="json", wrap_lines=True)
    _show_explanation(runtime, decision)


def _show_head(runtime: Runtime, decision: Decision, why_not: str) -> None:
    severity, word = severity_of(decision.rule), word_of(decision)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"Alert {decision.id} · {inert(describe_pair(decision.target))}", anchor=False, width="content")
        st.badge(word, color=STATES[word].colour, help=STATES[word].meaning)
        st.badge(
            severity, icon=SEVERITY_ICONS[severity], color=SEVERITIES[severity].colour,
            help=SEVERITIES[severity].meaning,
        )  # fmt: skip
        show_marks(decision)
        st.space("stretch")
        if decision.outcome == "fired":
            show_acknowledging(runtime, decision, why_not, place="detail")
        show_view_button(decision, place="detail")


def lines_of(decision: Decision, clock: Clock) -> dict[str, str]:
    """Return what is known of a decision, by name; what is not known is left out."""
    after = length_text(decision.decided_ms - decision.end_ms)

    def moment(time_ms: int | None) -> str:
        return "" if time_ms is None else f"{clock.text(time_ms)} {clock.name}"

    lines = {
        "When": f"{moment(decision.end_ms)}, decided {after} later",
        "Bar": bar_text(decision, clock),
        "Found": found_text(decision),
        "Why": decision.reason,
        "Over": moment(decision.over_ms),
        "Seen": moment(decision.acknowledged_ms),
        "Note": decision.note,
    }
    return {name: text for name, text in lines.items() if text}


def _show_deliveries(runtime: Runtime, decision: Decision, clock: Clock) -> None:
    st.markdown("**Deliveries**", help="What came of each attempt. It goes over each channel at least once.")
    if not decision.notify:
        st.caption("It was told on this page alone: its rule has no channel, or it did not fire.")
    receipts = read_receipts(runtime.reader, decision.id)
    states = read_delivery_states(runtime.reader, decision.id)
    for channel in decision.notify:
        with st.container(border=True, gap="xxsmall"):
            st.markdown(inert(channel))
            here = [each for each in receipts if each.channel == channel]
            for receipt in here:
                st.caption(inert(receipt_text(receipt, clock)))
            if states.get(channel) == "sending":
                st.caption("An attempt is on its way.")
            elif not here:
                st.caption("It waits for its first attempt.")


def _show_inputs(inputs: Mapping[str, Any], clock: Clock) -> None:
    for name, text in input_rows(inputs, clock).items():
        with st.container(horizontal=True, gap="small", wrap=False):
            st.caption(inert(name), width=210)
            st.text(text, width="stretch")
    with st.expander("All of it", icon=":material/data_object:"):
        st.code(json.dumps(inputs, indent=1, ensure_ascii=False), language="json", wrap_lines=True)


def input_rows(inputs: Mapping[str, Any], clock: Clock) -> dict[str, str]:
    """Return what a condition saw as names and texts: its metrics, those of the row before, and how the rule stood."""
    rows = {_words(name): _value(name, value) for name, value in (inputs.get("metrics") or {}).items()}
    before = inputs.get("before") or {}
    rows |= {f"{_words(name)}, one row before": _value(name, value) for name, value in before.items()}
    if inputs.get("start_ms") is not None and inputs.get("end_ms") is not None:
        begins, ends = (clock.text(int(inputs[name])) for name in ("start_ms", "end_ms"))
        rows["made of"] = f"{counted(int(inputs.get('rows') or 0), 'row')}, {begins} to {ends} {clock.name}"
    state = inputs.get("state") or {}
    if state:
        since = state.get("since_ms")
        held = f"; the condition held since {clock.text(int(since))} {clock.name}" if since is not None else ""
        rows["the rule was"] = ("armed" if state.get("armed", True) else "not armed") + held
    return rows


def _words(name: str) -> str:
    return METRICS[name].words if name in METRICS else name


def _value(name: str, value: object) -> str:
    return value_text(name, float(value) if isinstance(value, int | float) else None)


def _show_explanation(runtime: Runtime, decision: Decision) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Explain", icon=":material/calculate:", key=f"explain {decision.id}", on_click=_explain,
            args=(runtime, decision.id), help=EXPLAINING,
        )  # fmt: skip
        st.caption(f"The same from the command line: `python -m pairscope alerts explain {decision.id}`")
    kept: tuple[int, Explanation | str] | None = st.session_state.get(EXPLAINED_KEY)
    if kept is None or kept[0] != decision.id:
        return
    found = kept[1]
    if isinstance(found, str):
        st.warning(inert(found), icon=":material/calculate:")
        return
    if found.same:
        st.success("The same: computed again from what is stored now, it comes to the same.", icon=":material/check:")
    else:
        st.warning("Not the same: what is stored now says otherwise.", icon=":material/difference:")
    for line in found.lines:
        st.text(line)


def _explain(runtime: Runtime, alert_id: int) -> None:
    found: Explanation | str
    try:
        found = explain(runtime.reader, alert_id, now=now_ms())
    except PairscopeError as error:
        found = f"It cannot be explained: {error}"
    st.session_state[EXPLAINED_KEY] = alert_id, found
