"""Measure alerts: what judging a thousand rules costs, and how soon what fires is in the outbox.

    python -m benchmarks.alerts [--seconds 60] [--rules 1000] [--folder FOLDER]

Trades of 21 symbols come at the pace of real time, about four a second each, and close bars of one second; the rules
are about 200 pairs of them. Exits 1 when a target is missed.
"""

import argparse
import itertools
import math
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analytics import analyze_pair
from benchmarks.report import Line, Spread, markdown
from market import SECOND, Floats, Instrument, Tick
from pairscope.alerts.engine import Engine, EngineStatus
from pairscope.alerts.metrics import rows_of
from pairscope.alerts.rules import Judge, Rule, check, values_of
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import put_rule, read_decisions
from store import SqliteStore

VENUE = "simulated"
SYMBOLS = tuple(Instrument(VENUE, f"COIN{number:02}") for number in range(21))
PAIRS = tuple(itertools.islice(itertools.combinations(SYMBOLS, 2), 200))
LEVELS = (2.0, 2.2, 2.4, 2.6, 2.8)
CHANNEL = "json://127.0.0.1:9/hook"

RATE = 4.0
"""Trades of a symbol in a second, in the mean."""

HISTORY_SECONDS, WARM_SECONDS = 400, 10.0
PACE_SECONDS = 0.025
"""So often trades are handed to the store."""

SHARE, LATE_MS = 0.05, 100.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and tell whether every target was met."""
    asked = _parse(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name, recording(Path(name)) as (store, market):
        made = put_rules(store, asked.rules)
        run = judge_for(store, market, asked.seconds)
        lines = [*share_lines(run, made), *naive_lines(store, made), *delay_lines(store, market, run)]
    print(markdown(lines))
    return 0 if all(line.met for line in lines) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is measured (60)")
    parser.add_argument("--rules", type=int, default=1_000, help="how many rules are judged (1,000)")
    parser.add_argument("--folder", type=Path, help="where to put the database, which is deleted after")
    return parser.parse_args(arguments)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Market:
    """Trades of all symbols, as random as they are steady, and when each was committed."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._random = np.random.default_rng(1)
        self._common, self._own = 0.0, np.zeros(len(SYMBOLS))
        self._ids = dict.fromkeys(SYMBOLS, 0)
        self._last = 0
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.committed: dict[Instrument, list[tuple[int, float]]] = {each: [] for each in SYMBOLS}
        """Of each symbol the newest trade of each commit, and when that was done."""

    def recorded(self) -> Sequence[SymbolHealth]:
        return [SymbolHealth(each, "live", 1.0, self._last, 0.0, 0, RATE, self._ids[each], 0) for each in SYMBOLS]

    def now_at(self, venue: str) -> int:
        return now_ms()

    def take(self, start: int, end: int) -> list[Tick]:
        """Return the trades of ``[start, end)``."""
        ticks = []
        many = self._random.poisson(RATE * len(SYMBOLS) * (end - start) / SECOND)
        for time_ms in np.sort(self._random.integers(start, end, many)).tolist():
            place = int(self._random.integers(len(SYMBOLS)))
            self._common += 1e-5 * self._random.standard_normal()
            self._own[place] = 0.99 * self._own[place] + 2e-5 * self._random.standard_normal()
            price = round(100.0 * (place + 1) * math.exp(self._common + self._own[place]), 4)
            self._ids[SYMBOLS[place]] += 1
            ticks.append(Tick(*SYMBOLS[place], self._ids[SYMBOLS[place]], time_ms, price, 1.0, "buy"))
        return ticks

    def fill(self, start: int, end: int) -> None:
        """Store what was before."""
        self._store.append(self.take(start, end)).result()
        self._last = end

    def run(self) -> None:
        """Hand trades to the store as time goes by, until it is ended."""
        while not self._ending.wait(PACE_SECONDS):
            end = now_ms()
            ticks = self.take(self._last, end) if end > self._last else []
            self._last = max(end, self._last)
            if ticks:
                newest = {tick.instrument: tick.time_ms for tick in ticks}
                self._store.append(ticks).add_done_callback(partial(self._note, newest))

    def _note(self, newest: dict[Instrument, int], _: Future[Any]) -> None:
        moment = time.perf_counter()
        with self._lock:
            for instrument, time_ms in newest.items():
                self.committed[instrument].append((time_ms, moment))

    def closed(self, instrument: Instrument, end_ms: int) -> float:
        """Return when a trade at `end_ms` or later was committed."""
        with self._lock:
            known = self.committed[instrument]
            return next((moment for time_ms, moment in known if time_ms >= end_ms), math.nan)

    def end(self) -> None:
        self._ending.set()


@contextmanager
def recording(folder: Path) -> Iterator[tuple[SqliteStore, Market]]:
    """Open a store with a little history, which goes on."""
    store = SqliteStore(folder / "ticks.db", clock=now_ms)
    market = Market(store)
    begun = now_ms()
    market.fill(begun - HISTORY_SECONDS * SECOND, begun)
    feeder = threading.Thread(target=market.run, name="trades")
    feeder.start()
    try:
        yield store, market
    finally:
        market.end()
        feeder.join()
        store.close()


def rules_of(many: int) -> list[Rule]:
    """Return rules of all pairs in turn, each pair with several levels."""
    asked = itertools.islice(itertools.product(range(many), PAIRS), many)
    return [
        check(
            Rule(
                when=f"abs(z) > {LEVELS[turn % len(LEVELS)]} and correlation > -0.9", y=str(y), x=str(x),
                timeframe="1s", window=60, rearm="abs(z) < 1", cooldown_ms=30 * SECOND, notify=(CHANNEL,),
            )
        )
        for turn, (y, x) in asked
    ]  # fmt: skip


