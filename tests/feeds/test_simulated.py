"""The simulated market: the same trades however one asks, and the truth that was planted in them."""

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import Batch, Feed, Unfillable
from market import HOUR, MINUTE, SECOND, Floats, Gap, Instrument, Tick, UnknownName, WrongUse, flaw
from pairscope.feeds.simulated import (
    BREAK_BETA,
    BREAK_RAMP_MS,
    LISTINGS,
    OPENED_MS,
    PLANTED,
    SLOT_MS,
    VENUE,
    Market,
    Planted,
    Simulated,
    hour_of,
)

NOW = 1_790_000_000_000 // HOUR * HOUR
"""An hour's first moment, 2026-09-21T13:00:00Z."""

MARKET = Market(1)
QUIET = ("ZECUSDT", "DASHUSDT")
LIQUID, LOOKALIKE = PLANTED[0], PLANTED[3]
BREAKABLE = next(pair for pair in PLANTED if pair.breaks)
COINTEGRATED = [pair for pair in PLANTED if pair.cointegrated]

symbols = st.sampled_from(sorted(LISTINGS))
moments = st.integers(NOW - 20 * MINUTE, NOW + 20 * MINUTE)


class ScriptError(Exception):
    """The script of the clock has ended."""


class Clock:
    """A clock that tells the given moments in turn, and ends the stream that asks for one more."""

    def __init__(self, *moments: int) -> None:
        self.moments = list(moments)

    def __call__(self) -> int:
        if not self.moments:
            raise ScriptError
        return self.moments.pop(0)


def feed_at(*script: int, symbols: Sequence[str] | None = None) -> Simulated:
    return Simulated(clock=Clock(*script), seed=1, symbols=symbols, pace_ms=0)


T = TypeVar("T")


def collected(source: AsyncIterator[T]) -> tuple[list[T], str | None]:
    """Return what the source yields, and the words of the error that ends it."""
    batches: list[T] = []

    async def collect() -> None:
        async for batch in source:
            batches.append(batch)  # noqa: PERF401 - a comprehension would lose what came before the error

    try:
        asyncio.run(collect())
    except (ScriptError, Unfillable) as error:
        return batches, str(error)
    return batches, None


def streamed(feed: Feed) -> list[Sequence[Tick]]:
    """Return the batches that the feed streams until the script of its clock ends."""
    return [batch.ticks for batch in collected(feed.stream())[0] if batch.ticks]


def gap_of(symbol: str, first_id: int, last_id: int, *, venue: str = VENUE) -> Gap:
    instrument = Instrument(venue, symbol)
    return Gap(1, instrument, first_id, last_id, NOW, NOW, NOW, "restart", "open", 0, None, None)


def refilled(feed: Feed, gap: Gap) -> tuple[list[Sequence[Tick]], str | None]:
    """Return the pieces of a refill, and why it could not go on."""
    return collected(feed.refill(gap))


def flat(batches: list[Sequence[Tick]]) -> list[Tick]:
    return [tick for batch in batches for tick in batch]


def in_order(pieces: list[Sequence[Tick]]) -> list[Tick]:
    return flat(pieces[::-1])


def closes(market: Market, symbol: str, hours: int, step_ms: int, start_ms: int = NOW) -> Floats:
    """Return the last price before the end of every step."""
    tapes = [market.tape(symbol, start_ms + hour * HOUR) for hour in range(-1, hours)]
    time, price = (np.concatenate([getattr(tape, name) for tape in tapes]) for name in ("time", "price"))
    ends = np.arange(start_ms + step_ms, start_ms + hours * HOUR + 1, step_ms)
    found: Floats = price[np.searchsorted(time, ends) - 1]
    return found


def slope(x: Floats, y: Floats) -> float:
    x = x - x.mean()
    return float(x @ y / (x @ x))


def dickey_fuller(y: Floats, x: Floats) -> float:
    """Return the t-ratio of the residuals' own lag, Engle and Granger (1987), without lagged differences."""
    beta = slope(x, y)
    residual = y - y.mean() - beta * (x - x.mean())
    lag, step = residual[:-1], np.diff(residual)
    rho = lag @ step / (lag @ lag)
    return float(rho / math.sqrt(np.mean((step - rho * lag) ** 2) / (lag @ lag)))


