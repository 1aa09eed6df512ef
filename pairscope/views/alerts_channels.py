"""How the channels do: whether they take what is sent, and what waits for them."""

from collections.abc import Mapping

import streamlit as st

from pairscope.runtime import Runtime
from pairscope.stores.alerts import delivery_counts
from pairscope.views.alerts_facts import Facts
from pairscope.views.alerts_words import CHANNEL_STATES
from pairscope.views.clock import Clock
from pairscope.views.notices import inert
from pairscope.views.states import counted, meanings

NONE = (
    "No channel has carried anything since this process began. A rule names its channels one a line, such as "
    "json://HOST/PATH or ntfy://TOPIC; its Test button sends a message over each."
)
COUNTED: Mapping[str, str] = {
    "sent": "were taken", "digested": "were told of in a digest", "waiting": "wait", "sending": "are on their way",
    "failed": "were given up",
}  # fmt: skip


def show_channels(runtime: Runtime, facts: Facts, clock: Clock) -> None:
    """Show what was delivered so far, and the state of each channel."""
    st.markdown(f"**Deliveries** · {inert(counts_text(delivery_counts(runtime.reader)))}", help=MEANING)
    if facts.delivery is None:
        st.caption("The state of each channel is known to the process that delivers; this one only shows its store.")
        return
    rows = channel_rows(facts, clock)
    if not rows:
        st.info(NONE, icon=":material/outgoing_mail:")
        return
    column = st.column_config
    st.dataframe(
        rows,
        hide_index=True,
        key="channels",
        placeholder="–",
        column_config={
            "channel": column.TextColumn(width="medium", help="Its address; secrets stand in it by name."),
            "state": column.MultiselectColumn(
                options=list(CHANNEL_STATES), color=[each.colour for each in CHANNEL_STATES.values()], width=100,
                help=meanings(CHANNEL_STATES),
            ),
            "failures": column.NumberColumn(width=90, help="Attempts that failed in a row."),
            "next": column.TextColumn(
                f"not before, {clock.name}", alignment="right", width=160, help="Nothing is sent over it until then."
            ),
            "said": column.TextColumn(width="large", help="What came of the last attempt."),
        },
    )  # fmt: skip


MEANING = "Each alert goes over each channel of its rule at least once; a repetition is marked as one."


def counts_text(counts: Mapping[str, int]) -> str:
    """Write how many deliveries there are, by what became of them: 12 were taken, 1 was given up."""
    found = [f"{counts[state]:,} {words}" for state, words in COUNTED.items() if counts.get(state)]
    return f"of {counted(sum(counts.values()), 'message')} {', '.join(found)}" if found else "none yet"


def channel_rows(facts: Facts, clock: Clock) -> list[dict[str, object]]:
    """Return what the table says of each channel."""
    channels = facts.delivery.channels if facts.delivery else ()
    return [
        {
            "channel": each.channel,
            "state": [each.state],
            "failures": each.failures,
            "next": clock.text(each.next_ms) if each.next_ms and each.next_ms > facts.now else None,
            "said": each.words or None,
        }
        for each in channels
    ]
