"""Judging what is not of bars: every trade of one symbol, and the state of a feed at each second."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from market import MAX_ID, SECOND, Gap, Instrument, Tick
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


UNSEEN_MS = 10_000
"""When nobody looked at a feed for longer than this, or its time was set back, no duration spans that."""


class TradeTarget:
    """One symbol on every trade, and where each of its rules stands."""

    def __init__(self, instrument: Instrument, tapes: Tapes, places: Sequence[Place]) -> None:
        self.legs, self.places = (instrument,), tuple(places)
        self.instrument = instrument
        self._tapes = tapes
        self._seen = -1
        self._looked: dict[Place, int] = {}
        """Until when trades behind its gap were looked at for each rule that stands at one."""
        tapes.watch_trades(instrument)

    def judge(self, now: Round) -> None:
        """Judge the trades that were stored since the last round, in the order of time."""
        commits = self._tapes.commits(self.instrument)
        if commits == self._seen:
            return
        self._begin(now)
        begun = [place for place in self.places if place.through_ms is not None]
        gaps = self._gaps(now, begun)
        for place in begun:
            self._go_on(now, place, gaps)
        starts = {place: start for place in begun if (start := self._start(place)) is not None}
        trades = self._trades(now, min(starts.values())) if starts else []
        later = self._gaps(now, begun)  # one may have been opened, or filled, meanwhile
        gaps = later | {key: gap for key, gap in gaps.items() if gap.state == "open"}
        for place in starts:
            self._judge_place(now, place, trades, gaps.values())
        if len(trades) == TRADES_A_ROUND:
            now.more = True
        else:
            self._seen = commits

    def _gaps(self, now: Round, places: Sequence[Place]) -> dict[int, Gap]:
        """Return the gaps behind what the first of the rules has judged."""
        if not places:
            return {}
        known = min(place.last_id for place in places)
        return {gap.key: gap for gap in now.store.gaps(self.instrument, ids=(max(known, 0), MAX_ID))}

    def _trades(self, now: Round, start: int) -> list[Tick]:
        batches = now.store.ticks(self.instrument, start)
        return list(islice((tick for batch in batches for tick in batch), TRADES_A_ROUND))

    def _go_on(self, now: Round, place: Place, gaps: Mapping[int, Gap]) -> None:
        """Go on behind a gap that is open no more, or through trades that filled its beginning.

        What was told of a trade behind the gap is over only when no gap is open before that trade.
        """
        gap = _first_open(place, gaps.values())
        if place.skipped and (gap is None or place.skipped[0].context_ms != gap.first_id):
            [stop] = place.skipped
            place.skipped = []
            place.held = [] if stop.held_ms is None else [stop.held_ms]
            place.seen_ms = stop.held_ms or 0
            self._looked.pop(place, None)
            now.note(place)
        if place.held and (gap is None or gap.end_ms > place.held[0]):
            now.note(place, judged=(place.held.pop(), now.now_at[self.instrument.venue]))

    def _start(self, place: Place) -> int | None:
        """Return from when on a rule wants trades; None: it stands at a gap, and that was told of."""
        if not place.skipped:
            return place.through_ms
        [stop] = place.skipped
        if stop.held_ms is not None or not place.state.armed:
            return None
        return self._looked.get(place, stop.to_ms)

    def _judge_place(self, now: Round, place: Place, trades: Sequence[Tick], gaps: Collection[Gap]) -> None:
        """Judge trades up to the first open gap, and look at those behind it."""
        gap = _first_open(place, gaps)
        if gap is None:
            self._walk(now, place, trades, gaps)
            return
        sound = _before(trades, gap)
        if not place.skipped:
            self._walk(now, place, sound, gaps)
            if len(sound) == len(trades):
                return
            held_ms = place.held.pop() if place.held else None
            place.skipped = [Skipped(gap.start_ms, gap.end_ms, gap.first_id, place.state, held_ms)]
            place.unsaved = True
        self._look_behind(now, place, gap, trades)

    def _begin(self, now: Round) -> None:
        """Let each new rule begin after the trade that was the last one when it was made."""
        fresh = [place for place in self.places if place.through_ms is None or place.off]
        newest = now.store.latest().get(self.instrument) if fresh else None
        if newest is None:
            return
        for place in fresh:
            place.through_ms = max(place.through_ms or 0, min(place.asked_ms, newest.time_ms))
            place.last_id = newest.trade_id if place.through_ms >= newest.time_ms else -1
            place.off, place.unsaved = False, True

    def _walk(self, now: Round, place: Place, trades: Sequence[Tick], gaps: Collection[Gap]) -> None:
        through = (place.through_ms or 0, place.last_id)
        left = [tick for tick in trades if (tick.time_ms, tick.trade_id) > through]
        if not left:
            return
        step, prices = place.judge.step, tick_rows(left).values["price"].tolist()
        lost = sorted(-gap.last_id for gap in gaps if gap.state == "abandoned" and gap.last_id > place.last_id)
        now.steps += len(left)
        for tick, price in zip(left, prices, strict=True):
            while lost and tick.trade_id > -lost[-1]:
                lost.pop()
                place.state = place.state.broken()
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

    def _look_behind(self, now: Round, place: Place, gap: Gap, trades: Sequence[Tick]) -> None:
        """Tell once if the condition seems to hold behind a gap."""
        [stop] = place.skipped
        if stop.held_ms is not None or not place.state.armed:
            return
        since = self._looked.get(place, stop.to_ms)
        for tick in trades:
            if tick.time_ms < since:
                continue
            found = place.judge.met({"price": tick.price}, place.state.before)
            if found is not None:
                place.skipped = [replace(stop, held_ms=tick.time_ms)]
                verdict = Verdict("held", missing_words(gap), found)
                now.note(place, decide(place, self._told(now, tick), place.state, verdict))
                return
        if trades:
            self._looked[place] = trades[-1].time_ms

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


def _first_open(place: Place, gaps: Collection[Gap]) -> Gap | None:
    """Return the first open gap behind what a rule has judged."""
    known, through = place.last_id, place.through_ms or 0
    ahead = [
        gap for gap in gaps if gap.state == "open" and gap.last_id > known and (known >= 0 or gap.end_ms > through)
    ]
    return min(ahead, key=lambda gap: gap.first_id, default=None)


def _before(trades: Sequence[Tick], gap: Gap) -> list[Tick]:
    """Return the trades before a gap, in the order of time up to the first one behind it.

    A trade that came into the gap since that was read counts as behind it: others before it may still be missing.
    """
    stop = next((at for at, tick in enumerate(trades) if tick.trade_id >= gap.first_id), len(trades))
    return list(trades[:stop])


class FeedTarget:
    """What a feed is like now, judged once a second, and where each of its rules stands."""

    def __init__(self, legs: Sequence[Instrument], places: Sequence[Place], clock: Callable[[], int]) -> None:
        self.legs, self.places, self._clock = tuple(legs), tuple(places), clock
        self._second = 0
        self._since: dict[Instrument, int] = {}

    def judge(self, now: Round) -> None:
        """Judge the present, if a second has begun since the last time."""
        now_ms = now.now_at[self.legs[0].venue]
        second = now_ms - now_ms % SECOND
        if second == self._second:
            return
        if second < self._second:
            self._since.clear()
        self._second = second
        values = {
            "stale": _worse([self._stale(now, leg, now_ms) for leg in self.legs]),
            "gap": float(len({(gap.instrument, gap.opened_ms) for gap in now.open_gaps(self.legs, 0, 2**62)})),
        }
        label = now.label(self.legs[0])
        seen = Seen(
            time_ms=second, end_ms=second, values=values, start_ms=second, rows=1, now_ms=now_ms, label=label,
            clock_ms=self._clock(),
        )  # fmt: skip
        for place in self.places:
            self._step(now, place, seen)

    def _step(self, now: Round, place: Place, seen: Seen) -> None:
        if place.through_ms == seen.end_ms:
            return
        place.off = False
        if place.through_ms is not None and not 0 < seen.end_ms - place.through_ms <= UNSEEN_MS:
            place.state, place.unsaved = place.state.broken(), True
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
