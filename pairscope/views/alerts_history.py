"""What fired, and what was suppressed or held: filtered, a row each, and to be fetched as a file."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from market import DAY, HOUR
from pairscope.alerts import records
from pairscope.alerts.records import pages_of, sentence_of, severity_of
from pairscope.alerts.rules import describe_pair
from pairscope.exports import export_alerts
from pairscope.files import FileFormat
from pairscope.runtime import Runtime, now_ms
from pairscope.stores.alerts import (
    Decision,
    decided_rules,
    decided_targets,
    read_decision,
    read_decisions,
    read_rules,
)
from pairscope.views.alerts_detail import show_detail
from pairscope.views.alerts_words import SEVERITIES, STATES, late_text, seen_text, what_text, word_of
from pairscope.views.clock import Clock
from pairscope.views.data_files import stamp
from pairscope.views.live_part import live_part
from pairscope.views.states import meanings

SHOWN, EXPORTED = 200, 100_000
FORMATS: Mapping[FileFormat, str] = {"csv": "text/csv", "json": "application/json"}
REFRESH_SECONDS = 2.0
OPENED_KEY, TURN_KEY, LISTS_KEY = "alert", "history turn", "history lists"
"""The alert whose details are shown, how often a row was opened (the table is a new one then, with none chosen), and
what the rows were at the last few refreshes."""

LISTS_KEPT = 20

FIRED, ALL = "fired", "all decisions"
SPANS: Mapping[str, int | None] = {"1 h": HOUR, "24 h": DAY, "7 days": 7 * DAY, "all": None}
REMOVED = "removed since"
NOTHING = "Nothing has fired yet. Each alert is kept here with what it saw, and can be explained at any later time."
ROW_PX, MOST_PX = 32, 460


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the history is wanted; the span is in milliseconds back from now."""

    outcome: str | None = FIRED
    rule_id: int | None = None
    severities: tuple[str, ...] = ()
    target: str | None = None
    span: int | None = None
    text: str = ""

    def kept(self) -> records.Asked:
        """Return what is asked of the store."""
        start = None if self.span is None else now_ms() - self.span
        return records.Asked(
            outcome=self.outcome, rule_id=self.rule_id, target=self.target, start=start, text=self.text,
            severities=self.severities,
        )  # fmt: skip

    def read(self, runtime: Runtime) -> list[Decision]:
        """Return the newest of it, the newest first."""
        return read_decisions(runtime.reader, **self.kept().conditions(), limit=SHOWN)


def show_history(runtime: Runtime, clock: Clock, why_not: str) -> None:
    """Show the history, or one alert of it that was opened."""
    opened = st.session_state.get(OPENED_KEY)
    decision = read_decision(runtime.reader, opened) if opened is not None else None
    if decision is not None:
        st.button(
            "All alerts", icon=":material/arrow_back:", key="to history", on_click=_close, help="Back to the list."
        )
        show_detail(runtime, decision, clock, why_not)
        return
    asked = _ask(runtime)
    live_part(_show_rows, run_every=REFRESH_SECONDS)(runtime, asked, clock)
    _show_export(runtime, asked)


def _close() -> None:
    st.session_state.pop(OPENED_KEY, None)


def _ask(runtime: Runtime) -> Asked:
    """Let be chosen what is shown."""
    rules = read_rules(runtime.reader)
    numbers = sorted({*rules, *decided_rules(runtime.reader)})
    pairs = sorted(decided_targets(runtime.reader), key=describe_pair)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        outcome = st.segmented_control(
            "Decisions", (FIRED, ALL), default=FIRED, required=True, key="history outcome", bind="query-params",
            help="What fired; or also what was suppressed (cooldown, quiet hours) and held (data not whole), and why.",
        )  # fmt: skip
        span = st.segmented_control(
            "The last", SPANS, default="all", required=True, key="history span", bind="query-params",
            help="How far back.",
        )  # fmt: skip
        severities = st.pills(
            "Severity", SEVERITIES, selection_mode="multi", key="history severity", help="None chosen: all of them."
        )
    rule, pair, text = st.columns([4, 3, 3], gap="small")
    rule_id = rule.selectbox(
        "Rule", numbers, index=None, key="history rule", placeholder="every rule",
        format_func=lambda number: f"{number}: {sentence_of(rules[number].values) if number in rules else REMOVED}",
        help="Only what this rule decided.",
    )  # fmt: skip
    target = pair.selectbox(
        "Pair", pairs, index=None, key="history pair", placeholder="every pair", format_func=describe_pair,
        help="Only what was decided for this pair.",
    )  # fmt: skip
    words = text.text_input(
        "Words", key="history words", live=True, type="search", placeholder="in rules, reasons and notes",
        help="Only decisions in whose words, or those of their rule, this stands.",
    )  # fmt: skip
    return Asked(
        None if outcome == ALL else FIRED, rule_id, tuple(severities or ()), target, SPANS[span or "all"],
        str(words or "").strip(),
    )  # fmt: skip


