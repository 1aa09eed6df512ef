"""The bars of a pair as they are now, or as they were where what is stored of it ends."""

from contextlib import suppress

from market import IMPORTED, Bars, Instrument, UnknownName, bars_from_rows
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime


def ended_at(runtime: Runtime, *instruments: Instrument) -> int | None:
    """Return the earliest end, in epoch milliseconds, of what is stored of those that nobody records; None without any.

    Another process may record what this one only views, but nobody records what was imported.
    """
    recorded = {line.instrument for line in runtime.recorded()}
    ends = []
    for each in instruments:
        if each not in recorded and (runtime.store or each.venue == IMPORTED):
            with suppress(UnknownName):
                span = runtime.reader.bar_span(each)
                ends += [span[1]] if span else []
    return min(ends, default=None)


def legs_of(runtime: Runtime, request: PairRequest, ends_ms: int | None) -> tuple[Bars, Bars]:
    """Read the bars of both legs up to now, or to `ends_ms`, which `ended_at` has said of them."""
    return _leg(runtime, request, request.y, ends_ms), _leg(runtime, request, request.x, ends_ms)


def _leg(runtime: Runtime, request: PairRequest, leg: Instrument, ends_ms: int | None) -> Bars:
    there = runtime.now_at(leg.venue)
    last = there if ends_ms is None else min(there, ends_ms - 1)
    end = request.timeframe.floor(last) + request.timeframe.ms
    try:
        start = end - request.bars * request.timeframe.ms
        return runtime.reader.bars(leg, request.timeframe, start, end, now=there)
    except UnknownName:  # it is streamed, but has not traded yet
        return bars_from_rows(leg, request.timeframe, [])
