"""Judging the closed bars of one target, for all the rules that are about it.

A row is judged when every leg is settled through its end, and all trades of its window are stored. Rows that are not
whole are skipped and remembered, and judged when the missing trades have come; the present goes on meanwhile.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from market import Gap, Instrument, Label, Timeframe
from pairscope.alerts.depths import bars_before, rows_known
from pairscope.alerts.holding import SAME_EXCURSION, Place, Seen, Skipped, decide
from pairscope.alerts.metrics import Rows, is_heavy, rows_of
from pairscope.alerts.rules import Rule, RuleState, Verdict
from pairscope.alerts.stretches import Stretch
from pairscope.alerts.tape import Tape, context_start, missing_words
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import Decision, NewDecision, read_decisions
from store import SqliteStore

ROWS_A_ROUND = 20_000
"""So many rows of one target are judged at once: after a long stop the others wait less."""


@dataclass(slots=True, eq=False)
class Round:
    """What is known in one round of judging, and what it comes to."""

    store: SqliteStore
    health: Mapping[Instrument, SymbolHealth]
    now_at: Mapping[str, int]
    label: Callable[[Instrument], Label]
    limits: Mapping[Tape, int | None]
    """Until when the bars of each leg are over for certain."""
    open_before: tuple[Gap, ...] | None
    """The open gaps before bars were read; None: nobody looked."""
    decisions: list[NewDecision] = field(default_factory=list)
    places: dict[tuple[int, str], Place] = field(default_factory=dict)
    """Those that are to be kept together with what was decided."""
    over: list[tuple[int, str, int]] = field(default_factory=list)
    judged: list[tuple[int, str, int, int]] = field(default_factory=list)
    more: bool = False
    """Whether there is more to judge than one round takes."""
    steps: int = 0
    _open_after: tuple[Gap, ...] | None = None

    def open_gaps(self, legs: Collection[Instrument], start_ms: int, end_ms: int) -> tuple[Gap, ...]:
        """Return the gaps of these legs that touch a time and may still be filled, as far as the bars show them."""
        if self._open_after is None:
            self._open_after = self.store.gaps(state="open")
        known = {gap.key: gap for gap in (*(self.open_before or ()), *self._open_after)}
        return tuple(
            gap
            for gap in known.values()
            if gap.instrument in legs and gap.start_ms <= end_ms and gap.end_ms >= start_ms
        )

    def note(
        self,
        place: Place,
        decision: NewDecision | None = None,
        *,
        over_ms: int | None = None,
        judged: tuple[int | None, int] | None = None,
    ) -> None:
        """Enter what is to be kept together with where a rule stands now.

        Args:
            place: of the rule.
            decision: what was decided.
            over_ms: the rule was armed again at this time.
            judged: the bar that was held, if any was, and when it was judged.
        """
        if decision is not None:
            self.decisions.append(decision)
        if over_ms is not None:
            self.over.append((place.rule_id, place.target, over_ms))
        if judged is not None and judged[0] is not None:
            self.judged.append((place.rule_id, place.target, judged[0], judged[1]))
        place.unsaved = place.urgent = True
        self.places[place.rule_id, place.target] = place


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows with their values as plain numbers, ready to be judged."""

    rows: Rows
    start_ms: int
    """Of the earliest bar that they were computed from."""
    context: int
    values: list[dict[str, float]]
    times: list[int]
    ends: list[int]
    whole: list[bool]

    @classmethod
    def of(cls, rows: Rows, start_ms: int, context: int) -> "Piece":
        """Unpack rows."""
        columns = {name: column.tolist() for name, column in rows.values.items()}
        values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return cls(rows, start_ms, context, values, rows.time.tolist(), rows.end.tolist(), rows.whole.tolist())

    def seen(self, at: int, label: str, now_ms: int) -> Seen:
        """Return one row as it is told of in a decision."""
        return Seen(
            time_ms=self.times[at],
            end_ms=self.ends[at],
            values=self.values[at],
            start_ms=self.start_ms,
            rows=self.context + at + 1,
            label=label,
            now_ms=now_ms,
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """What some of the rules about one target read: rows are whole or not for all of them alike."""

    names: frozenset[str]
    need: int
    """Rows before the first one that make its values exact."""


def kinds_of(rule: Rule, places: Sequence[Place]) -> dict[Place, Kind]:
    """Put together what the rules read that know equally many rows."""
    names: dict[tuple[int, int, bool], frozenset[str]] = {}
    depth: dict[Place, tuple[int, int, bool]] = {}
    for place in places:
        read = place.judge.metrics
        depth[place] = key = (bars_before(read, rule), rows_known(read, rule), is_heavy(read))
        names[key] = names.get(key, frozenset()) | read
    return {place: Kind(names[key], key[0]) for place, key in depth.items()}


class BarTarget:
    """One pair or symbol on bars, analysed in one way, and where each of its rules stands."""

    def __init__(self, legs: Sequence[Instrument], tapes: Sequence[Tape], rule: Rule, places: Sequence[Place]) -> None:
        self.legs, self.tapes, self.rule = tuple(legs), tuple(tapes), rule
        self.places = tuple(places)
        self.timeframe = Timeframe.parse(rule.timeframe)
        self._kinds = kinds_of(rule, places)
        kinds = self._kinds.values()
        names = frozenset[str]().union(*(kind.names for kind in kinds))
        self._all = Kind(names, max((kind.need for kind in kinds), default=0))
        self._done: int | None = None
        self._looked: tuple[int, ...] = ()
        self._context = (2**62, 0)
        """Since when a start of the context is in use, and that start."""

    def is_due(self, limits: Mapping[Tape, int | None]) -> bool:
        """Tell whether more is settled than was judged, or an earlier bar has changed."""
        if self._done is None or self._looked != tuple(tape.version for tape in self.tapes):
            return True
        until = [limit for tape in self.tapes if (limit := limits[tape]) is not None]
        return len(until) == len(self.tapes) and self.timeframe.floor(min(until)) > self._done

    def judge(self, now: Round) -> None:
        """Judge what has been settled since the last round, and what was skipped and is whole now."""
        limits = [limit for tape in self.tapes if (limit := now.limits[tape]) is not None]
        if len(limits) < len(self.tapes):
            return
        until = self.timeframe.floor(min(limits))
        if self._done is None:
            self._begin(until)
        self._look_back(now)
        behind = [place for place in self.places if place.through_ms is not None and place.through_ms < until]
        self._done = self._go_on(now, behind, until) if behind else until

    def forget_progress(self) -> None:
        """Look at every place again in the next round."""
        self._done, self._looked = None, ()

    def _begin(self, until: int) -> None:
        """Let each new rule begin with the bar that closed last when it was made, or that is the last one there is."""
        step = self.timeframe.ms
        for place in self.places:
            first = min(self.timeframe.floor(place.asked_ms), until) - step
            if place.through_ms is None:
                place.through_ms, place.unsaved = first, True
            elif place.off:
                place.through_ms = max(place.through_ms, first)
                place.state, place.skipped, place.at_gap = place.state.broken(), [], False
            place.unsaved |= place.off
            place.off = False

    def _piece_end(self, since: int, until: int) -> int:
        """Return where the piece of a long stretch ends; what has no bars at all is passed over."""
        first = [int(each[0]) for tape in self.tapes if len(each := self._times(tape, since, until))]
        start = max(first) if len(first) == len(self.tapes) else until
        return min(until, self.timeframe.floor(start) + ROWS_A_ROUND * self.timeframe.ms)

    def _times(self, tape: Tape, since: int, until: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        tape.reach(since)
        return tape.times(since, until)

    @property
    def need(self) -> int:
        """How many bars before a row its values are made of, at most."""
        return self._all.need

    def _start(self, since: int) -> int:
        """Return from when on bars are read for rows from a time on: the same for a while, and for many targets.

        More context than is needed changes no value, and pieces of tapes that are shared are cut once.
        """
        begun, start = self._context
        grid = max(1, self._all.need // 2) * self.timeframe.ms
        if not begun <= since <= begun + grid:
            start = context_start(self.tapes, self.rule, since, self._all.need)
            start -= start % grid
            for tape in self.tapes:
                tape.reach(start)
            self._context = (since, start)
        return start

    def _go_on(self, now: Round, places: Sequence[Place], until: int) -> int:
        """Judge the rows that came after the last one judged; return until when.

        A rule stays at its last row when none came after it: the trades of a gap may make some yet.
        """
        since = min(place.through_ms or 0 for place in places)
        while until - since > ROWS_A_ROUND * self.timeframe.ms:
            end = self._piece_end(since, until)
            found = self._judge_between(now, places, since, end)
            if found or end == until:
                now.more |= end < until
                return end
            since = end
        self._judge_between(now, places, since, until)
        return until

    def _judge_between(self, now: Round, places: Sequence[Place], since: int, until: int) -> bool:
        """Judge the rows of a stretch, near a gap for each kind of rule by itself; return whether there are any."""
        for tape in self.tapes:
            tape.reach(since)
        start = self._start(since)
        bars = [bars for tape in self.tapes if (bars := tape.between(start, until)) is not None]
        if len(bars) < len(self.tapes):
            return False
        gapped = any(tape.gapped and bool(leg.gap.any()) for tape, leg in zip(self.tapes, bars, strict=True))
        pieces: dict[Kind, Piece] = {}
        for place in places:
            kind = self._kinds[place] if gapped else self._all
            if kind not in pieces:
                rows = rows_of(kind.names, self.rule, bars[0], bars[1] if len(bars) > 1 else None, since_ms=since)
                pieces[kind] = Piece.of(rows, start, self._all.need)
            self._walk(now, place, pieces[kind])
        return any(piece.times for piece in pieces.values())

    def _walk(self, now: Round, place: Place, piece: Piece) -> None:
        """Judge the rows that a rule has not seen yet."""
        through, step = place.through_ms or 0, place.judge.step
        times, ends, whole, values = piece.times, piece.ends, piece.whole, piece.values
        now.steps += len(times)
        place.unsaved |= bool(times)
        for at in range(len(times)):
            if times[at] < through:
                continue
            if not whole[at]:
                self._skip(now, place, piece, at)
                place.through_ms = ends[at]
                continue
            place.at_gap, place.through_ms = False, ends[at]
            before = place.state
            state, verdict = step(before, ends[at], values[at])
            if state is before:
                continue
            place.state = state
            if state.armed and not before.armed:
                now.note(place, over_ms=ends[at])
            if verdict is not None:
                now.note(place, decide(place, self._seen(now, piece, at), before, verdict))

    def _now(self, now: Round) -> int:
        return now.now_at[self.legs[0].venue]

    def _seen(self, now: Round, piece: Piece, at: int) -> Seen:
        return piece.seen(at, now.label(self.legs[0]), self._now(now))

    # ------------------------------------------------------------------------ what is not whole

    def _skip(self, now: Round, place: Place, piece: Piece, at: int) -> None:
        """Pass a row over whose trades are not all stored; remember it if they may still come."""
        time, end = piece.times[at], piece.ends[at]
        context = self._context_of(place, time)
        gaps = now.open_gaps(self.legs, context, end)
        if gaps or self._may_be_open(now, end):
            if not place.at_gap:
                begun = self._gap_begins(place, gaps, time)
                place.skipped.append(Skipped(begun, end, self._context_of(place, begun), place.state))
                place.at_gap = True
            last = replace(place.skipped[-1], to_ms=end)
            if last.held_ms is None and last.state.armed and gaps:
                last = self._hold(now, place, piece, at, last, gaps[0])
            place.skipped[-1] = last
            place.unsaved = True
        else:
            place.at_gap = False
        if place.state.since_ms is not None or place.state.before is not None:
            place.state = place.state.broken()

    def _gap_begins(self, place: Place, gaps: Sequence[Gap], time: int) -> int:
        """Return from when on rows may come when gaps are filled: after the last one judged, up to the one skipped."""
        begun = min((self.timeframe.floor(gap.start_ms) for gap in gaps), default=time)
        return min(time, max(begun, place.through_ms or 0))

    def _may_be_open(self, now: Round, end: int) -> bool:
        """Tell whether the bars may be older than what is known of gaps."""
        return now.open_before is None or any(tape.changed_ms < end for tape in self.tapes)

    def _context_of(self, place: Place, time: int) -> int:
        return context_start(self.tapes, self.rule, time, self._kinds[place].need)

    def _hold(self, now: Round, place: Place, piece: Piece, at: int, skipped: Skipped, gap: Gap) -> Skipped:
        """Tell that the condition seems to hold on trades that are not whole, once."""
        before = piece.values[at - 1] if at and place.judge.moments else None
        found = place.judge.met(piece.values[at], before)
        if found is None:
            return skipped
        verdict = Verdict("held", missing_words(gap), found)
        now.note(place, decide(place, self._seen(now, piece, at), replace(skipped.state, before=before), verdict))
        return replace(skipped, held_ms=piece.times[at])

    def _look_back(self, now: Round) -> None:
        """Judge what was skipped, as far as the missing trades are there now or will never come."""
        versions = tuple(tape.version for tape in self.tapes)
        if versions == self._looked:
            return
        if not any(place.skipped for place in self.places):
            self._looked = versions
            return
        waiting = False
        for place in self.places:
            for skipped in tuple(place.skipped):
                if self._is_blocked(now, skipped):
                    waiting = True
                elif place.at_gap and skipped is place.skipped[-1]:
                    self._rewind(now, place, skipped)
                else:
                    self._catch_up(now, place, skipped)
        self._looked = versions if not waiting or now.open_before is not None else ()

    def _is_blocked(self, now: Round, skipped: Skipped) -> bool:
        end = skipped.from_ms + self.timeframe.ms
        return bool(now.open_gaps(self.legs, skipped.context_ms, end)) or self._may_be_open(now, end)

    def _rewind(self, now: Round, place: Place, skipped: Skipped) -> None:
        """Begin again before what was skipped: nothing was judged since."""
        place.skipped.remove(skipped)
        place.state, place.through_ms, place.at_gap = skipped.state, skipped.from_ms, False
        self._done = min(self._done or 0, skipped.from_ms)
        now.note(place, judged=(skipped.held_ms, self._now(now)))

    def _catch_up(self, now: Round, place: Place, skipped: Skipped) -> None:
        """Judge what was skipped although later rows were judged already; where the rule stands now does not change."""
        piece = self._past(now, place, skipped.from_ms, place.through_ms or 0)
        place.skipped.remove(skipped)
        state = skipped.state
        for at, time in enumerate(piece.times if piece else ()):
            assert piece is not None
            if time >= skipped.to_ms:
                break
            if not piece.whole[at]:
                context = self._context_of(place, time)
                if now.open_gaps(self.legs, context, piece.ends[at]) or self._may_be_open(now, piece.ends[at]):
                    place.skipped.append(replace(skipped, from_ms=time, context_ms=context, state=state))
                    place.skipped.sort(key=lambda each: each.from_ms)
                    now.note(place)
                    return
                state = state.broken()
                continue
            before = state
            state, verdict = place.judge.step(before, piece.ends[at], piece.values[at])
            if verdict is not None:
                self._late(now, place, piece, at, skipped, (before, state, verdict))
        now.note(place, judged=(skipped.held_ms, self._now(now)))

    def _past(self, now: Round, place: Place, since: int, until: int) -> Piece | None:
        """Read and compute rows of long ago."""
        stretch = Stretch(now.store, self._kinds[place].names, self.rule, self.legs, now=self._now(now))
        pieces = [rows for rows in stretch.rows(since, until) if len(rows)]
        if not pieces:
            return None
        values = {name: np.concatenate([each.values[name] for each in pieces]) for name in pieces[0].values}
        time, end, whole = (
            np.concatenate([getattr(each, name) for each in pieces]) for name in ("time", "end", "whole")
        )
        return Piece.of(Rows(time, end, whole, values), self._context_of(place, int(time[0])), self._kinds[place].need)

    def _late(
        self,
        now: Round,
        place: Place,
        piece: Piece,
        at: int,
        skipped: Skipped,
        step: tuple[RuleState, RuleState, Verdict],
    ) -> None:
        """Log what a skipped row comes to; an excursion that was told of since is not told again."""
        before, state, verdict = step
        over_ms = None
        if verdict.outcome == "fired":
            twin = self._next_fired(now, place, skipped.to_ms)
            over_ms = self._over_ms(place, piece, at, state)
            if twin is not None and (over_ms is None or twin.end_ms <= over_ms):
                verdict, over_ms = Verdict("suppressed", SAME_EXCURSION.format(twin.id), verdict.found), None
        decision = decide(place, self._seen(now, piece, at), before, verdict)
        now.note(place, decision, over_ms=over_ms)

    def _next_fired(self, now: Round, place: Place, time_ms: int) -> Decision | None:
        """Return what fired first from a bar on."""
        found = read_decisions(
            now.store, outcome="fired", rule_id=place.rule_id, target=place.target, start=time_ms + 1, limit=10_000
        )
        return min(found, key=lambda each: each.bar_ms, default=None)

    def _over_ms(self, place: Place, piece: Piece, at: int, state: RuleState) -> int | None:
        """Return when an excursion that fired at a row was over; None: it has not been until now."""
        for later in range(at + 1, len(piece.times)):
            if not piece.whole[later]:
                state = state.broken()
                continue
            state, _ = place.judge.step(state, piece.ends[later], piece.values[later])
            if state.armed:
                return piece.ends[later]
        return None
