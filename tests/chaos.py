"""Everything at once: ``python -m tests.chaos --seed 7 --minutes 2``.

A test exchange trades; a recording process of ours, behind a proxy that goes bad, is dropped, starved, fed nonsense,
frozen and killed, all by the dice of one seed. Then all is made well, and when the desk says that it is done, the judge
compares what the exchange made with what the store holds. Exit code 0: nothing is missing, twice, or wrong.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from store import SqliteReader, StoreError, find_owner
from tests.exchange.faults import MUTATIONS
from tests.exchange.judge import Shown, Verdict, judge
from tests.exchange.meters import share_of_weight
from tests.exchange.proxy import Proxy
from tests.exchange.running import ROOT, ExchangeProcess, exchange_process, get_json, meanwhile

SYMBOLS = ("BTCUSDT", "ETHUSDT", "1000SHIBUSDT")
HEAL_SECONDS = 120.0
"""So long after the last fault all trades must be there."""

DAMAGE = (*(kind for kind in MUTATIONS if kind != "price_off"), "malformed", "truncated", "invalid_utf8", "binary")
ENDS = (1000, 1001, 1006, 1008, 1011, 1012)
REST_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 429, "retry_after": 2},
    {"kind": "status", "status": 503, "count": 3},
    {"kind": "html", "count": 2},
    {"kind": "slow", "seconds": 2.0},
    {"kind": "reset", "count": 2},
    {"kind": "cut", "count": 2},
    {"kind": "short", "count": 3},
    {"kind": "empty", "count": 1},
    {"kind": "foreign", "count": 2},
    {"kind": "duplicate", "count": 3},
)


@dataclass
class Run:
    """What one run did and saw."""

    seed: int
    seconds: float
    deeds: Counter[str] = field(default_factory=Counter)
    shown: list[Shown] = field(default_factory=list)
    worst_lag_ms: int = 0
    peak_mb: float = 0.0
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and the memory of the process, about once a second."""
    healed_after: float = 0.0


