"""Measure live feeds against a test exchange on loopback: speed, delay, repair, and memory.

    python -m benchmarks.feeds [--quick] [--only NAME ...] [--soak MINUTES] [--folder FOLDER]

The exchange and what records it are processes of their own, connected by sockets; every load ends with a comparison of
the store with all that the exchange ever made. The machine is shared: each load says how much others used of it.
Exits 1 when a target is missed.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.exchange_load import (
    VENUE,
    Load,
    Recorder,
    Run,
    begin,
    drive,
    judged,
    names,
    recording,
    settings_for,
    wait_until_whole,
)
from benchmarks.fine_lag import late_ms
from benchmarks.report import Line, Spread, markdown
from benchmarks.seed import SEED_INSERT, SEED_TABLE
from benchmarks.soak import soak_lines
from benchmarks.store import in_new_process
from market import Side, Tick, iso
from pairscope.feeds.binance import SPOT
from pairscope.settings import Settings
from store import SqliteReader
from tests.exchange.judge import Verdict
from tests.exchange.ledger import Ledger
from tests.exchange.meters import share_of_weight
from tests.exchange.running import ExchangeProcess, exchange_process, meanwhile
from tests.faults.desk import Desk, Tab, fragment_of, running

FRAMES = 20_000
POLL_SECONDS = 0.002
QUEUE_ROWS = Settings().queue_rows
SUSTAINED_S = 2.0
"""A rate is sustained when the last trade is stored so soon after it was made."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    rates: tuple[int, ...]
    """Trades a second, from the least to more."""
    seconds: float
    seed_seconds: float
    missing: int