def beta_error(pair: Planted, x: Floats, step_ms: int) -> float:
    """Return the standard error of the OLS beta when the errors are AR(1).

    Their long-run variance is noise^2 (1 + phi) / (1 - phi), Hamilton (1994), section 8.2.
    """
    phi = 0.5 ** (step_ms / SECOND / pair.half_life_s)
    return pair.noise * math.sqrt((1 + phi) / (1 - phi) / float(np.sum((x - x.mean()) ** 2)))


# The trades are a function of (seed, time)


@settings(max_examples=40)
@given(symbols, st.lists(moments, min_size=3, max_size=3).map(sorted))
def test_time_may_be_sliced_anywhere(symbol: str, times: list[int]) -> None:
    start, middle, end = times
    whole = MARKET.trades(symbol, start, end)
    assert whole == MARKET.trades(symbol, start, middle) + MARKET.trades(symbol, middle, end)
    assert all(start <= tick.time_ms < end for tick in whole)


@settings(max_examples=40)
@given(symbols, st.integers(0, 10**9))
def test_an_id_says_its_hour_and_its_trade(symbol: str, trade_id: int) -> None:
    [tick] = MARKET.by_id(symbol, trade_id, trade_id + 1)
    assert tick.trade_id == trade_id
    assert hour_of(symbol, trade_id) == tick.time_ms - tick.time_ms % HOUR
    assert MARKET.id_at(symbol, tick.time_ms) <= trade_id < MARKET.id_at(symbol, tick.time_ms + 1)


@pytest.mark.parametrize("symbol", LISTINGS)
def test_a_fresh_market_asked_in_another_order_tells_the_same_trades(symbol: str) -> None:
    fresh = Market(1)
    fresh.trades(symbol, NOW + HOUR, NOW + HOUR + MINUTE)
    assert fresh.trades(symbol, NOW - MINUTE, NOW + MINUTE) == MARKET.trades(symbol, NOW - MINUTE, NOW + MINUTE)


def test_another_process_tells_the_same_trades() -> None:
    """Python's hash() differs from process to process."""
    root = Path(__file__).parents[2]
    question = f"trades('ETHUSDT', {NOW}, {NOW + 5 * SECOND})"
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from pairscope.feeds.simulated import Market; "
    run = [sys.executable, "-c", f"{code}print(Market(1).{question})"]
    answer = subprocess.run(run, capture_output=True, text=True, check=True, cwd=root).stdout
    assert answer.strip() == repr(MARKET.trades("ETHUSDT", NOW, NOW + 5 * SECOND))


def test_another_seed_is_another_market() -> None:
    one, two = (Market(seed).trades("BTCUSDT", NOW, NOW + MINUTE) for seed in (1, 2))
    assert not {tick.price for tick in one} & {tick.price for tick in two}
    assert [tick.time_ms for tick in one] != [tick.time_ms for tick in two]


@pytest.mark.parametrize("symbol", LISTINGS)
def test_ids_go_on_by_one_across_the_hours_and_never_back_in_time(symbol: str) -> None:
    ticks = MARKET.trades(symbol, NOW - 70 * MINUTE, NOW + 10 * MINUTE)
    assert [tick.trade_id for tick in ticks] == list(range(ticks[0].trade_id, ticks[0].trade_id + len(ticks)))
    assert all(one.time_ms <= two.time_ms for one, two in pairwise(ticks))


@pytest.mark.parametrize("symbol", LISTINGS)
def test_every_trade_is_sound_and_on_the_grid_of_its_symbol(symbol: str) -> None:
    listing = LISTINGS[symbol]
    for tick in MARKET.trades(symbol, NOW, NOW + 30 * MINUTE):
        assert flaw(tick, latest_ms=NOW + 30 * MINUTE) is None
        assert (type(tick.price), type(tick.qty), tick.side in ("buy", "sell")) == (float, float, True)
        assert tick.price == round(tick.price, listing.decimals)
        assert tick.qty == round(tick.qty, listing.lot_decimals)


