"""Make the numbers ready behind the first page: compile what is compiled, then import it.

numba holds the interpreter lock while it compiles, which would stall recording for seconds. So another process
compiles, with low priority, into the cache on disk, and says so method by method; this one only reads what is there.

    python -m pairscope.warming        compile everything now, as that process does
"""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from market import Instrument, Timeframe

if TYPE_CHECKING:
    from market import Bars

log = logging.getLogger(__name__)

METHODS = ("ols", "huber", "theil_sen", "tls", "kalman")
"""In the order in which they become ready."""

NICE = 15
ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "pairscope.warming")


class Warming:
    """Becomes ready once, for the whole process.

    Args:
        command: the process that compiles; it says the name of each method that is done, one a line.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._ready: set[str] = set()
        self._began: float | None = None
        self._compiler: subprocess.Popen[str] | None = None
        self._ending = False

    def begin(self) -> None:
        """Begin, unless it has begun."""
        with self._lock:
            if self._began is not None or self._ending:
                return
            self._began = time.monotonic()
        threading.Thread(target=self._warm, name="warming", daemon=True).start()

    def ready(self, method: str) -> bool:
        """Whether a pair can be analysed by a method without a wait."""
        return method in self._ready

    @property
    def seconds(self) -> float:
        """For how long it has been going on."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def end(self) -> None:
        """Let go of the process that compiles."""
        with self._lock:
            self._ending = True
            if self._compiler and self._compiler.poll() is None:
                self._compiler.terminate()

    def _warm(self) -> None:
        try:
            self._follow()
        except OSError as error:
            log.warning("the numbers could not be compiled beforehand: %s", error)
        if not self._ending:
            self._read_in()
            self._ready.update(METHODS)  # what the other process left out is compiled when it is asked for
            log.info("the numbers are ready, %.1f s after the first page", self.seconds)

    def _follow(self) -> None:
        """Take in each method that the other process is done with."""
        with self._lock:
            if self._ending:
                return
            compiler = self._compiler = subprocess.Popen(  # noqa: S603  # our own module, by this interpreter
                self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace",
            )  # fmt: skip
        assert compiler.stdout
        with compiler.stdout as lines:
            for line in map(str.strip, lines):
                if line in METHODS:
                    self._read_in()
                    self._ready.add(line)
                else:
                    log.warning("compiling the numbers: %s", line)
        compiler.wait()

    def _read_in(self) -> None:
        """Import the numbers, and read the kernels that every method needs from the disk."""
        if self._ready or self._ending:
            return
        gc.disable()  # a full collection in the middle of it would hold the interpreter lock for 100 ms
        try:
            rehearse(METHODS[0])
            gc.freeze()  # what was imported lives as long as the process
        finally:
            gc.enable()


def rehearse(method: str) -> None:
    """Analyse a made-up pair by a method, in all the ways that need other kernels."""
    import numpy as np

    from analytics import analyze_pair, hayashi_yoshida
    from market import Bars

    n = 200
    noise = np.random.default_rng(1).normal(size=(2, n))
    x = 100 + noise[0].cumsum()
    no, one = np.zeros(n, np.bool_), np.ones(n)
    legs = [
        Bars(
            Instrument("import", name), Timeframe(1_000), np.arange(n, dtype=np.int64) * 1_000, price, price, price,
            price, one, one, one, np.ones(n, np.int64), no, no, no,
        )
        for name, price in (("y", 3 + 2 * x + noise[1]), ("x", x))
    ]  # fmt: skip
    legs[1] = legs[1][1:]  # legs that lack bars of each other are joined by a kernel
    analyze_pair(*legs, method=method, window=20)  # type: ignore[arg-type]  # one of METHODS
    analyze_pair(*legs, method=method, window=20, fit="whole")  # type: ignore[arg-type]
    analyze_pair(*legs, method=method, window=20, intercept=False)  # type: ignore[arg-type]
    rehearse_alerts(method, *legs)
    if method == METHODS[-1]:
        hayashi_yoshida(*((leg.time, leg.close) for leg in legs))


def rehearse_alerts(method: str, y: "Bars", x: "Bars") -> None:
    """Compute what rules about a pair read, and about one symbol."""
    from pairscope.alerts.metrics import METRICS, rows_of
    from pairscope.alerts.rules import Rule

    names = [each.name for each in METRICS.values() if each.source != "feed"]
    alone = [name for name in names if METRICS[name].legs == 1]
    rule = Rule(when="z > 0", timeframe="1s", window=20, bars=60, method=method)
    for each in (rule, replace(rule, intercept=False), replace(rule, fill=2, minimum_volume=0.1)):
        rows_of(names, each, y, x, since_ms=100_000)
    rows_of(alone, rule, y, None, since_ms=100_000)


def main() -> None:
    """Compile all methods, and say which is done."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICE)
    for method in METHODS:
        rehearse(method)
        sys.stdout.write(f"{method}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
