"""The pair analysis: one object that page, CSV, commands and API all show."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market import Floats, Instrument, WrongUse
from pairscope.kernels.kalman import START, State
from pairscope.kernels.kalman import walk as follow
from pairscope.kernels.signals import Position, Track, walk
from pairscope.numbers import kalman
from pairscope.numbers.costs import Costs, RoundTrip, costs_of, round_trip
from pairscope.numbers.examination import Examination, examine
from pairscope.numbers.hedge import HedgeMethod, HedgeRatio, rolling_hedge
from pairscope.numbers.joining import FLAGS, GAP, Joined, join, leg_of
from pairscope.numbers.rolling import correlation_of, fitted_lines, given_lines, rolling_moments
from pairscope.numbers.signals import FLAT, WHY, reasons, rules_of
from pairscope.numbers.spread import levels
from pairscope.numbers.summary import LEAST_BARS, Columns, Fit, Method, PairOptions, PairSummary, last_closed, summarize
from pairscope.numbers.trips import NO_TRIPS, completed_trips
from pairscope.numbers.verdict import Verdict, judge_pair

TESTS_AGE = 0.01
"""Tests of an earlier analysis are kept while the bars have changed by less than this share."""


@dataclass(frozen=True, eq=False)
class PairAnalysis:
    """All that is known of a pair.

    `columns` holds what varies in time by name, one value a bar; `frame` is the same for pandas. `state` is 1 for long
    the spread, -1 for short, 0 for flat, by z-scores that knew only their past when `fit` is "past".
    """

    y: Instrument
    x: Instrument
    options: PairOptions
    joined: Joined
    columns: Columns
    track: Track
    examination: Examination
    round_trip: RoundTrip
    summary: PairSummary
    verdict: Verdict
    changed: int
    """How many closed bars have changed since the tests were made."""

    filter: State | None
    """Where a Kalman filter stands after the last closed bar, the first `walked` rows."""

    walked: int

    @property
    def uses_future(self) -> bool:
        """Whether past values were computed with bars that came after them."""
        return self.options.fit == "whole"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """What varies in time, indexed by the start of each bar in UTC; `flags` says what is special about a bar."""
        index = pd.DatetimeIndex(self.joined.time.astype("datetime64[ms]"), tz="UTC", name="time")
        frame = pd.DataFrame(self.columns, index=index)
        frame["why"] = reasons(self.track)
        frame["flags"] = _flag_words(self.joined.flags)
        return frame

    def to_record(self) -> dict[str, Any]:
        """Return the summary and the verdict as plain values."""
        reasons = [asdict(reason) for reason in self.verdict.reasons]
        return {**asdict(self.summary), "verdict": self.verdict.word, "reasons": reasons}


def analyze_pair(
    bars_y: Any,
    bars_x: Any,
    *,
    window: int = 60,
    method: Method = "ols",
    fit: Fit = "past",
    log: bool = False,
    intercept: bool = True,
    fill: int = 0,
    minimum_volume: float = 0.0,
    entry: float = 2.0,
    exit: float = 0.5,  # noqa: A002 (the trader's word)
    stop: float | None = None,
    time_stop: int | None = None,
    costs: Costs | str | None = None,
    now_ms: int | None = None,
    previous: PairAnalysis | None = None,
) -> PairAnalysis:
    """Analyse a pair: join its bars by time, and say all that can be said of it.

    Args:
        bars_y, bars_x: Bars, closes of pandas indexed by time, or frames with a column ``close``.
        window: bars of the past that the hedge of each bar, and its z-score, know.
        method: how the hedge ratio is estimated.
        fit: "past", or "whole": one hedge for all bars, which past values could not have known.
        log: analyse the logarithms of the prices.
        intercept: whether the hedge has an alpha.
        fill: a leg without a bar takes its last close if that is at most so many bars old.
        minimum_volume: bars of less volume, in either leg, are left out and counted.
        entry, exit, stop: z-scores at which a position begins, ends, and is given up.
        time_stop: bars after which it is given up.
        costs: what a trade of a leg costs, or the name of a preset; by default that of each leg's venue.
        now_ms: how late it is, for the age of the last bar; by default the end of the last bar.
        previous: an earlier analysis with the same options; what did not change since is not computed again. Its tests
            are kept until 1 % of the bars have changed; `summary.tested_end` says what they saw.

    Raises:
        WrongUse: for options that make no sense, and legs that cannot be joined.
    """
    options = PairOptions(
        window=window, method=method, fit=fit, log=log, intercept=intercept, fill=fill, minimum_volume=minimum_volume,
        entry=entry, exit=exit, stop=stop, time_stop=time_stop, costs=costs,
    )  # fmt: skip
    leg_y, leg_x = leg_of(bars_y, "y"), leg_of(bars_x, "x")
    if leg_y.instrument == leg_x.instrument:
        raise WrongUse(f"both legs are {leg_y.instrument}; expected two different symbols")
    joined = join(leg_y, leg_x, fill=fill, minimum_volume=minimum_volume)
    y, x = levels(joined.y, joined.x, log=log)
    about = options, leg_y.instrument, leg_x.instrument
    kept = previous if previous is not None and (previous.options, previous.y, previous.x) == about else None
    same = _same_rows(joined, kept)
    old = _resumed(kept, same)
    changed = len(joined) if kept is None else kept.changed + _changes(kept.joined, joined, same)
    if kept is None or fit == "whole" or kept.examination.n < LEAST_BARS or changed > TESTS_AGE * len(joined):
        examination, changed = _examine(joined, y, x, options), 0
    else:
        examination = kept.examination
    columns, state, walked = _columns(joined, y, x, options, examination.hedge, kept, old)
    track = _track(columns["zscore"], joined, options, kept, old)
    columns["state"] = track.state
    trip = _round_trip(columns, joined, options, (leg_y.instrument.venue, leg_x.instrument.venue))
    trips = completed_trips(y, x, columns["beta"], track.state, log=log) if fit == "past" else NO_TRIPS
    last = last_closed(joined)
    why = "" if last is None else WHY[track.why[last]]
    summary = summarize(
        leg_y.instrument, leg_x.instrument, options, joined, columns, why, examination, trip, trips, now_ms
    )
    return PairAnalysis(
        leg_y.instrument, leg_x.instrument, options, joined, columns, track, examination, trip, summary,
        judge_pair(summary), changed, state, walked,
    )  # fmt: skip


def _changes(before: Joined, joined: Joined, same: slice) -> int:
    """Count the closed rows that came, went or changed; the forming bar changes all the time, and is not tested."""
    many = same.stop - same.start
    return max(int(before.closed.sum()), int(joined.closed.sum())) - int(joined.closed[:many].sum())


def _examine(joined: Joined, y: Floats, x: Floats, options: PairOptions) -> Examination:
    """Test the closed bars."""
    closed = joined.closed
    method: HedgeMethod = "ols" if options.method == "kalman" else options.method
    return examine(
        y[closed], x[closed], joined.time[closed],
        method=method, log=options.log, intercept=options.intercept, window=options.window,
    )  # fmt: skip


def _same_rows(joined: Joined, kept: PairAnalysis | None) -> slice:
    """Return which rows of an earlier analysis are the first rows of this one."""
    if kept is None or not len(joined) or not len(kept.joined):
        return slice(0, 0)
    before = kept.joined
    start = int(np.searchsorted(before.time, joined.time[0]))
    many = min(len(before) - start, len(joined))
    old = slice(start, start + many)
    same = (before.time[old] == joined.time[:many]) & (before.y[old] == joined.y[:many])
    same &= (before.x[old] == joined.x[:many]) & (before.flags[old] == joined.flags[:many])
    changed = np.flatnonzero(~same)
    good = int(changed[0]) if len(changed) else many
    return slice(start, start + good)


def _resumed(kept: PairAnalysis | None, same: slice) -> slice:
    """Return the rows that may stay as they are, however they were come by.

    A row of a moving window depends on its window alone. A Kalman filter goes on from where it stood after the last
    closed bar. When bars fell off at the beginning, the first rows know less than they did: what they said was true
    then, and stays.
    """
    if kept is None or kept.options.fit == "whole":
        return slice(0, 0)
    if kept.options.method != "kalman":
        return same
    return slice(same.start, kept.walked) if kept.filter and same.start < kept.walked <= same.stop else slice(0, 0)


def _columns(
    joined: Joined,
    y: Floats,
    x: Floats,
    options: PairOptions,
    hedge: HedgeRatio,
    kept: PairAnalysis | None,
    old: slice,
) -> tuple[Columns, State | None, int]:
    """Compute what varies in time, only for the bars that an earlier analysis does not hold.

    Returns:
        The columns; of a Kalman filter, where it stands after the last closed bar, and how many rows that are.
    """
    new = old.stop - old.start
    first = max(0, new - options.window)
    rows = slice(first, None)
    state, walked = None, 0
    if options.method == "kalman":
        lines, state, walked = _surprises(y, x, joined, options, kept, old)
    else:
        lines = _lines(y[rows], x[rows], options, hedge)
    fresh = {**lines, "correlation": correlation_of(joined.y[rows], joined.x[rows], options.window)}
    if kept is not None and new:
        fresh = {
            name: np.concatenate((kept.columns[name][old], column[new - first :])) for name, column in fresh.items()
        }
    return {"price_y": joined.y, "price_x": joined.x, **fresh}, state, walked


def _lines(y: Floats, x: Floats, options: PairOptions, hedge: HedgeRatio) -> Columns:
    """Return alpha, beta, spread and z-score of each bar by the method asked for."""
    window, intercept = options.window, options.intercept
    if options.fit == "whole":
        rows = np.ones(len(y))
        spread = y - hedge.alpha - hedge.beta * x
        line = {"alpha": hedge.alpha * rows, "beta": hedge.beta * rows, "spread": spread}
        return line | rolling_moments(spread, window)._asdict() | {"r2": hedge.r2 * rows}
    if options.method == "ols":
        return fitted_lines(y, x, window, intercept=intercept)._asdict()
    method: HedgeMethod = "ols" if options.method == "kalman" else options.method
    hedges = rolling_hedge(y, x, window=window, method=method, intercept=intercept).frame
    return given_lines(y, x, hedges["alpha"].to_numpy(), hedges["beta"].to_numpy(), window)._asdict()


def _surprises(
    y: Floats, x: Floats, joined: Joined, options: PairOptions, kept: PairAnalysis | None, old: slice
) -> tuple[Columns, State, int]:
    """Follow the Kalman hedge; its spread is what each bar surprised it by, scored against the last `window` ones."""
    whole, new = options.fit == "whole", old.stop - old.start
    intercept = options.intercept
    noise = kalman.likeliest(y, x, intercept=intercept) if whole else kalman.noise_of(intercept=intercept)
    last = last_closed(joined)
    walked = max(new, 0 if last is None else last + 1)
    begun = kept.filter if kept is not None and new and kept.filter else START
    closed, state = follow(y[new:walked], x[new:walked], noise, begun)
    forming, _ = follow(y[walked:], x[walked:], noise, state)
    first = max(0, new - options.window)
    found = dict(zip(kalman.Estimate._fields, np.concatenate((closed, forming), axis=1), strict=True))
    line = {name: found[name] for name in ("alpha", "beta", "beta_std")} | {"spread": found["innovation"]}
    if kept is not None and new:
        line = {name: np.concatenate((kept.columns[name][old][first:], column)) for name, column in line.items()}
    return line | rolling_moments(np.ascontiguousarray(line["spread"]), options.window)._asdict(), state, walked


def _track(zscore: Floats, joined: Joined, options: PairOptions, kept: PairAnalysis | None, old: slice) -> Track:
    """Walk along the z-scores; bars that an earlier analysis knows keep their positions, however they were come by."""
    rules = rules_of(entry=options.entry, exit=options.exit, stop=options.stop, time_stop=options.time_stop)
    fit = joined.closed & ((joined.flags & GAP) == 0)
    new = old.stop - old.start
    if kept is None or not new:
        return walk(zscore, fit, rules, FLAT)
    known = Track(*(column[old] for column in kept.track))
    last = Position(*(int(column[-1]) for column in known[:4]))
    fresh = walk(zscore[new:], fit[new:], rules, last)
    return Track(*(np.concatenate(parts) for parts in zip(known, fresh, strict=True)))


def _round_trip(columns: Columns, joined: Joined, options: PairOptions, venues: tuple[str, str]) -> RoundTrip:
    """Return what a trip from entry to exit would earn and cost as of the last closed bar."""
    last = last_closed(joined)
    costs_y, costs_x = (costs_of(options.costs, venue) for venue in venues)
    if last is None:
        return RoundTrip(math.nan, math.nan)
    beta = abs(float(columns["beta"][last]))
    price_y, price_x = (1.0, 1.0) if options.log else (float(joined.y[last]), float(joined.x[last]))
    move = (options.entry - options.exit) * float(columns["std"][last])
    return round_trip(move=move, notional_y=price_y, notional_x=beta * price_x, costs_y=costs_y, costs_x=costs_x)


def _flag_words(flags: NDArray[np.uint8]) -> Any:
    """Return flags as a categorical of words, such as "gap klines"."""
    words = [" ".join(name for place, name in enumerate(FLAGS) if code >> place & 1) for code in range(1 << len(FLAGS))]
    return pd.Categorical.from_codes(flags.astype(np.int8), dtype=pd.CategoricalDtype(words))
