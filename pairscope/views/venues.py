"""How each venue is connected, in words and figures."""

import streamlit as st

from ingest import FeedHealth, FeedStatus, VenueHealth
from pairscope.runtime import NETWORK
from pairscope.views.recording import show_lines
from pairscope.views.states import VENUE_STATES, counted, look_of, steady

MEANINGS = {
    "Link": "Connections that were lost, and those that were replaced in time, before the venue ends them.",
    "Requests": "What requests have cost in the venue's window of time, of what we allow ourselves: half of its limit.",
    "Clock": "How far this machine's clock is from the venue's, by which trades are timed.",
    "Ignored": "Messages that are not about trades, by type.",
    "Queue": "Trades received and not taken over yet, of those that have room; beyond it they become a gap.",
    "Refused": "Symbols that the venue does not have, or does not trade now.",
}


def show_venues(feed: FeedHealth) -> None:
    """Show the link to each venue that is reached over a network."""
    reached = [each for each in feed.venues if each.label == "LIVE"]
    if not reached:
        return
    st.markdown("**Venues**")
    for venue in reached:
        with st.container(border=True, gap="xxsmall"):
            _show_head(venue)
            words = NETWORK.get(venue.venue)
            show_lines(venue_lines(venue.status, words.budget.seconds if words else None), MEANINGS)


def _show_head(venue: VenueHealth) -> None:
    look = look_of(venue.state, VENUE_STATES)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.text(venue.venue, width="content")
        st.badge(venue.state.upper(), color=look.colour, help=look.meaning)
    if venue.message:
        st.text(steady(venue.message))


def venue_lines(status: FeedStatus, window_s: float | None = None) -> dict[str, str]:
    """Return the figures of a link, by name; requests are counted over a window of so many seconds."""
    ignored = ", ".join(f"{count:,} {kind}" for kind, count in sorted(status.ignored.items()))
    dropped = f" · {status.dropped:,} dropped" if status.dropped else ""
    window = "" if window_s is None else f" in {window_s:g} s"
    lines = {
        "Link": f"{counted(status.reconnects, 'reconnect')} · {counted(status.rotations, 'rotation')}",
        "Requests": f"weight {status.weight_used:,} of {status.weight_allowed:,}{window}",
        "Clock": skew_text(status.skew_ms),
        "Ignored": ignored or "none",
        "Queue": f"{status.queue:,} of {status.queue_limit:,}{dropped}",
    }
    if status.refused:
        lines["Refused"] = "; ".join(status.refused.values())
    return lines


def skew_text(skew_ms: int | None) -> str:
    """Write how far this machine's clock is from a venue's."""
    if skew_ms is None:
        return "not measured yet"
    if skew_ms == 0:
        return "the same"
    return f"{abs(skew_ms):,} ms {'ahead' if skew_ms > 0 else 'behind'}"