def put_rules(store: SqliteStore, many: int) -> list[Rule]:
    """Store so many rules."""
    rules = rules_of(many)
    for waiting in [put_rule(store, values_of(rule), now=now_ms()) for rule in rules]:
        waiting.result()
    return rules


@dataclass(slots=True)
class Run:
    """What was seen while the engine ran."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    judged: int = 0
    commits: dict[int, float] = field(default_factory=dict)
    """When each decision was committed."""
    since_ms: int = 0
    status: EngineStatus | None = None


def judge_for(store: SqliteStore, market: Market, seconds: float) -> Run:
    """Let the engine judge in its own thread, and look at what that takes."""
    run = Run()
    _note_commits(store, run)
    engine = Engine(store, market, clock=now_ms)
    engine.start()
    time.sleep(WARM_SECONDS)
    (thread,) = (each for each in threading.enumerate() if each.name == "alert-engine")
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    run.since_ms, before = now_ms(), engine.status().judged
    begun, used = time.perf_counter(), time.clock_gettime(clock)
    time.sleep(seconds)
    run.seconds, run.cpu_seconds = time.perf_counter() - begun, time.clock_gettime(clock) - used
    run.status = engine.status()
    run.judged = run.status.judged - before
    engine.close()
    return run


def _note_commits(store: SqliteStore, run: Run) -> None:
    """Note when each round of decisions is on the disk, in the thread that writes."""
    write_now: Callable[..., Future[Any]] = store.write_now

    def timed(*arguments: Any, **options: Any) -> Future[Any]:
        future = write_now(*arguments, **options)
        future.add_done_callback(note)
        return future

    def note(future: Future[Any]) -> None:
        moment = time.perf_counter()
        made = future.result() if future.exception() is None else ()
        run.commits |= {key: moment for key in made or () if key is not None}

    store.write_now = timed  # type: ignore[method-assign, assignment, unused-ignore]


def share_lines(run: Run, rules: Sequence[Rule]) -> list[Line]:
    """Tell what share of a core the engine took."""
    assert run.status is not None
    pairs = len({(rule.y, rule.x) for rule in rules})
    what = f"{len(rules):,} rules over {pairs} pairs, 1s bars, {run.seconds:.0f} s: share of one core"
    share = run.cpu_seconds / run.seconds
    done = run.judged / (len(rules) * run.seconds)
    return [
        Line(what, f"{100 * share:.2f} %", 100 * share, "at most", 100 * SHARE, " %"),
        Line("the same for each row judged", f"{1e6 * run.cpu_seconds / max(run.judged, 1):.1f} us"),
        Line("rows judged : rules times seconds", f"{done:.2f}", done, "at least", 0.8),
        Line("rules that cannot be judged", f"{len(run.status.problems)}", len(run.status.problems), "at most", 0),
    ]


def naive_lines(store: SqliteStore, rules: Sequence[Rule]) -> list[Line]:
    """Tell what it would take if each rule read and analysed its own pair, and what one shared computation takes."""
    end = now_ms() // SECOND * SECOND
    start = end - 200 * SECOND

    def alone(rule: Rule) -> None:
        legs = [store.bars(leg, "1s", start, now=end) for leg in (rule.y, rule.x)]
        analysis = analyze_pair(legs[0], legs[1], window=rule.window)
        now = {"z": analysis.summary.zscore, "correlation": analysis.summary.correlation}
        Judge(rule).met(now, None)

    some = rules[:: max(1, len(rules) // 50)]
    alone(some[0])
    times = []
    for rule in some:
        begun = time.thread_time()
        alone(rule)
        times.append((time.thread_time() - begun) * 1000)
    each = Spread(times)
    y, x = (store.bars(leg, "1s", end - 122 * SECOND, end, now=end + 2 * SECOND) for leg in SYMBOLS[:2])
    names, since = ("z", "correlation"), int(y.time[-1])
    begun = time.thread_time()
    for _ in range(1_000):
        rows_of(names, rules[0], y, x, since_ms=since)
    shared = (time.thread_time() - begun) * 1000
    return [
        Line("each rule by itself, with analyze_pair on 200 bars", f"{each:.2f} ms"),
        Line(f"that for {len(rules):,} rules, every second", f"{each.median * len(rules) / 10:,.0f} % of one core"),
        Line("rows_of, one new row, z and correlation", f"{shared:.0f} us"),
    ]


def delay_lines(store: SqliteStore, market: Market, run: Run) -> list[Line]:
    """Tell how long it took from the commit that closed a bar to that of the outbox row."""
    delays = delays_ms(store, market, run)
    if not len(delays):
        return [Line("alerts", "none fired: nothing was measured", 0, "at least", 1)]
    middle, late = np.percentile(delays, (50, 99)).tolist()
    what = f"from the commit that closes a bar to that of the outbox row, {len(delays):,} alerts"
    return [
        Line(f"{what}: p50", f"{middle:.1f} ms"),
        Line(f"{what}: p99 (largest {delays.max():.0f} ms)", f"{late:.1f} ms", late, "at most", LATE_MS, " ms"),
    ]


def delays_ms(store: SqliteStore, market: Market, run: Run) -> Floats:
    """Return the delay of each alert of the time that was measured."""
    fired = read_decisions(store, outcome="fired", start=run.since_ms, limit=1_000_000)
    found = []
    for each in fired:
        legs = [Instrument.parse(leg, venue=VENUE) for leg in each.target.split("/")]
        closed = max(market.closed(leg, each.end_ms) for leg in legs)
        found.append((run.commits.get(each.id, math.nan) - closed) * 1000)
    return np.array([each for each in found if math.isfinite(each)])


if __name__ == "__main__":
    sys.exit(main())
