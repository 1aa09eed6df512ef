"""The pairs that pages look at: the newest analysis of each is kept, so that the next one computes only what is new."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from market import Bars, Instrument, Timeframe, WrongUse
from pairscope.files import write_analysis

if TYPE_CHECKING:
    from analytics import PairAnalysis

KEPT = 16
"""So many pairs, with their options, are remembered."""

KEPT_BARS = 500_000
"""And so many bars of them together: a bar takes about 150 bytes."""

OFFERED, OFFERED_FILES = 1_000, 8
"""So many pages can have an analysis fetched as a file, and so many of files, which are held for it alone."""


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
    fill: int = 0
    minimum_volume: float = 0.0
    entry: float = 2.0
    exit: float = 0.5
    stop: float | None = None
    time_stop: int | None = None
    costs: str | float | None = None
    """The name of a preset, basis points of one trade of one leg, or None for those of each leg's venue."""

    def check_window(self) -> None:
        """Refuse a window of which no bar shown would have a z-score.

        Raises:
            WrongUse: when the window is not shorter than what is looked at.
        """
        if self.window >= self.bars:
            raise WrongUse(f"window is {self.window:,} and bars shown is {self.bars:,}; expected a shorter window")

    def options(self) -> dict[str, Any]:
        """Return what `analyze_pair` takes beside the legs."""
        from pairscope.numbers.costs import Costs

        names = (
            "window", "method", "fit", "log", "intercept", "fill", "minimum_volume", "entry", "exit", "stop",
            "time_stop",
        )  # fmt: skip
        costs = self.costs if self.costs is None or isinstance(self.costs, str) else Costs(self.costs)
        return {name: getattr(self, name) for name in names} | {"costs": costs}


class _Entry:
    """The newest analysis of one request; one thread at a time makes the next."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest: PairAnalysis | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """An analysis that a browser may fetch as a file."""

    found: "PairAnalysis"
    label: str

    @property
    def name(self) -> str:
        """A name of letters, digits and dashes for the file."""
        text = f"{self.found.y.symbol}-{self.found.x.symbol}-{self.found.joined.timeframe}"
        return "".join(each if each.isascii() and (each.isalnum() or each == "-") else "_" for each in text) + ".csv"

    def csv(self) -> bytes:
        """Write what varies in time."""
        stream = BytesIO()
        write_analysis(stream, self.found, "csv", label=self.label)
        return stream.getvalue()


class Pairs:
    """Analyses pairs for any number of threads, each going on from the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[PairRequest, _Entry] = OrderedDict()
        self._offers: OrderedDict[str, Offer | tuple[str, PairRequest]] = OrderedDict()

    def offer(self, key: str, offer: Offer, request: PairRequest | None = None) -> None:
        """Let an analysis be fetched by a key that nobody can guess; it replaces what was to be had by it before.

        With `request`, it is the newest of that request when it is fetched, and none is held for it.
        """
        with self._lock:
            self._offers[key] = (offer.label, request) if request else offer
            self._offers.move_to_end(key)
            held = [each for each, what in self._offers.items() if isinstance(what, Offer)]
            for each in held[:-OFFERED_FILES]:
                del self._offers[each]
            if len(self._offers) > OFFERED:
                self._offers.popitem(last=False)

    def offered(self, key: str) -> Offer | None:
        """Return what is to be had by a key."""
        with self._lock:
            what = self._offers.get(key)
            if what is None or isinstance(what, Offer):
                return what
            label, request = what
            entry = self._entries.get(request)
        return Offer(entry.newest, label) if entry and entry.newest else None

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
