"""What the numbers of a pair mean for one who wants to trade it, in plain words, each with its reason."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from market import Timeframe

Word = Literal[
    "not enough data",
    "not proven",
    "not cointegrated",
    "unstable",
    "costs eat it",
    "tradeable, small edge",
    "tradeable",
]

SIGNIFICANT = 0.05
GOOD_POWER = 0.8
COMFORT = 2.0
"""A move that pays its costs twice leaves room for what the model does not know."""

MISSING_SHARE = 0.05
"""More missing bars than this share are said to be a reason for doubt."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was looked at: `ok` is None where the data cannot tell."""

    about: Literal["data", "cointegration", "half-life", "stability", "edge", "freshness", "fit"]
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in a few words, and what it rests on."""

    word: Word
    reasons: tuple[Reason, ...]

    @property
    def sentence(self) -> str:
        """The verdict and its gravest reason."""
        against = [reason.text for reason in self.reasons if reason.ok is not True]
        return f"{self.word}: {against[0]}" if against and self.word != "tradeable" else self.word


class Findings(Protocol):
    """What a verdict is made of; the summary of a pair has it."""

    @property
    def n(self) -> int: ...
    @property
    def needed(self) -> int: ...
    @property
    def timeframe(self) -> str: ...
    @property
    def fit(self) -> str: ...
    @property
    def missing_share(self) -> float: ...
    @property
    def gap_bars(self) -> int: ...
    @property
    def coint_pvalue(self) -> float: ...
    @property
    def half_life(self) -> float: ...
    @property
    def half_life_low(self) -> float: ...
    @property
    def half_life_high(self) -> float: ...
    @property
    def mean_reverting(self) -> bool: ...
    @property
    def power(self) -> float: ...
    @property
    def break_pvalue(self) -> float: ...
    @property
    def break_time(self) -> str: ...
    @property
    def edge_bp(self) -> float: ...
    @property
    def cost_bp(self) -> float: ...
    @property
    def breakeven(self) -> float: ...
    @property
    def age_bars(self) -> float: ...


def judge_pair(found: Findings) -> Verdict:
    """Return the verdict on a pair, the gravest reason first."""
    reasons = tuple(_reasons(found))
    return Verdict(_word(found), tuple(sorted(reasons, key=lambda reason: _GRAVITY[reason.ok])))


_GRAVITY = {False: 0, None: 1, True: 2}


def _word(found: Findings) -> Word:
    if found.n < found.needed or math.isnan(found.coint_pvalue):
        return "not enough data"
    if found.coint_pvalue >= SIGNIFICANT or not found.mean_reverting:
        return "not cointegrated" if found.power >= GOOD_POWER else "not proven"
    if found.break_pvalue < SIGNIFICANT:
        return "unstable"
    if not found.edge_bp > 0:
        return "costs eat it"
    return "tradeable" if found.breakeven >= COMFORT else "tradeable, small edge"


def _reasons(found: Findings) -> Iterator[Reason]:
    yield _data(found)
    yield _cointegration(found)
    yield _half_life(found)
    yield _stability(found)
    yield _edge(found)
    yield _freshness(found)
    if found.fit == "whole":
        yield Reason("fit", None, "the hedge ratio was fitted on all bars: past signals use the future")


def _data(found: Findings) -> Reason:
    if found.n < found.needed:
        return Reason("data", False, f"{found.n:,} of {found.needed:,} bars; the rest is still to come")
    if found.missing_share > MISSING_SHARE:
        return Reason("data", None, f"one leg lacks {found.missing_share:.0%} of the bars")
    if math.isnan(found.power):
        return Reason("data", None, f"{found.n:,} bars; what they could have found is not known")
    enough = found.power >= GOOD_POWER
    rest = "" if enough else ": the sample is too short to rule it out"
    return Reason("data", enough or None, f"{found.n:,} bars find such a pair with power {found.power:.2f}{rest}")


def _cointegration(found: Findings) -> Reason:
    if math.isnan(found.coint_pvalue):
        return Reason("cointegration", None, "cointegration could not be tested")
    proven = found.coint_pvalue < SIGNIFICANT
    words = "cointegrated" if proven else "no cointegration found"
    return Reason("cointegration", proven, f"{words}, p {found.coint_pvalue:.3g} (Engle-Granger, both directions)")


def _half_life(found: Findings) -> Reason:
    if math.isnan(found.half_life):
        return Reason("half-life", None, "the half-life could not be estimated")
    if not found.mean_reverting:
        return Reason("half-life", False, "the spread does not come back")
    high = f"{found.half_life_high:.3g}" if math.isfinite(found.half_life_high) else "never"
    span = f"{found.half_life_low:.3g} to {high}" if not math.isnan(found.half_life_low) else "not known"
    certain = math.isfinite(found.half_life_high)
    return Reason("half-life", certain or None, f"half-life {found.half_life:.3g} bars (95 %: {span})")


def _stability(found: Findings) -> Reason:
    if math.isnan(found.break_pvalue):
        return Reason("stability", None, "too few bars to tell whether the hedge ratio holds")
    if found.break_pvalue < SIGNIFICANT:
        return Reason(
            "stability", False, f"the hedge ratio changed near {found.break_time}, p {found.break_pvalue:.3g}"
        )
    return Reason("stability", True, f"no change of the hedge ratio found, p {found.break_pvalue:.2g}")


def _edge(found: Findings) -> Reason:
    if math.isnan(found.edge_bp):
        return Reason("edge", None, "the edge is not known yet: the window is not full")
    text = f"edge {found.edge_bp:+.1f} bp after {found.cost_bp:.1f} bp costs"
    if found.edge_bp <= 0:
        return Reason("edge", False, text)
    return Reason("edge", found.breakeven >= COMFORT or None, f"{text}, {found.breakeven:.1f} times the costs")


def _freshness(found: Findings) -> Reason:
    gaps = f"{found.gap_bars:,} bars overlap a gap in the trades" if found.gap_bars else "no open gap"
    if found.age_bars > 2:
        span = Timeframe.parse(found.timeframe)
        return Reason("freshness", False, f"the last closed bar is {found.age_bars:.0f} bars of {span} old; {gaps}")
    return Reason("freshness", not found.gap_bars or None, gaps)
