"""The rules, a row each: a switch, the rule in plain words, where it stands with each pair, and what can be done."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from market import PairscopeError
from pairscope.alerts.records import sentence_of, severity_of, stand_of
from pairscope.jobs import Job
from pairscope.outcome import Outcome
from pairscope.runtime import Runtime
from pairscope.stores.alerts import StoredRule, read_decisions, read_rules
from pairscope.views.alerts_active import SAID_KEY
from pairscope.views.alerts_facts import Facts
from pairscope.views.alerts_form import begin_change, begin_new
from pairscope.views.alerts_words import SEVERITIES, SEVERITY_ICONS, STAND_COLOURS, Standing, standing_of
from pairscope.views.clock import Clock
from pairscope.views.data_changes import perform_change
from pairscope.views.notices import inert
from pairscope.views.states import counted

SHOWN, STANDINGS_SHOWN = 30, 6
FIND_KEY, TESTS_KEY = "find rules", "rule tests"
FIRST = (
    "There is no rule yet. A rule says when somebody is to be told, such as “the absolute z-score is above 2”; it is "
    "judged on every closed bar while Pairscope runs, with no browser open. **New rule** begins one, and a preview "
    "says how often it would have fired."
)


def show_rules(runtime: Runtime, facts: Facts, clock: Clock, why_not: str) -> None:
    """Show the rules, with their switches and buttons."""
    rules = list(facts.rules.values())
    found = _show_head(runtime, rules, clock, why_not)
    if not rules:
        st.info(FIRST, icon=":material/add_alert:")
        return
    for rule in found[:SHOWN]:
        _show_rule(runtime, rule, facts, clock, why_not)
    if len(found) > SHOWN:
        st.caption(f"{len(found) - SHOWN:,} more; a longer text finds fewer.")
    if not found:
        st.caption("No rule says that.")


def _show_head(runtime: Runtime, rules: Sequence[StoredRule], clock: Clock, why_not: str) -> list[StoredRule]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.button(
            "New rule", icon=":material/add_alert:", key="new rule", on_click=begin_new,
            args=(runtime, clock), disabled=bool(why_not), help=why_not or "Write a rule, preview it, and save it.",
        )  # fmt: skip
        sought = ""
        if len(rules) > 3:
            sought = st.text_input(
                "Find", key=FIND_KEY, live=True, type="search", width=260, placeholder="part of a rule",
                label_visibility="collapsed", help="Shows only rules in whose words, number or severity this stands.",
            )  # fmt: skip
    return [each for each in rules if (sought or "").strip().lower() in searched_text(each)]


def searched_text(rule: StoredRule) -> str:
    """Return all that a rule can be found by, in small letters."""
    values = rule.values
    parts = (rule.id, sentence_of(values), values.get("when"), severity_of(values), values.get("note"))
    return " ".join(map(str, parts)).lower()


def _show_rule(runtime: Runtime, rule: StoredRule, facts: Facts, clock: Clock, why_not: str) -> None:
    severity = severity_of(rule.values)
    with st.container(border=True, gap="xxsmall", key=f"rule row {rule.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _show_switch(runtime, rule, why_not)
            st.badge(
                severity, icon=SEVERITY_ICONS[severity], color=SEVERITIES[severity].colour,
                help=SEVERITIES[severity].meaning,
            )  # fmt: skip
            _show_standings(standings_of(rule, facts))
            st.space("stretch")
            with st.container(horizontal=True, gap="small", width="content"):
                _show_deeds(runtime, rule, clock, why_not)
        st.markdown(inert(sentence_of(rule.values)))
        st.caption(inert(about_text(rule, _last_fired(runtime, rule.id), clock)))
        if problem := facts.problems.get(rule.id):
            st.warning(inert(f"It cannot be judged: {problem}"), icon=":material/warning:")
        _show_test(runtime, rule.id)


def _show_switch(runtime: Runtime, rule: StoredRule, why_not: str) -> None:
    key = f"rule on {rule.id} {rule.changed_ms}"  # a new one after each change
    st.toggle(
        f"Rule {rule.id}", value=rule.on, key=key, on_change=_turn, args=(runtime, rule.id, key),
        disabled=bool(why_not), help=why_not or "Whether it is judged. Off, it keeps still and is kept.",
    )  # fmt: skip


def _turn(runtime: Runtime, rule_id: int, key: str) -> None:
    rule, on = read_rules(runtime.reader).get(rule_id), bool(st.session_state[key])
    if rule is not None and rule.on != on:  # it may be called without a change
        _tell(runtime.perform("alerts change", {"rule": rule_id, "on": on}))


def _tell(outcome: Outcome) -> None:
    st.session_state[SAID_KEY] = outcome.text if outcome.exit else ""


def standings_of(rule: StoredRule, facts: Facts) -> list[Standing]:
    """Return where a rule stands with each of its pairs, those first of which there is something to say."""
    if not rule.on:
        return [Standing("", "off", "gray")]
    found = []
    fired_ms = {(each.rule_id, each.target): each.end_ms for each in reversed(facts.active)}
    for target in facts.targets(rule.id):
        key = rule.id, target
        stand = stand_of(facts.states.get(key), why=facts.waits.get(key, ""), fired_ms=fired_ms.get(key))
        found.append(standing_of(stand, target, facts.now))
    ranks = list(STAND_COLOURS)
    return sorted(found, key=lambda each: ranks.index(each.word)) or [Standing("", "begins", "gray")]


def _show_standings(standings: Sequence[Standing]) -> None:
    several = len(standings) > 1
    for each in standings[:STANDINGS_SHOWN]:
        words = ": ".join(filter(None, (each.target if several else "", each.word, each.more)))
        st.badge(inert(words), color=each.colour, help=MEANINGS[each.word])
    if len(standings) > STANDINGS_SHOWN:
        st.caption(f"and {counted(len(standings) - STANDINGS_SHOWN, 'pair')} more", width="content")


MEANINGS = {
    "off": "It is not judged until it is switched on.",
    "begins": "It is judged from its first closed bar on.",
    "armed": "The condition does not hold; it fires as soon as it does.",
    "holds": "The condition holds, and not yet for as long as the rule wants.",
    "active": "It fired, and is not armed again yet.",
    "keeps still": "The condition holds, and nobody is told, for the reason beside.",
    "waits": "The newest bars are not whole, or not closed yet: they are judged once they are.",
}


def _last_fired(runtime: Runtime, rule_id: int) -> int | None:
    found = read_decisions(runtime.reader, outcome="fired", rule_id=rule_id, limit=1)
    return found[0].end_ms if found else None


def about_text(rule: StoredRule, last: int | None, clock: Clock) -> str:
    """Write when a rule fired last, over how many channels it tells, and what was noted."""
    channels = rule.values.get("notify") or ()
    parts = (
        f"last fired {clock.text(last)} {clock.name}" if last else "not fired yet",
        counted(len(channels), "channel") if channels else "no channel: it is told on this page alone",
        str(rule.values.get("when", "")), str(rule.values.get("note") or ""),
    )  # fmt: skip
    return " · ".join(filter(None, parts))


def _show_deeds(runtime: Runtime, rule: StoredRule, clock: Clock, why_not: str) -> None:
    no = bool(why_not)
    st.button(
        "Edit", icon=":material/edit:", key=f"edit rule {rule.id}", type="tertiary", on_click=begin_change,
        args=(runtime, rule.id, clock), disabled=no, help=why_not or "Change it; its number and history stay.",
    )  # fmt: skip
    channels = bool(rule.values.get("notify"))
    st.button(
        "Test", icon=":material/send:", key=f"test rule {rule.id}", type="tertiary", on_click=_test,
        args=(runtime, rule.id), disabled=no or not channels,
        help=why_not or ("Send a test message over each of its channels." if channels else "It has no channel."),
    )  # fmt: skip
    with st.popover(
        "Delete", icon=":material/delete:", type="tertiary", key=f"delete popover {rule.id}", disabled=no, help=why_not
    ):
        st.markdown(f"Delete rule {rule.id} for good? What it decided stays in the history.")
        st.button("Delete it", key=f"delete rule {rule.id}", on_click=_delete, args=(runtime, rule.id))


def _delete(runtime: Runtime, rule_id: int) -> None:
    _tell(runtime.perform("alerts remove", {"rule": rule_id}))


def _test(runtime: Runtime, rule_id: int) -> None:
    tests: dict[int, Job[Outcome]] = st.session_state.setdefault(TESTS_KEY, {})
    work = partial(perform_change, runtime, "alerts test", {"rule": rule_id})
    try:
        tests[rule_id] = runtime.jobs.start(f"Test of rule {rule_id}", work)
    except PairscopeError as error:
        st.session_state[SAID_KEY] = str(error)


def _show_test(runtime: Runtime, rule_id: int) -> None:
    """Show what came of the last test of a rule in this session."""
    job: Job[Outcome] | None = st.session_state.get(TESTS_KEY, {}).get(rule_id)
    if job is None:
        return
    if not job.is_over:
        st.caption(":material/send: A test message is on its way over each channel.")
    elif job.state == "done":
        st.success(inert(job.result.text), icon=":material/check:")
    else:
        st.error(inert(job.status.text or f"The test was {job.state}."), icon=":material/error:")
