"""Where what is stored of symbols ends, when nobody records them: nothing more is to be waited for."""

from pairscope.views.clock import Clock
from pairscope.views.notices import inert


def ended_text(ends_ms: int | None, clock: Clock) -> str:
    """Write when the trades end: 14 Nov 2023 22:13:21 UTC; empty where they go on."""
    return "" if ends_ms is None else f"{clock.text(ends_ms)} {clock.name}"


def ended_mark(ends_ms: int | None, clock: Clock) -> str:
    """Say as Markdown, in another colour, that nothing on the page is of now; empty where it is."""
    return "" if ends_ms is None else f":orange[As of {inert(ended_text(ends_ms, clock))}, where the trades end]"
