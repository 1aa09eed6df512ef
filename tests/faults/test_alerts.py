"""Alerts where recording has its troubles (N4): none on a gap, a stale leg, a damaged trade."""

import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import Ingestor
from market import SECOND, Instrument, Tick, Timeframe
from pairscope.alerts.engine import Engine
from pairscope.alerts.explain import explain
from pairscope.alerts.preview import preview
from pairscope.alerts.rules import Rule, check, values_of
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import Decision, put_rule, read_decisions
from store import SqliteStore
from tests.alerts.market import T0, TARGET, Stand, X, Y, fast, pair_prices
from tests.recording.scripted import Hand, LiveScript

SHOCK = (60, 64, 2.0)


class Recording:
    """Says of recording what the engine asks."""

    def __init__(self, ingestor: Ingestor) -> None:
        self._ingestor = ingestor

    def recorded(self) -> tuple[SymbolHealth, ...]:
        return self._ingestor.health().symbols

    def now_at(self, venue: str) -> int:
        return self._ingestor.now_ms(venue)


class Scene:
    """A venue in our hands, recorded into a store, and an engine that judges when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.now = T0
        self.hand = Hand()
        self.prices = pair_prices(220, shocks=(SHOCK,))
        self.feed = LiveScript((), Y, X)
        self.feed.at_the_venue = lambda: self.now
        self.store = SqliteStore(folder / "ticks.db", clock=lambda: self.now, commit_ms=1)
        self.ingestor = Ingestor([self.feed], self.store, clock=lambda: self.now, monotonic=self.hand)
        self.ingestor.start()
        self.engine = Engine(self.store, Recording(self.ingestor), clock=lambda: self.now)

    def close(self) -> None:
        self.engine.close()
        self.ingestor.stop()
        self.store.close()

    def tick(self, symbol: Instrument, second: int) -> Tick:
        return Tick(*symbol, second, T0 + second * SECOND + 100, self.prices[symbol][second], 1.0, "buy")

    def trade(self, second: int, symbols: tuple[Instrument, ...] = (Y, X), *, seen: bool = True) -> None:
        """Have trades made at the venue, and streamed if they are `seen`."""
        self.now = T0 + second * SECOND + 150
        self.hand.now += 1.0
        ticks = [self.tick(symbol, second) for symbol in symbols]
        self.feed.made += ticks
        if seen:
            self.feed.send(*ticks)
            self.until(lambda: all(self.store.latest().get(each.instrument) == each for each in ticks))

    def play(self, start: int, stop: int) -> None:
        for second in range(start, stop):
            self.trade(second)
            self.engine.round()

    def until(self, look: Callable[[], object], *, seconds: float = 10.0) -> None:
        wait = threading.Event()
        for _ in range(round(seconds / 0.005)):
            if look():
                self.store.append([]).result()  # who listens has been told of what was seen, too
                return
            wait.wait(0.005)
        raise AssertionError("it did not happen")

    def decisions(self, outcome: str | None = None) -> list[Decision]:
        return read_decisions(self.store, outcome=outcome)[::-1]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.play(0, 40)
    put_rule(scene.store, values_of(check(fast("abs(z) > 3.5"))), now=scene.now).result()
    scene.engine.rules_changed()
    yield scene
    scene.close()


def test_a_gap_lets_nothing_fire_and_the_right_alert_follows_when_it_is_filled(scene: Scene) -> None:
    scene.feed.holds_back = True
    scene.play(40, 58)
    for second in (58, 59, 60, 61):
        scene.trade(second, (Y,), seen=False)
        scene.trade(second, (X,))
    scene.play(62, 70)
    assert scene.decisions("fired") == []
    scene.feed.holds_back = False
    scene.until(lambda: not scene.store.gaps(state="open"))
    scene.engine.round()
    [alert] = scene.decisions("fired")
    assert ((alert.bar_ms - T0) // SECOND, alert.late) == (60, True)
    assert all(each.over_ms is not None for each in scene.decisions("held"))


def test_a_leg_that_falls_silent_lets_nothing_fire(scene: Scene) -> None:
    scene.play(40, 58)
    scene.feed.answers = False
    for second in range(58, 80):
        scene.trade(second, (Y,))
        scene.trade(second, (X,), seen=False)
        scene.engine.round()
    assert scene.decisions() == []
    health = {each.instrument: each.state for each in scene.ingestor.health().symbols}
    assert health[X] == "stale"
    assert "BTCUSDT is stale for" in scene.engine.status().waiting[0].why


def test_a_damaged_trade_is_not_judged_and_the_true_one_is_judged_late(scene: Scene) -> None:
    scene.feed.holds_back = True
    scene.play(40, 58)
    good = scene.tick(Y, 58)
    scene.feed.made += [good, scene.tick(X, 58)]
    scene.feed.send(good._replace(price=good.price * 10), scene.tick(X, 58))  # it is not believed
    scene.play(59, 70)
    assert scene.decisions("fired") == []
    scene.feed.holds_back = False
    scene.until(lambda: not scene.store.gaps(state="open"))
    scene.engine.round()
    [alert] = scene.decisions("fired")
    assert ((alert.bar_ms - T0) // SECOND, alert.late) == (60, True)


def test_a_bar_of_a_quiet_pair_is_judged_when_the_venue_has_been_asked(scene: Scene) -> None:
    scene.play(40, 61)
    assert scene.decisions() == []
    scene.now, scene.hand.now = T0 + 70 * SECOND, scene.hand.now + 30.0
    confirmed = T0 + 61 * SECOND
    scene.until(lambda: all((each.confirmed_ms or 0) >= confirmed for each in scene.ingestor.health().symbols))
    scene.engine.round()
    [alert] = scene.decisions("fired")
    assert (alert.bar_ms - T0) // SECOND == 60


def test_what_the_venue_has_and_we_have_not_is_no_confirmation(scene: Scene) -> None:
    scene.feed.holds_back = True
    scene.play(40, 61)
    scene.trade(61, seen=False)
    scene.now, scene.hand.now = T0 + 70 * SECOND, scene.hand.now + 30.0
    scene.until(lambda: len(scene.store.gaps(state="open")) == 2)
    scene.engine.round()
    assert scene.decisions("fired") == []


HOLES = st.lists(
    st.tuples(st.integers(42, 85), st.integers(1, 6), st.integers(1, 40), st.sampled_from((Y, X))),
    min_size=1,
    max_size=4,
)
"""From which second on, how long, how many seconds until it is filled, and whose trades are missing."""


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(HOLES, st.sets(st.integers(45, 125), max_size=3))
def test_whatever_is_missing_and_whenever_we_are_killed_no_alert_is_false(
    tmp_path_factory: pytest.TempPathFactory, holes: list[tuple[int, int, int, Instrument]], kills: set[int]
) -> None:
    stand = Stand(tmp_path_factory.mktemp("holes"), pair_prices(140, shocks=((60, 64, 2.0), (80, 82, -2.0))))
    missing = {(symbol, second) for first, count, _, symbol in holes for second in range(first, first + count)}
    fills = {
        symbol: max(first + count + after for first, count, after, each in holes if each == symbol)
        for *_, symbol in holes
    }
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    stand.add(fast("abs(z) > 2.5"))
    for second in range(40, 135):
        stand.market.now = T0 + second * SECOND + 150
        for symbol in (Y, X):
            if (symbol, second) in missing:
                continue
            before = second - 1
            while (symbol, before) in missing:
                before -= 1
            if before < second - 1 and second <= fills[symbol]:
                stand.miss(symbol, before + 1, second - 1)
            stand.put([second], [symbol])
        for symbol in (Y, X):
            if fills.get(symbol) == second:
                stand.put(sorted(each for name, each in missing if name == symbol and each < second), [symbol])
        if second in kills:
            stand.kill()
        stand.engine.round()
    fired = stand.decisions("fired")
    for each in fired:
        found = explain(stand.store, each.id, now=stand.market.now)
        assert found.same, found.lines
    assert len({each.bar_ms for each in fired}) == len(fired)
    assert stand.store.gaps(state="open") == ()
    assert all(each.over_ms is not None for each in stand.decisions("held"))
    stand.close()


class Trouble:
    """A pair that does not trade every second, holes that are filled late, in parts or never, and kills, by a seed."""

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        self.chance, self.count = random.Random(seed), count  # nobody is to be kept from guessing it
        self.prices = pair_prices(count, seed=seed, shocks=((60, 64, 0.4), (95, 98, -0.4), (130, 150, 0.2)))
        self.stand = Stand(folder, self.prices)
        self.silent = {(each, at) for each, share in ((Y, 0.05), (X, 0.12)) for at in self._some(share)}
        self.missing: dict[tuple[Instrument, int], int] = {}
        """What is lost, and when it comes."""
        self.lost: dict[Instrument, list[int]] = {Y: [], X: []}
        for part in range(3):
            self._lose(45 + part * (count - 100) // 3)

    def _some(self, share: float) -> list[int]:
        return [at for at in range(41, self.count - 3) if self.chance.random() < share]

    def _lose(self, low: int) -> None:
        first, symbol = low + self.chance.randrange((self.count - 100) // 3 - 7), self.chance.choice((Y, X))
        back = first + 9 + self.chance.choice((0, 5, 40))
        for second in range(first, first + self.chance.randrange(1, 7)):
            self.missing[symbol, second] = back + self.chance.choice((0, 0, 3))
        self.silent -= {(symbol, first - 1), (symbol, second + 1)}  # the ledger knows the trades around a hole

    def trades_of(self, second: int) -> Iterator[Tick]:
        """Give out what is seen at a second, and what is filled then."""
        for symbol in (Y, X):
            if (symbol, second) not in self.silent and (symbol, second) not in self.missing:
                yield self.stand.tick(symbol, second)
            for (each, lost), back in self.missing.items():
                if each == symbol and back == second and (each, lost) not in self.silent:
                    yield self.stand.tick(each, lost)

    def ledger(self, second: int) -> None:
        """Note at the first trade behind a hole what was lost; a hole that would be filled later is one."""
        for symbol in (Y, X):
            run = [lost for each, lost in self.missing if each == symbol and lost < second]
            fresh = sorted(set(run) - set(self.lost[symbol]))
            if fresh and (symbol, second) not in self.missing and (symbol, second) not in self.silent:
                self.stand.miss(symbol, fresh[0], fresh[-1])
                self.lost[symbol] += fresh

    def play(self) -> None:
        for second in range(40, self.count):
            self.stand.market.now = T0 + second * SECOND + 150
            self.ledger(second)
            self.stand.store.append(list(self.trades_of(second))).result()
            self.close_empty(second)
            self.stand.engine.round()
            if self.chance.random() < 0.04:
                self.stand.engine.close()
            if self.chance.random() < 0.08 or self.stand.engine._closing:
                self.stand.kill()

    def close_empty(self, second: int) -> None:
        """Say of what is left of holes that nothing was traded there, when all of them were filled."""
        for gap in self.stand.store.gaps(state="open"):
            inside = [back for (each, lost), back in self.missing.items() if each == gap.instrument
                      and gap.first_id <= lost <= gap.last_id]  # fmt: skip
            if max(inside, default=0) <= second:
                self.stand.store.close_gap(gap.key, "empty", "nothing was traded").result()

    def end(self) -> int:
        """Let everything be judged; return until when."""
        self.stand.market.now = T0 + (self.count + 5) * SECOND
        self.stand.market.confirmed = dict.fromkeys((Y, X), T0 + self.count * SECOND)
        for _ in range(5):
            self.stand.engine.round()
        return T0 + self.count * SECOND


FEW = (
    fast("correlation < 0.3", duration_ms=2_000), fast("abs(z) > 1.5", fill=3, rearm="1"),
    fast("abs(z) > 1.2", timeframe="7s", window=5), fast("z crosses 1.5"), fast("ratio > 0.602", rearm="0.6"),
)  # fmt: skip
MORE = (
    fast("abs(z) > 1.5", method="kalman", bars=60), fast("coint_p < 0.02 or half_life < 1"),
    fast("abs(beta_drift) > 20%", method="huber"), fast("volume > 0.5 and z > 1", minimum_volume=0.5),
    fast("abs(spread) > 0.08", log=True, duration_ms=1_000), fast("break_p < 0.1", bars=40),
    fast("price > 60", y=str(Y), x=""), fast("z leaves -1 to 1"),
)  # fmt: skip


def check_as_shown(trouble: Trouble, number: int, rule: Rule, end: int) -> None:
    """See that what fired is what the preview shows now; an excursion told of at a later row is not told again."""
    stand, timeframe = trouble.stand, Timeframe.parse(rule.timeframe)
    start, end = timeframe.floor(T0 + 40 * SECOND) - timeframe.ms, timeframe.floor(end)
    shown = preview(rule, stand.store, TARGET if rule.x else str(Y), start=start, end=end, now=stand.market.now)
    fired = {each.bar_ms: each for each in stand.decisions("fired") if each.rule_id == number}
    again = {
        each.bar_ms: int(re.findall(r"alert (\d+)", each.reason)[0])
        for each in stand.decisions("suppressed")
        if each.rule_id == number and each.reason.startswith("the same excursion")
    }
    wanted = {mark.time_ms for mark in shown.fired}
    assert wanted - set(fired) <= set(again), rule.when
    assert {fired[bar].id for bar in set(fired) - wanted} <= set(again.values()), rule.when
    followed = sorted(fired.values(), key=lambda each: each.bar_ms)[:-2]
    assert all(each.over_ms is not None for each in followed), rule.when


def follow(folder: Path, seed: int, rules: tuple[Rule, ...], count: int) -> int:
    """Judge rules through troubles, and compare with the preview of what is stored then; return how many fired."""
    trouble = Trouble(folder, seed, count)
    stand = trouble.stand
    stand.put(range(40))
    stand.market.now = T0 + 40 * SECOND
    checked = [check(rule) for rule in rules]
    numbers = [stand.add(rule) for rule in checked]
    trouble.play()
    end = trouble.end()
    assert stand.store.gaps(state="open") == ()
    for number, rule in zip(numbers, checked, strict=True):
        check_as_shown(trouble, number, rule, end)
    for each in stand.decisions():
        found = explain(stand.store, each.id, now=stand.market.now)
        assert each.outcome == "held" or found.same, found.lines
    assert all(each.over_ms is not None for each in stand.decisions("held"))
    fired = len(stand.decisions("fired"))
    stand.close()
    return fired


@pytest.mark.parametrize("seed", [11, 12, 16])
def test_holes_that_are_filled_late_and_kills_end_in_what_the_preview_shows(tmp_path: Path, seed: int) -> None:
    assert follow(tmp_path, seed, FEW, 180) > 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10, 50))
def test_no_trouble_makes_another_story_than_the_preview(tmp_path: Path, seed: int) -> None:
    assert follow(tmp_path, seed, FEW + MORE, 320) > 10
