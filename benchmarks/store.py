"""Measure the store: appending with bars, reading windows whatever the history, and memory.

    python -m benchmarks.store [--million 3 10 30] [--quick] [--folder FOLDER]

Every target is a ratio, or is judged beside what a user would otherwise call, in the same run: the rounds of what is
compared take turns, and the median of them counts. Exits 1 when a target is missed.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks.report import Line, Spread, available_mb, markdown, peak_mb
from benchmarks.seed import (
    Resampled,
    bare_rows,
    insert_bare,
    insert_row_by_row,
    read_and_resample,
    seed_rows,
    write_seed,
)
from benchmarks.trades import MEAN_GAP_MS, START_MS, SYMBOLS, Trades
from market import DAY, HOUR, Tick
from store import Appended, SqliteReader, SqliteStore

P = ParamSpec("P")
T = TypeVar("T")

MILLION = 1_000_000
BATCH = 1_000
IN_FLIGHT = 4
"""Batches that may wait for the disk at once."""
BUILD_BATCH = 10_000
FULL_MILLION = 10
"""Targets that name a history of 10 M trades are judged with at least so many."""
PANDAS_MB_PER_MILLION = 600


@dataclass(frozen=True, slots=True)
class Window:
    """A window that a page shows."""

    name: str
    timeframe: str
    length_ms: int


LAST_HOUR = Window("last hour of 1s bars, 2 symbols", "1s", HOUR)
LAST_DAY = Window("last day of 1m bars, 2 symbols", "1m", DAY)
WINDOWS = (LAST_HOUR, LAST_DAY)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    ticks: int
    rows_alone: int
    updates: int


FULL = Effort(rounds=7, ticks=200_000, rows_alone=3_000, updates=240)
QUICK = Effort(rounds=5, ticks=50_000, rows_alone=500, updates=60)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and tell whether every target was met."""
    asked = _parse(arguments)
    effort = QUICK if asked.quick else FULL
    sizes = sorted(asked.million or ([1, 3] if asked.quick else [3, 10, 30]))
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        lines = append_lines(folder, effort)
        stores, built = build_stores(folder, sizes)
        cold = {window: cold_ms(stores, window, effort.rounds) for window in WINDOWS}
        lines.append(built)
        for window in WINDOWS:
            lines += read_lines(window, cold[window], update_ms(stores, window, effort.updates))
        lines += growth_lines(stores, effort.rounds)
        lines += [*pandas_lines(folder, stores, cold[LAST_HOUR][_named(list(stores))]), memory_line(stores)]
    print(markdown(lines))
    return 0 if all(line.met for line in lines) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--million", type=int, nargs="+", help="sizes of history, in million trades (3 10 30)")
    parser.add_argument("--quick", action="store_true", help="half a minute instead of three, with at most 3 M trades")
    parser.add_argument("--folder", type=Path, help="where to put the databases (3 GB), which are deleted after")
    return parser.parse_args(arguments)


def open_store(path: Path, *, commit_rows: int = BATCH, commit_ms: int = 100) -> SqliteStore:
    """Open a store whose clock stands still: nothing here depends on it."""
    return SqliteStore(path, clock=lambda: START_MS, commit_rows=commit_rows, commit_ms=commit_ms)


def append_all(store: SqliteStore, batches: Sequence[Sequence[Tick]]) -> None:
    """Append batch after batch, a few in flight, and wait until the disk has them all."""
    waiting: deque[Future[Appended]] = deque()
    for batch in batches:
        waiting.append(store.append(batch))
        if len(waiting) >= IN_FLIGHT:
            waiting.popleft().result()
    for each in waiting:
        each.result()


def append_lines(folder: Path, effort: Effort) -> list[Line]:
    """Compare the store with a commit for each row, and with a batched insert that keeps no bars."""
    ticks = Trades().take(effort.ticks)
    batches = _cut(ticks, BATCH)
    alone, bare = seed_rows(ticks[: effort.rows_alone]), _cut(bare_rows(ticks), BATCH)
    rates: list[tuple[float, float, float]] = []
    for number in range(effort.rounds):
        row_by_row = insert_row_by_row(folder / f"alone{number}.db", alone)
        batched = insert_bare(folder / f"bare{number}.db", bare)
        rates.append((row_by_row, batched, _append_rate(folder / f"store{number}.db", batches)))
    to_alone = Spread([ours / row_by_row for row_by_row, _, ours in rates])
    to_bare = Spread([ours / batched for _, batched, ours in rates])
    slow, batched_rate, rate = (Spread([each[which] for each in rates]) for which in range(3))
    return [
        Line("one commit a row (journal DELETE, FULL, text times)", f"{slow:,.0f} rows/s"),
        Line("bare insert, no bars, commits of 1,000 (WAL, FULL)", f"{batched_rate:,.0f} rows/s"),
        Line(f"store with bars, commits of 1,000, {IN_FLIGHT} in flight", f"{rate:,.0f} rows/s"),
        Line("store : one commit a row", f"{to_alone:,.0f}x", to_alone.median, "at least", 200, "x"),
        Line("store : bare insert", f"{to_bare:.2f}", to_bare.median, "at least", 0.4),
    ]


