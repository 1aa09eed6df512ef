"""Numbers in words and figures: how many digits, how long, how likely; a dash for what is not known."""

import math

from market import DAY, HOUR, MINUTE, SECOND


def signed_text(value: float, digits: int) -> str:
    """Write a number with its sign; a dash when it is not known."""
    return "–" if math.isnan(value) else f"{value:+z,.{digits}f}"


def digits_of(size: float) -> int:
    """Return how many decimals show three figures of a number of such a size."""
    if not math.isfinite(size) or size <= 0:
        return 2
    return min(8, max(0, 2 - math.floor(math.log10(size))))


def number_text(value: float, figures: int, *, fixed: bool = False) -> str:
    """Write a number with so many figures, or decimals when `fixed`; a dash when it is not known."""
    if math.isnan(value):
        return "–"
    return f"{value:.{figures}f}" if fixed else f"{value:,.{figures}g}"


def p_text(value: float) -> str:
    """Write a p-value; a very small one by its bound."""
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def length_text(ms: float) -> str:
    """Write a length of time in its two largest units: 4.2 s, 1 m 25 s, 3 h 10 m; "never" when it has no end."""
    if math.isnan(ms):
        return "–"
    if ms < 10 * SECOND:
        return f"{max(ms, 0) / SECOND:.1f} s"
    if ms > 1_000 * DAY:
        return "never"
    for size, unit, smaller, name in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", SECOND, "s")):
        many, rest = divmod(round(ms / smaller) * smaller, size)
        if many:
            return f"{many:.0f} {unit} {rest / smaller:.0f} {name}" if rest else f"{many:.0f} {unit}"
    return f"{ms / SECOND:.0f} s"


def awaited_text(
    have: int, needed: int, step_ms: int, into_bar_ms: int, *, coming: bool = True, ended: str = ""
) -> str:
    """Write how many bars there are of those needed, and when the rest will be: 37 of 60 bars; ready in 23 s.

    Args:
        have: so many bars there are.
        needed: so many it takes.
        step_ms: the length of a bar.
        into_bar_ms: how much of the bar that is forming has passed.
        coming: whether both legs trade.
        ended: when the trades of a leg that nobody records end.
    """
    if have >= needed:
        return ""
    if ended:
        return f"{have:,} of {needed:,} bars: the trades end on {ended}; choose other bars, or a shorter window"
    if not coming:
        return f"{have:,} of {needed:,} bars; the rest comes when both legs trade again"
    left = max(0, (needed - have) * step_ms - into_bar_ms)
    return f"{have:,} of {needed:,} bars; ready in {length_text(math.ceil(left / SECOND) * SECOND)}"
