"""Measure the dashboard as its browsers see it: what a refresh takes and sends, the first page, and twenty tabs.

    python -m benchmarks.dashboard [--million 10] [--tabs 20] [--seconds 65] [--quick] [--folder FOLDER]

A store of simulated trades is made up to the present, the app records on from there, and tabs without a browser look at
the Pair page with 86,400 bars of a second. Beside it stands the public way to the same page: read all, resample, make
figures of it. Exits 1 when a target is missed.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.report import Line, Spread, available_mb, markdown, peak_mb
from benchmarks.seed import write_seed
from benchmarks.store import PANDAS_MB_PER_MILLION, append_all, in_new_process
from market import DAY, HOUR, Tick
from pairscope.feeds.simulated import LISTINGS, Market
from pairscope.recording.lag import REMEMBERED_SECONDS
from pairscope.runtime import now_ms
from pairscope.settings import Settings
from store import SqliteStore
from tests.faults.desk import Desk, Tab, failures, fragment_of, running, text, wait_for

MILLION = 1_000_000
SYMBOLS = ("ETHUSDT", "BTCUSDT")
PER_HOUR = sum(LISTINGS[symbol].per_hour for symbol in SYMBOLS)
STORE = "dashboard.db"
BATCH = 10_000
BARS = DAY // 1_000
VIEW = f"?y=simulated:ETHUSDT&x=simulated:BTCUSDT&bars=1s&history={BARS}"
FULL_MILLION = 10
"""The ratio to the public way is judged with at least so many trades stored."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What one refresh took, from the question to the last of the answer, and what was sent."""

    ms: float
    sent: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and tell whether every target was met."""
    asked = _parse(arguments)
    million = asked.million or (1 if asked.quick else FULL_MILLION)
    seconds = asked.seconds or (8 if asked.quick else 65)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        fill(folder / STORE, million)
        symbols, store = ",".join(SYMBOLS), f"sqlite:///{folder / STORE}"
        with running(folder, PAIRSCOPE_SYMBOLS=symbols, PAIRSCOPE_STORE=store) as desk:
            lines = first_page_lines(desk)
            refreshed, more = refresh_lines(desk, seconds)
            lines += [*more, *tabs_lines(desk, asked.tabs, seconds)]
        lines += public_lines(folder, million, refreshed)
    print(markdown(lines))
    return 0 if all(line.met for line in lines) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--million", type=int, help=f"trades stored, in millions ({FULL_MILLION})")
    parser.add_argument("--tabs", type=int, default=20, help="tabs open at once (20)")
    parser.add_argument("--seconds", type=int, help="how long refreshes and tabs are watched (65)")
    parser.add_argument("--quick", action="store_true", help="a minute instead of five, with 1 M trades")
    parser.add_argument("--folder", type=Path, help="where to put the databases (2 GB), which are deleted after")
    return parser.parse_args(arguments)


# ---- the store


def fill(path: Path, million: int) -> None:
    """Store so many trades of two symbols, the last of them of this hour."""
    store = SqliteStore(path, clock=now_ms, commit_rows=BATCH)
    for ticks in hours(million, end=now_ms() - 1_000):
        append_all(store, [ticks[start : start + BATCH] for start in range(0, len(ticks), BATCH)])
    store.close()


def hours(million: int, *, end: int) -> Iterator[list[Tick]]:
    """Yield the trades of the simulated market hour by hour, about so many in all."""
    market = Market(Settings().seed)
    start = (end - million * MILLION * HOUR // PER_HOUR) // HOUR * HOUR
    for hour, after in pairwise([*range(start, end, HOUR), end]):
        ticks = [tick for symbol in SYMBOLS for tick in market.trades(symbol, hour, after)]
        yield sorted(ticks, key=lambda tick: tick.time_ms)


# ---- tabs


class Viewer(Tab):
    """A tab that names what it has kept, as a browser does; large parts are then not sent again."""

    def __init__(self, port: int) -> None:
        super().__init__(port, page="pair")
        self._kept: dict[str, None] = {}

    def ask(self, fragment: str = "", *, query: str = VIEW) -> None:
        """Ask for the page, or for the new state of a fragment."""
        message = BackMsg()
        run = message.rerun_script
        run.query_string, run.page_name, run.fragment_id = query, self._page, fragment
        run.cached_message_hashes.extend(self._kept)
        self._socket.send(message.SerializeToString())

    def answer(self, *, seconds: float = 60.0) -> list[ForwardMsg]:
        """Return what the server sends until a run of the script has ended."""
        messages = super().answer(seconds=seconds)
        named = [each.hash if each.metadata.cacheable else each.ref_hash for each in messages]
        self._kept = dict.fromkeys(name for name in named if name) or self._kept
        return messages

    def refresh(self, fragment: str) -> Refresh:
        """Ask for the newest state of the live part, and measure the answer."""
        before, begun = self.bytes, time.perf_counter()
        self.ask(fragment)
        messages = self.answer()
        taken = (time.perf_counter() - begun) * 1000
        assert failures(messages) == []
        return Refresh(taken, self.bytes - before)


def open_view(tab: Viewer) -> str:
    """Open the page, wait until the numbers are ready, and return the name of its live part."""
    tab.ask()
    first = tab.answer()
    assert failures(first) == []
    fragment = fragment_of([each for each in first if _is_live(each)])

    def ready() -> bool:
        tab.ask(fragment)
        return "Verdict: " in text(tab.answer())

    wait_for(ready, seconds=180)
    return fragment


def _is_live(message: ForwardMsg) -> bool:
    """The page refreshes every second; what else refreshes on it does so less often, or is asked by another name."""
    return message.WhichOneof("type") == "auto_rerun" and message.auto_rerun.interval <= 1


# ---- what is measured


def first_page_lines(desk: Desk) -> list[Line]:
    """Time the first page of a process, and weigh the process after it."""
    with Viewer(desk.port) as tab:
        begun = time.perf_counter()
        tab.ask(query="")
        messages = tab.answer()
        seconds = time.perf_counter() - begun
        memory = _rss_mb(desk)
    assert failures(messages) == []
    return [
        Line("first page after the server is up", f"{seconds:.2f} s", seconds, "at most", 1, " s"),
        Line("memory of the process then", f"{memory:.0f} MB", memory, "at most", 130, " MB"),
    ]


def refresh_lines(desk: Desk, seconds: int) -> tuple[Spread, list[Line]]:
    """Refresh the page each second, as a browser does, and tell what it takes and sends."""
    with Viewer(desk.port) as tab:
        fragment = open_view(tab)
        tab._kept = {}  # as the first refresh of a browser
        whole = tab.refresh(fragment)
        refreshes = []
        for _ in range(seconds):
            threading.Event().wait(1)
            refreshes.append(tab.refresh(fragment))
    taken, sent = (Spread([getattr(each, name) for each in refreshes]) for name in ("ms", "sent"))
    what = f"refresh of the Pair page at {BARS:,} bars"
    return taken, [
        Line(f"{what}, asked to answered", f"{taken:.1f} ms", taken.median, "at most", 25, " ms"),
        Line(f"{what}, sent whole", f"{whole.sent / 1e3:.0f} kB", whole.sent / 1e3, "at most", 200, " kB"),
        Line(f"{what}, sent when points were appended", f"{sent:,.0f} B", sent.median / 1e3, "at most", 20, " kB"),
    ]


def tabs_lines(desk: Desk, count: int, seconds: int) -> list[Line]:
    """Let so many tabs refresh each second, and tell what the process takes for it, and whether recording waits."""
    opened, over = threading.Barrier(count + 1), threading.Event()

    def look() -> int:
        with Viewer(desk.port) as tab:
            fragment = open_view(tab)
            opened.wait(300)
            refreshes = 0
            while not over.wait(1):
                tab.refresh(fragment)
                refreshes += 1
        return refreshes

    with ThreadPoolExecutor(count) as pool:
        tabs = [pool.submit(look) for _ in range(count)]
        opened.wait(300)
        begun, before = time.monotonic(), _cpu_seconds(desk)
        over.wait(seconds)
        cores = (_cpu_seconds(desk) - before) / (time.monotonic() - begun)
        worst = float(desk.health()["feed"]["loop_lag_ms"])
        over.set()
        rate = sum(each.result() for each in tabs) / count / seconds
    what = f"{count} tabs that refresh each second"
    waited = Line(f"{what}: longest wait of recording", f"{worst:.1f} ms", worst, "at most", 15, " ms")
    if seconds < REMEMBERED_SECONDS:  # the opening of the tabs is in it
        waited = Line(waited.what, waited.measured)
    return [
        Line(f"{what}: of a core", f"{cores:.2f} ({rate:.2f} refreshes a second each)", cores, "at most", 1),
        waited,
    ]


def public_lines(folder: Path, million: int, ours: Spread) -> list[Line]:
    """Time one refresh the way public dashboards do it, once: it takes long."""
    if available_mb() < million * PANDAS_MB_PER_MILLION:
        return [Line("the public way", "not measured: too little memory")]
    table = folder / "public.db"
    write_seed(table, hours(million, end=now_ms()))
    public = in_new_process(public_refresh, table)
    ratio = public.seconds * 1000 / ours.median
    what = f"the public way at {million} M trades: read all, resample, z-score, go.Figure, to_json"
    judged = Line("the public way : ours", f"{ratio:,.0f}x", ratio, "at least", 100, "x")
    return [
        Line(what, f"{public.seconds:.1f} s, {public.sent / 1e6:.1f} MB sent, peak {public.peak_mb:,.0f} MB"),
        judged if million >= FULL_MILLION else Line(judged.what, judged.measured),
    ]


@dataclass(frozen=True, slots=True)
class Public:
    """What one refresh the public way took, and how much it would send."""

    seconds: float
    sent: int
    peak_mb: float


def public_refresh(table: Path) -> Public:
    """Read the whole table, resample it, compute a rolling pair, and draw it; to be called in a process of its own."""
    import sqlite3

    import pandas as pd
    import plotly.graph_objects as go

    db = sqlite3.connect(table)
    begun = time.perf_counter()
    ticks = pd.read_sql("SELECT * FROM ticks", db)
    ticks["timestamp"] = pd.to_datetime(ticks["timestamp"])
    by_symbol = ticks.set_index("timestamp").groupby("symbol")
    closes = {str(symbol): rows["price"].resample("1s").last().ffill() for symbol, rows in by_symbol}
    pair = pd.DataFrame({name: closes[symbol] for name, symbol in zip("yx", SYMBOLS, strict=True)}).dropna()
    pair = pair.iloc[-BARS:]
    beta = pair["y"].rolling(60).cov(pair["x"]) / pair["x"].rolling(60).var()
    spread = pair["y"] - beta * pair["x"]
    zscore = (spread - spread.rolling(60).mean()) / spread.rolling(60).std()
    correlation = pair["y"].pct_change().rolling(60).corr(pair["x"].pct_change())
    lines = [pair["y"], pair["x"], spread, zscore, beta, correlation]
    sent = sum(len(go.Figure(go.Scatter(x=line.index, y=line)).to_json()) for line in lines)
    seconds = time.perf_counter() - begun
    db.close()
    return Public(seconds, sent, peak_mb())


def _cpu_seconds(desk: Desk) -> float:
    """Return what the process has used of all cores so far."""
    fields = Path(f"/proc/{desk.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(desk: Desk) -> float:
    """Return the memory that the process holds now, in MB."""
    status = Path(f"/proc/{desk.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
