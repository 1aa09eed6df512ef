"""A recording process under the load of a test exchange, and what it did: nothing of it runs in the benchmark itself.

with exchange_process(...) as exchange, recording(folder, exchange, symbols) as recorder:
    begin(exchange, recorder, symbols)
    run = drive(exchange, recorder, Load(symbols, 60_000, 20))
    verdict = judged(exchange, recorder)
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from market import Instrument, Tick
from store import SqliteReader, find_owner
from tests.chaos import is_whole
from tests.exchange.judge import Verdict, judge
from tests.exchange.running import ROOT, ExchangeProcess, get_json, meanwhile

VENUE = "binance-spot"
LOOK_SECONDS = 0.25
START_SECONDS = 30.0
PIECE_MS = 10_000
WHOLE_SECONDS = 120.0
"""So long after the last trade all must be stored."""


def names(count: int) -> tuple[str, ...]:
    """Return so many symbols, those that everybody knows first."""
    return ("BTCUSDT", "ETHUSDT", *(f"A{number:02}USDT" for number in range(count)))[:count]


def settings_for(exchange: ExchangeProcess) -> dict[str, str]:
    """Return the environment that leads a process of ours to the exchange, without any other setting of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAIRSCOPE_")}
    return kept | {"PAIRSCOPE_BINANCE_SPOT_WS": exchange.ws, "PAIRSCOPE_BINANCE_SPOT_REST": exchange.rest}


class Recorder(Protocol):
    """A process that records, whatever it does besides."""

    process: subprocess.Popen[Any]
    store: Path

    def health(self) -> dict[str, Any]:
        """Return what it says of itself."""


