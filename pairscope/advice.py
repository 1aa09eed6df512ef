"""What a person should know of recording, in sentences."""

from collections.abc import Iterator, Mapping

from ingest import LIVE_SECONDS, FeedHealth, VenueHealth
from store import Size, SqliteReader, StoreStatus, WriterStatus

SKEW_MS, LAG_MS = 1_000, 1_000
"""More than this, and the page says so: the clock's difference from a venue's, and the event loop's delay."""

ABANDONED = (
    "Trades that were missed cannot be had any more; the ledger of gaps says why, and the venue's candles stand in for "
    "them where it has some."
)
AT_REST: Mapping[str, str] = {
    "paused": "Recording is paused: nothing is received. What is missed is fetched when it goes on.",
    "stopped": "Recording is stopped until Start, or until Pairscope is started again: nothing is received. What is "
    "missed until Start is not fetched by itself; what was owed before is, and after another start of Pairscope all of "
    "it.",
}
"""What is said while somebody wants nothing to be recorded, by the state of recording."""

BEHIND = (
    "{} is being written; what comes meanwhile waits, and is shown afterwards. Until then pages show what was "
    "stored before."
)

CONFLICTS = "{}: trades came{} whose id had come before with other values; the first ones are kept."


CONFLICT = "the id is stored with other values"
"""The store's reason for a trade whose id came with another price, quantity, time or side before."""


def store_warnings(store: StoreStatus) -> list[str]:
    """Return what a person should know of the store."""
    return [
        *writer_warnings(store.writer),
        *(f"The store was damaged; it was set aside as {name} and a new one begun." for name in store.set_aside),
    ]


def disk_warnings(size: Size, disk_warn: float) -> Iterator[str]:
    """Say that the disk is fuller than the share `disk_warn`: nothing is wrong yet, so it comes after what is."""
    if size.disk_used > disk_warn:
        yield f"The disk is {size.disk_used:.0%} full, {size.disk_free / 2**30:.1f} GB are left."


def conflict_warnings(reader: SqliteReader, count: int) -> Iterator[str]:
    """Name the symbols in which `count` ids came again with other values, in steps, so that texts stand still."""
    newest = [each for each in reader.rejects(100) if each.reason == CONFLICT][:count]
    names = ", ".join(sorted({f"{each.venue}:{each.symbol}" for each in newest}))
    yield CONFLICTS.format(names, f" (more than {10 ** (len(str(count - 1)) - 1)})" if count > 10 else "")


def feed_warnings(feed: FeedHealth) -> list[str]:
    """Return what a person should know of the feeds, worst first."""
    warnings = [AT_REST[feed.state]] if feed.state in AT_REST else []
    warnings += [each for venue in feed.venues for each in _venue_warnings(venue)]
    if feed.loop_lag_ms > LAG_MS:
        warnings.append(
            f"Recording was held up for {feed.loop_lag_ms:,.0f} ms within the last minute; no trade is lost by that, "
            "but they come late: this machine has too much to do."
        )
    return warnings


def writer_warnings(writer: WriterStatus) -> Iterator[str]:
    """Say what keeps trades from the store: a disk that refuses them, or long work that goes before."""
    if writer.trouble:
        seconds, rows = writer.trouble_seconds, writer.queued_rows
        yield f"Not recording to disk for {seconds:.0f} s: {writer.trouble}. {rows:,} rows wait."
    elif writer.waits_seconds > LIVE_SECONDS:
        name = writer.long_work or "what came before"
        yield BEHIND.format(f"{name[:1].upper()}{name[1:]}")


def _venue_warnings(venue: VenueHealth) -> Iterator[str]:
    if venue.state in ("disconnected", "refused", "failing"):
        yield f"{venue.venue} is not being recorded: {venue.message or venue.state}."
    if venue.status.refused:
        yield f"Not recorded: {'; '.join(venue.status.refused.values())}."
    skew = venue.status.skew_ms or 0
    if abs(skew) > SKEW_MS:
        yield (
            f"This machine's clock is {abs(skew) / 1000:.1f} s {'ahead of' if skew > 0 else 'behind'} that of "
            f"{venue.venue}: let the system set it by the network. Trades keep the venue's time."
        )