def test_nothing_was_traded_before_the_market_opened() -> None:
    assert MARKET.trades("DASHUSDT", 0, OPENED_MS) == []
    assert MARKET.trades("DASHUSDT", 0, OPENED_MS + HOUR)[0].trade_id == 0


# The planted truth


@pytest.mark.parametrize("pair", COINTEGRATED, ids=lambda pair: pair.y)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_planted_beta_is_found(pair: Planted, seed: int) -> None:
    step_ms = SECOND if pair is LIQUID else 15 * SECOND
    y, x = (closes(Market(seed), symbol, 6, step_ms) for symbol in (pair.y, pair.x))
    assert slope(x, y) == pytest.approx(pair.beta, abs=4 * beta_error(pair, x, step_ms))


@pytest.mark.parametrize("pair", COINTEGRATED, ids=lambda pair: pair.y)
def test_the_planted_half_life_is_found(pair: Planted) -> None:
    """The standard error of an AR(1) coefficient is sqrt((1 - phi^2) / n), Hamilton (1994), section 8.2.

    The steps are long against the age of a last price: two legs that trade at different moments add noise (Epps 1979).
    """
    step_ms = 5 * SECOND if pair is LIQUID else MINUTE
    y, x = (closes(Market(4), symbol, 24, step_ms) for symbol in (pair.y, pair.x))
    spread = y - pair.alpha - pair.beta * x
    phi = 0.5 ** (step_ms / SECOND / pair.half_life_s)
    found = slope(spread[:-1], spread[1:])
    assert found == pytest.approx(phi, abs=4 * math.sqrt((1 - phi**2) / len(spread)))
    assert spread.std() == pytest.approx(pair.noise, rel=0.35)


@pytest.mark.parametrize("pair", COINTEGRATED[:2], ids=lambda pair: pair.y)
def test_a_spread_does_not_notice_where_an_hour_ends(pair: Planted) -> None:
    """Its innovations over the end of an hour have the variance of all others, 1 - phi^2; a mean square has sd 2/n."""
    phi = 0.5 ** (SLOT_MS / SECOND / pair.half_life_s)
    hours = [NOW + hour * HOUR for hour in range(200)]
    mids = [MARKET.mid(pair.y, hour) - pair.alpha - pair.beta * MARKET.mid(pair.x, hour) for hour in hours]
    shocks = np.array([after[0] - phi * before[-1] for before, after in pairwise(mids)])
    mean_square = float(np.mean((shocks / pair.noise) ** 2)) / (1 - phi**2)
    assert mean_square == pytest.approx(1, abs=4 * math.sqrt(2 / len(shocks)))


def test_the_pair_that_only_looks_correlated_is_not_cointegrated() -> None:
    """-3.37 is the 5 % critical value for two series, MacKinnon (2010)."""
    statistics = []
    for seed in range(8):
        y, x = (closes(Market(seed), symbol, 12, MINUTE) for symbol in (LOOKALIKE.y, LOOKALIKE.x))
        assert np.corrcoef(np.diff(y), np.diff(x))[0, 1] > 0.6
        statistics.append(dickey_fuller(y, x))
    assert sum(statistic < -3.37 for statistic in statistics) <= 2


def test_the_liquid_pair_is_cointegrated_on_every_seed() -> None:
    for seed in range(4):
        y, x = (closes(Market(seed), symbol, 6, 15 * SECOND) for symbol in (LIQUID.y, LIQUID.x))
        assert dickey_fuller(y, x) < -8


@pytest.mark.parametrize("symbol", ["BTCUSDT", "XRPUSDT"])
def test_a_price_walks_over_the_end_of_an_hour_as_inside_it(symbol: str) -> None:
    """Log returns of 10 minutes around the hour have the planted variance; a mean square has sd 2/n."""
    half = 5 * MINUTE // SLOT_MS
    paths = [np.log(MARKET.mid(symbol, NOW + hour * HOUR)) for hour in range(200)]
    steps = np.array([after[half] - before[-half] for before, after in pairwise(paths)])
    planted = LISTINGS[symbol].volatility ** 2 / 6
    assert float(np.mean(steps**2)) / planted == pytest.approx(1, abs=4 * math.sqrt(2 / len(steps)))


