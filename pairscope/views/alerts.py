"""Alerts: what is active, the rules that make them, what was decided and why, and how the channels do."""

import streamlit as st

from pairscope.runtime import Runtime
from pairscope.views.alerts_active import SAID_KEY, show_active
from pairscope.views.alerts_channels import show_channels
from pairscope.views.alerts_facts import Facts, read_only
from pairscope.views.alerts_form import is_editing, show_form
from pairscope.views.alerts_history import OPENED_KEY, show_history
from pairscope.views.alerts_rules import show_rules
from pairscope.views.alerts_state import SAVED_KEY
from pairscope.views.clock import Clock, both_texts, chosen_clock
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.states import counted

REFRESH_SECONDS, ROWS_SECONDS = 1.0, 2.0
RULES, HISTORY, CHANNELS = "Rules", "History", "Channels"
SECTIONS = (RULES, HISTORY, CHANNELS)


def render(runtime: Runtime) -> None:
    """Show the page; what is active and where rules stand refresh by themselves."""
    why_not = read_only(runtime)
    live_part(_show_now, run_every=REFRESH_SECONDS)(runtime, why_not)
    section = st.segmented_control(
        "Section", SECTIONS, required=True, default=RULES, key="alerts", bind="query-params",
        label_visibility="collapsed", on_change=_leave_alert,
    )  # fmt: skip
    clock = chosen_clock()
    if section == HISTORY:
        show_history(runtime, clock, why_not)
    elif section == CHANNELS:
        live_part(_show_channels, run_every=ROWS_SECONDS)(runtime)
    else:
        _show_rules(runtime, clock, why_not)
    runtime.warming.begin()  # behind the first paint


def _leave_alert() -> None:
    st.session_state.pop(OPENED_KEY, None)


def _show_now(runtime: Runtime, why_not: str) -> None:
    facts, clock = Facts.of(runtime), chosen_clock()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _show_heading(facts, why_not)
        st.space("stretch")
        st.caption(both_texts(facts.now, clock), width="content")
    if why_not:
        st.info(inert(why_not), icon=":material/visibility:")
    if said := st.session_state.get(SAID_KEY):
        st.error(inert(said), icon=":material/error:")
    show_active(runtime, facts, clock, why_not)


def _show_heading(facts: Facts, why_not: str) -> None:
    st.subheader("Alerts", anchor=False, width="content")
    count = facts.active_count
    st.badge(f"{count:,} active", color="red" if count else "green", help="Alerts whose rule is not armed again yet.")
    on = sum(rule.on for rule in facts.rules.values())
    st.badge(f"{counted(on, 'rule')} on", color="blue" if on else "gray", help="Rules that are judged.")
    if why_not:
        st.badge("VIEWER", color="gray", help="Another process judges; this one shows what it stores.")
    if facts.delivery and (resting := sum(each.state != "ok" for each in facts.delivery.channels)):
        meaning = "The section Channels says what is wrong, and when it is tried again."
        st.badge(f"{counted(resting, 'channel')} failing", icon=":material/error:", color="orange", help=meaning)


def _show_rules(runtime: Runtime, clock: Clock, why_not: str) -> None:
    if is_editing() and not why_not:
        show_form(runtime, clock)
        return
    live_part(_show_rows, run_every=ROWS_SECONDS)(runtime, why_not)


def _show_rows(runtime: Runtime, why_not: str) -> None:
    if is_editing() and not why_not:
        st.rerun()  # for the form to take the place of the rows
    if saved := st.session_state.pop(SAVED_KEY, ""):
        st.toast(inert(saved), icon=":material/save:")
    show_rules(runtime, Facts.of(runtime), chosen_clock(), why_not)


def _show_channels(runtime: Runtime) -> None:
    show_channels(runtime, Facts.of(runtime), chosen_clock())
