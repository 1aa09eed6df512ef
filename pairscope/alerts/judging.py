"""Judging the closed bars of one target, for all the rules that are about it.

A row is judged when every leg is settled through its end, and all trades of its window are stored. Rows that are not
whole are skipped and remembered, and judged when the missing trades have come; the present goes on meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from market import Bars, Gap, Instrument, Label, Timeframe
from pairscope.alerts.depths import bars_before, rows_known
from pairscope.alerts.holding import SAME_EXCURSION, Place, Seen, Skipped, decide
from pairscope.alerts.metrics import Rows, is_heavy, rows_of
from pairscope.alerts.rules import Rule, RuleState, Verdict
from pairscope.alerts.tape import Tape, context_start, missing_words
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import NewDecision, read_decisions
from store import SqliteStore

ROWS_A_ROUND = 20_000
"""So many rows of one target are judged at once: after a long stop the others wait less."""

STEPS_A_ROUND = 200_000
"""So many rows at once of all the rules about a target together."""

SETTLING = 100
"""So many rows behind a gap that was filled may pass until a rule stands where it stood without them."""


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
    _open: dict[Instrument, list[Gap]] | None = None
    _touching: dict[tuple[tuple[Instrument, ...], int, int], tuple[Gap, ...]] = field(default_factory=dict)

    def open_gaps(self, legs: tuple[Instrument, ...], start_ms: int, end_ms: int) -> tuple[Gap, ...]:
        """Return the gaps of these legs that touch a time and may still be filled, as far as the bars show them."""
        key = (legs, start_ms, end_ms)
        if key not in self._touching:
            gaps = [gap for leg in legs for gap in self._open_of(leg)]
            self._touching[key] = tuple(gap for gap in gaps if gap.start_ms <= end_ms and gap.end_ms >= start_ms)
        return self._touching[key]

    def _open_of(self, leg: Instrument) -> Sequence[Gap]:
        if self._open is None:
            self._open = {}
            known = {gap.key: gap for gap in (*(self.open_before or ()), *self.store.gaps(state="open"))}
            for gap in known.values():
                self._open.setdefault(gap.instrument, []).append(gap)
        return self._open.get(leg, ())

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

    start_ms: int
    """Of the earliest bar that they were computed from."""
    context: int
    values: list[dict[str, float]]
    times: list[int]
    ends: list[int]
    whole: list[bool]
    since: list[int]

    @classmethod
    def of(cls, rows: Rows, start_ms: int, context: int) -> "Piece":
        """Unpack rows."""
        columns = {name: column.tolist() for name, column in rows.values.items()}
        values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        since = rows.time if rows.since is None else rows.since
        times, ends, whole = rows.time.tolist(), rows.end.tolist(), rows.whole.tolist()
        return cls(start_ms, context, values, times, ends, whole, since.tolist())

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


@dataclass(frozen=True, slots=True, eq=False)
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
    kinds = {key: Kind(read, key[0]) for key, read in names.items()}
    return {place: kinds[key] for place, key in depth.items()}


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
        self._rows_a_round = min(ROWS_A_ROUND, STEPS_A_ROUND // max(1, len(self.places)))
        self._context: tuple[int, int, list[int]] = (2**62, 0, [])
        """Since when a start of the context is in use, that start, and from when on there were bars."""

    def is_due(self, limits: Mapping[Tape, int | None]) -> bool:
        """Tell whether more is settled than was judged, or an earlier bar has changed."""
        if self._done is None or self._looked != tuple([tape.rewritten for tape in self.tapes]):
            return True
        wanted = self._done + self.timeframe.ms
        return all((limits[tape] or 0) >= wanted for tape in self.tapes)

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
        newest = max((place.through_ms or 0 for place in behind), default=until)
        present = [place for place in behind if place.through_ms == newest]
        past = [place for place in behind if place.through_ms != newest]
        self._done = min((self._go_on(now, some, until) for some in (present, past) if some), default=until)

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
                place.seen_ms, place.held = 0, []
            place.unsaved |= place.off
            place.off = False

    def _piece_end(self, since: int, until: int) -> int:
        """Return where the piece of a long stretch ends; what has no bars at all is passed over."""
        first = [int(each[0]) for tape in self.tapes if len(each := self._times(tape, since, until))]
        start = max(first) if len(first) == len(self.tapes) else until
        return min(until, self.timeframe.floor(start) + self._rows_a_round * self.timeframe.ms)

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
        begun, start, earliest = self._context
        grid = max(1, self._all.need // 2) * self.timeframe.ms
        if not begun <= since <= begun + grid or earliest != [tape.earliest for tape in self.tapes]:
            start = context_start(self.tapes, self.rule, since, self._all.need)
            start -= start % grid
            self._context = (since, start, [tape.earliest for tape in self.tapes])
        for tape in self.tapes:
            tape.reach(start)
        return start

    def _go_on(self, now: Round, places: Sequence[Place], until: int) -> int:
        """Judge the rows that came after the last one judged; return until when.

        A rule stays at its last row when none came after it: the trades of a gap may make some yet.
        """
        since = min(place.through_ms or 0 for place in places)
        while until - since > self._rows_a_round * self.timeframe.ms:
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
        start = self._start(since)
        bars = [bars for tape in self.tapes if (bars := tape.between(start, until)) is not None]
        if len(bars) < len(self.tapes):
            return False
        gapped = any(tape.gapped and bool(leg.gap.any()) for tape, leg in zip(self.tapes, bars, strict=True))
        pieces: dict[Kind, Piece] = {}
        for place in places:
            kind = self._kinds[place] if gapped else self._all
            if kind not in pieces:
                pieces[kind] = self._piece(kind, bars, start, since)
            self._walk(now, place, pieces[kind])
        return any(piece.times for piece in pieces.values())

    def _piece(self, kind: Kind, bars: Sequence[Bars], start: int, since: int) -> Piece:
        since = max(since, *(tape.whole_from for tape in self.tapes))
        rows = rows_of(kind.names, self.rule, bars[0], bars[1] if len(bars) > 1 else None, since_ms=since)
        return Piece.of(rows, start, self._all.need)

    def _walk(self, now: Round, place: Place, piece: Piece) -> None:
        """Judge the rows that a rule has not seen yet."""
        through, step = place.through_ms or 0, place.judge.step
        times, ends, whole, values = piece.times, piece.ends, piece.whole, piece.values
        told = _told(now, place, through) if place.seen_ms > through else {}
        now.steps += len(times)
        place.unsaved |= bool(times)
        for at in range(len(times)):
            if times[at] < through:
                continue
            if not whole[at]:
                if not self._skip(now, place, piece, at):
                    break
                place.through_ms = ends[at]
                continue
            place.at_gap, place.through_ms = False, ends[at]
            before = place.state
            state, verdict = step(before, ends[at], values[at])
            if told:
                state, verdict = _as_told(place, piece, at, (state, verdict), told)
            if state is before:
                continue
            place.state = state
            if state.armed and not before.armed:
                now.note(place, over_ms=ends[at])
            if verdict is not None:
                now.note(place, decide(place, self._seen(now, piece, at), before, verdict))
        if place.held:
            self._end_held(now, place)

    def _now(self, now: Round) -> int:
        return now.now_at[self.legs[0].venue]

    def _seen(self, now: Round, piece: Piece, at: int) -> Seen:
        return piece.seen(at, now.label(self.legs[0]), self._now(now))

    # ------------------------------------------------------------------------ what is not whole

    def _skip(self, now: Round, place: Place, piece: Piece, at: int) -> bool:
        """Pass a row over whose trades are not all stored; remember it if they may still come.

        Returns:
            False where the next round is to tell whether they may: the row is not passed over then.
        """
        end = piece.ends[at]
        gaps = now.open_gaps(self.legs, piece.since[at], end)
        if not gaps and self._may_be_open(now, end):
            self._looked = ()
            return False
        if gaps:
            self._put_off(now, place, piece, at, gaps)
        else:
            place.at_gap = False
        if place.state.since_ms is not None or place.state.before is not None:
            place.state = place.state.broken()
        return True

    def _put_off(self, now: Round, place: Place, piece: Piece, at: int, gaps: Sequence[Gap]) -> None:
        """Remember a row that is to be judged when its trades have come, and the rows that those will make."""
        last_ms = self.timeframe.floor(max(gap.end_ms for gap in gaps)) + self.timeframe.ms
        end = max(piece.ends[at], last_ms)
        if not place.at_gap:
            begun = self._gap_begins(place, gaps, piece.times[at])
            place.skipped.append(Skipped(begun, end, piece.since[at], place.state))
            place.at_gap = True
        last = replace(place.skipped[-1], to_ms=max(end, place.skipped[-1].to_ms))
        if last.held_ms is None and last.state.armed and not place.held:
            last = self._hold(now, place, piece, at, last, gaps[0])
        place.skipped[-1] = last
        place.unsaved = True

    def _gap_begins(self, place: Place, gaps: Sequence[Gap], time: int) -> int:
        """Return from when on rows may come when gaps are filled: after the last one judged, up to the one skipped."""
        begun = min((self.timeframe.floor(gap.start_ms) for gap in gaps), default=time)
        return min(time, max(begun, place.through_ms or 0))

    def _may_be_open(self, now: Round, end: int) -> bool:
        """Tell whether the bars may be older than what is known of gaps."""
        return now.open_before is None or any(tape.changed_ms < end for tape in self.tapes)

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
        versions = tuple([tape.rewritten for tape in self.tapes])
        if versions == self._looked:
            return
        if not any(place.skipped for place in self.places):
            self._looked = versions
            return
        pieces: dict[tuple[Kind, int, int], Piece | None] = {}
        waiting = [self._take_up(now, place, pieces) for place in self.places if place.skipped]
        self._looked = versions if not any(waiting) or now.open_before is not None else ()

    def _take_up(self, now: Round, place: Place, pieces: "dict[tuple[Kind, int, int], Piece | None]") -> bool:
        """Judge what a rule has skipped, as far as that can be judged now; return whether some of it waits."""
        waiting = False
        for skipped in tuple(place.skipped):
            if self._is_blocked(now, skipped):
                waiting = True
            elif place.at_gap and skipped is place.skipped[-1]:
                self._begin_again(now, place, skipped)
            elif not self._changes_nothing(now, place, skipped, pieces):
                self._begin_again(now, place, skipped)
                return True
        return waiting

    def _is_blocked(self, now: Round, skipped: Skipped) -> bool:
        end = skipped.from_ms + self.timeframe.ms
        return bool(now.open_gaps(self.legs, skipped.context_ms, end)) or self._may_be_open(now, end)

    def _begin_again(self, now: Round, place: Place, skipped: Skipped) -> None:
        """Judge again from before what was skipped; what was decided since stays as it is."""
        first, through = place.skipped.index(skipped), place.through_ms or 0
        place.held += [each.held_ms for each in place.skipped[first:] if each.held_ms is not None]
        del place.skipped[first:]
        place.seen_ms = max(place.seen_ms, through)
        place.state, place.through_ms, place.at_gap = skipped.state, skipped.from_ms, False
        self._done = min(self._done or 0, skipped.from_ms)
        now.note(place)

    def _end_held(self, now: Round, place: Place) -> None:
        """Note of rows that were held whether they have been judged now, or are skipped again."""
        for bar in [bar for bar in place.held if bar < (place.through_ms or 0)]:
            place.held.remove(bar)
            at = next((at for at, each in enumerate(place.skipped) if each.from_ms <= bar < each.to_ms), None)
            if at is not None and place.skipped[at].held_ms is None:
                place.skipped[at] = replace(place.skipped[at], held_ms=bar)
            else:
                now.note(place, judged=(bar, self._now(now)))

    def _changes_nothing(
        self, now: Round, place: Place, skipped: Skipped, pieces: "dict[tuple[Kind, int, int], Piece | None]"
    ) -> bool:
        """Tell whether a rule stands where it would had it judged what it skipped, and let go of that if so.

        The skipped rows are judged, and as many behind them as it takes until it makes no difference that they were
        skipped. If any of them comes to something, or it never is so, everything behind them is to be judged again.
        """
        if skipped.to_ms - skipped.from_ms > self._rows_a_round * self.timeframe.ms:
            return False
        piece = self._again(place, skipped, pieces)
        following = place.skipped.index(skipped) + 1
        until = place.skipped[following].from_ms if following < len(place.skipped) else place.through_ms or 0
        state, step, live = skipped.state, place.judge.step, skipped.state.broken()
        for at, time in enumerate(piece.times if piece is not None else ()):
            assert piece is not None
            behind = time >= skipped.to_ms
            if time >= until or (behind and state == live):
                break
            if not piece.whole[at]:
                if behind:
                    return False
                if now.open_gaps(self.legs, piece.since[at], piece.ends[at]) or self._may_be_open(now, piece.ends[at]):
                    return state.broken() == live and self._shorten(now, place, skipped, piece, at, state)
                state = state.broken()
                continue
            now.steps += 1
            values, end = piece.values[at], piece.ends[at]
            state, verdict = step(state, end, values)
            live, other = step(live, end, values) if behind else (live, None)
            if verdict is not None or other is not None:
                return False
        if state != live:
            return False
        place.skipped.remove(skipped)
        now.note(place, judged=(skipped.held_ms, self._now(now)))
        return True

    def _shorten(
        self, now: Round, place: Place, skipped: Skipped, piece: Piece, at: int, state: RuleState
    ) -> Literal[True]:
        """Let what is left of a stretch wait for the next gap in it."""
        left = replace(skipped, from_ms=piece.times[at], context_ms=piece.since[at], state=state)
        place.skipped[place.skipped.index(skipped)] = left
        now.note(place)
        return True

    def _again(
        self, place: Place, skipped: Skipped, pieces: "dict[tuple[Kind, int, int], Piece | None]"
    ) -> Piece | None:
        """Return the rows that were skipped and some behind them, the same ones for all rules that skipped them."""
        kind, since = self._kinds[place], skipped.from_ms
        key = (kind, since, skipped.to_ms)
        if key not in pieces:
            until = skipped.to_ms + SETTLING * self.timeframe.ms
            start = context_start(self.tapes, self.rule, since, kind.need)
            bars = [bars for tape in self.tapes if (bars := tape.between(start, until)) is not None]
            pieces[key] = self._piece(kind, bars, start, since) if len(bars) == len(self.tapes) else None
        return pieces[key]


def _told(now: Round, place: Place, since_ms: int) -> dict[int, int]:
    """Return the bars from a time on at which a rule fired already, and the numbers of the alerts."""
    fired = read_decisions(
        now.store, outcome="fired", rule_id=place.rule_id, target=place.target, start=since_ms + 1, limit=10_000
    )
    return {each.bar_ms: each.id for each in fired}


def _as_told(
    place: Place, piece: Piece, at: int, judged: tuple[RuleState, Verdict | None], told: Mapping[int, int]
) -> tuple[RuleState, Verdict | None]:
    """Return what a row comes to that is judged again: what was told stays told, and no excursion is told of twice."""
    state, verdict = judged
    fires = verdict is not None and verdict.outcome == "fired"
    if piece.times[at] in told:
        if fires or not state.armed:
            return state, None
        return replace(state, armed=False, since_ms=None, fired_ms=piece.ends[at], told=""), None
    if verdict is None or not fires:
        return judged
    twin = _told_later(place, piece, at, state, told)
    return state, verdict if twin is None else Verdict("suppressed", SAME_EXCURSION.format(twin), verdict.found)


def _told_later(place: Place, piece: Piece, at: int, state: RuleState, told: Mapping[int, int]) -> int | None:
    """Return the alert that has told already, at a later row, of the excursion that begins at a row."""
    for later in range(at + 1, len(piece.times)):
        if not piece.whole[later]:
            state = state.broken()
            continue
        state, verdict = place.judge.step(state, piece.ends[later], piece.values[later])
        if state.armed or verdict is not None:
            return None
        if piece.times[later] in told:
            return told[piece.times[later]]
    return None
