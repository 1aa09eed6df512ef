"""What is active now: alerts whose rule is not armed again, with what they saw, and a word of who looked at them."""

from urllib.parse import parse_qs, urlsplit

import streamlit as st

from pairscope.alerts.records import link_of, severity_of
from pairscope.alerts.rules import LONGEST_NOTE, describe_pair
from pairscope.runtime import Runtime
from pairscope.stores.alerts import Decision
from pairscope.views.alerts_facts import Facts
from pairscope.views.alerts_words import SEVERITIES, SEVERITY_ICONS, bar_text, found_text, late_text
from pairscope.views.clock import Clock
from pairscope.views.market_choices import OWN_KEY
from pairscope.views.notices import MARKET_PAGE_KEY, PAIR_PAGE_KEY, inert
from pairscope.views.numerals import length_text

SHOWN = 12
"""So many are shown at once, the gravest and newest first; the history has them all."""

SAID_KEY = "alerts said"
NOTHING = "Nothing is active. An alert stands here from the moment its rule fires until the rule is armed again."
NO_RULES = "Nothing is watched yet, so nothing can fire: the section **Rules** begins the first rule."


def show_active(runtime: Runtime, facts: Facts, clock: Clock, why_not: str) -> None:
    """Show what is active, with a word for each of what it saw."""
    if not facts.active:
        icon = ":material/notifications:" if facts.rules else ":material/add_alert:"
        st.info(NOTHING if facts.rules else NO_RULES, icon=icon)
        return
    for decision in in_order(facts.active)[:SHOWN]:
        _show_alert(runtime, decision, facts.now, clock, why_not)
    if facts.active_count > SHOWN:
        st.caption(f"{facts.active_count - SHOWN:,} more are active; the section History lists them all.")


def in_order(active: tuple[Decision, ...]) -> list[Decision]:
    """Put what nobody has seen yet first, then the gravest, then the newest."""
    ranks = {name: place for place, name in enumerate(reversed(list(SEVERITIES)))}
    return sorted(
        active,
        key=lambda each: (each.acknowledged_ms is not None, ranks[severity_of(each.rule)], -each.end_ms),
    )


def _show_alert(runtime: Runtime, decision: Decision, now: int, clock: Clock, why_not: str) -> None:
    severity = severity_of(decision.rule)
    with st.container(border=True, gap="xxsmall", key=f"active {decision.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(
                severity, icon=SEVERITY_ICONS[severity], color=SEVERITIES[severity].colour,
                help=SEVERITIES[severity].meaning,
            )  # fmt: skip
            st.markdown(f"**{inert(describe_pair(decision.target))}** · {inert(found_text(decision))}", width="content")
            show_marks(decision)
            st.space("stretch")
            with st.container(horizontal=True, gap="small", width="content"):
                _show_deeds(runtime, decision, why_not)
        st.caption(inert(since_text(decision, now, clock)))


def show_marks(decision: Decision) -> None:
    """Show what is special about an alert: that it came late, was seen, or is not of a real market."""
    if decision.late:
        meaning = "It was judged once its data were whole."
        st.badge(late_text(decision), icon=":material/schedule:", color="orange", help=meaning)
    if decision.acknowledged_ms is not None:
        st.badge("acknowledged", icon=":material/check:", color="gray", help="Somebody has seen it.")
    if decision.label != "LIVE":
        meaning = "It fired on trades that are not of a real market."
        st.badge(decision.label, icon=":material/science:", color="violet", help=meaning)


def since_text(decision: Decision, now: int, clock: Clock) -> str:
    """Write since when an alert is active, which rule made it, and what was noted."""
    since = f"for {length_text(now - decision.end_ms)}, since {clock.text(decision.end_ms)} {clock.name}"
    parts = (
        since, f"alert {decision.id} of rule {decision.rule_id}", bar_text(decision, clock),
        str(decision.rule.get("note", "")), f"noted: {decision.note}" if decision.note else "",
    )  # fmt: skip
    return " · ".join(filter(None, parts))


def _show_deeds(runtime: Runtime, decision: Decision, why_not: str) -> None:
    if decision.acknowledged_ms is None:
        show_acknowledging(runtime, decision, why_not, place="active")
    show_view_button(decision, place="active")


def show_acknowledging(runtime: Runtime, decision: Decision, why_not: str, *, place: str) -> None:
    """Offer to say that somebody has seen an alert, with a note; `place` tells two offers of one page apart."""
    seen = decision.acknowledged_ms is not None
    label, icon = ("Note", ":material/edit_note:") if seen else ("Acknowledge", ":material/check:")
    with st.popover(
        label, icon=icon, disabled=bool(why_not), key=f"{place} popover {decision.id}",
        help=why_not or "Say that you have seen it, and what you make of it. It stays active until its rule is armed.",
    ):  # fmt: skip
        note_key = f"{place} note {decision.id}"
        st.text_input(
            "Note", value=decision.note, key=note_key, max_chars=LONGEST_NOTE, placeholder="what you make of it",
        )  # fmt: skip
        st.button(
            "Save note" if seen else "Acknowledge it", key=f"{place} acknowledge {decision.id}",
            on_click=_acknowledge, args=(runtime, decision.id, note_key),
        )  # fmt: skip


def _acknowledge(runtime: Runtime, alert_id: int, note_key: str) -> None:
    note = str(st.session_state.get(note_key) or "")
    outcome = runtime.perform("alerts acknowledge", {"alert": alert_id, "note": note})
    st.session_state[SAID_KEY] = outcome.text if outcome.exit else ""


def show_view_button(decision: Decision, *, place: str) -> None:
    """Offer the view that an alert is about."""
    if st.button(
        "Open view", icon=":material/ssid_chart:", key=f"{place} view {decision.id}",
        help="See the pair, analysed as the rule has it.",
    ):  # fmt: skip
        open_view(decision)


def open_view(decision: Decision) -> None:
    """Go to the page that shows what an alert is about, with its controls set as the rule has them."""
    found = urlsplit(link_of(decision, "http://desk"))
    query = {key: texts[0] for key, texts in parse_qs(found.query).items()}
    state = st.session_state
    if found.path.strip("/"):
        state.pop(OWN_KEY, None)  # the address names what is drawn
        st.switch_page(state[MARKET_PAGE_KEY], query_params=query)
    for leg in ("y", "x"):  # as the address names them, not as they were chosen before
        state.pop(leg, None)
    st.switch_page(state[PAIR_PAGE_KEY], query_params=query)
