"""The replay of recordings, on a loop whose clock jumps instead of waiting."""

import asyncio
import math
import selectors
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ingest import Feed, Unfillable
from market import HOUR, SECOND, Gap, Instrument, Tick, WrongUse
from pairscope.feeds import binance
from pairscope.feeds.replay import BATCH, Replay, instruments_of
from pairscope.files import read_ticks

START_MS = 1_723_161_255_342
BTC = Instrument("binance-spot", "BTCUSDT")
T = TypeVar("T")


def trades(*after_ms: int, instrument: Instrument = BTC) -> list[Tick]:
    return [Tick(*instrument, key, START_MS + ms, 100.0, 1.0, "buy") for key, ms in enumerate(after_ms)]


class JumpingSelector(selectors.DefaultSelector):
    """Waits for threads as ever, but where the loop would sleep, its clock jumps."""

    now_s, jumps = 0.0, True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or not self.jumps:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self.now_s += max(timeout, 0)
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    loop = JumpingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(work)
        finally:
            loop.jumping.jumps = False  # closing the loop waits for its threads


async def arrivals(feed: Feed) -> list[tuple[float, Sequence[Tick]]]:
    """Return the batches, each with the seconds that passed before it came."""
    clock = asyncio.get_running_loop().time
    return [(clock(), batch.ticks) async for batch in feed.stream()]


def replayed(*sources: list[Tick], **options: Any) -> list[tuple[float, Sequence[Tick]]]:
    return run(arrivals(Replay(*sources, instruments=instruments_of(*sources), **options)))


def flat(batches: list[tuple[float, Sequence[Tick]]]) -> list[Tick]:
    return [tick for _, batch in batches for tick in batch]


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [0, 1.5, 4]), (2.0, [0, 0.75, 2]), (0.5, [0, 3, 8])])
def test_trades_come_at_their_recorded_distance_over_the_speed(speed: float, expected: list[float]) -> None:
    ticks = trades(0, 1_500, 4_000)
    batches = replayed(ticks, speed=speed)
    assert [time_s for time_s, _ in batches] == pytest.approx(expected)
    assert flat(batches) == ticks


def test_trades_of_one_millisecond_come_together() -> None:
    assert [len(batch) for _, batch in replayed(trades(0, 0, 0, 700, 700))] == [3, 2]


def test_no_trade_comes_early_nor_more_than_a_step_late() -> None:
    batches = replayed(trades(*range(0, 3_000, 7)), speed=10.0)
    late = [time_s - (tick.time_ms - START_MS) / 1000 / 10.0 for time_s, batch in batches for tick in batch]
    assert min(late) > -1e-9
    assert max(late) < 0.011
    assert len(batches) < 40  # 429 trades, but not as many wake-ups


def test_as_fast_as_possible_needs_no_time_and_keeps_batches_small() -> None:
    ticks = trades(*range(0, 2_500 * SECOND, SECOND))
    batches = replayed(ticks, speed=math.inf)
    assert {time_s for time_s, _ in batches} == {0.0}
    assert [len(batch) for _, batch in batches] == [BATCH, BATCH, 500]
    assert flat(batches) == ticks


def test_several_recordings_are_merged_by_time() -> None:
    btc = trades(0, 200, 400)
    eth = trades(100, 300, instrument=Instrument("binance-spot", "ETHUSDT"))
    batches = replayed(btc, eth)
    assert flat(batches) == [btc[0], eth[0], btc[1], eth[1], btc[2]]
    assert [time_s for time_s, _ in batches] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_late_trade_comes_at_once_and_delays_no_other() -> None:
    batches = replayed(trades(0, 1_000, 600, 2_000))
    assert [(time_s, len(batch)) for time_s, batch in batches] == [(0, 1), (1, 2), (2, 1)]


def test_a_silence_is_replayed_as_long_as_it_was_up_to_the_longest_pause() -> None:
    ticks = trades(0, 30 * 60 * SECOND, 9 * HOUR)
    assert [time_s for time_s, _ in replayed(ticks)] == pytest.approx([0, 1800, 1800 + 3600])
    assert [time_s for time_s, _ in replayed(ticks, max_pause_s=5)] == pytest.approx([0, 5, 10])


