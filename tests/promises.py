"""What README promises of the feeds, measured and judged: ``python -m tests.promises --readme`` (five minutes).

Every figure is of one run against the test exchange on loopback, with the durations that a desk has in earnest.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest import FeedHealth
from pairscope.feeds.websocket import Timing
from tests.chaos import rehearse, running_proxy
from tests.exchange.faults import Fault
from tests.exchange.running import running_exchange
from tests.faults.feeds import Recording, recording, verdict_of, wait, words_of

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- promises: written by `python -m tests.promises --readme` -->", "<!-- end of promises -->"
NAMES = ("BTCUSDT", "ETHUSDT")
LIMIT_OF_DIALS = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One promise, what was measured, and whether it held."""

    promise: str
    measured: str
    kept: bool


def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="promises-"))


def chaos(seeds: Sequence[int], seconds: float) -> list[Row]:
    """Mix all faults with kill -9, on spot and futures in turn."""
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        venue = "binance-futures" if seed % 3 == 0 else "binance-spot"
        runs.append(rehearse(seed=seed, seconds=seconds, folder=folder(), venue=venue)[1])
        print(f"chaos, seed {seed}: {'clean' if runs[-1]['clean'] else 'NOT CLEAN'}", file=sys.stderr, flush=True)

    def total(name: str) -> int:
        return sum(int(run[name]) for run in runs)

    faults = sum(sum(run["faults"].values()) for run in runs)
    kills = sum(run["deeds"].get("kill", 0) for run in runs)
    states = {
        state: sum(run["gaps"].get(state, 0) for run in runs) for state in ("filled", "empty", "abandoned", "open")
    }
    violations = sum(len(run["violations"]) for run in runs)
    whole = not (total("missing") or total("duplicates") or total("wrong") or total("invented"))
    return [
        Row(
            "Every trade made while we were subscribed is stored once, whatever happens to the line",
            f"{total('sent'):,} trades through {faults:,} faults and {kills} times kill -9 ({len(runs)} seeds, "
            f"{seconds * len(runs) / 60:.1f} minutes): {total('missing')} missing, {total('duplicates')} twice, "
            f"{total('wrong') + total('invented')} wrong",
            whole,
        ),
        Row(
            "After any outage ids are contiguous, or the gap is a row with its reason",
            ", ".join(f"{count} {state}" for state, count in states.items())
            + f"; {total('unexplained')} unexplained ids",
            not total("unexplained") and not states["open"],
        ),
        Row(
            "What is shown is stored",
            f"{total('shown'):,} prices shown by the API meanwhile: {total('shown_unstored')} not stored",
            not total("shown_unstored"),
        ),
        Row(
            "We never get your address banned",
            f"at most {max(run['dials_peak'] for run in runs)} dials in 5 minutes ({LIMIT_OF_DIALS} allowed), "
            f"{max(run['weight_share'] for run in runs):.0%} of a minute's weight, at most "
            f"{max(run['messages_peak'] for run in runs)} messages a second (5 allowed), {violations} limits broken",
            not violations,
        ),
    ]


def pulls(times: int) -> list[Row]:
    """Pull the cable, and put it back."""
    noticed: list[float] = []
    back: list[float] = []
    with running_exchange("binance-spot", NAMES, rate=20.0) as exchange, running_proxy(exchange.port) as line:
        port = line.proxy.port  # type: ignore[attr-defined]
        address, rest = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        with recording(exchange, folder=folder(), sockets=[address], rests=[rest], timing=Timing()) as desk:
            for _ in range(times):
                wait(lambda: all(each.state == "live" for each in desk.health.symbols), within=30)
                line("hold")
                noticed.append(wait(lambda: _is_troubled(desk.health), within=30))
                time.sleep(1.0)
                line("release")
                stored = desk.health.stored
                back.append(wait(lambda stored=stored: _is_back(desk, stored), within=30))  # type: ignore[misc]
                print(f"pull: noticed after {noticed[-1]:.1f} s, back after {back[-1]:.1f} s", file=sys.stderr)
            whole = all(verdict.whole for verdict in desk.settle(within=60))
    measured = (
        f"{times} pulled cables: noticed after {_spread(noticed)}, back {_spread(back)} after the line; "
        f"{'nothing' if whole else 'TRADES'} missing"
    )
    kept = whole and max(noticed) <= 5.0 and max(back) <= 3.0
    return [Row("A dead feed is noticed in 5 s, and is back 3 s after the line", measured, kept)]


def _is_troubled(health: FeedHealth) -> bool:
    """Tell whether anything that a page shows says that the feed is not well."""
    return health.state != "streaming" or any(each.state != "live" for each in health.symbols)


def _is_back(desk: Recording, stored: int) -> bool:
    return desk.health.stored > stored and all(each.state in ("live", "repairing") for each in desk.health.symbols)


def rollovers(times: int) -> list[Row]:
    """Let every connection reach its age again and again; count the seconds without a trade."""
    words = words_of("binance-spot", lifetime_s=2.0)
    longest = 0.0
    timing = Timing(jitter=0.0)
    with (
        running_exchange("binance-spot", NAMES, rate=50.0) as exchange,
        recording(exchange, folder=folder(), words=words, timing=timing) as desk,
    ):
        wait(lambda: desk.health.stored > 0)
        while desk.health.venues[0].status.rotations < times:
            longest = max(longest, *(each.age_seconds or 0.0 for each in desk.health.symbols))
            time.sleep(0.002)
        health = desk.health
        desk.settle()
        verdict = verdict_of(desk.store, exchange, desk.first_ids["binance-spot"])
    missing = sum(len(each.missing) for each in verdict.findings)
    gaps = len(desk.store.gaps()) if verdict.whole else -1
    return [
        Row(
            "The 24-hour disconnect is invisible",
            f"{times} changes of connection under 100 trades/s: {missing} missing, {max(gaps, 0)} gaps opened, "
            f"{health.reconnects} connections lost, at most {longest:.2f} s without a trade of a symbol",
            verdict.whole and not health.reconnects and longest < 1.0,
        )
    ]


def refusals(seconds: float) -> list[Row]:
    """Let the exchange accept every connection and close it at once."""
    scripts = [(Fault("close", code=1008),) for _ in range(1_000)]
    with (
        running_exchange("binance-spot", NAMES, scripts=scripts) as exchange,
        recording(exchange, folder=folder(), timing=Timing(), connect=False),
    ):
        time.sleep(seconds)
        dials = exchange.stats.dials
    return [
        Row(
            "A server that accepts and closes is not stormed",
            f"{dials} dials in {seconds:.0f} s (at most 60 in 5 minutes; the library's own loop: a thousand a second)",
            dials <= math.ceil(30 + seconds / 10) and not exchange.violations,
        )
    ]


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (median; at most {max(seconds):.1f} s)"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| promise | measured | |", "| --- | --- | --- |"]
    return "\n".join(
        [*lines, *(f"| {row.promise} | {row.measured} | {'kept' if row.kept else 'BROKEN'} |" for row in rows)]
    )


def main() -> int:
    """Measure, print, and write README if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description="Measure what README promises.")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, for a look")
    given = parser.parse_args()
    parts: list[Callable[[], list[Row]]] = (
        [lambda: chaos((1,), 15), lambda: pulls(2), lambda: rollovers(3), lambda: refusals(5)]
        if given.quick
        else [lambda: chaos((1, 2, 3, 4), 30), lambda: pulls(8), lambda: rollovers(15), lambda: refusals(20)]
    )
    rows = [row for part in parts for row in part()]
    text = table(rows)
    print(text)
    if given.readme:
        before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
