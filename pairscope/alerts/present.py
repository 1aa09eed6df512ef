"""Judging what is not of bars: every trade of one symbol, and the state of a feed at each second."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from market import SECOND, Gap, Instrument, Tick
from pairscope.alerts.holding import Place, Seen, Skipped, decide
from pairscope.alerts.judging import Round
from pairscope.alerts.metrics import tick_rows
from pairscope.alerts.rules import Verdict
from pairscope.alerts.tape import Tapes, missing_words
from pairscope.recording.health import SymbolHealth

TRADES_A_ROUND = 50_000
"""So many trades of one symbol are judged at once."""

SOUND = ("live", "quiet", "repairing")
"""States in which no sound data are missed now."""

RESTING = ("paused", "stopped", "waiting")
"""States of which nothing is known: nobody wants data, or none came yet."""


class TradeTarget:
    """One symbol on every trade, and where each of its rules stands."""

    def __init__(self, instrument: Instrument, tapes: Tapes, places: Sequence[Place]) -> None:
        self.legs, self.places = (instrument,), tuple(places)
        self.instrument = instrument
        self._tapes = tapes
        self._seen = -1
        tapes.watch_trades(instrument)

    def forget_progress(self) -> None:
        """Look at every place again in the next round."""
        self._seen = -1

    def judge(self, now: Round) -> None:
        """Judge the trades that were stored since the last round, in the order of time."""
        commits = self._tapes.commits(self.instrument)
        if commits == self._seen:
            return
        self._begin(now)
        begun = [place for place in self.places if place.through_ms is not None]
        if not begun:
            return
        gaps = now.store.gaps(self.instrument, state="open")
        start = min(place.through_ms or 0 for place in begun)
        batches = now.store.ticks(self.instrument, start)
        trades = list(islice((tick for batch in batches for tick in batch), TRADES_A_ROUND))
        gaps += now.store.gaps(self.instrument, state="open")  # one may have been opened, or filled, meanwhile
        stopped = [self._judge_place(now, place, trades, gaps) for place in begun]
        if len(trades) == TRADES_A_ROUND and not all(stopped):
            now.more = True
        else:
            self._seen = commits

    def _judge_place(self, now: Round, place: Place, trades: Sequence[Tick], gaps: Sequence[Gap]) -> bool:
        """Judge trades up to the first open gap; return whether there is one."""
        ahead = [gap for gap in gaps if gap.last_id > place.last_id]
        gap = min(ahead, key=lambda each: each.first_id, default=None)
        if place.skipped and (gap is None or place.skipped[0].context_ms != gap.first_id):
            self._go_on(now, place)
        sound = trades if gap is None else _before(trades, gap)
        self._walk(now, place, sound)
        if gap is not None:
            self._stop_at(now, place, gap, trades[len(sound) :])
        return gap is not None

    def _go_on(self, now: Round, place: Place) -> None:
        """Go on behind a gap that is open no more; what was not filled breaks a duration."""
        [stop] = place.skipped
        lost = now.store.gaps(self.instrument, state="abandoned")
        if any(gap.start_ms <= stop.to_ms and gap.end_ms >= stop.from_ms for gap in lost):
            place.state = place.state.broken()
        place.skipped.clear()
        now.note(place, judged=(stop.held_ms, now.now_at[self.instrument.venue]))

    def _begin(self, now: Round) -> None:
        """Let each new rule begin after the trade that was the last one when it was made."""
        fresh = [place for place in self.places if place.through_ms is None or place.off]
        if not fresh:
            return
        newest = now.store.latest().get(self.instrument)
        for place in fresh:
            if newest is None:
                continue
            known = place.asked_ms >= newest.time_ms or place.through_ms is None
            place.through_ms = max(place.through_ms or 0, min(place.asked_ms, newest.time_ms))
            place.last_id = newest.trade_id if known and place.through_ms == newest.time_ms else place.last_id
            place.off, place.unsaved = False, True

    def _walk(self, now: Round, place: Place, trades: Sequence[Tick]) -> None:
        through = (place.through_ms or 0, place.last_id)
        left = [tick for tick in trades if (tick.time_ms, tick.trade_id) > through]
        if not left:
            return
        step, prices = place.judge.step, tick_rows(left).values["price"].tolist()
        now.steps += len(left)
        for tick, price in zip(left, prices, strict=True):
            before = place.state
            state, verdict = step(before, tick.time_ms, {"price": price})
            if state is before:
                continue
            place.state = state
            if state.armed and not before.armed:
                now.note(place, over_ms=tick.time_ms)
            if verdict is not None:
                now.note(place, decide(place, self._told(now, tick), before, verdict))
        place.through_ms, place.last_id, place.unsaved = left[-1].time_ms, left[-1].trade_id, True

    def _stop_at(self, now: Round, place: Place, gap: Gap, after: Sequence[Tick]) -> None:
        """Wait for the trades of a gap; tell once if the condition seems to hold behind it."""
        if not place.skipped:
            place.skipped = [Skipped(gap.start_ms, gap.end_ms, gap.first_id, place.state)]
            place.unsaved = True
        [stop] = place.skipped
        if stop.held_ms is not None or not place.state.armed:
            return
        for tick in after:
            found = place.judge.met({"price": tick.price}, place.state.before)
            if found is not None:
                place.skipped = [replace(stop, held_ms=tick.time_ms)]
                verdict = Verdict("held", missing_words(gap), found)
                now.note(place, decide(place, self._told(now, tick), place.state, verdict))
                return

    def _told(self, now: Round, tick: Tick) -> Seen:
        return Seen(
            time_ms=tick.time_ms,
            end_ms=tick.time_ms,
            values={"price": tick.price},
            start_ms=tick.time_ms,
            rows=1,
            label=now.label(self.instrument),
            now_ms=now.now_at[self.instrument.venue],
            trade_id=tick.trade_id,
        )


def _before(trades: Sequence[Tick], gap: Gap) -> list[Tick]:
    """Return the trades before a gap, in the order of time up to the first one behind it."""
    stop = next((at for at, tick in enumerate(trades) if tick.trade_id > gap.last_id), len(trades))
    return list(trades[:stop])


class FeedTarget:
    """What a feed is like now, judged once a second, and where each of its rules stands."""

    def __init__(self, legs: Sequence[Instrument], places: Sequence[Place]) -> None:
        self.legs, self.places = tuple(legs), tuple(places)
        self._second = 0
        self._since: dict[Instrument, int] = {}

    def forget_progress(self) -> None:
        """Look at every place again in the next round."""
        self._second = 0

    def judge(self, now: Round) -> None:
        """Judge the present, if a second has begun since the last time."""
        now_ms = now.now_at[self.legs[0].venue]
        second = now_ms - now_ms % SECOND
        if second <= self._second:
            return
        self._second = second
        values = {
            "stale": _worse([self._stale(now, leg, now_ms) for leg in self.legs]),
            "gap": float(len(now.open_gaps(self.legs, 0, 2**62))),
        }
        label = now.label(self.legs[0])
        seen = Seen(time_ms=second, end_ms=second, values=values, start_ms=second, rows=1, now_ms=now_ms, label=label)
        for place in self.places:
            self._step(now, place, seen)

    def _step(self, now: Round, place: Place, seen: Seen) -> None:
        place.off = False
        before = place.state
        state, verdict = place.judge.step(before, seen.end_ms, seen.values)
        place.through_ms = seen.end_ms
        if state is before:
            return
        place.state, place.unsaved = state, True
        if state.armed and not before.armed:
            now.note(place, over_ms=seen.end_ms)
        if verdict is not None:
            now.note(place, decide(place, seen, before, verdict))

    def _stale(self, now: Round, leg: Instrument, now_ms: int) -> float:
        """Return the seconds since there were sound data, 0 while there are, NaN where nobody can tell."""
        health = now.health.get(leg)
        if health is None or health.state in RESTING:
            return math.nan
        if health.state in SOUND:
            self._since.pop(leg, None)
            return 0.0
        since = self._since.setdefault(leg, now_ms)
        noticed = (now_ms - since) / SECOND
        return noticed if health.age_seconds is None else max(noticed, health.age_seconds)


def _worse(stale: Sequence[float]) -> float:
    """Return the longest of these times; what is not known may be anything."""
    known = [seconds for seconds in stale if not math.isnan(seconds)]
    worst = max(known, default=0.0)
    return worst if worst > 0 or len(known) == len(stale) else math.nan


def why_waiting(health: SymbolHealth | None) -> str:
    """Say why a leg has no new data, in words; nothing when it has."""
    if health is None:
        return "is not being recorded"
    if health.state in SOUND:
        return ""
    age = "" if health.age_seconds is None else f" for {health.age_seconds:.0f} s"
    return f"is {health.state}{age}" if health.state != "waiting" else "has no trade yet"
