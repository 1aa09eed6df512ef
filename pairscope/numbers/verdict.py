"""What the numbers of a pair mean for one who wants to trade it, in plain words, each with its reason."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from market import Timeframe

Word = Literal[
    "not enough data",
    "cannot be judged",
    "not proven",
    "not cointegrated",
    "unstable",
    "stale",
    "edge not known",
    "costs eat it",
    "tradeable, with doubts",
    "tradeable, small edge",
    "tradeable",
]

SIGNIFICANT = 0.05
GOOD_POWER = 0.8
COMFORT = 2.0
"""A move that pays its costs twice leaves room for what the model does not know."""

MISSING_SHARE = 0.05
"""More missing bars than this share, or bars left out, are a reason for doubt."""

STALE_BARS = 2
ENOUGH_TRIPS = 5
"""So many completed round trips say more of the edge than its formula does."""


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
    edge_bp: float
    """What a round trip is believed to earn after costs: see `known_edge`."""

    @property
    def sentence(self) -> str:
        """The verdict and its gravest reason."""
        against = [reason.text for reason in self.reasons if reason.ok is not True]
        return f"{self.word}: {against[0]}" if against else self.word


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
    def removed(self) -> int: ...
    @property
    def gap_bars(self) -> int: ...
    @property
    def coint_pvalue(self) -> float: ...
    @property
    def coint_reason(self) -> str: ...
    @property
    def window(self) -> int: ...
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
    def break_reason(self) -> str: ...
    @property
    def edge_bp(self) -> float: ...
    @property
    def cost_bp(self) -> float: ...
    @property
    def realised_bp(self) -> float: ...
    @property
    def realised_trips(self) -> int: ...
    @property
    def age_bars(self) -> float: ...


def judge_pair(found: Findings) -> Verdict:
    """Return the verdict on a pair, the gravest reason first."""
    reasons = tuple(sorted(_reasons(found), key=lambda reason: _GRAVITY[reason.ok]))
    return Verdict(_word(found, reasons), reasons, known_edge(found))


_GRAVITY = {False: 0, None: 1, True: 2}


def _word(found: Findings, reasons: tuple[Reason, ...]) -> Word:
    if found.n < found.needed:
        return "not enough data"
    if math.isnan(found.coint_pvalue):
        return "cannot be judged"
    if found.coint_pvalue >= SIGNIFICANT or not found.mean_reverting:
        return "not cointegrated" if found.power >= GOOD_POWER else "not proven"
    if found.break_pvalue < SIGNIFICANT:
        return "unstable"
    if found.age_bars > STALE_BARS:
        return "stale"
    edge = known_edge(found)
    if math.isnan(edge):
        return "edge not known"
    if edge <= 0:
        return "costs eat it"
    doubts = {reason.about for reason in reasons if reason.ok is not True}
    if not doubts:
        return "tradeable"
    return "tradeable, small edge" if doubts == {"edge"} else "tradeable, with doubts"


def known_edge(found: Findings) -> float:
    """Return what a round trip earns after costs, in bp: by the formula, or by past trips where these say less.

    The formula supposes that mean and beta stand still while the spread comes back; past trips know that they do not.
    """
    realised = found.realised_bp - found.cost_bp if found.realised_trips >= ENOUGH_TRIPS else math.nan
    return float(min((edge for edge in (found.edge_bp, realised) if not math.isnan(edge)), default=math.nan))


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
        return Reason("data", False, f"{found.n:,} of {found.needed:,} bars are there")
    if found.missing_share > MISSING_SHARE:
        return Reason("data", None, f"the legs lack {found.missing_share:.0%} of each other's bars")
    if found.removed > MISSING_SHARE * (found.n + found.removed):
        return Reason("data", None, f"{found.removed:,} bars of too little volume were left out, {found.n:,} stayed")
    if found.coint_pvalue < SIGNIFICANT:
        return Reason("data", True, f"{found.n:,} bars were enough to find it")
    if math.isnan(found.power):
        return Reason("data", None, f"{found.n:,} bars; what they could have found is not known")
    enough = found.power >= GOOD_POWER
    what = f"a half-life of {found.window} bars (the window) is found in {found.n:,} bars with power {found.power:.2f}"
    return Reason("data", enough or None, what if enough else f"{what}: too few to rule it out")


def _cointegration(found: Findings) -> Reason:
    if math.isnan(found.coint_pvalue):
        return Reason("cointegration", None, f"cointegration could not be tested: {found.coint_reason}")
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
        return Reason("stability", None, f"whether the hedge ratio holds is not known: {found.break_reason}")
    if found.break_pvalue < SIGNIFICANT:
        return Reason(
            "stability", False, f"the hedge ratio changed near {found.break_time}, p {found.break_pvalue:.3g}"
        )
    return Reason("stability", True, f"no change of the hedge ratio found, p {found.break_pvalue:.2g}")


def _edge(found: Findings) -> Reason:
    edge, trips = known_edge(found), found.realised_trips
    if math.isnan(edge):
        return Reason("edge", None, f"the edge is not known: {trips} of {ENOUGH_TRIPS} round trips are completed")
    past = f"; {trips} past trips earned {found.realised_bp:+z.1f} bp before costs" if trips >= ENOUGH_TRIPS else ""
    text = f"edge {edge:+z.1f} bp after {found.cost_bp:.1f} bp costs{past}"
    if edge <= 0:
        return Reason("edge", False, text)
    return Reason("edge", edge >= (COMFORT - 1) * found.cost_bp or None, text)


def _freshness(found: Findings) -> Reason:
    if not found.n:
        return Reason("freshness", None, "no closed bar of both legs")
    gaps = f"{found.gap_bars:,} bars overlap a gap in the trades" if found.gap_bars else "no open gap"
    if found.age_bars > STALE_BARS:
        span = Timeframe.parse(found.timeframe)
        return Reason("freshness", False, f"the last closed bar is {found.age_bars:.0f} bars of {span} old; {gaps}")
    if math.isnan(found.age_bars):
        return Reason("freshness", not found.gap_bars or None, f"as of the last bar; {gaps}")
    return Reason("freshness", not found.gap_bars or None, f"fresh; {gaps}")
