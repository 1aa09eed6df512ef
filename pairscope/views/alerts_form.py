"""The form in which a rule is written: common conditions by choice, all others in words, and what it comes to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from market import PairscopeError
from pairscope.alerts.commands import settle
from pairscope.alerts.rules import Rule, sentence, values_of
from pairscope.runtime import Runtime
from pairscope.stores.alerts import read_rules
from pairscope.views.alerts_draft import draft_complaint, draft_of, kept_values, new_values
from pairscope.views.alerts_fields import (
    checked_channels,
    show_analysis,
    show_channels,
    show_condition,
    show_legs,
    show_limits,
    show_quiet,
    show_severity,
)
from pairscope.views.alerts_preview import forget_preview, show_preview
from pairscope.views.alerts_state import (
    DRAFT_KEY,
    EDITED_KEY,
    GIVEN_KEY,
    NEW,
    REFUSED_KEY,
    SAVED_KEY,
    control,
    put_into_controls,
    read_controls,
)
from pairscope.views.clock import Clock
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert, instruments_of


def begin_new(runtime: Runtime, clock: Clock) -> None:
    """Begin with another rule."""
    _begin(NEW, new_values(instruments_of(runtime)), clock)


def begin_change(runtime: Runtime, rule_id: int, clock: Clock) -> None:
    """Begin to change a rule that is kept."""
    stored = read_rules(runtime.reader).get(rule_id)
    if stored is not None:
        _begin(rule_id, {**values_of(Rule(when="")), **stored.values}, clock)


def _begin(edited: int, values: Mapping[str, Any], clock: Clock) -> None:
    state = st.session_state
    state[EDITED_KEY], state[REFUSED_KEY], state[SAVED_KEY] = edited, "", ""
    state[GIVEN_KEY] = dict(values), clock
    forget_preview()
    put_into_controls(draft_of(values, clock))


def is_editing() -> bool:
    """Whether a rule is being written."""
    return EDITED_KEY in st.session_state


def show_form(runtime: Runtime, clock: Clock) -> None:
    """Show the form; it is gone over anew at each change, and the page when it is closed."""
    live_part(_show)(runtime, clock)


def _show(runtime: Runtime, clock: Clock) -> None:
    state = st.session_state
    if not is_editing():
        st.rerun()  # it was saved, or given up
    edited, (given, shown_by) = state[EDITED_KEY], state[GIVEN_KEY]
    if control("when") not in state:  # another page was shown in between
        put_into_controls(state[DRAFT_KEY])
    with st.container(border=True, key="rule form"):
        st.markdown("**A new rule**" if edited == NEW else f"**Rule {edited}**")
        left, right = st.columns([7, 5], gap="medium")
        with left:
            _show_fields(runtime, shown_by)
        draft = state[DRAFT_KEY] = read_controls()
        values, wrong = kept_values(draft, given, shown_by), draft_complaint(draft)
        with right:
            _show_outcome(runtime, edited, values, wrong, clock)


def _show_fields(runtime: Runtime, clock: Clock) -> None:
    names = [str(each) for each in instruments_of(runtime)]
    show_legs(names)
    show_condition()
    show_limits()
    show_severity()
    show_analysis()
    show_quiet(clock)
    show_channels(runtime)


def checked(runtime: Runtime, values: Mapping[str, Any]) -> tuple[Rule | None, str]:
    """Return a rule as it would be kept, or why it cannot be."""
    channels = tuple(values["notify"])
    try:
        rule = settle({**values, "notify": []}, instruments_of(runtime), runtime.settings).rule
    except PairscopeError as error:
        return None, str(error)
    found = checked_channels(runtime, channels)
    return (None if found.wrong else replace(rule, notify=found.channels)), found.wrong


def _show_outcome(runtime: Runtime, edited: int, values: Mapping[str, Any], wrong: str, clock: Clock) -> None:
    rule, wrong = (None, wrong) if wrong else checked(runtime, values)
    st.markdown("**In plain words**")
    if rule is not None:
        st.markdown(inert(sentence(rule)))
    else:
        st.warning(inert(f"Not a rule yet: {complaint_of(wrong)}"), icon=":material/edit:")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Save rule", icon=":material/save:", key="save rule", disabled=rule is None,
            on_click=_save, args=(runtime, edited, dict(values)), help=SAVING,
        )  # fmt: skip
        st.button("Cancel", key="cancel rule", on_click=_close, help="Change nothing.")
    if refused := st.session_state.get(REFUSED_KEY):
        st.error(inert(refused), icon=":material/block:")
    show_preview(runtime, rule, clock)


def complaint_of(wrong: str) -> str:
    """Write what is wrong with a rule; what stands beside the condition is not said twice."""
    return "the condition cannot be read." if wrong.startswith("when:") else wrong


SAVING = "Keep it, and judge by it from the next bar on. A changed rule keeps its number and its history."


def _save(runtime: Runtime, edited: int, values: Mapping[str, Any]) -> None:
    if edited == NEW:
        outcome = runtime.perform("alerts add", values)
    else:
        outcome = runtime.perform("alerts change", {"rule": edited, "values": values})
    state = st.session_state
    state[REFUSED_KEY] = _sentence(outcome.text) if outcome.exit else ""
    if not outcome.exit:
        state[SAVED_KEY] = _sentence(outcome.text)
        _close()


def _close() -> None:
    st.session_state.pop(EDITED_KEY, None)
    forget_preview()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
