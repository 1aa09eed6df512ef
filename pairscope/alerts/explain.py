"""Making a decision again from what is stored: what was seen then, what is seen now, and whether both are the same."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from market import Bars, Instrument, Tick, Timeframe, UnknownName, WrongUse, iso
from pairscope.alerts.holding import SAME_EXCURSION
from pairscope.alerts.metrics import METRICS, bars_before, rows_of, tick_rows
from pairscope.alerts.preview import openings
from pairscope.alerts.rules import TICK, Judge, Rule, RuleState, rule_of, sentence
from pairscope.alerts.wording import describe_pair, legs_of
from pairscope.sqlite.cache import FOREVER
from pairscope.stores.alerts import Decision, read_decision
from store import SqliteReader

TOLERANCE = 1e-9
"""Values are the same when they differ by no more than this part of them."""

MOST_TRADES = 2_000_000
"""Where a row is made of more trades than these, its bars are taken as stored."""

Source = Literal["trades", "bars", "ledger", "nothing"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One number that a condition saw: as recorded, and as made again; None is "not enough data"."""

    name: str
    recorded: float | None
    now: float | None
    same: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision made again.

    Args:
        decision: as it is kept.
        same: whether values and verdict come out the same.
        source: what it was made again from; `nothing`: that is not stored any more.
        values: the numbers, then and now.
        outcome: what is decided of it now; empty where that cannot be told.
        lines: all of it in words.
    """

    decision: Decision
    same: bool
    source: Source
    values: tuple[Seen, ...]
    outcome: str
    lines: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "id": self.decision.id,
            "rule_id": self.decision.rule_id,
            "target": self.decision.target,
            "time": iso(self.decision.end_ms),
            "outcome": self.decision.outcome,
            "same": self.same,
            "source": self.source,
            "outcome_now": self.outcome,
            "values": [asdict(each) for each in self.values],
            "lines": list(self.lines),
        }


@dataclass(frozen=True, slots=True)
class _Again:
    """What is seen now: the values, from what, and how that was had."""

    values: Mapping[str, float]
    source: Source
    words: tuple[str, ...]


def explain(reader: SqliteReader, id: int, *, now: int) -> Explanation:  # noqa: A002  # the word of the domain
    """Make a decision again from the stored trades, or from bars where those are gone, and compare.

    Args:
        reader: of the store.
        id: of the decision.
        now: the time, in epoch milliseconds.

    Raises:
        WrongUse: when there is no such decision, or its rule cannot be read any more.
    """
    decision = read_decision(reader, id)
    if decision is None:
        raise WrongUse(f"there is no decision {id}: `alerts history` lists them")
    rule = rule_of(decision.rule)
    judge = Judge(rule)
    again = _see_again(reader, decision, rule, judge, now)
    seen = tuple(_compared(decision, again, judge))
    state = RuleState.of_values(decision.inputs.get("state", {}))
    outcome = _judged_again(decision, judge, state, again)
    verdict_same = outcome == decision.outcome or again.source == "nothing"
    same = again.source != "nothing" and verdict_same and all(each.same for each in seen)
    lines = [
        f"rule {decision.rule_id}: {sentence(rule)}",
        f"{describe_pair(decision.target)} at {iso(decision.end_ms)}: {_told(decision)}",
        *again.words,
        *map(_line, seen),
        _verdict_line(decision, outcome),
        *([] if same else _reasons(reader, decision)),
    ]
    return Explanation(decision, same, again.source, seen, outcome, tuple(lines))


def _told(decision: Decision) -> str:
    late = ", late" if decision.late else ""
    return f"{decision.outcome}{late}" + (f" ({decision.reason})" if decision.reason else "")


def _see_again(reader: SqliteReader, decision: Decision, rule: Rule, judge: Judge, now: int) -> _Again:
    legs = [Instrument.parse(name, venue="") for name in legs_of(decision.target) if name]
    try:
        if any(METRICS[name].source == "feed" for name in judge.metrics):
            return _feed_again(reader, decision, legs)
        if rule.timeframe == TICK:
            return _trade_again(reader, decision, legs[0])
        return _row_again(reader, decision, rule, judge, legs, now)
    except UnknownName as error:
        return _Again({}, "nothing", (f"it cannot be made again: {error}",))


# ------------------------------------------------------------------------------------------- bars


def _row_again(
    reader: SqliteReader, decision: Decision, rule: Rule, judge: Judge, legs: Sequence[Instrument], now: int
) -> _Again:
    """Make the row of a bar again."""
    stored = _stored_bars(reader, decision, rule, judge, legs, now)
    trades = sum(int(leg.trades.sum()) for leg in stored)
    made = [_bars_again(reader, leg, decision.end_ms) if trades <= MOST_TRADES else _as_stored(leg) for leg in stored]
    bars = [each.bars for each in made]
    rows = rows_of(judge.metrics, rule, bars[0], bars[1] if len(bars) > 1 else None, since_ms=decision.bar_ms)
    words = tuple(each.words for each in made)
    if not len(rows) or int(rows.time[0]) != decision.bar_ms:
        return _Again({}, "nothing", (*words, f"the bar of {iso(decision.bar_ms)} is not stored any more"))
    values = {name: float(column[0]) for name, column in rows.values.items()}
    whole = "" if rows.whole[0] else "; trades are missing among them"
    source: Source = "trades" if all(each.only_trades for each in made) else "bars"
    return _Again(values, source, (*words[:-1], words[-1] + whole))


@dataclass(frozen=True, slots=True)
class _Made:
    bars: Bars
    only_trades: bool
    words: str


def _stored_bars(
    reader: SqliteReader, decision: Decision, rule: Rule, judge: Judge, legs: Sequence[Instrument], now: int
) -> list[Bars]:
    """Return the bars of each leg that the row is made of: of those before it, as many as this rule knows."""
    from pairscope.alerts.columns import match  # here, because pages must not wait for the numbers

    timeframe, end = Timeframe.parse(rule.timeframe), decision.end_ms
    start, now = int(decision.inputs["start_ms"]), max(now, end + timeframe.ms + 1_000)
    bars = [reader.bars(leg, timeframe, start, end, now=now) for leg in legs]
    times = match(rule, bars[0], bars[1] if len(bars) > 1 else None).time
    first = int(times.searchsorted(decision.bar_ms)) - bars_before(judge.metrics, rule)
    return [leg.between(int(times[first]), end) for leg in bars] if 0 < first < len(times) else bars


def _as_stored(stored: Bars) -> _Made:
    words = f"{stored.instrument.symbol}: {len(stored):,} bars taken as stored: more than {MOST_TRADES:,} trades"
    return _Made(stored, False, words)


def _bars_again(reader: SqliteReader, stored: Bars, end: int) -> _Made:
    """Fold stored trades into bars; take the stored bar where its trades are not there."""
    leg, start = stored.instrument, int(stored.time[0]) if len(stored) else end
    folded = fold_trades(stored, chain.from_iterable(reader.ticks(leg, start, end)))
    good = (folded.trades == stored.trades) & ~stored.klines
    columns = {
        name: np.where(good, column, getattr(stored, name)) for name, column in folded.columns().items()
    }  # fmt: skip
    count, kept = int(good.sum()), len(stored) - int(good.sum())
    words = f"{leg.symbol}: {count:,} bars made again from {int(folded.trades.sum()):,} trades"
    if kept:
        words += f", {kept:,} taken as stored: their trades are not kept, or a candle stands for them"
    return _Made(Bars(leg, stored.timeframe, *columns.values()), kept == 0, words)


def fold_trades(stored: Bars, ticks: Iterable[Tick]) -> Bars:
    """Return bars of the same times and marks, made of trades in the order of time; 0 trades where there are none."""
    columns = {name: column.copy() for name, column in stored.columns().items()}
    columns["trades"][:] = 0
    columns["forming"][:] = False
    at = {time: row for row, time in enumerate(stored.time.tolist())}
    length = stored.timeframe.ms
    sums: dict[int, list[float]] = {}
    for tick in ticks:
        row = at.get(tick.time_ms - tick.time_ms % length)
        if row is None:
            continue
        bar = sums.get(row)
        bought = {"buy": tick.qty, "sell": 0.0}.get(tick.side or "", math.nan)
        if bar is None:
            first = tick.price
            sums[row] = [first, first, first, first, tick.qty, first * tick.qty, bought, 1]
            continue
        bar[1], bar[2], bar[3] = max(bar[1], tick.price), min(bar[2], tick.price), tick.price
        bar[4] += tick.qty
        bar[5] += tick.price * tick.qty
        bar[6] += bought
        bar[7] += 1
    names = ("open", "high", "low", "close", "volume", "turnover", "buy_volume", "trades")
    for row, values in sums.items():
        for name, value in zip(names, values, strict=True):
            columns[name][row] = value
    return Bars(stored.instrument, stored.timeframe, *columns.values())


# ------------------------------------------------------------------------------ trades and feeds


def _trade_again(reader: SqliteReader, decision: Decision, leg: Instrument) -> _Again:
    """Find the trade again."""
    ticks = chain.from_iterable(reader.ticks(leg, decision.bar_ms, decision.bar_ms + 1))
    found = [tick for tick in ticks if tick.trade_id == decision.trade_id]
    if not found:
        return _Again({}, "nothing", (f"the trade {decision.trade_id} of {leg.symbol} is not stored any more",))
    price = float(tick_rows(found).values["price"][0])
    return _Again({"price": price}, "trades", (f"{leg.symbol}: the trade {decision.trade_id} as it is stored",))


def _feed_again(reader: SqliteReader, decision: Decision, legs: Sequence[Instrument]) -> _Again:
    """Count the gaps that the ledger says were open; how stale a feed was is told as it was recorded."""
    recorded = _recorded(decision)
    clock_ms = decision.inputs.get("clock_ms", decision.decided_ms)
    spans = openings(gap for leg in legs for gap in reader.gaps(leg))
    many = sum(opened <= clock_ms <= (FOREVER if closed is None else closed) for (_, opened), closed in spans.items())
    values = {"stale": recorded.get("stale", math.nan), "gap": float(many)}
    words = ("open gaps are counted in the ledger; how stale the data were is not stored, and told as it was recorded",)
    return _Again(values, "ledger", words)


# ----------------------------------------------------------------------------------- comparison


def _recorded(decision: Decision) -> dict[str, float]:
    """Return the values that were recorded; NaN where there was none."""
    given: Mapping[str, Any] = decision.inputs.get("metrics", {})
    return {name: math.nan if value is None else float(value) for name, value in given.items()}


def _compared(decision: Decision, again: _Again, judge: Judge) -> Iterable[Seen]:
    recorded = _recorded(decision)
    for name in sorted(judge.metrics):
        then, now = recorded.get(name, math.nan), again.values.get(name, math.nan)
        same = again.source != "nothing" and (
            (math.isnan(then) and math.isnan(now)) or math.isclose(then, now, rel_tol=TOLERANCE, abs_tol=1e-300)
        )
        yield Seen(name, _number(then), _number(now), same)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _judged_again(decision: Decision, judge: Judge, state: RuleState, again: _Again) -> str:
    """Return what the rule decides of the values now; empty where there are none."""
    if again.source == "nothing":
        return ""
    if decision.outcome == "held":
        return "held" if judge.met(again.values, state.before) else "nothing"
    _, verdict = judge.step(state, decision.end_ms, again.values)
    if verdict is None:
        return "nothing"
    if decision.reason.startswith(SAME_EXCURSION.format("")) and verdict.outcome == "fired":
        return "suppressed"  # what it would have told had been told already
    if verdict.outcome == "suppressed" == decision.outcome and verdict.reason != decision.reason:
        return verdict.reason
    return verdict.outcome


def _line(seen: Seen) -> str:
    words = METRICS[seen.name].words
    if seen.same:
        return f"{words}: {_text(seen.recorded)}, and the same again"
    return f"{words}: {_text(seen.recorded)} was recorded, it is {_text(seen.now)} now"


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.10g}" if math.isfinite(value) else "infinite"


def _verdict_line(decision: Decision, outcome: str) -> str:
    if not outcome:
        return "whether it would be decided the same cannot be told"
    if outcome == decision.outcome:
        return f"verdict: {decision.outcome}, and the same again"
    return f"verdict: {decision.outcome} was decided, it would be {outcome} now"


def _reasons(reader: SqliteReader, decision: Decision) -> Iterable[str]:
    """Say what came or went since the decision."""
    start = int(decision.inputs.get("start_ms", decision.bar_ms))
    for name in legs_of(decision.target):
        if not name:
            continue
        try:
            gaps = reader.gaps(name)
        except UnknownName:
            continue
        for gap in gaps:
            touches = gap.start_ms <= decision.end_ms and gap.end_ms >= start
            if touches and gap.closed_ms is not None and gap.closed_ms > decision.decided_ms:
                span = f"from {iso(gap.start_ms)} to {iso(gap.end_ms)}"
                yield f"since then the gap of {gap.instrument.symbol} {span} was closed: {gap.state}"
