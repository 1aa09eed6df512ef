"""A market that does not exist, with planted truth: its trades are a function of (seed, breaks, time).

Nothing is remembered, so a restart goes on at the present and the hole that it left is refilled from the same function.
Every hour of a symbol holds the same number of trades (`per_hour`), so an id says its hour, and ids are contiguous.
The same trades come from the same numpy: a new release of it may draw other random numbers.

Time is UTC epoch milliseconds; prices of a planted pair follow ``y = alpha + beta x + spread``.
"""

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import attrgetter

import numpy as np

from ingest import Batch, Offline, Unfillable
from market import HOUR, SECOND, Flags, Floats, Gap, Instrument, Integers, Label, Side, Tick, UnknownName, WrongUse

VENUE = "simulated"
OPENED_MS = 1_502_928_000_000
"""The market's first moment, 2017-08-17T00:00:00Z: ids count from 0 there, which gives them a realistic size today."""

HISTORY_MS = 6 * HOUR
"""What exists when a desk starts with nothing, so that its first chart is full."""

KEPT_MS = 24 * HOUR
"""What `refill` serves; real exchanges forget too."""

SLOT_MS = 200
"""Prices move on this grid: fine enough for bars of one second, coarse enough to make an hour in a few milliseconds."""

SLOTS = HOUR // SLOT_MS
ERA_HOURS = 1024
"""Walks come home to their first price every 1024 hours (43 days), so that no year can drive a price to zero."""

SWEEP = 0.35
"""The share of trades that belong to the same taker order as the trade before: same millisecond, one tick further."""

QTY_SIGMA = 1.2
BATCH, STRETCH_MS, PIECE = 2_000, 60 * SECOND, 3_000
"""The most trades in a batch, the most time gathered at once, and the most trades in a piece of a refill."""


BREAK_BETA, BREAK_SHIFT, BREAK_RAMP_MS = 0.5, 8.0, 600 * SECOND
"""A break multiplies beta by the first, and lifts the spread by so many of its deviations in that time."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of the market.

    `price` is the level that it moves around, on a grid of `decimals` places; `lot` is the median quantity of a trade,
    on a grid of `lot_decimals` places. `volatility` is the standard deviation of the log price after an hour, `market`
    its correlation with the common factor; neither is used for the y of a planted pair, which follows its x.
    """

    symbol: str
    price: float
    decimals: int
    lot: float
    lot_decimals: int
    per_hour: int
    volatility: float = math.nan
    market: float = math.nan


@dataclass(frozen=True, slots=True)
class Planted:
    """What is true of a pair: ``y = alpha + beta x + spread``, in prices.

    The spread is an Ornstein-Uhlenbeck process with this half-life (seconds), and `noise` is its stationary standard
    deviation. Without a half-life (infinite) it is a random walk: `noise` is its deviation after an hour, and the pair
    only looks correlated. The pair with `breaks` is the one that `Simulated.break_pair` breaks.
    """

    y: str
    x: str
    beta: float
    half_life_s: float
    noise: float
    breaks: bool = False

    @property
    def alpha(self) -> float:
        return LISTINGS[self.y].price - self.beta * LISTINGS[self.x].price

    @property
    def cointegrated(self) -> bool:
        return math.isfinite(self.half_life_s)


LISTINGS = {
    listing.symbol: listing
    for listing in (
        Listing("BTCUSDT", 60_000.0, 2, 0.004, 5, 21_600, volatility=0.0064, market=1.0),
        Listing("ETHUSDT", 2_650.0, 2, 0.06, 4, 18_000),
        Listing("SOLUSDT", 150.0, 2, 1.2, 3, 7_200),
        Listing("AVAXUSDT", 25.0, 3, 6.0, 2, 2_400, volatility=0.009, market=0.7),
        Listing("LINKUSDT", 14.5, 3, 8.0, 2, 3_600),
        Listing("DOTUSDT", 4.2, 4, 30.0, 2, 3_600, volatility=0.009, market=0.6),
        Listing("XRPUSDT", 2.2, 4, 90.0, 1, 3_600, volatility=0.009, market=0.6),
        Listing("ADAUSDT", 0.7, 4, 250.0, 1, 2_400),
        Listing("ZECUSDT", 45.0, 2, 0.8, 3, 180, volatility=0.008, market=0.5),
        Listing("DASHUSDT", 28.0, 2, 1.1, 3, 60, volatility=0.008, market=0.5),
    )
}
"""The symbols: two liquid ones, six in the middle, a quiet one (a trade in 20 s) and a very quiet one (in a minute)."""

