"""Every test and measure of a pair as a row of one table, with what it means in plain words."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairscope.views.numerals import length_text, number_text, p_text

if TYPE_CHECKING:
    from analytics import Examination, HypothesisTest, Johansen

Names = tuple[str, str]
"""What y and x are called."""

ENOUGH = 0.8
"""From this power on, "not found" says something."""

TIED = "the spread reverts, the legs are tied together"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was tested, what came out, its figures as text, and what it supposes."""

    entry: str
    """Its entry in docs/methodology.md."""

    test: str
    meaning: str
    statistic: str
    p: str
    critical: str
    lags: str
    n: str
    null: str


def findings_of(
    found: "Examination", wandering: "tuple[HypothesisTest, HypothesisTest]", names: Names, *, window: int, bar_ms: int,
    break_text: str,
) -> list[Finding]:  # fmt: skip
    """Return all tests and measures, the legs first, then both together, then the spread.

    Args:
        found: what the tests found.
        wandering: the Phillips-Perron tests of y and x.
        names: what y and x are called.
        window: bars of the half-life that the power is about.
        bar_ms: the length of a bar.
        break_text: when the hedge changed.
    """
    return [
        *_of_legs(found, wandering, names),
        *_of_both(found),
        *_of_spread(found, break_text),
        *_measures(found, window, bar_ms),
    ]


def _of_legs(
    found: "Examination", wandering: "tuple[HypothesisTest, HypothesisTest]", names: Names
) -> Iterator[Finding]:
    for title, entry, tests in (
        ("ADF", "adf", (found.adf_y, found.adf_x)),
        ("Phillips-Perron", "phillips_perron", wandering),
    ):
        for test, name in zip(tests, names, strict=True):
            words = (f"{name} reverts by itself", f"{name} may wander, as prices do")
            yield _tested(test, entry, f"{title}, {name}", *words)
    for test, name in zip((found.kpss_y, found.kpss_x), names, strict=True):
        words = (f"{name} wanders, as prices do", f"{name} may stay around a mean")
        yield _tested(test, "kpss", f"KPSS, {name}", *words, p=_bounded(test))


def _bounded(found: "HypothesisTest") -> str:
    """Write the p of a table that ends: below its least or above its largest, only that is known."""
    side = {"above": "> ", "below": "< "}.get(getattr(found, "pvalue_bound", ""), "")
    return f"{side}{found.pvalue:.2f}" if side else p_text(found.pvalue)


def _of_both(found: "Examination") -> Iterator[Finding]:
    apart = _not_tied(found.power)
    test = found.cointegration
    yield _tested(test, "engle_granger", f"Engle-Granger, {test.direction}", TIED, apart)
    yield _tested(found.phillips_ouliaris, "phillips_ouliaris", "Phillips-Ouliaris", TIED, apart)
    yield from _johansen(found.johansen, apart)


def _not_tied(power: float) -> str:
    if power >= ENOUGH:
        return "no tie, though the bars could have shown one"
    return f"too few bars to tell (power {power:.2f})"


def _johansen(found: "Johansen", apart: str) -> Iterator[Finding]:
    """Return what Johansen's two statistics say, each of "no relation" against some; they have no p."""
    words = (f"not rejected: {apart}", f"rejected: {TIED}", "rejected twice: both legs revert by themselves")
    for title, entry, statistics, critical, rank in (
        ("trace", "trace", found.trace, found.trace_critical, found.rank_trace),
        (
            "max. eigenvalue", "max_eigenvalue", found.max_eigenvalue, found.max_eigenvalue_critical,
            found.rank_max_eigenvalue,
        ),
    ):  # fmt: skip
        known = rank is not None
        yield Finding(
            entry, f"Johansen, {title}", words[min(rank, 2)] if rank is not None else f"no answer: {found.reason}",
            number_text(statistics[0], 2, fixed=True) if known else "–", "–",
            number_text(critical[0]["5%"], 2, fixed=True) if known else "–", str(found.lags) if known else "–",
            f"{found.n:,}" if known else "–", "no relation ties the legs together",
        )  # fmt: skip


