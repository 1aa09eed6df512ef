"""How the recording does, in words and figures."""

from collections.abc import Mapping

import streamlit as st

from ingest import FeedHealth
from pairscope.runtime import Health, Runtime
from pairscope.views.states import counted, steady
from store import StoreStatus


def show_recording(runtime: Runtime, health: Health) -> None:
    """Show the state of the feed, the queue and the disk."""
    st.markdown("**Recording**")
    with st.container(border=True, gap="xxsmall"):
        show_lines(_recording_lines(runtime, health), MEANINGS)


def show_lines(lines: Mapping[str, str], meanings: Mapping[str, str]) -> None:
    """Show names and values below one another."""
    for name, value in lines.items():
        with st.container(horizontal=True, gap="small", wrap=False):
            st.caption(name, width=84, help=meanings[name])
            st.text(value, width="stretch")


MEANINGS = {
    "State": "Where the trades come from, and how the stream does.",
    "Trades": "Since this process began, those of refilled gaps included.",
    "Rejected": "Duplicates were stored before; rejected ones cannot be, and the ledger of rejects says why.",
    "Gaps": "Holes in the ids of trades: filled by this process, being so now; in the ledger: open, given up.",
    "Link": "Connections that were lost, at all venues.",
    "Loop": "How late the thread that takes trades in was woken up: it must never be held up.",
    "Queue": "Trades in memory on their way to the disk, and how long the last write took.",
    "Disk": "The store's file, its journal, and what the disk has left.",
    "Store": "Where the trades are kept.",
    "Log": "What happened, in words, is in this file.",
}


def _recording_lines(runtime: Runtime, health: Health) -> dict[str, str]:
    lines = {"State": "viewing what another process records" if health.role == "viewer" else "not recording"}
    lines |= _feed_lines(health.feed, health.conflicts) if health.feed else {}
    lines |= _store_lines(health.store) if health.store else {}
    return lines | {"Store": runtime.settings.store, "Log": runtime.settings.log_file}


def _feed_lines(feed: FeedHealth, conflicts: int) -> dict[str, str]:
    rejected = sum(feed.rejected.values())
    dropped = f" · {feed.dropped:,} dropped" if feed.dropped else ""
    clashes = f" · {conflicts:,} with a stored id and other values" if conflicts else ""
    return {
        "State": state_text(feed),
        "Trades": f"{feed.received:,} received · {feed.stored:,} stored{dropped}",
        "Rejected": f"{counted(feed.duplicates, 'duplicate')} · {rejected:,} rejected{clashes}"
        + "".join(f" · {why}" for why in feed.rejected),
        "Gaps": gaps_text(feed),
        "Link": counted(feed.reconnects, "reconnect"),
        "Loop": f"{feed.loop_lag_ms:,.0f} ms late at most, in the last minute",
    }


def gaps_text(feed: FeedHealth) -> str:
    """Write how many gaps were filled, are being so, are open in the ledger, and were given up."""
    repairing = sum(each.repairing for each in feed.symbols)
    abandoned = f" · {feed.gaps_abandoned:,} abandoned, see the ledger" if feed.gaps_abandoned else ""
    return f"{feed.gaps_filled:,} filled · {repairing:,} being filled · {feed.gaps_open:,} open{abandoned}"


def state_text(feed: FeedHealth) -> str:
    """Write how the feeds do; what is wrong with a venue of a real market stands beside its name elsewhere."""
    if len(feed.venues) > 1:
        streaming = sum(each.state == "streaming" for each in feed.venues)
        return f"{feed.label} · {streaming} of {len(feed.venues)} venues streaming"
    return " · ".join(filter(None, (feed.label, feed.state, steady(feed.message) if feed.label != "LIVE" else "")))


def _store_lines(store: StoreStatus) -> dict[str, str]:
    size, mega, giga = store.size, 2**20, 2**30
    return {
        "Queue": f"{store.writer.queued_rows:,} waiting · last commit {store.writer.last_commit_ms:.1f} ms",
        "Disk": f"{size.database / mega:,.1f} MB · journal {size.journal / mega:,.1f} MB"
        f" · {size.disk_free / giga:,.0f} GB free",
    }
