"""A market in the hands of a test: trades of two symbols a second apart, and what is known of their recording."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from market import SECOND, Hole, Instrument, Tick
from pairscope.alerts.engine import Engine
from pairscope.alerts.rules import Rule, check, values_of
from pairscope.recording.health import SymbolHealth, SymbolState
from pairscope.stores.alerts import Decision, put_rule, read_decisions
from store import SqliteStore

T0 = 1_700_000_040_000
Y = Instrument("binance-spot", "ETHUSDT")
X = Instrument("binance-spot", "BTCUSDT")
TARGET = f"{Y}/{X}"


def pair_prices(
    count: int, *, seed: int = 1, shocks: Iterable[tuple[int, int, float]] = ()
) -> dict[Instrument, list[float]]:
    """Return closes, second by second, of a pair; `shocks` are (from, to, how much y is off by)."""
    rng = np.random.default_rng(seed)
    x = 100 + np.cumsum(rng.normal(0, 0.05, count))
    y = 10 + 0.5 * x + rng.normal(0, 0.05, count)
    for start, stop, off in shocks:
        y[start:stop] += off
    return {Y: np.round(y, 4).tolist(), X: np.round(x, 4).tolist()}


@dataclass
class ByHand:
    """Stands for the recording: what it knows is set by the test."""

    now: int = T0
    states: dict[Instrument, SymbolState] = field(default_factory=dict)
    ages: dict[Instrument, float] = field(default_factory=dict)
    confirmed: dict[Instrument, int] = field(default_factory=dict)
    symbols: tuple[Instrument, ...] = (Y, X)

    def recorded(self) -> list[SymbolHealth]:
        return [
            SymbolHealth(
                instrument=each,
                state=self.states.get(each, "live"),
                last_price=None,
                last_time_ms=None,
                age_seconds=self.ages.get(each, 0.1),
                lag_ms=0,
                trades_per_second=1.0,
                received=1,
                repairing=0,
                confirmed_ms=self.confirmed.get(each),
            )
            for each in self.symbols
        ]

    def now_at(self, venue: str) -> int:
        return self.now


class Stand:
    """A store with trades put in by hand, and an engine that judges when it is told to."""

    def __init__(self, folder: Path, prices: dict[Instrument, list[float]] | None = None) -> None:
        self.path = folder / "ticks.db"
        self.prices = prices or pair_prices(200)
        self.market = ByHand()
        self.open()

    def open(self) -> None:
        """Open the store and begin to judge, as a process does that starts."""
        self.store = SqliteStore(self.path, clock=lambda: self.market.now, commit_ms=1)
        self.engine = Engine(self.store, self.market, clock=lambda: self.market.now)

    def kill(self) -> None:
        """End without a word to the engine, and start again."""
        self.engine._end_listening()
        self.store.close()
        self.open()

    def close(self) -> None:
        self.engine.close()
        self.store.close()

    def add(self, rule: Rule) -> int:
        """Keep a rule; it begins at the present of the market."""
        number = put_rule(self.store, values_of(check(rule)), now=self.market.now).result()
        self.engine.rules_changed()
        return number

    def change(self, number: int, values: Mapping[str, object], *, on: bool = True) -> None:
        """Put a rule in place of another."""
        put_rule(self.store, values, id=number, on=on, now=self.market.now).result()
        self.engine.rules_changed()

    def tick(self, symbol: Instrument, second: int, *, offset: int = 100) -> Tick:
        return Tick(*symbol, second, T0 + second * SECOND + offset, self.prices[symbol][second], 1.0, "buy")

    def put(self, seconds: Iterable[int], symbols: Sequence[Instrument] = (Y, X)) -> None:
        """Store the trades of these seconds."""
        ticks = [self.tick(symbol, second) for second in seconds for symbol in symbols]
        self.store.append(ticks).result()

    def miss(self, symbol: Instrument, first: int, last: int) -> int:
        """Enter a hole into the ledger; return the gap's key."""
        hole = Hole(
            symbol, first, last, self.tick(symbol, first - 1).time_ms, self.tick(symbol, last + 1).time_ms, "lost"
        )
        return self.store.append([], holes=[hole]).result().gaps[0]

    def play(self, start: int, stop: int, *, rounds: int = 1) -> None:
        """Let seconds pass one by one, with a round after each."""
        for second in range(start, stop):
            self.market.now = T0 + second * SECOND + 150
            self.put([second])
            for _ in range(rounds):
                self.engine.round()

    def decisions(self, outcome: str | None = None) -> list[Decision]:
        return read_decisions(self.store, outcome=outcome, limit=10_000)[::-1]

    def story(self, outcome: str | None = None) -> list[tuple[str, int, str]]:
        """Return what was decided, by second."""
        return [(each.outcome, (each.bar_ms - T0) // SECOND, each.direction) for each in self.decisions(outcome)]


def fast(when: str = "abs(z) > 3", **more: object) -> Rule:
    """A rule about the pair on bars of one second."""
    values: dict[str, object] = {"when": when, "y": str(Y), "x": str(X), "timeframe": "1s", "window": 20, "bars": 60}
    return Rule(**(values | more))  # type: ignore[arg-type]


def is_same(left: float | None, right: float | None) -> bool:
    return left == right or (left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9))