FULL = Effort(rounds=9, rates=(62_000, 80_000, 100_000, 120_000), seconds=20.0, seed_seconds=5.0, missing=1_000_000)
QUICK = Effort(rounds=5, rates=(62_000,), seconds=5.0, seed_seconds=2.0, missing=200_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and tell whether every target was met."""
    asked = _parse(arguments)
    effort = QUICK if asked.quick else FULL
    lines: list[Line] = []
    for name in asked.only or PARTS:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            lines += PARTS[name](Path(folder), effort)
    if asked.soak:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            lines += soak_lines(Path(folder), minutes=asked.soak)
    print(markdown(lines))
    return 0 if all(line.met for line in lines) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one minute instead of five, at the least rate only")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="then record amid faults for so long"
    )
    parser.add_argument("--folder", type=Path, help="where to put the stores (1 GB), which are deleted after")
    return parser.parse_args(arguments)


# ---- reading frames


def parse_lines(_: Path, effort: Effort) -> list[Line]:
    """Compare the reader of frames with what one would write in its place."""
    frames = make_frames(FRAMES)
    for frame in frames:
        parsed = SPOT.parse(frame)
        assert parsed.ticks == (parse_plainly(frame),), "the two do not read the same"
    rates = [
        (_frames_per_second(parse_plainly, frames), _frames_per_second(SPOT.parse, frames))
        for _ in range(effort.rounds)
    ]
    plain, ours = (Spread([each[which] for each in rates]) for which in range(2))
    ratio = Spread([fast / slow for slow, fast in rates])
    size = sum(map(len, frames)) // len(frames)
    return [
        Line(f"json.loads and float() of aggTrade frames of {size} bytes", f"{plain:,.0f} frames/s"),
        Line("our reader, which also refuses what is wrong", f"{ours:,.0f} frames/s"),
        Line("our reader : json.loads and float()", f"{ratio:.2f}x", ratio.median, "at least", 3, "x"),
    ]


def make_frames(count: int) -> list[bytes]:
    """Return combined frames as Binance sends them, of one trade each."""
    head = '{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":{time},"s":"BTCUSDT","a":{a},"p":"{price:.8f}",'
    tail = '"q":"{qty:.8f}","f":{f},"l":{l},"T":{time},"m":{m},"M":true}}}}'
    return [
        (head + tail)
        .format(
            time=1_750_000_000_000 + 7 * number,
            a=3_000_000_000 + number,
            price=100_000 + number % 977 / 100,
            qty=10 + 0.00001 * (1 + number % 9973),
            f=5_000_000_000 + 2 * number,
            l=5_000_000_001 + 2 * number,
            m="true" if number % 3 else "false",
        )
        .encode()
        for number in range(count)
    ]


def parse_plainly(frame: bytes) -> Tick:
    """Read a frame with the standard library, and look at nothing."""
    trade = json.loads(frame)["data"]
    side: Side = "sell" if trade["m"] else "buy"
    return Tick(VENUE, trade["s"], trade["a"], trade["T"], float(trade["p"]), float(trade["q"]), side)


def _frames_per_second(parse: Callable[[bytes], object], frames: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    for frame in frames:
        parse(frame)
    return len(frames) / (time.perf_counter() - begun)


# ---- from the socket to the disk


def rate_lines(folder: Path, effort: Effort) -> list[Line]:
    """Raise the rate until it is not sustained, and compare with a commit for each message."""
    symbols, best, seeds, lines = names(10), 0.0, list[float](), list[Line]()
    for rate in effort.rates:
        own = folder / str(rate)
        own.mkdir()
        seeds.append(seed_rate(own, effort.seed_seconds))
        run, verdict = bear(own, Load(symbols, rate, effort.seconds))
        lines.append(
            _run_line(f"socket to disk, {rate:,} trades/s of 10 symbols for {effort.seconds:g} s", run, verdict)
        )
        if not is_sustained(run, verdict):
            break
        best = run.made_per_second
    seed = Spread(seeds)
    return [
        *lines,
        Line("highest rate that was sustained, nothing lost", f"{best:,.0f} trades/s", best, "at least", 60_000),
        Line("recv(), json.loads() and a commit for each trade", f"{seed:,.0f} trades/s"),
        Line("ours : that", f"{best / seed.median:,.0f}x"),
    ]


def bear(folder: Path, load: Load) -> tuple[Run, Verdict]:
    """Record a load with the command, and compare what is stored with what was made."""
    with (
        exchange_process(VENUE, load.symbols, folder=folder) as exchange,
        recording(folder, exchange, load.symbols) as recorder,
    ):
        begin(exchange, recorder, load.symbols)
        run = drive(exchange, recorder, load)
        recorder.end()
        return run, judged(exchange, recorder)


def is_sustained(run: Run, verdict: Verdict) -> bool:
    """Tell whether all is stored, in time, and without ever having dropped a trade to fetch it again."""
    return verdict.whole and not run.seen.dropped and run.stored_after_s <= SUSTAINED_S


def _run_line(what: str, run: Run, verdict: Verdict) -> Line:
    lost = "nothing lost" if verdict.whole else verdict.line().splitlines()[0]
    most = f"at most {run.seen.queue:,} in the queue and {run.seen.waiting:,} before the disk"
    end = f"all stored {run.stored_after_s:.2f} s after the last" + (
        f", {run.seen.dropped:,} dropped" if run.seen.dropped else ""
    )
    cost = f"{run.cpu_us:.1f} µs of processor a trade; others used {run.others:.0%} of the machine"
    return Line(what, f"{lost}; {most}; {end}; {cost}")


def seed_rate(folder: Path, seconds: float) -> float:
    """Return the trades a second that a program stores which commits each message."""
    with exchange_process(VENUE, names(2), folder=folder, rate=5_000) as exchange:
        return in_new_process(record_plainly, exchange.ws, folder / "plain.db", seconds)


def record_plainly(ws: str, path: Path, seconds: float) -> float:
    """Receive, read and commit trade after trade, as dashboards do; return trades/s."""
    from websockets.sync.client import connect

    with closing(sqlite3.connect(path)) as db, connect(ws + SPOT.socket_path(names(2)), proxy=None) as socket:
        db.execute(SEED_TABLE)
        begun, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - begun) < seconds:
            tick = parse_plainly(socket.recv(decode=False))
            db.execute(SEED_INSERT, (iso(tick.time_ms), tick.symbol, tick.price, tick.qty))
            db.commit()
            count += 1
    return count / taken


# ---- with the page open


class App:
    """The app with its page, as a recorder."""

    def __init__(self, desk: Desk, store: Path) -> None:
        self.process, self.store, self._desk = desk.process, store, desk

    def health(self) -> dict[str, object]:
        """Return what it says of itself."""
        return self._desk.health()


def page_lines(folder: Path, effort: Effort) -> list[Line]:
    """Record 100 symbols while a tab has its page renewed every second."""
    load = Load(names(100), 20_000, effort.seconds)
    with (
        exchange_process(VENUE, load.symbols, folder=folder) as exchange,
        app_on(folder, exchange, load.symbols) as (app, port),
    ):
        begin(exchange, app, load.symbols)
        renewals: list[float] = []
        run = drive(exchange, app, load, during=partial(look_at_page, port, renewals))
        verdict = judged(exchange, app)
    half, most = median(renewals), float(np.quantile(renewals, 0.95))
    what = f"20,000 trades/s of 100 symbols for {effort.seconds:g} s, page open"
    return [
        _run_line(what, run, verdict),
        Line(f"{what}: trades missing", f"{_lost(verdict):,}", _lost(verdict), "at most", 0),
        Line(f"{what}: rows that waited", f"{run.seen.waiting:,}", run.seen.waiting, "at most", QUEUE_ROWS),
        Line(f"{what}: renewing the page", f"{half:.0f} ms, 95 % within {most:.0f} ms", half, "at most", 150, " ms"),
    ]


def _lost(verdict: Verdict) -> int:
    return sum(len(each.missing) + len(each.wrong) + len(each.duplicates) for each in verdict.findings)


@contextmanager
def app_on(folder: Path, exchange: ExchangeProcess, symbols: Sequence[str]) -> Iterator[tuple[App, int]]:
    """Run the app against an exchange."""
    ours = {name: value for name, value in settings_for(exchange).items() if name.startswith("PAIRSCOPE_")}
    store = folder / "load.db"
    ours |= {"PAIRSCOPE_VENUE": VENUE, "PAIRSCOPE_SYMBOLS": ",".join(symbols), "PAIRSCOPE_STORE": f"sqlite:///{store}"}
    with running(folder, **ours) as desk:  # type: ignore[arg-type]  # none of the settings is called home
        yield App(desk, store), desk.port


def look_at_page(port: int, renewals: list[float], seconds: float) -> None:
    """Open the page, and have it renewed every second; note the milliseconds from asking until the server was done."""
    end = time.monotonic() + seconds
    with Tab(port) as tab:
        fragment = fragment_of(tab.show())
        while (due := time.monotonic() + 1.0) < end:
            begun = time.perf_counter()
            tab.show(fragment)
            renewals.append((time.perf_counter() - begun) * 1000)
            time.sleep(max(due - time.monotonic(), 0.0))
    time.sleep(max(end - time.monotonic(), 0.0))


# ---- how late a trade can be seen


def delay_lines(folder: Path, effort: Effort) -> list[Line]:
    """Measure from the time of a trade to its being readable, and how late the event loop is meanwhile."""
    load, delays_file = Load(names(10), 2_000, effort.seconds), folder / "delays.json"
    module = ("benchmarks.fine_lag", str(delays_file))
    with (
        exchange_process(VENUE, load.symbols, folder=folder) as exchange,
        recording(folder, exchange, load.symbols, module=module) as recorder,
    ):
        begin(exchange, recorder, load.symbols)
        before, begun = exchange.report()["last_ids"], time.monotonic()
        with polling(recorder) as polls:
            run = drive(exchange, recorder, load)
        ended = time.monotonic()
        recorder.end()
        delays = visible_after_ms(exchange.ledger(), polls, before)
        verdict = judged(exchange, recorder)
    typical, late = (float(np.quantile(delays, share)) for share in (0.5, 0.99))
    lag = late_ms(delays_file, begun, ended, 0.999)
    what = f"2,000 trades/s of 10 symbols for {effort.seconds:g} s"
    return [
        _run_line(what, run, verdict),
        Line(
            f"{what}: from trade to readable",
            f"{typical:.0f} ms, 99 % within {late:.0f} ms",
            late,
            "at most",
            300,
            " ms",
        ),
        Line(f"{what}: delay of the event loop, 99.9 %", f"{lag:.1f} ms", lag, "at most", 20, " ms"),
    ]


@dataclass(frozen=True, slots=True)
class Poll:
    """What a reader found readable at a time."""

    time_ms: float
    last_ids: dict[str, int]


@contextmanager
def polling(recorder: Recorder) -> Iterator[list[Poll]]:
    """Look again and again which trades are readable, until the block ends."""
    polls, reader = list[Poll](), SqliteReader(recorder.store)

    def poll() -> None:
        last_ids = {each.symbol: last for each, (last, _) in reader.last_ids().items()}
        polls.append(Poll(time.time() * 1000, last_ids))

    with closing(reader), meanwhile(poll, every_s=POLL_SECONDS):
        yield polls


def visible_after_ms(ledger: Ledger, polls: Sequence[Poll], after: dict[str, int]) -> NDArray[np.float64]:
    """Return for each trade how long after its time it was first found readable."""
    times = np.array([poll.time_ms for poll in polls])
    delays = []
    for book in ledger:
        made = book.columns(after[book.symbol] + 1, book.last_id)
        readable = np.array([poll.last_ids[book.symbol] for poll in polls])
        delays.append(times[np.searchsorted(readable, made.trade_id)] - made.time_ms)
    return np.concatenate(delays)


# ---- filling a large gap


def refill_lines(folder: Path, effort: Effort) -> list[Line]:
    """Kill the process, let the exchange trade on, and measure from the next start until all is there."""
    symbols, missing = names(2), effort.missing
    with exchange_process(VENUE, symbols, folder=folder) as exchange:
        # Its clock is behind until the process is killed, so that the trades after that fill a time like a real outage.
        exchange.control("set_clock", ahead_ms=-missing)
        with recording(folder, exchange, symbols) as recorder:
            begin(exchange, recorder, symbols)
            recorder.kill()
        exchange.control("set_clock", ahead_ms=0)
        for symbol in symbols:
            exchange.control("make", symbol=symbol, count=missing // 2, since_ms=0)
        begun = time.monotonic()
        with recording(folder, exchange, symbols) as recorder:
            recorder.health()
            wait_until_whole(exchange, recorder)
            seconds = time.monotonic() - begun
            recorder.end()
        verdict, share = judged(exchange, recorder), share_of_weight(exchange.report()["stats"])
    what, limit = f"{missing:,} trades made while the process was down", 90 * missing / 1_000_000
    return [
        Line(f"{what}: missing after", f"{_lost(verdict):,}", _lost(verdict), "at most", 0),
        Line(f"{what}: from start to whole", f"{seconds:.1f} s", seconds, "at most", limit, " s"),
        Line(f"{what}: share of the venue's weight", f"{share:.2f}", share, "at most", 0.5),
        Line(f"{what}: limits broken", f"{len(verdict.violations)}", len(verdict.violations), "at most", 0),
    ]


PARTS: dict[str, Callable[[Path, Effort], list[Line]]] = {
    "parse": parse_lines,
    "rate": rate_lines,
    "page": page_lines,
    "delay": delay_lines,
    "refill": refill_lines,
}

if __name__ == "__main__":
    sys.exit(main())
