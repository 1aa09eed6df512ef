"""Whether memory grows: recording 5,000 trades a second for long, amid faults, without ever starting anew."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.exchange_load import VENUE, PatientReader
from benchmarks.report import Line
from tests.chaos import SYMBOLS, Chaos, Desk, Run, heal, running_proxy, watching
from tests.exchange.judge import Verdict, judge
from tests.exchange.running import ExchangeProcess, exchange_process

RATE = 5_000
SEED = 1
PAUSE_S = 10.0
"""Between two faults, in the mean: a venue allows 60 dials in five minutes, and most faults cost one."""

WARM_SHARE = 0.25
"""So much of the time memory may still grow: code is loaded, and caches fill."""

TELLING_S = 600.0
"""In a shorter run the caches still fill."""

Sample = tuple[float, float]
"""Seconds since the start, and MB."""


class Lasting(Chaos):
    """All that chaos does, but for ending the process, whose memory is looked at."""

    def __init__(self, run: Run, desk: Desk, exchange: ExchangeProcess, line: object) -> None:
        super().__init__(run, desk, exchange, line)
        del self._deeds["kill"]


def soak_lines(folder: Path, *, minutes: float) -> list[Line]:
    """Record for so many minutes, and tell how memory did."""
    run = Run(SEED, minutes * 60)
    with recording_amid_faults(folder, run) as (desk, exchange):
        desk.end()
        report = exchange.report()
        reader = PatientReader(desk.store)
        verdict = judge(exchange.ledger(), reader, venue=VENUE, shown=run.shown, violations=report["violations"])
        reader.close()
    return _lines(f"{RATE:,} trades/s for {minutes:g} minutes, {sum(run.deeds.values())} faults", run, verdict)


def _lines(what: str, run: Run, verdict: Verdict) -> list[Line]:
    faults = 0 if verdict.clean else 1
    _, least, most = floor_of(run.memory_mb)
    floor = f"least of each minute {least:.1f} to {most:.1f} MB"
    slope = f"{slope_mb_per_hour(run.memory_mb):+.2f} MB/h" if run.seconds >= TELLING_S else "too short a time to tell"
    return [
        Line(f"{what}: what the judge found", verdict.line().splitlines()[0], faults, "at most", 0),
        Line(f"{what}: most memory", f"{run.peak_mb:.0f} MB", run.peak_mb, "at most", 400, " MB"),
        Line(f"{what}: memory grows by", f"{slope}, {floor}"),
    ]


@contextmanager
def recording_amid_faults(folder: Path, run: Run) -> Iterator[tuple[Desk, ExchangeProcess]]:
    """Record, with a fault every now and then, until the time is over and all is whole."""
    with (
        exchange_process(VENUE, SYMBOLS, folder=folder, rate=RATE / len(SYMBOLS), seed=SEED) as exchange,
        running_proxy(urlsplit(exchange.ws).port or 0) as line,
    ):
        port = line.proxy.port  # type: ignore[attr-defined]
        servers = {"WS": f"ws://127.0.0.1:{port}", "REST": f"http://127.0.0.1:{port}"}
        environ = {f"PAIRSCOPE_BINANCE_SPOT_{kind}": address for kind, address in servers.items()}
        desk = Desk(folder, environ, VENUE, run)
        try:
            with watching(desk):
                spoil(Lasting(run, desk, exchange, line), run.seconds)
                run.healed_after = heal(desk, exchange)
            yield desk, exchange
        finally:
            desk.process.kill()
            desk.process.wait(10)


def spoil(chaos: Chaos, seconds: float) -> None:
    """Do something bad every now and then, until the time is over."""
    dice, end = random.Random(-SEED), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(dice.expovariate(1 / PAUSE_S), left))
        if time.monotonic() < end:
            chaos.step()


def floor_of(samples: list[Sample]) -> tuple[list[Sample], float, float]:
    """Return the least memory of each minute after warming up, and the least and most of these."""
    warm = samples[-1][0] * WARM_SHARE
    minutes: dict[int, Sample] = {}
    for moment, memory in samples:
        if moment >= warm:
            minute = int(moment / 60)
            minutes[minute] = min(minutes.get(minute, (moment, memory)), (moment, memory), key=lambda each: each[1])
    floor = list(minutes.values())
    return floor, min(memory for _, memory in floor), max(memory for _, memory in floor)


def slope_mb_per_hour(samples: list[Sample]) -> float:
    """Return the slope of the least memory of each minute, which work under way does not move."""
    floor, _, _ = floor_of(samples)
    if len(floor) < 3:
        return 0.0
    seconds, memory = np.array(floor).T
    return float(np.polyfit(seconds / 3600, memory, 1)[0])
