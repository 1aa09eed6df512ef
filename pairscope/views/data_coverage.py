"""How much of each hour is recorded: computed from the ledger of gaps, and shown as a calendar."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from market import DAY, HOUR, MINUTE, Bars, Coverage, Gap, Instrument, Integers
from pairscope.charts import CalendarColumns, calendar, calendar_px
from pairscope.charts.calendar import CANDLES, EMPTY, UNRECORDED
from pairscope.commands import MISSING
from pairscope.live_chart import live_chart
from pairscope.runtime import Runtime, now_ms
from pairscope.views.choices import label_of
from pairscope.views.clock import Clock, chosen_clock
from pairscope.views.notices import inert
from pairscope.views.numerals import length_text
from store import SqliteReader

SPANS = {"7 days": 7, "28 days": 28, "90 days": 90}
QUARTER = 15 * MINUTE
"""Every zone is ahead of UTC, or behind it, by so many quarters of an hour."""

STILL_RECORDED_MS = 10 * MINUTE
"""When the last trade is no older, the time since then is not taken for unrecorded."""

SAID = {
    EMPTY: "recorded, and nobody traded",
    CANDLES: "not recorded; the venue's candles stand in",
    UNRECORDED: "not recorded",
}
MEANING = (
    "The recorded share of each hour: its time less what gaps take that are open or were given up. Candles of the "
    "venue stand in where no trades are to be had; an hour without a trade was recorded, and nobody traded."
)


def show_coverage_calendar(runtime: Runtime, names: Sequence[Instrument]) -> None:
    """Let a symbol be chosen, and show which hours of its last days are recorded."""
    by_name = {str(name): name for name in names}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.markdown("**Coverage**", width="content", help=MEANING)
        st.space("stretch")
        name = st.selectbox(
            "Symbol", by_name, key="covered", bind="query-params", format_func=label_of, width=240,
            label_visibility="collapsed", help="Whose hours are shown.",
        )  # fmt: skip
        span = st.segmented_control(
            "Days", SPANS, default="7 days", required=True, key="days", bind="query-params",
            label_visibility="collapsed", help="How many days back the calendar reaches.",
        )  # fmt: skip
    clock, now = chosen_clock(), now_ms()
    columns = columns_of(runtime.reader, by_name[name], SPANS[span or "7 days"], clock, now)
    if columns is None:
        st.info(
            f"Nothing of {inert(name)} is stored yet; the calendar begins with its first trade.",
            icon=":material/calendar_month:",
        )
        return
    theme = st.context.theme.type or "dark"
    figure = calendar(columns, theme=theme, zone=clock.name, revision=f"{name} {span} {clock.name}")
    live_chart(figure, key="coverage", height=calendar_px(len(columns.days)))


def columns_of(
    reader: SqliteReader, instrument: Instrument, days: int, clock: Clock, now: int
) -> CalendarColumns | None:
    """Read what the calendar of an instrument shows of its last days; None where nothing of it is stored."""
    span = reader.bar_span(instrument) if instrument in reader.instruments() else None
    if span is None:
        return None
    covered = reader.coverage(instrument)
    start = _midnight(now - (days - 1) * DAY, clock)
    end = covered.end_ms if 0 <= now - covered.end_ms < STILL_RECORDED_MS else max(now, start + QUARTER)
    bars = reader.bars(instrument, "15m", start, end, now=now)
    gaps = [gap for gap in reader.gaps(instrument) if gap.state in MISSING]
    return calendar_columns(covered, gaps, bars, clock, start, end)


def _midnight(time_ms: int, clock: Clock) -> int:
    """Return when the day of a moment began, by the clock, on a whole quarter of an hour."""
    zone = ZoneInfo(clock.name)
    day = datetime.fromtimestamp(time_ms / 1000, zone)
    begun = round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
    return begun - begun % QUARTER


def calendar_columns(
    covered: Coverage, gaps: Iterable[Gap], bars: Bars, clock: Clock, start: int, end: int
) -> CalendarColumns:
    """Add up by hours of the clock what is recorded between two times.

    Args:
        covered: from where to where there are trades.
        gaps: those whose trades are missing, by their start.
        bars: of a quarter of an hour each.
        clock: tells the hours.
        start: the first quarter of an hour that is shown.
        end: of what is shown.
    """
    edges = np.append(np.arange(start, end, QUARTER, dtype=np.int64), end)
    length, recorded = np.diff(edges), np.diff(recorded_until(covered, gaps, edges))
    inside = np.diff(np.clip(edges, covered.start_ms, covered.end_ms))
    at = ((bars.time - start) // QUARTER).astype(np.intp)
    trades, candles = np.zeros(len(length), np.int64), np.zeros(len(length), np.int64)
    trades[at], candles[at] = bars.trades, bars.klines
    hours = _Hours(clock.wall(edges[:-1]))
    return _columns(
        hours, *(hours.add(each) for each in (length, inside, np.rint(recorded).astype(np.int64), trades, candles))
    )


def recorded_until(covered: Coverage, gaps: Iterable[Gap], times: Integers) -> NDArray[np.float64]:
    """Return how many milliseconds were recorded from the first trade until each time, without those of gaps."""
    at, recorded = [covered.start_ms], [0]
    for gap in gaps:
        begin, end = max(gap.start_ms, at[-1]), min(gap.end_ms, covered.end_ms)
        if begin < end:
            so_far = recorded[-1] + begin - at[-1]
            at, recorded = [*at, begin, end], [*recorded, so_far, so_far]
    at.append(covered.end_ms)
    recorded.append(recorded[-1] + covered.end_ms - at[-2])
    return np.interp(times, at, recorded)


class _Hours:
    """The days and hours that quarters of an hour belong to; where clocks are put back, one has eight of them."""

    def __init__(self, wall: Integers) -> None:
        self.days = np.arange(wall[-1] // DAY, wall[0] // DAY - 1, -1)
        self._row, self._hour = (self.days[0] - wall // DAY).astype(np.intp), (wall % DAY // HOUR).astype(np.intp)

    def add(self, values: Integers) -> Integers:
        """Add up by hours, the newest day first."""
        sums = np.zeros((len(self.days), 24), np.int64)
        np.add.at(sums, (self._row, self._hour), values)
        return sums


def _columns(
    hours: _Hours, length: Integers, inside: Integers, recorded: Integers, trades: Integers, candles: Integers
) -> CalendarColumns:
    share = np.where(inside > 0, recorded / np.maximum(length, 1), np.nan)
    kind = np.where(length > 0, np.where(candles > 0, CANDLES, UNRECORDED), 0)
    kind = np.where(inside > 0, np.where((trades == 0) & (recorded == length), EMPTY, 0), kind).astype(np.int8)
    days = [_day_text(int(day)) for day in hours.days]
    cells = np.stack([kind, trades, length, length - recorded], axis=-1).tolist()
    words = [
        [_words(f"{day} {hour:02}:00", *cell) for hour, cell in enumerate(row)]
        for day, row in zip(days, cells, strict=True)
    ]
    return CalendarColumns(days, np.where(kind == EMPTY, np.nan, share), kind, words)


def _day_text(day: int) -> str:
    moment = datetime.fromtimestamp(day * DAY / 1000, UTC)
    return f"{moment:%a} {moment.day} {moment:%b}"


def _words(hour: str, kind: int, trades: int, length_ms: int, missing_ms: int) -> str:
    if kind:
        return f"{hour} · {SAID[kind]}"
    if not missing_ms:
        return f"{hour} · whole · {trades:,} trades"
    share = min(0.999, 1 - missing_ms / length_ms) if length_ms else 0.0
    return f"{hour} · {share:.1%} recorded, {length_text(missing_ms)} missing · {trades:,} trades"
