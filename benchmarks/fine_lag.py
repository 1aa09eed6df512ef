"""Run a command with a finer meter of its event loop: ``python -m benchmarks.fine_lag FILE ingest --venue ...``.

The command is what users run; only the meter, which looks twenty times a second, is replaced by one that looks two
hundred times, and writes all that it saw to FILE when the command ends.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ingest
from pairscope.cli import main
from pairscope.recording.lag import LagMeter

BEAT_SECONDS = 0.005

_seen: list[tuple[float, float]] = []
"""Moments of the monotonic clock, which all processes share, and seconds late."""


class FineMeter(LagMeter):
    """Keeps every delay."""

    async def run(self) -> None:
        """Measure until cancelled."""
        beat = asyncio.create_task(self._beat())
        try:
            await super().run()
        finally:
            beat.cancel()

    async def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            now = time.monotonic()
            _seen.append((now, now - begun - BEAT_SECONDS))


def late_ms(file: Path, begun: float, ended: float, share: float) -> float:
    """Return the delay that this share of all moments in a span kept to, in milliseconds.

    A moment is when something might have wanted the loop, not only when the meter did: a delay of a second counts for
    the two hundred beats that it swallowed, each with what it would have waited.
    """
    delays: list[float] = []
    for moment, late in json.loads(file.read_text()):
        if begun <= moment <= ended:
            delays += np.arange(max(late, 0.0), -1e-9, -BEAT_SECONDS).tolist() or [0.0]
    return float(np.quantile(delays, share)) * 1000


def run(file: Path, arguments: Sequence[str]) -> int:
    """Run a command of pairscope; return its exit code."""
    ingest.LagMeter = FineMeter  # type: ignore[attr-defined]
    try:
        return main(arguments)
    finally:
        file.write_text(json.dumps(_seen))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