def _of_spread(found: "Examination", break_text: str) -> Iterator[Finding]:
    ratio, shape, change = found.variance_ratio, found.jarque_bera, found.beta_break
    side = "are taken back" if ratio.ratio < 1 else "go on"
    yield _tested(
        ratio, "variance_ratio", "Variance ratio, spread", f"moves of the spread {side} (ratio {ratio.ratio:.2f})",
        f"the spread may be a random walk (ratio {ratio.ratio:.2f})", sign="±",
    )  # fmt: skip
    yield _tested(
        found.ljung_box, "ljung_box", "Ljung-Box, changes", "changes remember: reversion or bid-ask bounce",
        "changes of the spread have no memory",
    )  # fmt: skip
    yield _tested(
        shape, "jarque_bera", "Jarque-Bera, changes",
        f"changes are not normal (excess kurtosis {shape.kurtosis - 3:+.1f})", "changes of the spread may be normal",
    )  # fmt: skip
    yield _tested(
        change, "beta_break", "Change of the hedge",
        f"β {change.beta_before:.4g} became {change.beta_after:.4g} at {break_text}", "one hedge fits all bars",
    )  # fmt: skip


def _tested(
    found: "HypothesisTest", entry: str, title: str, rejected: str, kept: str, *, p: str = "", sign: str = ""
) -> Finding:
    verdict, known = found.rejects(), not math.isnan(found.statistic)
    if verdict is None:
        meaning = f"no answer: {found.reason}"
    else:
        meaning = f"rejected: {rejected}" if verdict else f"not rejected: {kept}"
    least = found.critical_values.get("5%", math.nan)
    return Finding(
        entry, title, meaning, number_text(found.statistic, 2, fixed=True), p if p and known else p_text(found.pvalue),
        "–" if math.isnan(least) else f"{sign}{least:.2f}", str(found.lags) if known else "–",
        f"{found.n:,}" if known else "–", found.null,
    )  # fmt: skip


def _measures(found: "Examination", window: int, bar_ms: int) -> Iterator[Finding]:
    """Return what is estimated, not tested; the interval stands in the words."""
    back, speed, walk, n = found.half_life, found.ou, found.hurst, found.n
    ends = f"{length_text(back.low * bar_ms)} to {length_text(back.high * bar_ms)}"
    yield _measured(
        "half_life", "Half-life, bars", number_text(back.half_life, 3), back.n,
        back.reason if math.isnan(back.half_life) else
        f"half of a deviation is gone in {length_text(back.half_life * bar_ms)} ({ends})",
    )  # fmt: skip
    lost, least, most = (-math.expm1(-each) for each in (speed.theta, speed.theta_low, speed.theta_high))
    yield _measured(
        "theta", "OU speed θ, per bar", number_text(speed.theta, 3), speed.n,
        speed.reason if math.isnan(lost) else f"a bar takes {lost:.1%} of a deviation away ({least:.1%} to {most:.1%})",
    )  # fmt: skip
    yield _measured(
        "stationary_std", "OU long-run σ of the spread", number_text(speed.stationary_std, 4), speed.n,
        speed.reason if math.isnan(speed.stationary_std) else
        f"the spread strays so far from its mean, {number_text(speed.mu, 3)}",
    )  # fmt: skip
    yield _measured(
        "hurst", "Hurst exponent", number_text(walk.exponent, 2, fixed=True), walk.n,
        walk.reason if math.isnan(walk.exponent) else
        f"{_hurst_words(walk.low, walk.high)} ({walk.low:.2f} to {walk.high:.2f}; 0.5 is a random walk)",
    )  # fmt: skip
    worth = found.effective_n
    yield _measured(
        "effective_n", "Effective sample size", "–" if math.isnan(worth) else f"{worth:,.0f}", n,
        "" if math.isnan(worth) else f"the mean of {n:,} bars is worth that of {worth:,.0f} independent values",
    )  # fmt: skip
    yield _measured(
        "power", "Power of Engle-Granger", number_text(found.power, 2, fixed=True), n,
        f"the chance to find a half-life of one window ({window:,} bars)",
    )  # fmt: skip


def _hurst_words(low: float, high: float) -> str:
    return "moves are taken back" if high < 0.5 else "moves go on" if low > 0.5 else "a random walk is possible"


def _measured(entry: str, title: str, value: str, n: int, meaning: str) -> Finding:
    words = f"no answer: {meaning or 'not enough bars'}" if value == "–" else meaning
    return Finding(entry, title, words, value, "–", "–", "–", f"{n:,}", "–")