class Desk:
    """The recording process under test."""

    def __init__(self, folder: Path, environ: dict[str, str], venue: str, run: Run) -> None:
        self.store = folder / "chaos.db"
        self._folder, self._environ, self._venue, self._run = folder, environ, venue, run
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pairscope", "ingest", "--venue", self._venue, "--json"]
        command += ["--symbols", ",".join(SYMBOLS), "--store", f"sqlite:///{self.store}"]
        settings = {"PAIRSCOPE_LOG_FILE": str(self._folder / "desk.log"), **self._environ}
        with (self._folder / "desk.out").open("ab") as out:
            return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stdout=out, stderr=out)

    def kill(self) -> None:
        """End it as a power cut would, and start it anew."""
        self.process.kill()
        self.process.wait(10)
        self.process = self._start()

    def abandon(self) -> None:
        """End it for good, whatever happened."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self, seconds: float) -> None:
        """Let it stand still, as a machine that is suspended."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> dict[str, Any]:
        """Tell it to end; return its last line."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        lines = (self._folder / "desk.out").read_text().splitlines()
        last: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
        assert code == 0, f"the desk ended with {code}"
        return last

    def look(self, since: float) -> None:
        """Note what it shows, as a page would, and how it does."""
        owner = find_owner(self.store)
        if owner is None or not owner.address:
            return
        with suppress(OSError, ValueError, http.client.HTTPException):
            for row in get_json(owner.address, "/api/symbols", within_s=2):
                if row["time"] is None:
                    continue  # it is awaited
                moment = datetime.fromisoformat(row["time"])
                self._run.shown.append(Shown(row["symbol"], round(moment.timestamp() * 1000), row["price"]))
            health = get_json(owner.address, "/api/health", within_s=2)
            lags = [each["lag_ms"] or 0 for each in health["feed"]["symbols"]]
            self._run.worst_lag_ms = max(self._run.worst_lag_ms, *lags, 0)
        with suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
            self._run.peak_mb = max(self._run.peak_mb, memory)
            self._run.memory_mb.append((time.monotonic() - since, memory))


@contextmanager
def running_proxy(port: int) -> Iterator[Callable[[str], None]]:
    """Run a proxy in a thread; what is yielded calls its methods by name."""
    loop, ended, opened = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    proxy = Proxy(port)

    async def serve() -> None:
        async with proxy:
            opened.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="proxy", daemon=True)
    thread.start()
    assert opened.wait(10)

    def do(name: str) -> None:
        method = getattr(proxy, name)
        if name in ("up", "down"):
            asyncio.run_coroutine_threadsafe(method(), loop).result(10)
        else:
            method()

    do.proxy = proxy  # type: ignore[attr-defined]
    try:
        yield do
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


class Chaos:
    """Does one bad thing after the other, by the dice."""

    def __init__(self, run: Run, desk: Desk, exchange: ExchangeProcess, line: Any) -> None:
        self._run, self._desk, self._exchange, self._line = run, desk, exchange, line
        self._dice = random.Random(run.seed)
        self._deeds: dict[str, tuple[int, Callable[[], None]]] = {
            "drop": (4, self._drop),
            "stream": (6, self._spoil_stream),
            "silence": (3, self._silence),
            "rest": (4, self._spoil_rest),
            "burst": (2, self._burst),
            "refusal": (2, self._refuse),
            "line": (4, self._spoil_line),
            "freeze": (1, lambda: self._desk.freeze(self._dice.uniform(0.5, 4))),
            "kill": (2, self._desk.kill),
            "ids": (1, self._use_up_ids),
        }

    def step(self) -> None:
        """Do something bad."""
        names = list(self._deeds)
        [name] = self._dice.choices(names, [self._deeds[each][0] for each in names])
        self._run.deeds[name] += 1
        self._deeds[name][1]()

    def _drop(self) -> None:
        kind = self._dice.choice(("close", "close", "rst", "fin"))
        self._exchange.control("inject", kind=kind, code=self._dice.choice(ENDS))

    def _spoil_stream(self) -> None:
        kind = self._dice.choice(("skip", "duplicate", "reorder", "burst", "reuse", "fragmented", *DAMAGE))
        count = self._dice.randint(1, 200) if kind in ("skip", "duplicate", "reorder", "burst") else 1
        also = {"also": True} if self._dice.random() < 0.3 else {}
        self._exchange.control(
            "inject", kind=kind, count=count, text="ETHUSDT" if kind == "wrong_symbol" else "", **also
        )

    def _silence(self) -> None:
        kind = self._dice.choice(("silent", "mute", "no_pong", "freeze", "shutdown"))
        symbol = self._dice.choice(SYMBOLS) if kind == "mute" else ""
        self._exchange.control("inject", kind=kind, symbol=symbol, seconds=0.5 if kind == "shutdown" else 0.0)

    def _spoil_rest(self) -> None:
        self._exchange.control("fault_rest", **self._dice.choice(REST_FAULTS))

    def _burst(self) -> None:
        self._exchange.control("make", symbol=self._dice.choice(SYMBOLS), count=self._dice.randint(500, 5_000))

    def _refuse(self) -> None:
        status = self._dice.choice((403, 429, 500, 503))
        wait = ",retry_after=2" if status in (403, 429) else ""
        self._exchange.control("script", faults=f"refuse:status={status}{wait}")
        self._exchange.control("drop")

    def _spoil_line(self) -> None:
        toxics = self._line.proxy.to_client
        kind = self._dice.choice(("hold", "down", "reset_peers", "latency", "slices"))
        seconds = self._dice.uniform(0.5, 6)
        if kind == "reset_peers":
            self._line("reset_peers")
        elif kind == "hold":
            self._line("hold")
            time.sleep(seconds)
            self._line("release")
        elif kind == "down":
            self._line("down")
            time.sleep(seconds / 2)
            self._line("up")
        else:
            toxics.latency_s, toxics.slice_bytes = (0.3, 0) if kind == "latency" else (0.0, 1)
            time.sleep(seconds / 2)
            toxics.latency_s, toxics.slice_bytes = 0.0, 0

    def _use_up_ids(self) -> None:
        self._exchange.control(self._dice.choice(("skip_ids", "blank")), symbol=self._dice.choice(SYMBOLS), count=3)


def heal(desk: Desk, exchange: ExchangeProcess) -> float:
    """Let the exchange trade no more, and wait until the store is whole; return the seconds that it took."""
    exchange.control("pace", rate=0.0)
    for symbol in SYMBOLS:
        exchange.control("make", symbol=symbol, count=1)
    begun = time.monotonic()
    while not is_whole(desk.store, exchange.report()["last_ids"]):
        assert desk.process.poll() is None, "the desk has died"
        if time.monotonic() - begun > HEAL_SECONDS:
            break  # the judge says what is missing
        time.sleep(0.25)
    return time.monotonic() - begun


def is_whole(path: Path, last_ids: dict[str, int]) -> bool:
    """Tell whether a store has the newest trade of each symbol, and no open gap."""
    try:
        reader = SqliteReader(path)
    except StoreError:
        return False
    try:
        known = {instrument.symbol: last for instrument, (last, _) in reader.last_ids().items()}
        return known == last_ids and not reader.gaps(state="open")
    except StoreError:
        return False
    finally:
        reader.close()


def watching(desk: Desk) -> AbstractContextManager[None]:
    """Look at what the desk shows, from beginning to end."""
    return meanwhile(partial(desk.look, time.monotonic()), every_s=0.3)


def rehearse(
    *, seed: int, seconds: float, folder: Path, venue: str = "binance-spot", rate: float = 60.0
) -> tuple[Verdict, dict[str, Any]]:
    """Run chaos for some seconds; return what the judge says, and figures."""
    run = Run(seed, seconds)
    key = f"PAIRSCOPE_{venue.upper().replace('-', '_')}"
    with ExitStack() as open_things:
        exchange = open_things.enter_context(exchange_process(venue, SYMBOLS, folder=folder, rate=rate, seed=seed))
        line = open_things.enter_context(running_proxy(urlsplit(exchange.ws).port or 0))
        port = line.proxy.port  # type: ignore[attr-defined]
        environ = {f"{key}_WS": f"ws://127.0.0.1:{port}", f"{key}_REST": f"http://127.0.0.1:{port}"}
        desk = Desk(folder, environ, venue, run)
        open_things.callback(desk.abandon)
        with watching(desk):
            chaos, end, dice = Chaos(run, desk, exchange, line), time.monotonic() + seconds, random.Random(-seed)
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(dice.expovariate(1 / 1.5), left))
                chaos.step()
            run.healed_after = heal(desk, exchange)
        summary = desk.end()
        report, ledger = exchange.report(), exchange.ledger()
        reader = SqliteReader(desk.store)
        verdict = judge(ledger, reader, venue=venue, shown=run.shown, violations=report["violations"])
        reader.close()
    return verdict, figures(run, verdict, summary, report["stats"])


def figures(run: Run, verdict: Verdict, summary: dict[str, Any], stats: dict[str, Any]) -> dict[str, Any]:
    """Return what one run measured, for JSON."""
    found = verdict.findings
    names = ("missing", "unexplained", "duplicates", "wrong", "invented")
    return {
        "clean": verdict.clean,
        "sent": sum(each.sent for each in found),
        "stored": sum(each.stored for each in found),
        **{name: sum(len(getattr(each, name)) for each in found) for name in names},
        "gaps": dict(sum((Counter(each.gaps) for each in found), Counter[str]())),
        "shown": len(run.shown),
        "shown_unstored": sum(each.shown_unstored for each in found),
        "violations": list(verdict.violations),
        "healed_after": round(run.healed_after, 1),
        "dials_peak": stats["dials_peak"],
        "weight_share": round(share_of_weight(stats), 3),
        "messages_peak": stats["messages_peak"],
        "faults": stats["faults"],
        "worst_lag_ms": run.worst_lag_ms,
        "summary": summary,
        "seed": run.seed,
        "seconds": run.seconds,
        "deeds": dict(run.deeds),
        "peak_mb": round(run.peak_mb, 1),
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Everything that can go wrong, at once.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--venue", default="binance-spot", choices=("binance-spot", "binance-futures"))
    parser.add_argument("--rate", type=float, default=60.0, help="trades per second of each symbol")
    parser.add_argument("--until-fail", action="store_true", help="go on with the next seed until one fails")
    given = parser.parse_args()
    seed = given.seed
    while True:
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        verdict, measured = rehearse(
            seed=seed, seconds=given.minutes * 60, folder=folder, venue=given.venue, rate=given.rate
        )
        print(json.dumps(measured), flush=True)
        print(verdict.line(), flush=True)
        if not verdict.clean or not given.until_fail:
            return 0 if verdict.clean else 1
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
