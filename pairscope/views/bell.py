"""What every page tells of alerts: how many are active, a toast for each that fires, and a sound if one is wanted."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from pairscope.alerts.records import severity_of
from pairscope.alerts.rules import describe_pair
from pairscope.runtime import Runtime
from pairscope.stores.alerts import Decision, count_active, count_fired, read_decisions
from pairscope.views.alerts_words import SEVERITY_ICONS, found_text, late_text
from pairscope.views.live_part import live_part
from pairscope.views.notices import ALERTS_PAGE_KEY, inert

REFRESH_SECONDS = 1.0
TOASTS, MOST_READ = 3, 50
"""So many are told one by one, and so many of more at once are looked at: of all others only the number is told."""

HEARD_KEY, SOUND_KEY, TURN_KEY = "newest alert told", "alert sound", "alert sound turn"
_SOURCE = Path(__file__).with_suffix(".js")


def show_bell(runtime: Runtime) -> None:
    """Show it, live; nothing is told of what fired before this tab was opened."""
    if HEARD_KEY not in st.session_state:
        newest = read_decisions(runtime.reader, outcome="fired", limit=1)
        st.session_state[HEARD_KEY] = newest[0].id if newest else 0
    live_part(_ring, run_every=REFRESH_SECONDS)(runtime)


def _ring(runtime: Runtime) -> None:
    state = st.session_state
    for text, icon in _news(runtime):
        st.toast(text, icon=icon, duration="long")
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="bell"):
        count = count_active(runtime.reader)
        if page := state.get(ALERTS_PAGE_KEY):
            st.page_link(
                page, label=bell_text(count),
                icon=":material/notifications_active:" if count else ":material/notifications:",
                help="Alerts whose rule is not armed again yet. The page Alerts shows them, with their rules.",
            )  # fmt: skip
        st.space("stretch")
        if st.toggle("Sound", key=SOUND_KEY, persist_state="session", on_change=_turn, help=SOUND):
            heard = f"{state[HEARD_KEY]} {state.get(TURN_KEY, 0)}"
            _component()(key="bell sound", data={"newest": heard}, height=1)


def _turn() -> None:
    st.session_state[TURN_KEY] = st.session_state.get(TURN_KEY, 0) + 1


def _news(runtime: Runtime) -> list[tuple[str, str]]:
    """Return what is told of alerts that fired since it was called last."""
    state, reader = st.session_state, runtime.reader
    since = state[HEARD_KEY]
    fired = read_decisions(reader, outcome="fired", after_id=since, limit=TOASTS + 1)
    if not fired:
        return []
    count = len(fired)
    if count > TOASTS:
        fired = read_decisions(reader, outcome="fired", limit=MOST_READ)[::-1]
        count = count_fired(reader, since, fired[-1].id)
    state[HEARD_KEY] = fired[-1].id
    return toasts_of(fired[-count:], count)


SOUND = "A short tone in this tab for each alert that fires; one is heard when this is switched on."


def bell_text(count: int) -> str:
    """Write how many alerts are active, as Markdown."""
    return "No active alert" if not count else f"**{count:,} active alert{'s' if count > 1 else ''}**"


def toasts_of(fired: Sequence[Decision], count: int) -> list[tuple[str, str]]:
    """Return what is told of alerts, each with its icon: the oldest first, the gravest icon for many at once.

    Args:
        fired: the newest of them, the oldest first.
        count: how many they are.
    """
    if count <= TOASTS:
        return [(_words(each), SEVERITY_ICONS[severity_of(each.rule)]) for each in fired]
    icons = [SEVERITY_ICONS[severity_of(each.rule)] for each in fired]
    gravest = max(icons, key=list(SEVERITY_ICONS.values()).index)
    pairs = sorted({describe_pair(each.target) for each in fired})
    others = len(pairs) > TOASTS or count > len(fired)
    names = ", ".join(pairs[:TOASTS]) + (" and others" if others else "")
    return [(f"**{count:,} alerts** fired: {inert(names)}", gravest)]


def _words(decision: Decision) -> str:
    parts = (found_text(decision), late_text(decision), str(decision.rule.get("note") or ""))
    return f"**{inert(describe_pair(decision.target))}** · {inert(' · '.join(filter(None, parts)))}"


@cache
def _component() -> Any:
    return st.components.v2.component("pairscope_bell", js=_SOURCE.read_text(encoding="utf-8"), isolate_styles=False)