PLANTED = (
    Planted("ETHUSDT", "BTCUSDT", beta=0.04, half_life_s=90.0, noise=4.0),
    Planted("SOLUSDT", "AVAXUSDT", beta=4.0, half_life_s=1_800.0, noise=0.6),
    Planted("LINKUSDT", "DOTUSDT", beta=2.5, half_life_s=240.0, noise=0.04, breaks=True),
    Planted("ADAUSDT", "XRPUSDT", beta=0.25, half_life_s=math.inf, noise=0.003),
)
"""The truth: two cointegrated pairs, one that breaks on command, one that only looks correlated."""


def listed(symbol: str) -> Listing:
    """Return the listing of `symbol`.

    Raises:
        UnknownName: when the market has no such symbol.
    """
    if symbol not in LISTINGS:
        raise UnknownName("simulated symbol", symbol, LISTINGS)
    return LISTINGS[symbol]


def hour_of(symbol: str, trade_id: int) -> int:
    """Return the start of the hour that holds the trade, in epoch milliseconds."""
    return OPENED_MS + trade_id // listed(symbol).per_hour * HOUR


def draws(seed: int, purpose: str, block: int) -> np.random.Generator:
    """Return the random numbers of one block of time: the same in every process, independent between purposes."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), block])


def autoregress(noise: Floats, phi: float) -> Floats:
    """Return ``s[t] = phi s[t-1] + noise[t]`` from zero on, without a loop over t.

    1 / (1 - phi L) = (1 + phi L)(1 + phi^2 L^2)(1 + phi^4 L^4)..., exact once the lag exceeds the length.
    """
    state, lag = noise.copy(), 1
    while lag < len(state):
        state[lag:] += phi**lag * state[:-lag]
        lag *= 2
    return state


@dataclass(frozen=True, eq=False)
class Tape:
    """One hour of trades of one symbol by columns; row k has the id ``first_id + k``."""

    symbol: str
    first_id: int
    time: Integers
    price: Floats
    qty: Floats
    buy: Flags

    def ticks(self, start: int, end: int) -> list[Tick]:
        """Return the trades of the rows ``[start, end)``."""
        rows = slice(start, end)
        sides: list[Side] = ["buy" if buy else "sell" for buy in self.buy[rows].tolist()]
        ids = range(self.first_id + start, self.first_id + end)
        columns = (column[rows].tolist() for column in (self.time, self.price, self.qty))
        return list(map(Tick, repeat(VENUE), repeat(self.symbol), ids, *columns, sides))


class Market:
    """The pure market: every answer is a function of (seed, breaks) and the question. Thread-safe.

    Args:
        seed: any integer from 0 on; another seed is another market with the same planted truth.
        breaks_ms: when the breakable pair breaks, in epoch milliseconds.
    """

    def __init__(self, seed: int, breaks_ms: Sequence[int] = ()) -> None:
        if seed < 0:
            raise WrongUse(f"the seed of the simulated market is an integer from 0 on, not {seed}")
        if breaks_ms and min(breaks_ms) < OPENED_MS:
            raise WrongUse(f"a pair cannot break before the simulated market opened ({OPENED_MS}): {min(breaks_ms)}")
        self.seed = seed
        self.breaks_ms = tuple(sorted(breaks_ms))
        # Bounded, because a refill visits 24 hours of every symbol: 64 tapes are 35 MB at most, 64 paths 10 MB.
        self.tape: Callable[[str, int], Tape] = lru_cache(maxsize=64)(self._tape)
        self.mid: Callable[[str, int], Floats] = lru_cache(maxsize=64)(self._mid)
        self._walk: Callable[[str, int], Floats] = lru_cache(maxsize=16)(self._make_walk)
        self._carry: Callable[[Planted, int], float] = lru_cache(256)(lambda *of: float(self._shocks(*of)[-1]))

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> list[Tick]:
        """Return all trades of `symbol` in ``[start_ms, end_ms)``, past or future, in the order of their ids."""
        return self.by_id(symbol, self.id_at(symbol, start_ms), self.id_at(symbol, end_ms))

    def by_id(self, symbol: str, first_id: int, end_id: int) -> list[Tick]:
        """Return the trades with the ids ``[first_id, end_id)``."""
        per_hour = listed(symbol).per_hour
        ticks: list[Tick] = []
        while first_id < end_id:
            row = first_id % per_hour
            stop = min(per_hour, row + end_id - first_id)
            ticks += self.tape(symbol, hour_of(symbol, first_id)).ticks(row, stop)
            first_id += stop - row
        return ticks

    def id_at(self, symbol: str, time_ms: int) -> int:
        """Return the id of the first trade at or after `time_ms`."""
        hour, inside = divmod(max(time_ms - OPENED_MS, 0), HOUR)
        row = np.searchsorted(self.tape(symbol, time_ms - inside).time, time_ms) if inside else 0
        return hour * listed(symbol).per_hour + int(row)

    def _tape(self, symbol: str, hour_ms: int) -> Tape:
        """Draw one hour of trades: taker orders in a Poisson process given its count, each with one fill or more."""
        listing = listed(symbol)
        rng, n = draws(self.seed, f"{symbol} tape", hour_ms // HOUR), listing.per_hour
        opens = rng.random(n) >= SWEEP
        opens[0] = True
        order = np.cumsum(opens) - 1
        offset = np.sort(rng.integers(0, HOUR, order[-1] + 1))[order]
        buy = rng.integers(0, 2, order[-1] + 1)[order]
        depth = np.arange(n) - np.flatnonzero(opens)[order]
        # Whole ticks divided by a power of ten are the doubles nearest to the decimals, so that they print short.
        bid = np.floor(self.mid(symbol, hour_ms)[offset // SLOT_MS] * 10**listing.decimals)
        price = (bid + buy + np.where(buy, depth, -depth)) / 10**listing.decimals
        lots = np.rint(rng.lognormal(math.log(listing.lot), QTY_SIGMA, n) * 10**listing.lot_decimals)
        first_id = (hour_ms - OPENED_MS) // HOUR * n
        return Tape(symbol, first_id, hour_ms + offset, price, np.maximum(lots, 1) / 10**listing.lot_decimals, buy == 1)

    def _mid(self, symbol: str, hour_ms: int) -> Floats:
        """Return the price without bounce at the start of every slot of one hour."""
        for pair in PLANTED:
            if pair.y == symbol:
                x = self.mid(pair.x, hour_ms)
                return pair.alpha + pair.beta * x + self._spread(pair, hour_ms) + self._broken(pair, x, hour_ms)
        listing = listed(symbol)
        own = math.sqrt(1 - listing.market**2)
        walk = listing.market * self._walk("market", hour_ms)
        if own:
            walk = walk + own * self._walk(symbol, hour_ms)
        return np.asarray(listing.price * np.exp(listing.volatility * walk))

    def _make_walk(self, name: str, hour_ms: int) -> Floats:
        """Return one hour of a Brownian motion, of variance 1 after an hour, without walking there from the beginning.

        The hours of an era are a Brownian bridge from 0 to 0, and each hour is a bridge between two of its points.
        """
        era, hour = divmod(hour_ms // HOUR, ERA_HOURS)
        hours = _bridge(draws(self.seed, f"{name} era", era), ERA_HOURS, scale=1.0)
        inside = _bridge(draws(self.seed, f"{name} walk", hour_ms // HOUR), SLOTS, scale=1 / math.sqrt(SLOTS))
        path: Floats = inside[:-1] + np.linspace(hours[hour], hours[hour + 1], SLOTS, endpoint=False)
        return path

    def _spread(self, pair: Planted, hour_ms: int) -> Floats:
        """Return one hour of the spread before any break; AR(1) with phi = 2^(-slot / half-life) samples OU exactly."""
        if not pair.cointegrated:
            return pair.noise * self._walk(f"{pair.y}/{pair.x}", hour_ms)
        half_life_slots = pair.half_life_s * SECOND / SLOT_MS
        # The state before this hour is what the earlier hours left; what is older than 30 half-lives is 1e-9 of it.
        reach = math.ceil(30 * half_life_slots / SLOTS)
        decay = 0.5 ** (SLOTS / half_life_slots)
        before: float = sum(decay**k * self._carry(pair, hour_ms - (k + 1) * HOUR) for k in range(reach))
        fading = np.exp2(-np.arange(1, SLOTS + 1) / half_life_slots)
        return pair.noise * (self._shocks(pair, hour_ms) + before * fading)

    def _shocks(self, pair: Planted, hour_ms: int) -> Floats:
        """Return what the noise of one hour adds to a spread of stationary variance 1."""
        phi = 0.5 ** (SLOT_MS / (pair.half_life_s * SECOND))
        noise = draws(self.seed, f"{pair.y}/{pair.x} spread", hour_ms // HOUR).standard_normal(SLOTS)
        return autoregress(noise * math.sqrt(1 - phi * phi), phi)

    def _broken(self, pair: Planted, x: Floats, hour_ms: int) -> Floats:
        """Return what the breaks so far add to y: beta turns around the x of the moment, and the mean ramps up."""
        change = np.zeros(SLOTS)
        beta = pair.beta
        for at_ms in self.breaks_ms if pair.breaks else ():
            since = hour_ms + np.arange(SLOTS) * SLOT_MS - at_ms
            if since[-1] < 0:
                break
            pivot = self.mid(pair.x, at_ms - at_ms % HOUR)[at_ms % HOUR // SLOT_MS]
            ramp = BREAK_SHIFT * pair.noise * np.minimum(since / BREAK_RAMP_MS, 1)
            change += np.where(since >= 0, beta * (BREAK_BETA - 1) * (x - pivot) + ramp, 0)
            beta *= BREAK_BETA
        return change


def _bridge(rng: np.random.Generator, steps: int, *, scale: float) -> Floats:
    """Return a Brownian bridge of steps + 1 points from 0 to 0."""
    walk = np.concatenate(([0.0], np.cumsum(rng.standard_normal(steps) * scale)))
    bridge: Floats = walk - walk[-1] * np.arange(steps + 1) / steps
    return bridge


class Simulated(Offline):
    """The feed of the simulated market; its methods belong to one event loop.

    Args:
        clock: tells the present in epoch milliseconds; trades happen as it goes on.
        seed: of the market, an integer from 0 on.
        symbols: which to stream; all when none is named.
        breaks_ms: when the breakable pair breaks; after a restart, give those again that `break_pair` was told.
        pace_ms: how long to wait between two looks at the clock.

    Raises:
        UnknownName: for a symbol that the market does not have.
    """

    label: Label = "SIMULATED"
    venue = VENUE
    contiguous = True
    answers_at_once = True

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        seed: int = 1,
        symbols: Sequence[str] | None = None,
        breaks_ms: Sequence[int] = (),
        pace_ms: int = 100,
    ) -> None:
        self._clock = clock
        self._pace_s = pace_ms / 1000
        self._told_ms = 0
        self.market = Market(seed, breaks_ms)
        self.instruments = tuple(Instrument(VENUE, listed(name).symbol) for name in dict.fromkeys(symbols or LISTINGS))

    def symbols(self) -> Mapping[str, str]:
        """Return all symbols of the market: each of them trades."""
        return dict.fromkeys(LISTINGS, "")

    def add(self, instrument: Instrument) -> None:
        """Stream one more.

        Raises:
            UnknownName: for a symbol that the market does not have.
        """
        listed(instrument.symbol)
        self.instruments = tuple(dict.fromkeys([*self.instruments, instrument]))

    def remove(self, instrument: Instrument) -> None:
        """Stream one less."""
        self.instruments = tuple(each for each in self.instruments if each != instrument)

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> list[Tick]:
        """Return all trades of `symbol` in ``[start_ms, end_ms)``, past or future, in the order of their ids."""
        return self.market.trades(symbol, start_ms, end_ms)

    def break_pair(self, at_ms: int | None = None) -> int:
        """Break the breakable pair at `at_ms` (now when not given) and return that moment, in epoch milliseconds.

        Raises:
            WrongUse: for a moment that has passed: trades that were told do not change.
        """
        present = self._present()
        moment = present if at_ms is None else at_ms
        if moment < present:
            raise WrongUse(f"the pair cannot break in the past: at {moment}, and it is {present}")
        self.market = Market(self.market.seed, (*self.market.breaks_ms, moment))
        return moment

    def _present(self) -> int:
        return max(self._clock(), self._told_ms)  # what was told has happened, also when the clock has stepped back

    def stream(self) -> AsyncIterator[Batch]:
        """Yield the trades from this call on as the clock passes them, in time order, in batches of at most 2,000."""
        return self._follow(self._clock())

    async def _follow(self, told_ms: int) -> AsyncIterator[Batch]:
        yield Batch(unsure=self.instruments)
        while True:
            now = self._clock()
            # After a long sleep of the machine the market has forgotten the first part: a hole, as on a real exchange.
            told_ms = max(told_ms, now - KEPT_MS)
            while told_ms < now:
                until = min(now, told_ms + STRETCH_MS)
                self._told_ms = max(self._told_ms, until)
                ticks = await self._between(told_ms, until)
                told_ms = until
                for start in range(0, len(ticks), BATCH):
                    yield Batch(ticks[start : start + BATCH])
            await asyncio.sleep(self._pace_s)

    async def _between(self, start_ms: int, end_ms: int) -> list[Tick]:
        ticks: list[Tick] = []
        for instrument in self.instruments:
            ticks += self.trades(instrument.symbol, start_ms, end_ms)
            await asyncio.sleep(0)  # a new hour costs some milliseconds a symbol, and others want the loop too
        ticks.sort(key=attrgetter("time_ms"))
        return ticks

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return id and time of the first trade of the last 6 hours."""
        market, now = self.market, self._clock()
        first_id = market.id_at(instrument.symbol, now - HISTORY_MS)
        [first] = market.by_id(instrument.symbol, first_id, first_id + 1)
        return (first_id, first.time_ms) if first.time_ms < now else None

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        """Return id and time of the last trade that has happened."""
        last_id = self.market.id_at(instrument.symbol, self._present()) - 1
        [last] = self.market.by_id(instrument.symbol, last_id, last_id + 1)
        return last_id, last.time_ms

    async def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap` that have happened, newest piece first, each piece ascending.

        Raises:
            Unfillable: after the last piece, when the gap begins before the 24 hours that the market keeps.
        """
        symbol = gap.instrument.symbol
        if gap.instrument.venue != VENUE or symbol not in LISTINGS:
            raise Unfillable(f"the simulated market does not list {gap.instrument}")
        market, now = self.market, self._present()
        oldest, newest = market.id_at(symbol, now - KEPT_MS), market.id_at(symbol, now)
        first_id = max(gap.first_id, oldest)
        for end_id in range(min(gap.last_id + 1, newest), first_id, -PIECE):
            yield market.by_id(symbol, max(first_id, end_id - PIECE), end_id)
            await asyncio.sleep(0)
        if gap.first_id < oldest:
            raise Unfillable(f"the simulated market keeps 24 hours; ids below {oldest} are older")
