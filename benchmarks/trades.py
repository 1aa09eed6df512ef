"""Made-up trades of two symbols, about 20 a second each: the same ones for everything that is compared."""

from collections.abc import Mapping

import numpy as np

from market import Instrument, Side, Tick

VENUE = "simulated"
BTC, ETH = Instrument(VENUE, "BTCUSDT"), Instrument(VENUE, "ETHUSDT")
SYMBOLS = (BTC, ETH)
START_MS = 1_750_000_000_000
MEAN_GAP_MS = 25.0
"""Between two trades of either symbol: 40 trades a second in all."""

_SIDES: tuple[Side, Side] = ("sell", "buy")
_FIRST_PRICES = {BTC: 6_000_000, ETH: 300_000}
"""In cents."""


class Trades:
    """An endless row of trades in the order of time, the ids of each symbol counting up."""

    def __init__(self, after: Mapping[Instrument, Tick] | None = None) -> None:
        """Begin at the first trade, or go on after the newest trade of each symbol."""
        newest = after or {}
        self._time = max((tick.time_ms for tick in newest.values()), default=START_MS)
        self._ids = [newest[each].trade_id if each in newest else 0 for each in SYMBOLS]
        self._cents = [round(newest[each].price * 100) if each in newest else _FIRST_PRICES[each] for each in SYMBOLS]
        self._random = np.random.default_rng(self._time)

    def take(self, count: int) -> list[Tick]:
        """Return the next `count` trades."""
        which = self._random.integers(0, 2, count)
        gaps = self._random.exponential(MEAN_GAP_MS, count).round().astype(np.int64)
        times = self._time + np.cumsum(gaps)
        self._time = int(times[-1])
        steps = self._random.integers(-10, 11, count)
        ids, cents = np.empty(count, np.int64), np.empty(count, np.int64)
        for symbol in range(2):
            mine = which == symbol
            ids[mine] = self._ids[symbol] + np.arange(1, mine.sum() + 1)
            cents[mine] = self._cents[symbol] + np.cumsum(steps[mine])
            self._ids[symbol] += int(mine.sum())
            self._cents[symbol] += int(steps[mine].sum())
        quantities = self._random.integers(1, 100_000, count) / 100_000
        sides = self._random.integers(0, 2, count)
        return [
            Tick(VENUE, SYMBOLS[symbol].symbol, trade_id, time, price, qty, _SIDES[side])
            for symbol, trade_id, time, price, qty, side in zip(
                which.tolist(),
                ids.tolist(),
                times.tolist(),
                (cents / 100).tolist(),
                quantities.tolist(),
                sides.tolist(),
                strict=True,
            )
        ]
