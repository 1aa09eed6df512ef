"""The gaps of the ledger whose trades are missing, and a button that has the venues asked for them again."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from market import Gap
from pairscope.commands import MISSING
from pairscope.recording.repairs import Effort
from pairscope.runtime import Runtime
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.states import counted

REFRESH_SECONDS = 2.0
SHOWN = 200
"""So many are listed, the newest first."""

SHOWN_KEY, SAID_KEY = "gaps shown", "gaps said"
AGAIN = ":material/refresh: Repair"
MEANING = (
    "Trades are numbered, so that a missing one is noticed. What is missing is asked of the venue until it answers; "
    "what it does not have any more is given up, with the reason."
)
STATES = {
    "open": "Being fetched, or waiting for the next attempt.",
    "abandoned": "Given up, for the reason beside; the venue's candles stand in where it has some.",
}


def show_gaps(runtime: Runtime) -> None:
    """Show what is missing, live, with buttons that ask for it again."""
    st.markdown("**Gaps**", help=MEANING)
    live_part(_live, run_every=REFRESH_SECONDS)(runtime)


def _live(runtime: Runtime) -> None:
    gaps = [gap for gap in reversed(runtime.reader.gaps()) if gap.state in MISSING]
    counts = runtime.reader.gap_counts()
    closed = f"{counted(counts.get('filled', 0), 'gap')} filled, {counts.get('empty', 0):,} without a trade in them"
    if said := st.session_state.pop(SAID_KEY, None):
        st.toast(said)
    if not gaps:
        st.markdown(f":green[:material/check_circle:] No trade is missing. :gray[So far: {closed}.]")
        return
    shown = gaps[:SHOWN]
    st.session_state[SHOWN_KEY] = [gap.key for gap in shown]
    missing = sum(gap.last_id - gap.first_id + 1 for gap in gaps)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        more = f", the newest {SHOWN} of them below" if len(gaps) > SHOWN else ""
        st.markdown(f"**{counted(len(gaps), 'gap')}** with {missing:,} missing ids{more}; {closed}.", width="content")
        st.space("stretch")
        st.button(
            "Repair all", icon=":material/refresh:", key="repair all", on_click=_repair, args=(runtime, None),
            help="Ask the venues now for everything that is missing, what was given up included.",
        )  # fmt: skip
    _show_table(runtime, shown, chosen_clock())


def _show_table(runtime: Runtime, gaps: Sequence[Gap], clock: Clock) -> None:
    column = st.column_config
    ingestor = runtime.ingestor
    st.dataframe(
        gap_columns(gaps, clock, ingestor.effort if ingestor else lambda gap: None),
        hide_index=True,
        key="gaps",
        placeholder="–",
        column_config={
            "symbol": column.TextColumn(width=105),
            "venue": column.TextColumn(width=110),
            "from": _moment(f"from, {clock.name}", "The last trade before it."),
            "to": _moment(f"to, {clock.name}", "The first trade after it."),
            "missing": column.NumberColumn(
                "missing, ids", format="localized", width=90, help="Ids still missing; not every one is a trade."
            ),
            "state": column.MultiselectColumn(
                options=list(STATES), color=["orange", "gray"], width=100,
                help="\n".join(f"- **{name}**: {meaning}" for name, meaning in STATES.items()),
            ),
            "again": column.ButtonColumn(
                "", type="tertiary", width=90, key="repair one", on_click=_repair_one, args=(runtime,),
                help="Ask the venue for it now.",
            ),
            "tried": column.NumberColumn(
                "tried", width=70, help="Attempts that failed since this process began to fetch it."
            ),
            "reason": column.TextColumn(width="large", help="What made it; and why it is not filled."),
        },
    )  # fmt: skip


def _moment(label: str, meaning: str) -> Any:
    return st.column_config.DatetimeColumn(label, format="D MMM YYYY HH:mm:ss", width=160, help=meaning)


def gap_columns(gaps: Sequence[Gap], clock: Clock, effort: Callable[[Gap], Effort | None]) -> dict[str, object]:
    """Return the columns of the table of gaps."""
    tried = [effort(gap) for gap in gaps]
    venues = [gap.instrument.venue for gap in gaps]
    return {
        "symbol": [gap.instrument.symbol for gap in gaps],
        **({"venue": venues} if len(set(venues)) > 1 else {}),
        "from": _wall([gap.start_ms for gap in gaps], clock),
        "to": _wall([gap.end_ms for gap in gaps], clock),
        "missing": [gap.last_id - gap.first_id + 1 for gap in gaps],
        "state": [[gap.state] for gap in gaps],
        "again": [AGAIN] * len(gaps),
        "tried": [each.attempts if each else None for each in tried],
        "reason": [reason_of(gap, each) for gap, each in zip(gaps, tried, strict=True)],
    }


def _wall(times: Sequence[int], clock: Clock) -> object:
    walls = [clock.wall(np.array([time])) for time in times]
    return np.concatenate(walls).astype("datetime64[ms]")


def reason_of(gap: Gap, effort: Effort | None) -> str:
    """Write what made a gap, and why it is not filled."""
    why = gap.reason if gap.state == "abandoned" else effort.trouble if effort else None
    return ": ".join(filter(None, (gap.cause, why)))


def _repair_one(runtime: Runtime) -> None:
    row, shown = st.session_state["repair one"].row, st.session_state.get(SHOWN_KEY, [])
    if row < len(shown):
        _repair(runtime, [shown[row]])


def _repair(runtime: Runtime, keys: list[int] | None) -> None:
    """Ask for gaps again, and leave what is to be said of it to the next refresh."""
    outcome = runtime.perform("repair", {} if keys is None else {"gaps": keys})
    text = f"{outcome.text[:1].upper()}{outcome.text[1:]}."
    st.session_state[SAID_KEY] = inert(text)
