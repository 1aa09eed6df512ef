"""Where what is stored of symbols ends, when nobody records them: nothing more is to be waited for."""

from contextlib import suppress

from market import IMPORTED, Instrument, UnknownName
from pairscope.runtime import Runtime
from pairscope.views.clock import Clock
from pairscope.views.notices import inert


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


def ended_text(ends_ms: int | None, clock: Clock) -> str:
    """Write when the trades end: 14 Nov 2023 22:13:21 UTC; empty where they go on."""
    return "" if ends_ms is None else f"{clock.text(ends_ms)} {clock.name}"


def ended_mark(ends_ms: int | None, clock: Clock) -> str:
    """Say as Markdown, in another colour, that nothing on the page is of now; empty where it is."""
    return "" if ends_ms is None else f":orange[As of {inert(ended_text(ends_ms, clock))}, where the trades end]"