def _show_rows(runtime: Runtime, asked: Asked, clock: Clock) -> None:
    if OPENED_KEY in st.session_state:
        st.rerun()  # for its details to take the place of the list
    decisions = asked.read(runtime)
    if not decisions:
        narrow = asked != Asked()
        st.info("Nothing in the history is like that." if narrow else NOTHING, icon=":material/history:")
        return
    version = remember(st.session_state.setdefault(LISTS_KEY, {}), [each.id for each in decisions])
    columns = _columns(clock)
    names = {name: f"{name} {version}" for name in columns}
    turn = st.session_state.setdefault(TURN_KEY, 0)
    key = f"history {turn}"
    st.dataframe(
        [{names[name]: cell for name, cell in row.items()} for row in history_rows(decisions, clock, now_ms())],
        hide_index=True,
        key=key,
        on_select=lambda: _open(key),
        selection_mode="single-cell",
        placeholder="–",
        row_height=ROW_PX,
        height=min(MOST_PX, ROW_PX * len(decisions) + ROW_PX + 6),
        column_config={names[name]: column for name, column in columns.items()},
    )
    more = f"The newest {SHOWN:,}; a filter finds others. " if len(decisions) >= SHOWN else ""
    st.caption(f"{more}A click on a row shows all of it.")


def _columns(clock: Clock) -> dict[str, Any]:
    """Return how the table shows each column."""
    column = st.column_config
    return {
        "time": column.TextColumn(f"time, {clock.name}", width=150, pinned=True, help="The end of its bar."),
        "state": column.MultiselectColumn(
            "state", options=list(STATES), color=[look.colour for look in STATES.values()], width=105,
            help=meanings(STATES),
        ),
        "severity": column.MultiselectColumn(
            "severity", options=list(SEVERITIES), color=[look.colour for look in SEVERITIES.values()], width=90,
            help=meanings(SEVERITIES),
        ),
        "pair": column.TextColumn("pair", width=160, help="The pair, or the symbol."),
        "what": column.TextColumn("what", width=190, help="What the condition found."),
        "value": column.TextColumn("value", alignment="right", width=90, help="What it saw, with its unit."),
        "rule": column.NumberColumn("rule", width=50, help="The number of its rule."),
        "more": column.TextColumn("besides", width="large", help="Why it kept still, how late it was, any note."),
        "id": column.NumberColumn("id", width=60, help="The number of the decision: `alerts explain` takes it."),
    }  # fmt: skip


def _open(key: str) -> None:
    """Open the decision whose row was clicked."""
    cells = st.session_state[key]["selection"]["cells"]
    clicked = clicked_id(st.session_state.get(LISTS_KEY, {}), *cells[0]) if cells else None
    if clicked is not None:
        st.session_state[OPENED_KEY] = clicked
        st.session_state[TURN_KEY] += 1


def remember(lists: dict[int, list[int]], ids: list[int]) -> int:
    """Keep what the rows are, and return the number of this list, which the names of its columns end with.

    A click tells the row and the name of its column: with it, which list the browser showed at that moment.
    """
    newest = next(reversed(lists), 0)
    if lists.get(newest) == ids:
        return newest
    lists[newest + 1] = ids
    for old in list(lists)[:-LISTS_KEPT]:
        del lists[old]
    return newest + 1


def clicked_id(lists: Mapping[int, Sequence[int]], row: int, column: str) -> int | None:
    """Return the number of the decision that stood in a row when it was clicked."""
    ids = lists.get(int(column.rpartition(" ")[2]), ())
    return ids[row] if row < len(ids) else None


def history_rows(decisions: Sequence[Decision], clock: Clock, now: int) -> list[dict[str, object]]:
    """Return what the table says of each decision."""
    times = clock.column_texts([each.end_ms for each in decisions], now)
    return [
        {
            "time": time,
            "state": [word_of(each)],
            "severity": [severity_of(each.rule)],
            "pair": describe_pair(each.target),
            "what": what_text(each),
            "value": seen_text(each),
            "rule": each.rule_id,
            "more": " · ".join(filter(None, (each.reason, late_text(each), each.note))) or None,
            "id": each.id,
        }
        for time, each in zip(times, decisions, strict=True)
    ]


def _show_export(runtime: Runtime, asked: Asked) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for name, mime in FORMATS.items():
            st.download_button(
                name.upper(), partial(exported, runtime, asked, name), f"alerts-{stamp()}.{name}", mime,
                key=f"history as {name}", icon=":material/download:", on_click="ignore",
                help=EXPORTING,
            )  # fmt: skip


EXPORTING = (
    f"What the filters leave, the oldest first, {EXPORTED:,} at most; `python -m pairscope export alerts` writes all."
)


def exported(runtime: Runtime, asked: Asked, file_format: FileFormat) -> bytes:
    """Return what the filters leave as the content of a file."""
    content = io.BytesIO()
    base = pages_of(runtime.settings, runtime.alerts.pages if runtime.alerts else "")
    export_alerts(content, runtime.reader, asked.kept(), file_format, base=base, most=EXPORTED)
    return content.getvalue()
