"""What the charts of the Explore page say now, in plain words."""

import math
from typing import TYPE_CHECKING

import numpy as np

from pairscope.charts.explore_lags import size_text
from pairscope.views.numerals import length_text, p_text
from pairscope.views.states import counted

if TYPE_CHECKING:
    from analytics import (
        Autocorrelation,
        BetaBreak,
        Correlation,
        CrossCorrelation,
        HayashiYoshida,
        JarqueBera,
        LagCurve,
        LagHeatmap,
        LeadLag,
        NormalQuantiles,
    )

Names = tuple[str, str]
"""What y and x are called."""

MOSTLY = 0.6
"""A larger share of the windows is called most of them."""


def p_words(p: float) -> str:
    """Write a p-value as it stands in a sentence: p 0.03, p < 0.001."""
    text = p_text(p)
    return f"p {text}"


def lead_sentence(found: "LeadLag", cross: "CrossCorrelation", names: Names, bar_ms: int) -> str:
    """Say which leg follows which, and by how much."""
    if cross.reason or cross.peak_lag is None or not found.leader:
        return f"No answer yet: {found.reason or cross.reason}."
    if found.leader == "neither":
        at = cross.peak_lag
        where = "at lag 0, within the same bar" if at == 0 else f"at lag {at:+d} (bound ±{bound_at(cross, at):.2f})"
        return f"Neither leg leads ({p_words(found.pvalue)}). The strongest correlation, {cross.peak:+.2f}, is {where}."
    follower, leader = names if found.leader == "x" else names[::-1]
    many = abs(found.lag)
    return (
        f"{follower} follows {leader} by {counted(many, 'bar')} ({length_text(many * bar_ms)}): correlation "
        f"{found.correlation:+.2f} there, bound ±{bound_at(cross, found.lag):.2f}, {p_words(found.pvalue)}."
    )


def bound_at(cross: "CrossCorrelation", lag: int) -> float:
    """Return how large a correlation at this lag may be by chance."""
    return float(cross.frame["high"].loc[lag])


def heat_sentence(found: "LagHeatmap", leader: "LeadLag", names: Names) -> str:
    """Say whether a lead lasts: in how many windows which side was the strongest.

    Windows overlap, and of 41 lags some side is the strongest by chance alone: a side is named only where the test of
    all bars names it, too.
    """
    whole = np.isfinite(found.matrix).all(axis=1)
    many, empty = int(whole.sum()), int((~whole).sum())
    lacking = f" {counted(empty, 'window')} with a missing bar left empty." if empty else ""
    if not many:
        return f"A window is {found.window:,} bars in a row in which both legs traded.{lacking}"
    best = found.lags[np.abs(found.matrix[whole]).argmax(axis=1)]
    proven = {"x": names[1], "y": names[0]}.get(leader.leader)
    sides = {"lag 0": int((best == 0).sum()), names[1]: int((best > 0).sum()), names[0]: int((best < 0).sum())}
    most = max(sides, key=lambda side: sides[side])
    share = f"in {sides[most]:,} of {counted(many, 'window')} of {found.window:,} bars"
    if sides[most] <= MOSTLY * many:
        return f"No side lasts: the strongest lag changes from window to window ({most} {share}).{lacking}"
    if most == "lag 0":
        return f"The strongest lag is 0 {share}: both move within the same bar.{lacking}"
    if most != proven:
        why = "which is not more than chance brings" if leader.leader else "which has not been tested"
        return f"No side lasts: {most} is the stronger side {share}, {why}.{lacking}"
    return f"{most} moves first {share}.{lacking}"


def size_sentence(by_size: "dict[int, Correlation]", by_pace: "dict[int, HayashiYoshida]") -> str:
    """Set the correlation of all trades beside that of short and long bars."""
    parts: list[str] = []
    every = by_pace.get(1)
    if every is not None and math.isfinite(every.correlation):
        between = "" if math.isnan(every.low) else f" ({every.low:.2f} to {every.high:.2f})"
        parts.append(f"All trades say {every.correlation:.2f}{between}, {every.n_y:,} and {every.n_x:,} of them")
    known = {size: each.value for size, each in by_size.items() if math.isfinite(each.low)}
    if known:
        ends = dict.fromkeys((min(known), max(known)))
        parts.append(", ".join(f"bars of {size_text(size)} {known[size]:.2f}" for size in ends))
    if parts:
        return "; ".join(parts) + "."
    return f"No answer yet: {every.reason if every and every.reason else 'too few trades of both legs'}."


