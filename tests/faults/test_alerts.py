"""Alerts where recording has its troubles (N4): none on a gap, a stale leg, a damaged trade."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import Ingestor
from market import SECOND, Instrument, Tick
from pairscope.alerts.engine import Engine
from pairscope.alerts.explain import explain
from pairscope.alerts.rules import check, values_of
from pairscope.recording.health import SymbolHealth
from pairscope.stores.alerts import Decision, put_rule, read_decisions
from store import SqliteStore
from tests.alerts.market import T0, Stand, X, Y, fast, pair_prices
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
    st.tuples(st.integers(42, 95), st.integers(1, 6), st.integers(1, 40), st.sampled_from((Y, X))),
    min_size=1,
    max_size=4,
)
"""From which second on, how long, how many seconds until it is filled, and whose trades are missing."""


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
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
