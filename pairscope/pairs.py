"""The pairs that pages look at: the newest analysis of each is kept, so that the next one computes only what is new."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from market import Bars, Instrument, Timeframe, WrongUse

if TYPE_CHECKING:
    from analytics import PairAnalysis

KEPT = 16
"""So many pairs, with their options, are remembered."""

KEPT_BARS = 500_000
"""And so many bars of them together: a bar takes about 150 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRequest:
    """What is asked of a pair: two legs, how many bars of which length, and how they are analysed."""

    y: Instrument
    x: Instrument
    timeframe: Timeframe
    bars: int = 1_800
    window: int = 60
    method: str = "ols"
    fit: str = "past"
    log: bool = False
    intercept: bool = True
    minimum_volume: float = 0.0
    entry: float = 2.0
    exit: float = 0.5
    stop: float | None = None
    costs: str | float | None = None
    """The name of a preset, basis points of one trade of one leg, or None for those of each leg's venue."""

    def options(self) -> dict[str, Any]:
        """Return what `analyze_pair` takes beside the legs.

        Raises:
            WrongUse: when the window is longer than what is looked at.
        """
        from pairscope.numbers.costs import Costs

        if self.window >= self.bars:
            raise WrongUse(f"window is {self.window:,} and bars shown is {self.bars:,}; expected a shorter window")
        names = ("window", "method", "fit", "log", "intercept", "minimum_volume", "entry", "exit", "stop")
        costs = self.costs if self.costs is None or isinstance(self.costs, str) else Costs(self.costs)
        return {name: getattr(self, name) for name in names} | {"costs": costs}


class _Entry:
    """The newest analysis of one request; one thread at a time makes the next."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest: PairAnalysis | None = None


class Pairs:
    """Analyses pairs for any number of threads, each going on from the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[PairRequest, _Entry] = OrderedDict()

    def analyse(self, request: PairRequest, y: Bars, x: Bars, *, now: int) -> "PairAnalysis":
        """Analyse two legs as asked, `now` in epoch milliseconds.

        Raises:
            WrongUse: for options that make no sense together.
        """
        from analytics import analyze_pair

        entry = self._entry(request)
        with entry.lock:
            entry.newest = analyze_pair(y, x, now_ms=now, previous=entry.newest, **request.options())
            return entry.newest

    def _entry(self, request: PairRequest) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(request, _Entry())
            self._entries.move_to_end(request)
            while len(self._entries) > 1 and (
                len(self._entries) > KEPT or sum(each.bars for each in self._entries) > KEPT_BARS
            ):
                self._entries.popitem(last=False)
            return entry