def _cut(items: Sequence[T], length: int) -> list[Sequence[T]]:
    return [items[start : start + length] for start in range(0, len(items), length)]


def _append_rate(path: Path, batches: Sequence[Sequence[Tick]]) -> float:
    store = open_store(path)
    begun = time.perf_counter()
    append_all(store, batches)
    seconds = time.perf_counter() - begun
    store.close()
    return sum(map(len, batches)) / seconds


def build_stores(folder: Path, sizes: Sequence[int]) -> tuple[dict[int, Path], Line]:
    """Record the largest history once, and copy it on the way at each smaller size."""
    paths = {million: folder / f"{million}M.db" for million in sizes}
    trades, stored = Trades(), 0
    begun = time.perf_counter()
    store = open_store(paths[sizes[-1]], commit_rows=BUILD_BATCH)
    for million in sizes:
        for batch in _batches(trades, million * MILLION - stored):
            append_all(store, _cut(batch, BUILD_BATCH))
        stored = million * MILLION
        if million != sizes[-1]:
            store.backup(paths[million])
    store.close()
    seconds = time.perf_counter() - begun
    size = paths[sizes[-1]].stat().st_size / stored
    what = f"size of {sizes[-1]} M trades with bars (making them and the store took {seconds:.0f} s)"
    return paths, Line(what, f"{size:.1f} MB per M trades", size, "at most", 60, " MB")


def _batches(trades: Trades, count: int) -> Iterator[list[Tick]]:
    for left in range(count, 0, -10 * BUILD_BATCH):
        yield trades.take(min(left, 10 * BUILD_BATCH))


def read_lines(window: Window, cold: dict[int, Spread], again: dict[int, Spread]) -> list[Line]:
    """Tell what a window costs at each size of history: cold, and again when only the newest bars are missing."""
    lines = []
    named = _named(list(cold))
    for million, first in cold.items():
        judged, what = million == named, f"{window.name}, {million} M stored"
        lines.append(_read_line(f"{what}: cold", first, 20, judged=judged))
        lines.append(_read_line(f"{what}: newest missing", again[million], 1, judged=judged))
    growth = again[max(again)].median / again[min(again)].median
    what = f"{window.name}, newest missing, {max(again)} M : {min(again)} M"
    return [*lines, Line(what, f"{growth:.2f}", growth, "at most", 1.3)]


def growth_lines(stores: dict[int, Path], rounds: int) -> list[Line]:
    """Compare the largest history with the smallest, by windows that both hold whole."""
    least, most = min(stores), max(stores)
    history = round(0.9 * least * MILLION * MEAN_GAP_MS)
    lines = []
    for window in WINDOWS:
        held = replace(window, length_ms=min(window.length_ms, history))
        cold = cold_ms({million: stores[million] for million in (least, most)}, held, 2 * rounds)
        growth = cold[most].median / cold[least].median
        what = f"cold read of {held.length_ms / HOUR:.3g} h of {window.timeframe} bars, {most} M : {least} M"
        lines.append(Line(what, f"{growth:.2f}", growth, "at most", 1.3))
    return lines


def _named(sizes: Sequence[int]) -> int:
    """Return the size that targets are judged at: 10 M, or the nearest to it."""
    return min(sizes, key=lambda million: abs(million - FULL_MILLION))


def _read_line(what: str, measured: Spread, limit: float, *, judged: bool) -> Line:
    if judged:
        return Line(what, f"{measured:.2f} ms", measured.median, "at most", limit, " ms")
    return Line(what, f"{measured:.2f} ms")


