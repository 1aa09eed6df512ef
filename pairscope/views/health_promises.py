"""What is promised of recording, and whether it holds now, as far as a running process can tell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import streamlit as st

from ingest import FeedHealth
from pairscope.advice import SKEW_MS
from pairscope.runtime import WORKERS, Health
from pairscope.settings import Settings
from pairscope.views.heading import AT_REST
from pairscope.views.notices import inert
from pairscope.views.states import counted
from store import StoreStatus

MEGA = 2**20
LOOP_MS = 100.0
MEMORY_BYTES = 400 * MEGA
JOURNAL_BYTES = 64 * MEGA
COMMIT_MS = 250.0
NAMED = 5
"""So many symbols are named where something is wrong with many."""

MARKS = {True: ":green[:material/check:]", False: ":red[:material/close:]", None: ":gray[:material/question_mark:]"}
UNHEARD = frozenset({"stale", "silent", "disconnected", "refused"})
"""States in which a symbol may trade without our hearing of it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, what is measured now, and whether it is kept (None: it cannot be told)."""

    name: str
    measured: str
    kept: bool | None
    meaning: str
    advice: str = ""
    """What to do when it is not kept."""


def promises_of(health: Health, settings: Settings, *, memory: int | None) -> tuple[Promise, ...]:
    """Judge what can be seen now."""
    feed = chain(_whole(health.feed, health.conflicts), _of_now(health.feed)) if health.feed else ()
    store = _kept(health.store, settings) if health.store else ()
    return (*feed, *store, *_bounded(health, memory))


def _whole(feed: FeedHealth, conflicts: int) -> Iterator[Promise]:
    yield Promise(
        "No trade is missing",
        f"{counted(feed.gaps_open, 'hole')} open",
        not feed.gaps_open,
        "A hole in the numbers of trades is filled, or kept with the reason why it cannot be.",
        "They are being fetched, and close by themselves while the venue answers; the Data page lists them.",
    )
    yield Promise(
        "No trade is dropped",
        f"{feed.dropped:,} dropped",
        not feed.dropped,
        "Trades for which there is no room in memory become a hole, and are fetched again.",
        "The disk or this machine is too slow for so many trades: record fewer symbols, or free the disk.",
    )
    yield Promise(
        "An id is one trade",
        counted(conflicts, "contradiction"),
        not conflicts,
        "A trade that comes twice is stored once; one whose id is known with other values is kept apart.",
        "The first ones are kept, the others stand under rejected trades: the venue has contradicted itself.",
    )


def _of_now(feed: FeedHealth) -> Iterator[Promise]:
    unheard = [each.instrument.symbol for each in feed.symbols if each.state in UNHEARD]
    resting = any(each.state in AT_REST for each in feed.symbols)
    yield Promise(
        "Every symbol is heard",
        "–" if resting else f"{len(feed.symbols) - len(unheard)} of {len(feed.symbols)}",
        None if resting and not unheard else not unheard,
        "A symbol is heard when it trades, or when the venue says that it does not; while recording is paused or "
        "stopped, none is.",
        f"{', '.join(unheard[:NAMED])}{' and others' if len(unheard) > NAMED else ''}: the table of symbols says why. "
        "Their numbers stand in brackets, and make no signal, until they are back; what they miss is fetched then.",
    )
    skews = [abs(each.status.skew_ms) for each in feed.venues if each.status.skew_ms is not None]
    if skews:
        yield Promise(
            "The clock is right",
            f"{max(skews):,} ms off",
            max(skews) <= SKEW_MS,
            f"This machine's clock is within {SKEW_MS:,} ms of the venue's.",
            "Let the system set its clock by the network. Trades keep the venue's time.",
        )
    asked = [each.status for each in feed.venues if each.status.weight_allowed]
    if asked:
        used = max(each.weight_used / each.weight_allowed for each in asked)
        yield Promise(
            "No venue bans this address",
            f"{used:.0%} of our half",
            used <= 1,
            "Requests cost at most half of what the venue allows.",
            "Requests wait until the venue's window has passed; nothing is to be done.",
        )
    yield Promise(
        "Recording is never held up",
        f"{feed.loop_lag_ms:,.0f} ms at most",
        feed.loop_lag_ms <= LOOP_MS,
        f"The loop that takes trades in is at most {LOOP_MS:.0f} ms late; the largest delay of the last minute.",
        "This machine has too much to do. No trade is lost by it, but they come late.",
    )


def _kept(store: StoreStatus, settings: Settings) -> Iterator[Promise]:
    writer, size = store.writer, store.size
    took = settings.commit_ms + writer.last_commit_ms
    yield Promise(
        "Stored within 250 ms",
        writer.trouble or f"{took:,.0f} ms at most",
        not writer.trouble and took <= COMMIT_MS,
        "From a trade's arrival to the disk: it waits for others at most "
        f"{settings.commit_ms} ms, and then the write takes its time. Until then it is not shown.",
        "The disk is slow or refuses: look at what else uses it, and at the room that is left.",
    )
    yield Promise(
        "The queue is bounded",
        f"{writer.queued_rows:,} of {settings.queue_rows:,} rows",
        writer.queued_rows < settings.queue_rows,
        "So many rows may wait in memory; beyond that they become a hole, which is fetched later.",
        "Nothing more is taken until the disk has written what waits.",
    )
    yield Promise(
        "The journal is bounded",
        f"{size.journal / MEGA:,.1f} MB",
        size.journal <= JOURNAL_BYTES,
        f"What is written but not yet part of the file stays below {JOURNAL_BYTES // MEGA} MB.",
        "A reader has held the file open for long; it shrinks by itself when that ends.",
    )
    yield Promise(
        "The disk has room",
        f"{size.disk_used:.0%} in use",
        size.disk_used <= settings.disk_warn,
        f"Of the whole disk, by anyone; from {settings.disk_warn:.0%} on it is said on every page.",
        "Free some room, or keep less: `keep_ticks_days` says how long trades are kept.",
    )


def _bounded(health: Health, memory: int | None) -> Iterator[Promise]:
    yield Promise(
        "Memory is bounded",
        "not told by this system" if memory is None else f"{memory / MEGA:,.0f} MB",
        None if memory is None else memory <= MEMORY_BYTES,
        f"This process stays below {MEMORY_BYTES // MEGA} MB, however long it records.",
        "Many open tabs with long histories take memory; it is given back when they close.",
    )
    if health.role == "owner":
        yield Promise(
            "There is exactly one recorder",
            f"{health.workers.count('ingest')} recording",
            len(health.workers) == len(set(health.workers)) and (not health.feed or set(health.workers) == WORKERS),
            "One thread takes trades in, one writes, one keeps house, however many tabs are open.",
            "Restart the app, and please report it with the log below.",
        )


def show_promises(promises: Sequence[Promise]) -> None:
    """Show each promise with what is measured, and what to do about one that is not kept."""
    st.markdown("**Promises**", help="What can be seen of them in this process, now. README says how all are proven.")
    with st.container(border=True, gap="xxsmall"):
        for each in promises:
            with st.container(horizontal=True, gap="small", wrap=False):
                st.markdown(f"{MARKS[each.kept]} {each.name}", help=each.meaning, width="stretch")
                st.text(each.measured, width="content", text_alignment="right")
            if each.kept is False:
                st.caption(inert(each.advice))