class Ingest:
    """The command `python -m pairscope ingest`, running."""

    def __init__(
        self, folder: Path, exchange: ExchangeProcess, symbols: Sequence[str], module: Sequence[str] = ("pairscope",)
    ) -> None:
        """Start it.

        Args:
            folder: where its store, log and output are.
            exchange: what it records.
            symbols: of the exchange.
            module: what is run in place of `pairscope`, with arguments that come before the command's.
        """
        self.store = folder / "load.db"
        self._out = folder / "ingest.out"
        command = [sys.executable, "-m", *module, "ingest", "--venue", VENUE, "--symbols", ",".join(symbols), "--json"]
        env = settings_for(exchange) | {"PAIRSCOPE_LOG_FILE": str(folder / "ingest.log")}
        with self._out.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, "--store", f"sqlite:///{self.store}"], cwd=ROOT, env=env, stdout=out, stderr=out
            )

    def health(self) -> dict[str, Any]:
        """Return what it says of itself, as soon as it does."""
        found: dict[str, Any] = wait_for(self._health, what="the recording process did not answer")
        return found

    def _health(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, f"the recording process has ended: {self._out.read_text()}"
        owner = find_owner(self.store)
        if owner is None or owner.pid != self.process.pid or not owner.address:
            return None
        with suppress(OSError, http.client.HTTPException):
            found: dict[str, Any] | None = get_json(owner.address, "/api/health")
            return found if found and "feed" in found else None
        return None

    def end(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert code == 0, f"the recording process ended with {code}: {self._out.read_text()}"

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(30)


@contextmanager
def recording(
    folder: Path, exchange: ExchangeProcess, symbols: Sequence[str], *, module: Sequence[str] = ("pairscope",)
) -> Iterator[Ingest]:
    """Record until the block ends; see Ingest."""
    ingest = Ingest(folder, exchange, symbols, module)
    try:
        yield ingest
        if ingest.process.poll() is None:
            ingest.end()
    finally:
        ingest.kill()


def wait_for(look: Callable[[], Any], *, what: str, seconds: float = START_SECONDS) -> Any:
    """Look until there is something to return."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what} within {seconds:g} s"
        time.sleep(0.02)
    return found


def begin(exchange: ExchangeProcess, recorder: Recorder, symbols: Sequence[str]) -> None:
    """Wait until all symbols are streamed and the first trade of each is stored: no start is measured."""
    recorder.health()
    wait_for(lambda: exchange.report()["stats"]["connections"], what="no connection was opened")
    for symbol in symbols:
        exchange.control("make", symbol=symbol, count=1)
    wait_until_whole(exchange, recorder)


def wait_until_whole(exchange: ExchangeProcess, recorder: Recorder) -> float:
    """Wait until the newest trade of each symbol is stored and no gap is open; return the seconds that it took."""
    begun = time.monotonic()
    while not is_whole(recorder.store, exchange.report()["last_ids"]):  # it may still make what it owes
        assert recorder.process.poll() is None, "the recording process has ended"
        if time.monotonic() - begun > WHOLE_SECONDS:
            break  # the judge says what is missing
        time.sleep(0.02)
    return time.monotonic() - begun


class PatientReader(SqliteReader):
    """Reads trades in small pieces: at these rates ten minutes of them take longer than a read may."""

    def ticks(
        self, symbol: str | Instrument, start: int | None = None, end: int | None = None
    ) -> Iterator[Sequence[Tick]]:
        """Yield the trades of ``[start, end)`` in the order of time."""
        first, beyond = self.bar_span(symbol) or (0, 0)
        stop = beyond if end is None else min(end, beyond)
        for piece in range(max(start or 0, first), stop, PIECE_MS):
            yield from super().ticks(symbol, piece, min(piece + PIECE_MS, stop))


def judged(exchange: ExchangeProcess, recorder: Recorder) -> Verdict:
    """Compare all that the exchange ever made with the store."""
    report, ledger = exchange.report(), exchange.ledger()
    first_ids = {book.symbol: book.first_id for book in ledger}
    reader = PatientReader(recorder.store)
    try:
        return judge(ledger, reader, venue=VENUE, first_ids=first_ids, violations=report["violations"])
    finally:
        reader.close()


# ---- a load, and what was seen of it


@dataclass(frozen=True, slots=True)
class Load:
    """So many trades a second, of all symbols together, for so many seconds."""

    symbols: Sequence[str]
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The most that was seen while looking at a process four times a second; its own figures."""

    queue: int
    """Trades received and not taken over."""
    waiting: int
    """Rows that waited for the disk."""
    dropped: int
    lag_ms: float
    """The longest delay of the event loop."""
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Run:
    """What a load was and how it was borne."""

    made_per_second: float
    stored_after_s: float
    """From the last trade until all were stored."""
    cpu_us: float
    """Processor time of the recording process for each trade."""
    others: float
    """The share of this machine that other processes than recorder, exchange and benchmark used."""
    seen: Seen


def drive(
    exchange: ExchangeProcess, recorder: Recorder, load: Load, during: Callable[[float], None] = time.sleep
) -> Run:
    """Put a load on a recorder; `during` is called with its seconds, and must return after them."""
    pids = (recorder.process.pid, exchange.process.pid, os.getpid())
    before, machine, spent = exchange.report()["last_ids"], machine_seconds(), [cpu_seconds(pid) for pid in pids]
    with watching(recorder) as seen:
        begun = time.monotonic()
        exchange.control("pace", rate=load.rate / len(load.symbols))
        during(load.seconds)
        exchange.control("pace", rate=0.0)
        seconds = time.monotonic() - begun
        used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, spent, strict=True)]
        busy = machine_seconds() - machine
        stored_after = wait_until_whole(exchange, recorder)
    made = sum(last - before[symbol] for symbol, last in exchange.report()["last_ids"].items())
    others = max(busy - sum(used), 0.0) / seconds / (os.cpu_count() or 1)
    return Run(made / seconds, stored_after, used[0] / max(made, 1) * 1e6, others, worst(seen))


@contextmanager
def watching(recorder: Recorder) -> Iterator[list[Seen]]:
    """Look at a recorder until the block ends."""
    seen = [look(recorder)]
    with meanwhile(lambda: seen.append(look(recorder)), every_s=LOOK_SECONDS):
        yield seen


def look(recorder: Recorder) -> Seen:
    """Look at a recorder now."""
    health = recorder.health()
    feed, writer = health["feed"], health["store"]["writer"]
    memory = resident_mb(recorder.process.pid)
    return Seen(feed["queue"], writer["queued_rows"], feed["dropped"], feed["loop_lag_ms"], memory)


def worst(seen: Sequence[Seen]) -> Seen:
    """Return the largest of each figure."""
    return Seen(
        queue=max(each.queue for each in seen),
        waiting=max(each.waiting for each in seen),
        dropped=max(each.dropped for each in seen),
        lag_ms=max(each.lag_ms for each in seen),
        resident_mb=max(each.resident_mb for each in seen),
    )


# ---- what the system knows of processes; nothing where there is no /proc


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> float:
    """Return the processor time that this machine has used."""
    try:
        ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # without idle and waiting for the disk


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds, in MB."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
