"""The six figures above the Health page."""

from ingest import LIVE_SECONDS
from pairscope.runtime import Health
from pairscope.settings import Settings
from pairscope.views.figures import Figure
from pairscope.views.health_promises import MEMORY_BYTES
from pairscope.views.health_trail import Trail, percentile
from pairscope.views.states import age_text, counted
from pairscope.views.symbols import RATED

MEGA = 2**20
UNKNOWN = "–"


def health_figures(health: Health, trail: Trail, settings: Settings, *, memory: int | None) -> list[Figure]:
    """Return the six figures; what a process that does not record cannot know is a dash."""
    return [
        *_feed_figures(health, trail),
        _queue(health, settings),
        _memory(memory, health.threads),
    ]


def _feed_figures(health: Health, trail: Trail) -> list[Figure]:
    feed = health.feed
    if feed is None:
        elsewhere = "recorded elsewhere"
        meaning = "This process does not record: the one that does knows it."
        return [Figure(name, UNKNOWN, elsewhere, meaning) for name in ("Trades/s", "Newest trade", "Lag, ms", "Holes")]
    rates, streaming = [each.trades_per_second for each in feed.symbols if each.state in RATED], len(feed.symbols)
    ages = [each.age_seconds for each in feed.symbols if each.age_seconds is not None]
    lags, middle = trail.lags(), percentile(trail.lags(), 0.5)
    high = percentile(lags, 0.95)
    return [
        Figure(
            "Trades/s", f"{sum(rates):,.1f}" if rates else UNKNOWN, f"{counted(streaming, 'symbol')}",
            "Trades a second that came in over the last minute, of all symbols that are being heard.",
        ),
        Figure(
            "Newest trade", f"{age_text(min(ages))} ago" if ages else UNKNOWN,
            f"oldest {age_text(max(ages))}" if ages else "no trade yet",
            "How long ago the last trade of any symbol came; below, that of the symbol that is silent longest.",
            aged=bool(ages) and min(ages) > LIVE_SECONDS,
        ),
        Figure(
            "Lag, ms", UNKNOWN if middle is None else f"{middle:,.0f}",
            "measuring, 20 s" if high is None else f"95 % within {high:,.0f}",
            "From the trade's time at the venue to its arrival here, the middle of the last 5 minutes; below, what "
            "19 of 20 samples stay within. A sample a second, as far as this page was open.",
        ),
        Figure(
            "Holes open", f"{feed.gaps_open:,}", f"{feed.gaps_filled:,} filled", HOLES, aged=feed.gaps_open > 0,
        ),
    ]  # fmt: skip


HOLES = "Holes in the numbers of trades that are still to be filled; below, those filled since this process began."


def _queue(health: Health, settings: Settings) -> Figure:
    meaning = (
        f"Rows in memory on their way to the disk, of {settings.queue_rows:,}; below, how long the last write took."
    )
    if health.store is None:
        return Figure("Waiting rows", UNKNOWN, "recorded elsewhere", meaning)
    writer = health.store.writer
    beside = f"written in {writer.last_commit_ms:.1f} ms" if not writer.trouble else "the disk refuses"
    return Figure("Waiting rows", f"{writer.queued_rows:,}", beside, meaning, aged=bool(writer.trouble))


def _memory(memory: int | None, threads: int) -> Figure:
    meaning = f"What this process takes; it is to stay below {MEMORY_BYTES // MEGA} MB. Below, its threads."
    value = UNKNOWN if memory is None else f"{memory / MEGA:,.0f}"
    return Figure("Memory, MB", value, counted(threads, "thread"), meaning, aged=(memory or 0) > MEMORY_BYTES)
