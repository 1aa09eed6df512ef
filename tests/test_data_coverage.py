"""The calendar of what is recorded: its hours add up to the coverage that the store tells, in every zone."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from market import DAY, HOUR, MINUTE, Bar, Coverage, Gap, Hole, Instrument, Tick, Timeframe, bars_from_rows
from pairscope.charts import CalendarColumns
from pairscope.charts.calendar import CANDLES, EMPTY, UNRECORDED
from pairscope.views.clock import Clock
from pairscope.views.data_coverage import calendar_columns, columns_of, recorded_until
from store import SqliteStore

BTC = Instrument("binance-spot", "BTCUSDT")
UTC_CLOCK, BERLIN, KOLKATA = Clock(), Clock("Europe/Berlin"), Clock("Asia/Kolkata")
MIDNIGHT = round(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
NOW = MIDNIGHT + DAY + 18 * HOUR


def tick(number: int, time_ms: int) -> Tick:
    return Tick(*BTC, number, time_ms, 100.0, 1.0, "buy")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "x.db", clock=lambda: NOW, commit_ms=1)
    yield opened
    opened.close()


def record(store: SqliteStore, times: Sequence[int], *, holes: Sequence[tuple[int, int]] = ()) -> None:
    """Store a trade at each time, with the ids between two trades missing where a hole is."""
    number = 0
    for time in times:
        lost = [hole for hole in holes if hole[1] == time]
        missing = [Hole(BTC, number, number + 9, hole[0], time, "connection lost") for hole in lost]
        number += 10 * len(lost)
        store.append([tick(number, time)], holes=missing).result()
        number += 1


def of(columns: CalendarColumns | None, row: int, hour: int) -> tuple[float, int, str]:
    assert columns is not None
    return float(columns.share[row, hour]), int(columns.kind[row, hour]), columns.words[row][hour]


def test_whole_hours_holes_quiet_hours_and_unrecorded_ones_differ(store: SqliteStore) -> None:
    start = MIDNIGHT + DAY + 10 * HOUR
    times = [start, start + HOUR - 1_000, start + HOUR, start + HOUR + 45 * MINUTE, start + 3 * HOUR + 1]
    record(store, [*times, NOW], holes=[(start + HOUR, start + HOUR + 45 * MINUTE)])
    shown = columns_of(store, BTC, 2, UTC_CLOCK, NOW)
    assert shown is not None
    assert list(shown.days) == ["Sat 21 Nov", "Fri 20 Nov"]
    assert of(shown, 0, 10) == (1.0, 0, "Sat 21 Nov 10:00 · whole · 2 trades")
    assert of(shown, 0, 11) == (0.25, 0, "Sat 21 Nov 11:00 · 25.0% recorded, 45 m missing · 2 trades")
    assert of(shown, 0, 12)[1:] == (EMPTY, "Sat 21 Nov 12:00 · recorded, and nobody traded")
    assert of(shown, 0, 9)[1:] == (UNRECORDED, "Sat 21 Nov 09:00 · not recorded")
    assert of(shown, 1, 23)[1] == UNRECORDED
    share, kind, _ = of(shown, 0, 20)  # it has not come yet
    assert (np.isnan(share), kind) == (True, 0)


def test_hours_with_candles_alone_are_told_apart(store: SqliteStore) -> None:
    record(store, [NOW - HOUR, NOW])
    candle = Bar(NOW - 5 * HOUR, 1, 2, 0.5, 1.5, 9, 9, 4, 7)
    store.add_klines(BTC, Timeframe(MINUTE), [candle]).result()
    assert of(columns_of(store, BTC, 1, UTC_CLOCK, NOW), 0, 13)[1:] == (
        CANDLES, "Sat 21 Nov 13:00 · not recorded; the venue's candles stand in",
    )  # fmt: skip


def test_the_time_since_the_last_trade_is_not_unrecorded_until_it_is_long(store: SqliteStore) -> None:
    record(store, [NOW - 2 * HOUR, NOW])
    assert of(columns_of(store, BTC, 1, UTC_CLOCK, NOW + 9 * MINUTE), 0, 18)[0] == 1.0
    assert of(columns_of(store, BTC, 1, UTC_CLOCK, NOW + 30 * MINUTE), 0, 18)[0] < 0.01


def test_of_a_symbol_without_a_trade_nothing_is_shown(store: SqliteStore) -> None:
    assert columns_of(store, BTC, 7, UTC_CLOCK, NOW) is None


@pytest.mark.parametrize("clock", [UTC_CLOCK, BERLIN, KOLKATA], ids=lambda clock: clock.name)
def test_the_hours_add_up_to_the_coverage_that_the_store_tells(store: SqliteStore, clock: Clock) -> None:
    times = [NOW - 30 * HOUR, NOW - 20 * HOUR, NOW - 11 * HOUR, NOW - 11 * HOUR + 1, NOW - 500]
    record(store, times, holes=[(times[1], times[2]), (times[3], times[4])])
    shown, told = columns_of(store, BTC, 3, clock, NOW), store.coverage(BTC)
    assert shown is not None
    recorded = np.where(shown.kind == EMPTY, 1.0, np.nan_to_num(shown.share)).sum() * HOUR
    # The last hour is as long as it has lasted, half a second of it.
    assert recorded == pytest.approx(told.recorded_ms, abs=HOUR)
    assert columns_of(store, BTC, 7, clock, NOW) is not None


def gap(start: int, end: int) -> Gap:
    return Gap(1, BTC, 1, 2, start, end, 0, "x", "open", 0, None, None)


def test_gaps_that_overlap_count_once_and_what_is_outside_not_at_all() -> None:
    covered = Coverage(1_000, 11_000, 0)
    gaps = [gap(0, 2_000), gap(3_000, 6_000), gap(4_000, 5_000), gap(5_000, 7_000), gap(10_500, 20_000)]
    times = np.array([0, 1_000, 2_000, 3_000, 5_000, 7_000, 10_500, 99_000])
    assert recorded_until(covered, gaps, times).tolist() == [0, 0, 0, 1_000, 1_000, 1_000, 4_500, 4_500]
    assert recorded_until(covered, [], times)[-1] == 10_000


@pytest.mark.parametrize(
    ("day", "lost"), [(datetime(2026, 10, 25, tzinfo=UTC), 0), (datetime(2026, 3, 29, tzinfo=UTC), 1)]
)
def test_an_hour_that_a_clock_shows_twice_is_one_and_one_that_it_skips_is_none(day: datetime, lost: int) -> None:
    """On 25 October 2026 Berlin has two hours from 2 o'clock on; on 29 March it has none."""
    start = round(day.timestamp() * 1000) - (HOUR if lost else 2 * HOUR)
    end = start + 23 * HOUR if lost else start + 25 * HOUR
    nothing = bars_from_rows(BTC, Timeframe(15 * MINUTE), [])
    shown = calendar_columns(Coverage(start, end, 0), [gap(start, start + HOUR)], nothing, BERLIN, start, end)
    assert len(shown.days) == 1
    assert of(shown, 0, 0)[0] == 0.0
    assert (shown.kind[0] == EMPTY).sum() == 23 - lost
    assert int(shown.kind[0, 2]) == (0 if lost else EMPTY)


def test_what_is_nearly_whole_is_not_called_so(store: SqliteStore) -> None:
    start = NOW - 3 * HOUR
    record(store, [start, start + 1, start + 51, NOW], holes=[(start + 1, start + 51)])
    share, _, words = of(columns_of(store, BTC, 1, UTC_CLOCK, NOW), 0, 15)
    assert 0.9999 < share < 1
    assert words.startswith("Sat 21 Nov 15:00 · 99.9% recorded, 0.1 s missing")
