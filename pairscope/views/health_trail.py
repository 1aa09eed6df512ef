"""How late trades have come in the last minutes, as far as the page was open."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from threading import Lock

import numpy as np

from ingest import SymbolHealth
from market import Instrument
from pairscope.runtime import Runtime

TRAIL_SECONDS = 300
EVERY_SECONDS = 0.9
"""Pages that are open side by side share one trail: what comes sooner after a sample is not taken."""

LEAST = 20
"""Fewer samples make no percentile."""


class Trail:
    """The lags of the last minutes of each symbol, a sample a second."""

    def __init__(self) -> None:
        self._lags: dict[Instrument, deque[tuple[float, int]]] = {}
        self._noted = -EVERY_SECONDS
        self._lock = Lock()

    def note(self, symbols: Iterable[SymbolHealth], *, moment: float | None = None) -> None:
        """Take a sample; `moment` is in seconds of a clock that never jumps, by default now."""
        moment = time.monotonic() if moment is None else moment
        with self._lock:
            if moment - self._noted < EVERY_SECONDS:
                return
            self._noted = moment
            for each in symbols:
                if each.lag_ms is not None:
                    self._lags.setdefault(each.instrument, deque(maxlen=TRAIL_SECONDS)).append((moment, each.lag_ms))
            for lags in self._lags.values():
                while lags and lags[0][0] <= moment - TRAIL_SECONDS:
                    lags.popleft()

    def lags(self, instrument: Instrument | None = None) -> list[int]:
        """Return the samples of a symbol in milliseconds, the oldest first; without one, those of all symbols."""
        with self._lock:
            known = self._lags.values() if instrument is None else [self._lags.get(instrument, ())]
            return [lag for lags in known for _, lag in lags]


def percentile(lags: Sequence[int], share: float) -> float | None:
    """Return the lag that a share of the samples does not exceed; None where there are too few of them."""
    return float(np.percentile(lags, 100 * share)) if len(lags) >= LEAST else None


@lru_cache(maxsize=1)
def trail_of(runtime: Runtime) -> Trail:
    """Return the one trail of a process."""
    return Trail()