def test_a_stray_time_in_the_future_costs_one_pause_only() -> None:
    batches = replayed(trades(0, 10**12, 1_000, 2_000), max_pause_s=60)
    assert [time_s for time_s, _ in batches] == pytest.approx([0, 60, 61])
    assert len(flat(batches)) == 4


def test_a_reader_that_fell_behind_gets_what_is_due_at_once() -> None:
    async def slow_reader() -> list[int]:
        feed, sizes = Replay(trades(0, 1_000, 2_000, 3_000), instruments=[BTC]), []
        async for batch in feed.stream():
            sizes.append(len(batch.ticks))
            await asyncio.sleep(2.5)
        return sizes

    assert run(slow_reader()) == [1, 2, 1]


def test_a_second_stream_goes_on_where_the_first_stopped() -> None:
    ticks = trades(*range(0, 50_000, 10))

    async def twice() -> list[Tick]:
        feed, seen = Replay(ticks, instruments=[BTC]), list[Tick]()
        first = feed.stream()
        async for batch in first:
            seen += batch.ticks
            if len(seen) > 20:
                break
        return seen + flat(await arrivals(feed))

    assert run(twice()) == ticks


def test_a_recording_that_blocks_does_not_block_the_loop() -> None:
    released = threading.Event()

    def blocking() -> Iterator[Tick]:
        assert released.wait(10)
        yield from trades(0)

    async def count() -> int:
        reading = asyncio.ensure_future(arrivals(Replay(blocking(), instruments=[BTC])))
        await asyncio.sleep(0)
        assert not reading.done()
        released.set()
        return len(await reading)

    assert run(count()) == 1


def test_an_error_of_the_recording_reaches_the_reader() -> None:
    def broken() -> Iterator[Tick]:
        yield from trades(0)
        raise WrongUse("no more")

    with pytest.raises(WrongUse, match="no more"):
        run(arrivals(Replay(broken(), instruments=[BTC])))


def test_an_empty_recording_ends_at_once() -> None:
    assert replayed([]) == []


def test_a_replay_says_what_it_is() -> None:
    feed: Feed = Replay(trades(0), instruments=[BTC])
    assert (feed.label, feed.instruments, feed.contiguous) == ("REPLAY", (BTC,), False)
    assert run(feed.earliest(BTC)) is None
    assert run(feed.newest(BTC)) is None
    gap = Gap(1, BTC, 5, 6, START_MS, START_MS + 1, START_MS, "missed", "open", 0, None, None)
    with pytest.raises(Unfillable, match="a recording cannot be refilled"):
        feed.refill(gap)


def test_the_caller_who_knows_that_ids_rise_by_one_can_have_holes_shown() -> None:
    assert Replay(trades(0), instruments=[BTC], contiguous=True).contiguous


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(WrongUse, match="above 0"):
        Replay(instruments=[], speed=speed)


def test_a_pause_is_not_negative() -> None:
    with pytest.raises(WrongUse, match="0 seconds or more"):
        Replay(instruments=[], max_pause_s=-1)


def recorded(path: Path) -> Iterator[Tick]:
    return read_ticks(path, parse=binance.parse, on_reject=lambda bad: pytest.fail(str(bad)))


def test_two_recorded_symbols_replay_together(shared_data: Path) -> None:
    def read(name: str) -> Iterator[Tick]:
        return recorded(shared_data / "frames" / name)

    names = ("hft_spot_btcusdt_20240808.gz", "hft_spot_ethusdt_20240808.gz")
    instruments = instruments_of(*map(read, names))
    ticks = flat(run(arrivals(Replay(*map(read, names), instruments=instruments, speed=math.inf))))
    assert [instrument.symbol for instrument in instruments] == ["BTCUSDT", "ETHUSDT"]
    assert len(ticks) == 9757 + 6106
    assert ticks == sorted(ticks, key=lambda tick: tick.time_ms)


def test_six_recorded_minutes_take_six_minutes(shared_data: Path) -> None:
    ticks = list(recorded(shared_data / "frames" / "hft_spot_btcusdt_20240808.gz"))
    batches = replayed(ticks)
    assert flat(batches) == ticks
    assert batches[-1][0] == pytest.approx((ticks[-1].time_ms - ticks[0].time_ms) / 1000, abs=0.02)