def test_taker_orders_come_as_a_poisson_process() -> None:
    """Its counts have a variance like their mean; the index of dispersion of n counts has sd sqrt(2 / n)."""
    orders = np.unique(MARKET.tape("BTCUSDT", NOW).time)
    counts = np.bincount((orders - NOW) // SECOND, minlength=3600)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / len(counts)))


def test_liquid_tapes_share_milliseconds() -> None:
    shared = np.mean(np.diff(MARKET.tape("BTCUSDT", NOW).time) == 0)
    assert 0.3 < shared < 0.45


@pytest.mark.parametrize(("symbol", "a_minute"), [("BTCUSDT", 360), ("ETHUSDT", 300), ("ZECUSDT", 3), ("DASHUSDT", 1)])
def test_quiet_symbols_are_quiet_and_liquid_ones_are_not(symbol: str, a_minute: int) -> None:
    assert len(MARKET.trades(symbol, NOW, NOW + HOUR)) == 60 * a_minute
    empty = {tick.time_ms // MINUTE for tick in MARKET.trades(symbol, NOW, NOW + HOUR)}
    assert (len(empty) < 60) == (symbol in QUIET)


# The break


def test_a_break_changes_nothing_before_its_moment_and_nothing_elsewhere() -> None:
    broken, at = Market(1, [NOW + 123_456]), NOW + 123_456
    for symbol in LISTINGS:
        assert broken.trades(symbol, NOW, at) == MARKET.trades(symbol, NOW, at)
        later = (at + MINUTE, at + 3 * MINUTE)
        assert (broken.trades(symbol, *later) == MARKET.trades(symbol, *later)) == (symbol != BREAKABLE.y)


@pytest.mark.parametrize("breaks", [1, 2])
def test_after_a_break_the_mean_has_moved_and_beta_is_another(breaks: int) -> None:
    broken = Market(1, [NOW - BREAK_RAMP_MS] * breaks)
    y, x = (closes(broken, symbol, 12, 15 * SECOND) for symbol in (BREAKABLE.y, BREAKABLE.x))
    before = closes(MARKET, BREAKABLE.y, 12, 15 * SECOND)
    assert (y - before)[0] > 6 * BREAKABLE.noise
    beta = BREAKABLE.beta * BREAK_BETA**breaks
    assert slope(x, y) == pytest.approx(beta, abs=4 * beta_error(BREAKABLE, x, 15 * SECOND))


def test_a_second_break_leaves_the_first_as_it_was() -> None:
    once, twice = Market(1, [NOW]), Market(1, [NOW + HOUR, NOW])
    symbol = BREAKABLE.y
    assert once.trades(symbol, NOW, NOW + HOUR) == twice.trades(symbol, NOW, NOW + HOUR)
    assert once.trades(symbol, NOW + 2 * HOUR, NOW + 3 * HOUR) != twice.trades(symbol, NOW + 2 * HOUR, NOW + 3 * HOUR)


def test_a_break_on_command_is_the_same_market_as_one_built_with_it() -> None:
    feed = feed_at(NOW, symbols=[BREAKABLE.y])
    assert feed.break_pair() == NOW
    built = Market(1, [NOW])
    assert feed.trades(BREAKABLE.y, NOW - MINUTE, NOW + HOUR) == built.trades(BREAKABLE.y, NOW - MINUTE, NOW + HOUR)


def test_a_running_stream_goes_on_into_the_break() -> None:
    clock = Clock(NOW, NOW + MINUTE, NOW + 2 * MINUTE)
    feed = Simulated(clock=clock, seed=1, symbols=[BREAKABLE.y], breaks_ms=[NOW + 30 * SECOND], pace_ms=0)
    expected = Market(1, [NOW + 30 * SECOND]).trades(BREAKABLE.y, NOW, NOW + 2 * MINUTE)
    assert flat(streamed(feed)) == expected


def test_the_past_cannot_be_broken() -> None:
    with pytest.raises(WrongUse, match="in the past"):
        feed_at(NOW).break_pair(NOW - 1)


def test_what_was_streamed_cannot_be_broken_even_when_the_clock_steps_back() -> None:
    clock = Clock(NOW, NOW + MINUTE)
    feed = Simulated(clock=clock, seed=1, symbols=["DOTUSDT"], pace_ms=0)
    streamed(feed)
    clock.moments = [NOW + SECOND]
    assert feed.break_pair() == NOW + MINUTE


# The stream


def test_a_stream_tells_the_trades_of_its_time_in_time_order() -> None:
    script = range(NOW - 2_000, NOW + 2_001, 100)
    ticks = flat(streamed(feed_at(*script)))
    assert [tick.time_ms for tick in ticks] == sorted(tick.time_ms for tick in ticks)
    for symbol in LISTINGS:
        assert [tick for tick in ticks if tick.symbol == symbol] == MARKET.trades(symbol, NOW - 2_000, NOW + 2_000)


def test_a_symbol_is_the_same_in_whatever_company() -> None:
    script = (NOW, NOW + SECOND, NOW + MINUTE)
    alone = flat(streamed(feed_at(*script, symbols=["ETHUSDT"])))
    assert alone == [tick for tick in flat(streamed(feed_at(*script))) if tick.symbol == "ETHUSDT"]


def test_a_clock_that_jumps_ahead_brings_the_trades_between_in_bounded_batches() -> None:
    batches = streamed(feed_at(NOW, NOW + 2 * HOUR, symbols=["SOLUSDT", "DASHUSDT"]))
    assert max(map(len, batches)) <= 2_000
    assert len(flat(batches)) == 2 * (LISTINGS["SOLUSDT"].per_hour + LISTINGS["DASHUSDT"].per_hour)


def test_after_a_longer_sleep_than_the_market_keeps_the_stream_goes_on_24_hours_ago() -> None:
    ticks = flat(streamed(feed_at(NOW - 240 * HOUR, NOW, symbols=["DASHUSDT"])))
    assert ticks == MARKET.trades("DASHUSDT", NOW - 24 * HOUR, NOW)


def test_a_clock_that_steps_back_repeats_nothing() -> None:
    script = (NOW, NOW + 1_000, NOW - 5_000, NOW + 500, NOW + 1_000, NOW + 1_500)
    assert flat(streamed(feed_at(*script, symbols=["BTCUSDT"]))) == MARKET.trades("BTCUSDT", NOW, NOW + 1_500)


def test_a_stream_begins_when_it_is_called_not_when_it_is_first_read() -> None:
    feed = feed_at(NOW, NOW + MINUTE, symbols=["BTCUSDT"])
    stream = feed.stream()

    async def first() -> Tick:
        assert await anext(stream) == Batch(unsure=feed.instruments)
        return (await anext(stream)).ticks[0]

    assert asyncio.run(first()) == MARKET.trades("BTCUSDT", NOW, NOW + MINUTE)[0]


# The past


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DASHUSDT"])
def test_the_last_six_hours_exist_at_the_start(symbol: str) -> None:
    found = asyncio.run(feed_at(NOW + 1_234).earliest(Instrument(VENUE, symbol)))
    first = MARKET.trades(symbol, NOW + 1_234 - 6 * HOUR, NOW)[0]
    assert found == (first.trade_id, first.time_ms)


def test_a_market_that_has_not_opened_has_no_earliest_trade() -> None:
    assert asyncio.run(feed_at(OPENED_MS).earliest(Instrument(VENUE, "DASHUSDT"))) is None


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ZECUSDT"])
def test_the_hole_of_a_restart_is_refilled_to_the_last_trade(symbol: str) -> None:
    before = flat(streamed(feed_at(NOW - 50 * MINUTE, NOW - 40 * MINUTE, symbols=[symbol])))
    after = flat(streamed(feed_at(NOW + 10 * MINUTE, NOW + 20 * MINUTE, symbols=[symbol])))
    gap = gap_of(symbol, before[-1].trade_id + 1, after[0].trade_id - 1)
    pieces, reason = refilled(feed_at(NOW + 20 * MINUTE), gap)
    assert reason is None
    assert before + in_order(pieces) + after == MARKET.trades(symbol, NOW - 50 * MINUTE, NOW + 20 * MINUTE)


@settings(max_examples=25)
@given(st.integers(0, 9_000), st.integers(0, 9_000))
def test_a_refill_has_every_id_of_its_gap_once_newest_piece_first(before: int, length: int) -> None:
    first_id = MARKET.id_at("SOLUSDT", NOW) - before
    pieces, reason = refilled(feed_at(NOW + 3 * HOUR), gap_of("SOLUSDT", first_id, first_id + length))
    assert reason is None
    assert all(0 < len(piece) <= 5_000 for piece in pieces)
    assert in_order(pieces) == MARKET.by_id("SOLUSDT", first_id, first_id + length + 1)


def test_a_refill_serves_what_is_kept_and_then_says_what_is_not() -> None:
    first_id, last_id = (MARKET.id_at("ZECUSDT", NOW - hours * HOUR) for hours in (30, 20))
    pieces, reason = refilled(feed_at(NOW), gap_of("ZECUSDT", first_id, last_id - 1))
    assert in_order(pieces) == MARKET.trades("ZECUSDT", NOW - 24 * HOUR, NOW - 20 * HOUR)
    assert reason is not None
    assert "keeps 24 hours" in reason


def test_a_refill_tells_nothing_of_the_future() -> None:
    first_id = MARKET.id_at("ETHUSDT", NOW)
    pieces, reason = refilled(feed_at(NOW + MINUTE), gap_of("ETHUSDT", first_id, first_id + 20_000))
    assert (in_order(pieces), reason) == (MARKET.trades("ETHUSDT", NOW, NOW + MINUTE), None)
    assert refilled(feed_at(NOW), gap_of("ETHUSDT", first_id, first_id + 10)) == ([], None)


def test_what_was_streamed_can_be_refilled_even_when_the_clock_steps_back() -> None:
    clock = Clock(NOW, NOW + MINUTE)
    feed = Simulated(clock=clock, seed=1, symbols=["ETHUSDT"], pace_ms=0)
    ticks = flat(streamed(feed))
    clock.moments = [NOW - MINUTE]
    assert in_order(refilled(feed, gap_of("ETHUSDT", ticks[0].trade_id, ticks[-1].trade_id))[0]) == ticks


def test_a_long_refill_lets_others_run_between_its_pieces() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def refill() -> list[int]:
        other = asyncio.create_task(take_turns())
        first_id = MARKET.id_at("SOLUSDT", NOW)
        gap = gap_of("SOLUSDT", first_id, first_id + 8_999)
        turns_at_piece = [turns async for _ in feed_at(NOW + 2 * HOUR).refill(gap)]
        other.cancel()
        return turns_at_piece

    assert asyncio.run(refill()) == [0, 1, 2]


@pytest.mark.parametrize(("symbol", "venue"), [("GONEUSDT", VENUE), ("BTCUSDT", "binance-spot")])
def test_a_gap_of_something_else_cannot_be_filled(symbol: str, venue: str) -> None:
    pieces, reason = refilled(feed_at(NOW), gap_of(symbol, 1, 2, venue=venue))
    assert (pieces, reason) == ([], f"the simulated market does not list {venue}:{symbol}")


# Wrong use


def test_all_symbols_are_streamed_unless_some_are_named() -> None:
    assert [instrument.symbol for instrument in feed_at(NOW).instruments] == list(LISTINGS)
    assert feed_at(NOW, symbols=["ETHUSDT", "ETHUSDT"]).instruments == (Instrument(VENUE, "ETHUSDT"),)


def test_an_unknown_symbol_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="did you mean BTCUSDT"):
        feed_at(NOW, symbols=["BTCUSD"])


def test_a_seed_below_zero_or_a_break_before_the_opening_is_refused() -> None:
    with pytest.raises(WrongUse, match="seed"):
        Market(-1)
    with pytest.raises(WrongUse, match="opened"):
        Market(1, [0])
