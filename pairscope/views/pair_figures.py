"""The key figures of a pair: one number each, with its unit, how certain it is, and what it means."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pairscope.methodology import tooltip
from pairscope.views.cards import Card
from pairscope.views.figures import Units
from pairscope.views.notices import inert
from pairscope.views.numerals import digits_of, length_text, number_text, p_text, signed_text
from pairscope.views.states import counted

if TYPE_CHECKING:
    from analytics import PairAnalysis, PairSummary

LINE = 60
"""So many bars back from the last one the small lines in the cards reach."""

NAMES = ("z-score", "Spread", "Hedge β", "Half-life", "Cointegration p", "Correlation", "Edge after costs", "Bars")


def cards_of(found: "PairAnalysis", units: tuple[Units, Units], *, missing: str = "") -> list[Card]:
    """Return the eight key figures; `missing` says what is awaited where there are not enough bars."""
    summary, bars, log = found.summary, found.joined.closed, found.options.log
    zscore, spread = found.columns["zscore"][bars], found.columns["spread"][bars]
    spread_unit = "log" if log else inert(units[0].quote)
    beta_unit = "log" if log else f"{inert(units[1].base)}/{inert(units[0].base)}"
    wait = missing or "not known"
    return [
        Card(
            "z-score, σ", signed_text(summary.zscore, 2), moved_text(zscore, wait), tooltip("zscore"),
            _line(zscore),
        ),
        Card(
            f"Spread, {spread_unit}", signed_text(summary.spread, digits_of(summary.std)),
            _known(f"σ {summary.std:.{digits_of(summary.std)}f}", summary.std, wait), tooltip("spread"),
            _line(spread),
        ),
        Card(
            f"Hedge β, {beta_unit}", number_text(summary.beta, 4), beta_range(summary, wait),
            f"{tooltip('beta')} Here of all {summary.n:,} bars; the line in the chart ends at "
            f"{number_text(summary.window_beta, 4)}.",
        ),
        _half_life(found, wait),
        Card("Cointegration p", p_text(summary.coint_pvalue), _tied(summary, wait), tooltip("coint_pvalue")),
        Card(
            "Correlation", number_text(summary.correlation, 2, fixed=True),
            _known(f"returns, {summary.window:,} bars", summary.correlation, wait), tooltip("correlation"),
        ),
        Card(
            "Edge after costs", "–" if math.isnan(found.verdict.edge_bp) else f"{found.verdict.edge_bp:+z.1f} bp",
            _known(f"after {summary.cost_bp:.1f} bp costs", found.verdict.edge_bp, wait),
            f"{tooltip('edge_bp')} {tooltip('realised_bp')}",
        ),
        _bars_used(summary),
    ]  # fmt: skip


def waiting_cards(beside: str, meaning: str) -> list[Card]:
    """Return the key figures while none is known."""
    return [Card(name, "–", beside, meaning) for name in NAMES]


def _bars_used(summary: "PairSummary") -> Card:
    lacks = max(summary.missing_y, summary.missing_x)
    doubts = {"missing": lacks, "over gaps": summary.gap_bars, "removed": summary.removed}
    said = " · ".join(f"{count:,} {word}" for word, count in doubts.items() if count)
    meaning = (
        f"Closed bars of {summary.timeframe} in which both legs traded; all tests use them. Below: bars that one leg "
        "lacks, that overlap a gap in the recording, that have too little volume."
    )
    return Card("Bars", f"{summary.n:,}", said or "none missing", meaning)


def _half_life(found: "PairAnalysis", wait: str) -> Card:
    summary, step = found.summary, found.joined.timeframe.ms
    low, high = summary.half_life_low, summary.half_life_high
    if not math.isnan(summary.half_life) and not summary.mean_reverting:
        beside = "does not come back"
    elif math.isnan(low):
        beside = wait if math.isnan(summary.half_life) else f"{summary.half_life:,.1f} bars"
    else:
        beside = f"{length_text(low * step)} to {length_text(high * step)}"
    meaning = f"{tooltip('half_life')} It is {number_text(summary.half_life, 3)} bars of {summary.timeframe}."
    return Card("Half-life", length_text(summary.half_life * step), beside, meaning)


def beta_range(summary: "PairSummary", wait: str) -> str:
    """Write the interval of beta in as many digits as tell its ends apart."""
    low, high = summary.beta_low, summary.beta_high
    if math.isnan(low) or math.isnan(high):
        return wait if math.isnan(summary.beta) else "no interval holds"
    digits = digits_of(high - low)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _tied(summary: "PairSummary", wait: str) -> str:
    if math.isnan(summary.coint_pvalue):
        return wait
    if summary.coint_pvalue < 0.05:
        return "cointegrated"
    return "not cointegrated" if summary.power >= 0.8 else "cannot tell yet"


def _line(column: NDArray[Any]) -> tuple[float, ...]:
    last = column[-LINE - 1 :]
    return tuple(last[np.isfinite(last)].tolist())


def moved_text(column: NDArray[Any], wait: str) -> str:
    """Write how far the last value is from the first known one of the bars before it, and how many bars that took."""
    last = column[-LINE - 1 :]
    known = np.flatnonzero(np.isfinite(last))
    if not len(known) or known[-1] != len(last) - 1:
        return wait
    bars = int(known[-1] - known[0])
    return f"{last[-1] - last[known[0]]:+z.2f} in {counted(bars, 'bar')}" if bars else "the first one"


def _known(text: str, value: float, wait: str) -> str:
    return wait if math.isnan(value) else text
