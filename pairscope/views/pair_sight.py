"""What can be shown of a pair now: its legs, and its analysis or why there is none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market import Bars, Label, WrongUse
from pairscope.exports import label_of
from pairscope.legs import ended_at, legs_of
from pairscope.pairs import PairRequest
from pairscope.runtime import Runtime

if TYPE_CHECKING:
    from analytics import PairAnalysis

COMPILING_SECONDS = 6.0
"""Reading what was compiled before takes less; after it, the page says that this is the first start."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be shown of a pair now: its legs, and its analysis or why there is none."""

    y: Bars
    x: Bars
    label: Label
    found: "PairAnalysis | None" = None
    refused: str = ""
    awaited: str = ""
    ends_ms: int | None = None
    """Where it ends, in epoch milliseconds, because nobody records a leg; None where it ends now."""


def sight_of(runtime: Runtime, request: PairRequest) -> Sight:
    """Read both legs, and analyse them once the numbers are ready."""
    ends = ended_at(runtime, request.y, request.x)
    y, x = legs_of(runtime, request, ends)
    label = label_of(runtime.reader, (request.y, request.x))
    if not runtime.warming.ready(request.method):
        first = " (first start only), about 20 s" if runtime.warming.seconds > COMPILING_SECONDS else ""
        return Sight(y, x, label, awaited=f"The numbers are being made ready{first}.", ends_ms=ends)
    try:
        request.check_window()
        found = runtime.pairs.analyse(request, y, x, now=runtime.now_at(request.y.venue))
    except WrongUse as error:
        return Sight(y, x, label, refused=f"{str(error)[:1].upper()}{str(error)[1:]}.", ends_ms=ends)
    return Sight(y, x, label, found, ends_ms=ends)
