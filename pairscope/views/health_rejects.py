"""Trades that were not stored, by the rule that they broke, and the last ones word for word."""

from collections.abc import Mapping, Sequence

import streamlit as st

from market import Reject
from pairscope.views.clock import Clock
from pairscope.views.states import counted
from store import SqliteReader

SHOWN = 20


def show_rejects(reader: SqliteReader, clock: Clock) -> None:
    """Show how many trades broke which rule, and the last of them."""
    counts = reader.reject_counts()
    total = counted(sum(counts.values()), "trade")
    st.markdown(
        "**Rejected trades**", help="Since the store was begun. What cannot be a trade is not stored, but kept."
    )
    if not counts:
        st.caption("None: every trade that came could be stored.")
        return
    st.dataframe(
        count_rows(counts),
        hide_index=True,
        key="reject counts",
        column_config={
            "trades": st.column_config.NumberColumn(
                format="localized", width="small", help="Since the store was begun."
            ),
            "rule": st.column_config.TextColumn("what is wrong", width="large", help="The rule that they broke."),
        },
    )
    with st.expander(f"The last of {total}"):
        st.dataframe(
            reject_rows(reader.rejects(SHOWN), clock),
            hide_index=True,
            key="rejects",
            column_config={
                "time": st.column_config.TextColumn(f"time, {clock.name}", help="When it was rejected."),
                "came": st.column_config.TextColumn(width="large", help="What came, as text."),
            },
        )


def count_rows(counts: Mapping[str, int]) -> list[dict[str, str | int]]:
    """Return how many trades broke each rule, the commonest first."""
    return [{"rule": rule, "trades": count} for rule, count in counts.items()]


def reject_rows(rejects: Sequence[Reject], clock: Clock) -> list[dict[str, str]]:
    """Return what the table says of each rejected trade."""
    return [
        {
            "time": clock.text(each.time_ms),
            "venue": each.venue,
            "symbol": each.symbol,
            "rule": each.reason,
            "came": each.detail,
        }
        for each in rejects
    ]
