"""Judging rules in the process that records, with no browser open.

One thread, woken by commits that touch what a rule is about. A round reads the bars that are new, computes the metrics
of each target once for all its rules, lets each rule judge them, and commits what came of it in one transaction.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

from market import Instrument, Label, PairscopeError, Timeframe, UnknownName
from pairscope.alerts.holding import Place
from pairscope.alerts.judging import BarTarget, Round
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.present import FeedTarget, TradeTarget, why_waiting
from pairscope.alerts.records import every_pair
from pairscope.alerts.rules import EVERY, TICK, Judge, Rule, rule_of
from pairscope.alerts.tape import Tape, Tapes, missing_words
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import StoredRule, StoredState, commit_round, read_rules, read_states, rules_stamp
from store import SqliteStore

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
"""So often the present is looked at when no commit wakes the engine."""

RULES_SECONDS = 1.0
STATES_SECONDS = 5.0
ROWS_SECONDS = 60.0
"""So often the rules are looked at, where they stand is kept when that has changed but nothing was decided, and through
which row they were judged when nothing has changed: what was judged after that is judged again after a crash."""

STUCK_MS = 1_000
"""Nothing is judged while work waits longer than this for the disk: what is stored is not what is."""

BREATH_SECONDS = 0.004
"""After so long a round lets other threads run."""

LAST_SECONDS = 2.0
"""How long an engine that is told to close waits for its last commit."""

NOT_READY = "the numbers are being made ready"

Target = BarTarget | TradeTarget | FeedTarget


class Market(Protocol):
    """What is known of recording now; from any thread."""

    def recorded(self) -> Sequence[SymbolHealth]:
        """Return how each recorded symbol does, in the order in which they are recorded."""

    def now_at(self, venue: str) -> int:
        """Return the time at a venue, in epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class WaitingRule:
    """A rule that has nothing sound to judge now, since when, and why."""

    rule_id: int
    target: str
    since_ms: int | None
    why: str


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How judging goes.

    Args:
        rules, targets: how many are judged.
        waiting: those that have nothing sound to judge now.
        round_ms: how long the last round took that had something to judge.
        judged: rows judged since the beginning, all rules together.
        problems: rules that cannot be judged, and why.
    """

    rules: int
    targets: int
    waiting: tuple[WaitingRule, ...]
    round_ms: float
    judged: int
    problems: tuple[tuple[int, str], ...]


def nothing() -> None:
    """Do nothing."""


def at_once(_method: str) -> bool:
    """Say that a method is ready."""
    return True


class Engine:
    """Judges all rules of a store; `round` belongs to one thread at a time."""

    def __init__(
        self,
        store: SqliteStore,
        market: Market,
        *,
        clock: Callable[[], int],
        on_fired: Callable[[], None] = nothing,
        monotonic: Callable[[], float] = time.monotonic,
        replaying: bool = False,
        ready: Callable[[str], bool] = at_once,
    ) -> None:
        """Prepare to judge.

        Args:
            store: where bars, rules and decisions are.
            market: how recording does.
            clock: gives the time in epoch milliseconds, for venues that are not recorded.
            on_fired: called after each commit of what fired.
            monotonic: gives seconds that never jump.
            replaying: whether what comes is a recording: rules made before it are judged from its first bar on.
            ready: tells whether the numbers of a method can be computed without being compiled first.
        """
        self._store, self._market, self._clock, self._monotonic = store, market, clock, monotonic
        self._on_fired, self._ready = on_fired, ready
        self._unready: frozenset[str] = frozenset()
        """The methods of rules that are not ready yet."""
        self._replaying_since = clock() if replaying else 0
        self._held_before = frozenset(store.instruments())
        self._wake = threading.Event()
        self._tapes = Tapes(store, self._wake.set)
        self._places: dict[tuple[int, str], Place] = {}
        self._targets: tuple[Target, ...] = ()
        self._tracked: frozenset[str] = frozenset()
        """The venues of all targets."""
        self._stamp: tuple[int, ...] = ()
        self._problems: dict[int, str] = {}
        self._broken: dict[Target, str] = {}
        self._recorded: tuple[Instrument, ...] = ()
        self._known: tuple[Instrument, ...] = ()
        self._judges: dict[int, tuple[Mapping[str, Any], Rule, Judge]] = {}
        self._health: dict[Instrument, SymbolHealth] = {}
        self._labels: dict[Instrument, Label] = {}
        self._by_tape: dict[Tape, list[BarTarget]] = {}
        self._present: tuple[Target, ...] = ()
        """The targets that are not of bars."""
        self._seen: dict[Tape, tuple[int, int | None]] = {}
        """The tapes at the last round."""
        self._unread: frozenset[Tape] = frozenset()
        """The tapes that could not be read in the last round."""
        self._skipping, self._count_at = False, 0.0
        self._set_aside: tuple[str, ...] = ()
        self._reload, self._look_at, self._save_at, self._save_rows_at = True, 0.0, 0.0, 0.0
        self._round_ms, self._judged = 0.0, 0
        self._closing = False
        self._again = False
        self._looked_at = 0.0
        self._end_listening = store.listen(self._tapes.changed)
        self._thread = threading.Thread(target=self._run, name="alert-engine", daemon=True)

    # ------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to judge."""
        self._thread.start()

    def finish(self) -> None:
        """Judge what is left of a recording that has ended, and end."""
        self._end_thread()
        self._wait(commit_round(self._store, (), ()))  # what waits to be written goes along
        self._ready, self._again = at_once, True
        while self._again:
            self._again = False
            self.round()
        self.close()

    def _end_thread(self) -> None:
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """End judging, and keep where the rules stand."""
        self._end_thread()
        self._end_listening()
        try:
            self._keep_places(list(self._places.values()))
        except (PairscopeError, TimeoutError) as error:
            log.warning("where the rules stand was not kept; it is judged again from before: %s", error)

    def rules_changed(self) -> None:
        """Look at the rules again now."""
        self._reload = True
        self._wake.set()

    def _run(self) -> None:
        while not self._closing:
            if not self._again:
                self._wake.wait(PAUSE_SECONDS if self._targets else RULES_SECONDS)
            self._wake.clear()
            try:
                if not self._closing and not self._is_idle():
                    self.round()
            except Exception:
                log.exception("a round of alerts broke; it is begun again")
                self._forget()
                self._again = False
                self._wake.wait(RULES_SECONDS)

    def _is_idle(self) -> bool:
        """Tell whether what woke us closes no bar, and the present was looked at a moment ago."""
        moment = self._monotonic()
        if self._reload or self._again or moment - self._looked_at >= PAUSE_SECONDS:
            return False
        if any(isinstance(target, TradeTarget) for target in self._targets):
            return False
        return not self._tapes.is_due(moment)

    # ---------------------------------------------------------------------------------- a round

    def round(self) -> int:
        """Judge what is new; return how many decisions were made."""
        begun = self._monotonic()
        self._looked_at = begun
        self._see_rules(begun)
        if not self._targets:
            return 0
        now_at = {venue: self._market.now_at(venue) for venue in self._tracked}
        now = self._look(now_at, begun)
        if now is None:
            return 0
        breath = begun
        for target in self._due(now):
            if self._unready and _method(target) in self._unready:
                continue
            self._judge(target, now)
            if (moment := self._monotonic()) - breath > BREATH_SECONDS:
                time.sleep(0)
                breath = moment
        made = self._commit(now, begun)
        self._again = now.more
        self._judged += now.steps
        if now.steps:
            self._round_ms = (self._monotonic() - begun) * 1000
        return made

    def _look(self, now_at: Mapping[str, int], moment: float) -> Round | None:
        """See how recording and the store do, and then read the bars that are new; None: nothing may be judged now."""
        if moment >= self._count_at:
            self._count_at = moment + RULES_SECONDS
            self._skipping = any(place.skipped for place in self._places.values())
        gapped = self._skipping or self._tapes.is_gapped()
        if (aside := self._store.set_aside) != self._set_aside:
            self._set_aside = aside
            self._begin_anew()
        waits_ms = self._store.waits_seconds * 1000
        if waits_ms > STUCK_MS:
            return None
        self._health = {each.instrument: each for each in self._market.recorded()}
        open_before = self._store.gaps(state="open") if gapped else None
        failed = self._tapes.read(moment)
        for tape in failed.keys() - self._unread:
            log.warning("bars of %s cannot be read now; it is tried again: %s", tape.instrument, failed[tape])
        self._unread = frozenset(failed)
        return Round(
            store=self._store,
            now_at=now_at,
            health=self._health,
            limits=self._tapes.limits(self._health, now_at, waits_ms),
            label=self._label,
            open_before=open_before,
        )

    def _due(self, now: Round) -> list[Target]:
        """Return the targets that may have something to judge."""
        if self._unready:
            self._unready = frozenset(method for method in self._unready if not self._ready(method))
            self._seen = {}
        seen = {tape: (tape.rewritten, limit) for tape, limit in now.limits.items()}
        before, self._seen = self._seen, seen
        if now.open_before is not None or self._again:
            return [each for each in self._targets if not isinstance(each, BarTarget) or each.is_due(now.limits)]
        changed = [tape for tape, state in seen.items() if before.get(tape) != state]
        near = {id(target): target for tape in changed for target in self._by_tape.get(tape, ())}
        return [*self._present, *(target for target in near.values() if target.is_due(now.limits))]

    def _label(self, instrument: Instrument) -> Label:
        if instrument not in self._labels:
            self._labels[instrument] = self._store.label(instrument)
        return self._labels[instrument]

    def _judge(self, target: Target, now: Round) -> None:
        """Judge one target; what breaks there is told, and keeps no other from being judged."""
        try:
            target.judge(now)
            self._broken.pop(target, None)
        except Exception as error:
            self._seen = {}
            if target not in self._broken:
                log.exception("judging %s broke; it is tried again", target.places[0].target)
            self._broken[target] = f"{target.places[0].target}: {error}"

    # ------------------------------------------------------------------------------ what is kept

    def _commit(self, now: Round, moment: float) -> int:
        """Keep what the round came to; where that fails, everything is judged again from what is kept."""
        places = list(now.places.values())
        if moment >= self._save_at:
            self._save_at = moment + STATES_SECONDS
            every = moment >= self._save_rows_at
            if every:
                self._save_rows_at = moment + ROWS_SECONDS
            places = [place for place in self._places.values() if place.urgent or place.is_to_be_kept(every=every)]
        if not (now.decisions or now.over or now.judged or places):
            return 0
        states = [place.stored() for place in places]
        try:
            made = self._wait(
                commit_round(self._store, now.decisions, states, over=now.over, judged=now.judged)
            )  # fmt: skip
        except BaseException:
            self._forget()
            raise
        for place in places:
            place.kept()
        pairs = zip(now.decisions, made, strict=True)
        if any(key is not None and decision.outcome == "fired" for decision, key in pairs):
            self._on_fired()
        return sum(key is not None for key in made)

    def _wait(self, commit: Future[Any]) -> Any:
        """Wait for a commit as long as it takes, but not for ever when the process ends."""
        left = LAST_SECONDS
        while True:
            try:
                return commit.result(PAUSE_SECONDS)
            except TimeoutError:
                left -= PAUSE_SECONDS if self._closing else 0.0
                if left <= 0 or commit.done():
                    raise

    def _keep_places(self, places: Sequence[Place]) -> None:
        unsaved = [place for place in places if place.unsaved and place.through_ms is not None]
        if unsaved:
            self._wait(commit_round(self._store, (), [place.stored() for place in unsaved]))
        for place in unsaved:
            place.kept()

    def _forget(self) -> None:
        """Go on from what is kept."""
        self._places.clear()
        self._targets = ()
        self._reload = True

    def _begin_anew(self) -> None:
        """Read everything again: the file is another one."""
        self._labels.clear()
        self._tapes.keep_only({}, ())
        self._forget()

    # ------------------------------------------------------------------------------------ rules

    def _see_rules(self, moment: float) -> None:
        """Take up new and changed rules, and symbols that have come or gone."""
        if not self._reload and moment < self._look_at:
            return
        self._look_at = moment + RULES_SECONDS
        forced, self._reload = self._reload, False
        try:
            stamp = rules_stamp(self._store)
            recorded = tuple(each.instrument for each in self._market.recorded())
            known = self._store.instruments() if self._problems else self._known
            if forced or stamp != self._stamp or recorded != self._recorded or known != self._known:
                self._load(read_rules(self._store), recorded)
                self._stamp = stamp
        except BaseException:
            self._reload = True
            raise

    def _load(self, rules: dict[int, StoredRule], recorded: tuple[Instrument, ...]) -> None:
        states = read_states(self._store)
        self._known = self._store.instruments()
        before, self._problems, self._labels = self._places, {}, {}
        places: dict[tuple[int, str], Place] = {}
        groups: dict[tuple[object, ...], list[tuple[Place, tuple[Instrument, ...]]]] = {}
        for stored in rules.values():
            if not stored.on:
                continue
            for place, legs in self._followed(stored, recorded, before, states):
                places[place.rule_id, place.target] = place
                groups.setdefault(_group(place, legs), []).append((place, legs))
        self._let_go(places, {**states, **_stored(before)}, rules)
        self._keep_places([place for key, place in before.items() if key not in places and key[0] in self._problems])
        self._save_at = 0.0  # also of a rule that has just begun
        self._places, self._recorded = places, recorded
        self._targets = tuple(
            self._target(group[0][1], [place for place, _ in group]) for group in groups.values()
        )  # fmt: skip
        self._tracked = frozenset(leg.venue for target in self._targets for leg in target.legs)
        self._broken.clear()
        self._seen, self._count_at = {}, 0.0
        bars = [target for target in self._targets if isinstance(target, BarTarget)]
        self._unready = frozenset(_method(each) for each in bars)
        self._present = tuple(target for target in self._targets if not isinstance(target, BarTarget))
        self._by_tape = {}
        for target in bars:
            for tape in target.tapes:
                self._by_tape.setdefault(tape, []).append(target)
        trades = [target.instrument for target in self._targets if isinstance(target, TradeTarget)]
        needs: dict[tuple[Instrument, Timeframe], int] = {}
        for each in bars:
            for leg in each.legs:
                needs[leg, each.timeframe] = max(each.need, needs.get((leg, each.timeframe), 0))
        self._tapes.keep_only(needs, trades)

    def _followed(
        self,
        stored: StoredRule,
        recorded: Sequence[Instrument],
        before: Mapping[tuple[int, str], Place],
        states: Mapping[tuple[int, str], StoredState],
    ) -> Iterator[tuple[Place, tuple[Instrument, ...]]]:
        """Yield where a rule stands with each of its targets."""
        try:
            rule, judge = self._read_rule(stored)
            legs = self._legs(rule, recorded)
        except PairscopeError as error:
            self._problems[stored.id] = str(error)
            return
        for pair in legs:
            key = (stored.id, "/".join(map(str, pair)))
            known, kept = before.get(key), states.get(key)
            place = Place(stored.id, rule, judge, key[1], self._asked_ms(stored, pair, known))
            if kept is not None and (known is None or kept.values.get("off")):
                place.take(kept)
            elif known is not None:
                place.take(known.stored())
                place.unsaved |= known.unsaved
            yield place, pair

    def _asked_ms(self, stored: StoredRule, legs: Sequence[Instrument], known: Place | None) -> int:
        """Return from when on a rule is judged that has no row yet: since it was seen, or all of a recording."""
        if stored.changed_ms <= self._replaying_since and not self._held_before.issuperset(legs):
            return 0
        waits = known is not None and known.through_ms is None
        return known.asked_ms if known is not None and waits else self._market.now_at(legs[0].venue)

    def _read_rule(self, stored: StoredRule) -> tuple[Rule, Judge]:
        """Parse a rule, once."""
        known = self._judges.get(stored.id)
        if known is None or known[0] != stored.values:
            rule = rule_of(stored.values)
            known = self._judges[stored.id] = (stored.values, rule, Judge(rule))
        return known[1], known[2]

    def _legs(self, rule: Rule, recorded: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        """Return the symbols of a rule: its own, or every pair of one venue.

        Raises:
            UnknownName: when a symbol is neither stored nor recorded yet.
        """
        if EVERY not in (rule.y, rule.x):
            return [tuple(self._resolve(leg, recorded) for leg in (rule.y, rule.x) if leg)]
        return [*every_pair(recorded)]

    def _resolve(self, name: str, recorded: Sequence[Instrument]) -> Instrument:
        try:
            return self._store.resolve(name)
        except UnknownName:
            known = [each for each in recorded if name in (str(each), each.symbol)]
            if not known:
                raise
            return known[0]

    def _target(self, legs: tuple[Instrument, ...], places: list[Place]) -> Target:
        rule = places[0].rule
        if rule.timeframe == TICK:
            return TradeTarget(legs[0], self._tapes, places)
        if _is_of_feed(places[0].judge):
            return FeedTarget(legs, places, self._clock)
        timeframe = Timeframe.parse(rule.timeframe)
        return BarTarget(legs, [self._tapes.of(leg, timeframe) for leg in legs], rule, places)

    def _let_go(
        self,
        places: Mapping[tuple[int, str], Place],
        stands: Mapping[tuple[int, str], StoredState],
        rules: Mapping[int, StoredRule],
    ) -> None:
        """Mark where rules stood that are off now, forget targets that are none any more, and end what fired there.

        Args:
            places: those that are judged from now on.
            stands: all that is known of where rules stood.
            rules: all that there are.
        """
        left = {key: stand for key, stand in stands.items() if key not in places and key[0] not in self._problems}
        gone = [key for key in left if key[0] not in rules or rules[key[0]].on]
        off = [left[key] for key in left.keys() - gone if not left[key].values.get("off")]
        anew = [stands[key] for key, place in places.items() if place.off and key in stands]
        ended = [*(left[key] for key in gone), *off, *anew]
        if not ended:
            return
        over = [(each.rule_id, each.target, self._now_of(each.target)) for each in ended]
        judged = [
            (each.rule_id, each.target, skipped["held"], self._now_of(each.target))
            for each in ended
            for skipped in each.values.get("skipped", ())
            if skipped["held"] is not None
        ]
        marked = [replace(each, values={**each.values, "off": True}) for each in off]
        self._wait(commit_round(self._store, (), marked, over=over, gone=gone, judged=judged))

    def _now_of(self, target: str) -> int:
        return self._market.now_at(target.partition(":")[0])

    # ----------------------------------------------------------------------------------- status

    def status(self) -> EngineStatus:
        """Tell how judging goes; from any thread."""
        targets = self._targets
        broken = [(place.rule_id, why) for target, why in list(self._broken.items()) for place in target.places]
        problems = [*self._problems.items(), *broken]
        return EngineStatus(
            rules=len({place.rule_id for target in targets for place in target.places}),
            targets=len(targets),
            waiting=tuple(waiting for target in targets for waiting in self._waiting(target)),
            round_ms=self._round_ms,
            judged=self._judged,
            problems=tuple(problems),
        )

    def _waiting(self, target: Target) -> Iterator[WaitingRule]:
        if isinstance(target, FeedTarget):
            return
        words = [f"{leg.symbol} {why}" for leg in target.legs if (why := why_waiting(self._health.get(leg)))]
        for place in target.places:
            why = NOT_READY if _method(target) in self._unready else " and ".join(words)
            if not why and place.skipped and (place.at_gap or isinstance(target, TradeTarget)):
                gaps = [gap for gap in self._store.gaps(state="open") if gap.instrument in target.legs]
                why = missing_words(gaps[0]) if gaps else ""
            if why:
                yield WaitingRule(place.rule_id, place.target, place.through_ms, why)


def _method(target: Target) -> str:
    return target.rule.method if isinstance(target, BarTarget) else ""


def _stored(places: Mapping[tuple[int, str], Place]) -> dict[tuple[int, str], StoredState]:
    return {key: place.stored() for key, place in places.items() if place.through_ms is not None}


def _is_of_feed(judge: Judge) -> bool:
    return any(METRICS[name].source == "feed" for name in judge.metrics)


def _group(place: Place, legs: tuple[Instrument, ...]) -> tuple[object, ...]:
    """Return what rules have in common that are judged on the same rows."""
    rule = place.rule
    if rule.timeframe == TICK:
        return (legs, TICK)
    if _is_of_feed(place.judge):
        return (legs, "feed")
    options = (rule.window, rule.bars, rule.method, rule.log, rule.intercept, rule.fill, rule.minimum_volume)
    return (legs, Timeframe.parse(rule.timeframe), options)