def cold_ms(stores: dict[int, Path], window: Window, rounds: int) -> dict[int, Spread]:
    """Time the first look at a window at each size of history in turn; the system has the pages in its memory."""
    times: dict[int, list[float]] = {million: [] for million in stores}
    for number in range(rounds + 1):
        for million, path in stores.items():
            taken = _first_look_ms(path, window)
            if number:  # the first round brings the pages into the system's memory
                times[million].append(taken)
    return {million: Spread(values) for million, values in times.items()}


def _first_look_ms(path: Path, window: Window) -> float:
    """Time opening a store for reading and the first look at a window of both symbols."""
    end = _end(path)
    begun = time.perf_counter()
    reader = SqliteReader(path)
    for symbol in SYMBOLS:
        reader.bars(symbol, window.timeframe, end - window.length_ms)
    taken = (time.perf_counter() - begun) * 1000
    reader.close()
    return taken


def _end(path: Path) -> int:
    reader = SqliteReader(path)
    newest = max(tick.time_ms for tick in reader.latest().values())
    reader.close()
    return newest


def update_ms(stores: dict[int, Path], window: Window, updates: int) -> dict[int, Spread]:
    """Time looking at a window again after each new second of trades was committed, at each size in turn."""
    times: dict[int, list[float]] = {million: [] for million in stores}
    opened = {million: open_store(path, commit_ms=0) for million, path in stores.items()}
    trades = {million: Trades(after=store.latest()) for million, store in opened.items()}
    for number in range(updates + 1):
        for million, store in opened.items():
            taken = _next_look_ms(store, window, trades[million].take(40))
            if number:  # the first look reads the window whole
                times[million].append(taken)
    for store in opened.values():
        store.close()
    return {million: Spread(values) for million, values in times.items()}


def _next_look_ms(store: SqliteStore, window: Window, batch: Sequence[Tick]) -> float:
    store.append(batch).result()
    start = batch[-1].time_ms - window.length_ms
    begun = time.perf_counter()
    for symbol in SYMBOLS:
        store.bars(symbol, window.timeframe, start)
    return (time.perf_counter() - begun) * 1000


def pandas_lines(folder: Path, stores: dict[int, Path], cold: Spread) -> list[Line]:
    """Compare the last hour, read cold, with reading a table whole and resampling it: once, for it takes long."""
    fitting = [million for million in stores if million <= min(FULL_MILLION, available_mb() / PANDAS_MB_PER_MILLION)]
    if not fitting:
        return [Line("pandas, the whole table to 1s bars", "not measured: too little memory")]
    million = max(fitting)
    table, trades = folder / "seed.db", Trades()
    end = write_seed(table, _batches(trades, million * MILLION))
    resampled = in_new_process(read_and_resample, table, end)
    _compare_closes(stores[million], end, resampled)
    ratio = resampled.seconds * 1000 / cold.median
    what = f"pandas, the whole table of {million} M to 1s bars"
    measured = f"{resampled.seconds:.1f} s, peak {resampled.peak_mb:,.0f} MB"
    judged = Line("pandas : last hour cold", f"{ratio:,.0f}x", ratio, "at least", 1_000, "x")
    return [Line(what, measured), judged if million >= FULL_MILLION else Line(judged.what, judged.measured)]


def _compare_closes(path: Path, end: int, resampled: Resampled) -> None:
    """Make sure that both gave the same answer: a ratio of two different ones would mean nothing."""
    reader = SqliteReader(path)
    start = end - HOUR
    for symbol in SYMBOLS:
        ours = reader.bars(symbol, "1s", start, end).close.tolist()
        assert ours == resampled.closes[symbol.symbol], f"the bars of {symbol} differ"
    reader.close()


def memory_line(stores: dict[int, Path]) -> Line:
    """Measure a process that does what a desk does: look at the windows, and record."""
    million = _named(list(stores))
    peak = in_new_process(use_store, stores[million])
    what = f"peak memory at {million} M stored: windows read 10 times, 100,000 trades appended"
    return Line(what, f"{peak:.0f} MB", peak, "at most", 400, " MB")


def use_store(path: Path) -> float:
    """Open a store, read the windows ten times, append 100,000 trades; return the peak memory in MB."""
    store = open_store(path)
    newest = store.latest()
    end = max(tick.time_ms for tick in newest.values())
    for window in WINDOWS * 10:
        for symbol in SYMBOLS:
            store.bars(symbol, window.timeframe, end - window.length_ms)
    append_all(store, _cut(Trades(after=newest).take(100_000), BATCH))
    store.close()
    return peak_mb()


def in_new_process(measure: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `measure` in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *args, **kwargs).result()


if __name__ == "__main__":
    sys.exit(main())