def curve_sentence(found: "LagCurve", names: Names) -> str:
    """Say which leg's trades move first, and by how long."""
    if found.lead_lag_ms is None or not math.isfinite(found.peak):
        return f"No answer yet: {found.reason}."
    at = (
        "lag 0"
        if found.lead_lag_ms == 0
        else f"{'+' if found.lead_lag_ms > 0 else '−'}{size_text(abs(found.lead_lag_ms))}"
    )
    peak = f"of the lags looked at, the strongest correlation, {found.peak:+.2f}, is at {at}"
    if found.leader in ("x", "y"):
        leader = names[1] if found.leader == "x" else names[0]
        return f"{leader} moves first ({p_words(found.pvalue)}, ratio {found.ratio:.2f}): {peak}."
    return f"Neither leg's trades lead ({p_words(found.pvalue)}): {peak}."


def level_sentence(last: float, mean: float, std: float, unit: str, n: int, digits: int) -> str:
    """Say where the last residual stands among all of them."""
    if not std > 0:
        return f"No answer yet: {counted(n, 'bar')} of both legs."
    away = (last - mean) / std
    side, after = "above" if away >= 0 else "below", f" {unit}" if unit else ""
    where = f"{abs(away):.1f} σ {side} the mean of {counted(n, 'bar')}"
    return f"Now {last:+,.{digits}f}{after}, {where}; σ {std:,.{digits}f}{after}."


def shape_sentence(found: "JarqueBera", *, remembers: bool = False) -> str:
    """Say how the residuals differ from a normal.

    Args:
        found: skew and kurtosis, and what the test says.
        remembers: whether each value depends on those before it, as those of a spread do: the test is not for them.
    """
    if found.reason:
        return f"No answer yet: {found.reason}."
    excess = found.kurtosis - 3
    shape = f"skew {found.skew:+.2f}, excess kurtosis {excess:+.2f}"
    if remembers:
        return f"S{shape[1:]}; not tested, for its values depend on each other: see the changes for the test."
    shape = f"{shape} ({p_words(found.pvalue)})"
    if not found.rejects():
        return f"Nothing speaks against a normal: {shape}."
    tails = f"tails {'fatter' if excess > 0 else 'thinner'} than a normal's"
    return f"Not normal: {tails if abs(excess) > abs(found.skew) else 'lopsided'}; {shape}."


def tail_sentence(found: "NormalQuantiles", *, remembers: bool = False) -> str:
    """Say which end of the residuals leaves the band of a normal.

    Args:
        found: the residuals in order, beside those of a normal.
        remembers: whether each value depends on those before it, as those of a spread do: the band is not for them.
    """
    if found.reason:
        return f"No answer yet: {found.reason}."
    outside = float(np.mean((found.found < found.low) | (found.found > found.high)))
    lower, upper = found.found[0] - found.low[0], found.high[-1] - found.found[-1]
    ends = [name for name, room in (("low", lower), ("high", upper)) if room < 0]
    tails = f"the {' and the '.join(ends)} end too far out" if ends else "no end too far out"
    if remembers:
        band = "the band, which is for values that do not depend on each other"
        return f"{outside:.0%} of the points leave {band}; {tails}."
    return f"{outside:.0%} of the points leave the band of a normal (5 % may); {tails}."


def memory_sentence(found: "Autocorrelation", pvalue: float, bar_ms: int) -> str:
    """Say how long the residuals remember themselves."""
    if found.reason:
        return f"No answer yet: {found.reason}."
    quiet = np.abs(found.values) <= found.band
    many, inside = len(quiet), np.flatnonzero(quiet)
    first = f"{found.values[0]:+.2f} one bar later"
    test = f"Ljung-Box {p_words(pvalue)}"
    if len(inside) and inside[0] == 0:
        outside = f"{many - len(inside)} of {many} lags outside the band, by chance about {many / 20:.0f}"
        return f"No memory from one bar to the next ({first}, bound ±{found.band[0]:.2f}); {outside}; {test}."
    if not len(inside):
        return f"{first}, and outside the band over all {many} lags shown; {test}."
    lag = int(inside[0]) + 1
    return f"{first}; inside the band at lag {lag} for the first time ({length_text(lag * bar_ms)}); {test}."


def break_sentence(found: "BetaBreak", when: str, digits: int) -> str:
    """Say whether the hedge changed, and when."""
    if math.isnan(found.pvalue):
        return f"Whether it changed is not known: {found.reason}."
    figures = f"{p_words(found.pvalue)}, largest F {found.statistic:.1f}, critical {found.critical_values['5%']:.1f}"
    if not found.rejects():
        return f"No change of the hedge within these bars ({figures})."
    sides = f"β {found.beta_before:.{digits}f} before, {found.beta_after:.{digits}f} after"
    return f"The hedge changed at {when}: {sides} ({figures})."
