"""The WebSocket driver against a server on loopback that misbehaves by script."""

import asyncio
import functools
import itertools
import random
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from market import Instrument, Reject, Tick
from pairscope.feeds.websocket import Dials, Timing, Wire
from pairscope.recording.venue import Parsed, Venue
from pairscope.recording.verdict import LONGEST_RETRY_S, retry_after, verdict
from tests.feeds.scripted_server import BINARY, PING, Peer, Server, frame, free_address, serving

QUICK = Timing(
    open_timeout=2.0,
    ping_after=2.0,
    dead_after=4.0,
    close_timeout=2.0,
    first_pause=0.01,
    longest_pause=0.04,
    unreached_pause=0.05,
    overlap=0.4,
    settled_after=0.05,
    messages_per_second=40.0,
)
WATCHFUL = replace(QUICK, ping_after=0.1, dead_after=0.2)
PATIENT = replace(QUICK, ping_after=0.1, dead_after=0.6)


class Words:
    """A venue that says ``BTC 17`` for a trade, and little else."""

    name = "scripted"
    lifetime_s = 1e9

    def socket_path(self, symbols: Sequence[str]) -> str:
        return "/stream?" + "+".join(symbols)

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        return ("hello " + " ".join(symbols),)

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        return f"{number} add " + " ".join(symbols)

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        return f"{number} remove " + " ".join(symbols)

    def parse(self, frame: bytes) -> Parsed:
        match frame.decode().split(maxsplit=1):
            case ["error", note]:
                return Parsed(ignored="error", note=note)
            case ["ignored", kind]:
                return Parsed(ignored=kind)
            case ["boom", _]:
                raise RuntimeError("a mistake in parse")
            case [symbol, number] if number.isdecimal():
                return Parsed((Tick("scripted", symbol, int(number), 1_700_000_000_000, 1.0, 1.0, "buy"),))
        return Parsed(rejected=("not a trade",))


class Desk:
    """Takes over what a wire yields."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.ticks: list[Tick] = []
        self.rejects: list[Reject] = []
        self.unsure: list[str] = []
        self.batches = 0
        self.held = asyncio.Event()
        self.held.set()
        """Cleared while the consumer is busy with something else."""

    async def run(self, symbols: Sequence[str]) -> None:
        async for batch in self.wire.stream(symbols):
            self.ticks += batch.ticks
            self.rejects += batch.rejects
            self.unsure += (instrument.symbol for instrument in batch.unsure)
            self.batches += 1
            await self.held.wait()

    def ids(self, symbol: str = "BTC") -> list[int]:
        return [tick.trade_id for tick in self.ticks if tick.symbol == symbol]

    async def sees(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Wait until something is so; look at it whenever the loop has nothing better to do."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it did not come to pass; status: {self.wire.status()}"
            await asyncio.sleep(0.002)


@asynccontextmanager
async def recording(
    *addresses: str,
    timing: Timing = QUICK,
    venue: Words | None = None,
    tls: ssl.SSLContext | None = None,
    on_date: Callable[[str], None] = lambda _: None,
    symbols: Sequence[str] = ("BTC",),
) -> AsyncIterator[Desk]:
    words = cast("Venue", venue or Words())  # of which a wire uses the stream's part
    wire = Wire(words, addresses, timing=timing, tls=tls, on_date=on_date)
    desk = Desk(wire)
    running = asyncio.create_task(desk.run(symbols))
    try:
        yield desk
    finally:
        desk.held.set()
        await wire.close()
        await asyncio.wait_for(running, 5)


def looped(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on a loop of its own, not for ever, and see that no wire leaves a task behind."""

    async def bounded(*args: object, **named: object) -> None:
        await asyncio.wait_for(test(*args, **named), 20)
        assert [task.get_name() for task in asyncio.all_tasks() if "wire" in task.get_name()] == []

    @functools.wraps(test)
    def on_a_loop(*args: object, **named: object) -> None:
        asyncio.run(bounded(*args, **named))

    return on_a_loop


async def stay(peer: Peer) -> None:
    await peer.accept()


def sending(*texts: str) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.texts(*texts)

    return script


def answering(status: str, *headers: str, body: str = "") -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.answer(status, *headers, body=body)

    return script


# ---- a good connection


@looped
async def test_trades_arrive_with_a_doubt_about_what_came_before() -> None:
    async with (
        serving(sending("BTC 1", "ETH 1", "BTC 2")) as server,
        recording(server.address, symbols=("BTC", "ETH")) as desk,
    ):
        await desk.sees(lambda: len(desk.ticks) == 3)
        assert (desk.ids(), desk.ids("ETH")) == ([1, 2], [1])
        await desk.sees(lambda: desk.unsure == ["BTC", "ETH"])
        assert desk.wire.status().state == "connected"
        assert desk.wire.status().message == ""
        await desk.sees(lambda: server.peers[0].said == ["hello BTC ETH"])
        assert server.peers[0].path == "/stream?BTC+ETH"


@looped
async def test_what_arrived_while_the_consumer_was_busy_is_one_batch() -> None:
    async with serving(sending("BTC 1")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1])
        desk.held.clear()
        await server.peers[0].texts("BTC 2")
        await desk.sees(lambda: len(desk.ids()) + desk.wire.status().queue == 2)  # 2 waits if it was busy already
        for number in range(3, 100):
            await server.peers[0].texts(f"BTC {number}")
        await desk.sees(lambda: len(desk.ids()) + desk.wire.status().queue == 99)
        assert len(desk.ids()) <= 2
        before = desk.batches
        desk.held.set()
        await desk.sees(lambda: len(desk.ticks) == 99)
        assert desk.batches == before + 1


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 200])
@looped
async def test_frames_are_put_together_whatever_the_slices(cut: int) -> None:
    """Slices of the handshake, of short and long headers, of fragments, and of a ping between fragments."""
    long = "BTC " + " " * 300 + "2"
    longer = "BTC " + " " * 70_000 + "3"
    parts = [
        frame(b"BTC 1"),
        frame(long.encode()),
        frame(b"BT", first=0),
        frame(b"C", 0, first=0),
        frame(b"p", PING),
        frame(b" 4", 0),
        frame(b"BTC 5"),
    ]
    data = b"".join([*parts, frame(longer.encode())]) if cut > 3 else b"".join(parts)

    async def script(peer: Peer) -> None:
        async def sliced(raw: bytes) -> None:
            for at in range(0, len(raw), cut):
                peer.writer.write(raw[at : at + cut])
                await asyncio.sleep(0)

        peer.send = sliced  # type: ignore[method-assign,assignment]
        await peer.accept()
        await peer.send(data)

    async with serving(script) as server, recording(server.address) as desk:
        wanted = [1, 2, 4, 5, 3] if cut > 3 else [1, 2, 4, 5]
        await desk.sees(lambda: desk.ids() == wanted)
        assert len(server.dials) == 1


@looped
async def test_random_slices_lose_nothing() -> None:
    draw = random.Random(3)
    texts = [f"BTC {' ' * draw.choice([0, 1, 110, 119, 121, 122, 123, 300])}{number}" for number in range(500)]
    data = b"".join(frame(text.encode()) for text in texts)

    async def script(peer: Peer) -> None:
        await peer.accept()
        at = 0
        while at < len(data):
            step = draw.choice([1, 2, 3, 50, 500, 5_000])
            peer.writer.write(data[at : at + step])
            at += step
            await asyncio.sleep(0)

    async with serving(script) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == list(range(500)))


@looped
async def test_what_is_no_trade_is_counted_and_rejects_keep_their_text() -> None:
    rubbish = "rubbish " + "\u00e4" * 300
    async with (
        serving(sending("ignored kline", "ignored kline", rubbish, "error bad\tsymbol")) as server,
        recording(server.address) as desk,
    ):
        await desk.sees(lambda: desk.wire.status().ignored.get("error"))
        await desk.sees(lambda: desk.rejects == [Reject("scripted", "", "not a trade", rubbish[:200], 0)])
        assert desk.wire.status().ignored == {"kline": 2, "error": 1}
        assert desk.wire.status().message == "the exchange reports an error: bad symbol"


@looped
async def test_a_reported_error_is_shown_until_a_healthy_minute() -> None:
    async with (
        serving(sending("error " + "x" * 300)) as server,
        recording(server.address, timing=replace(QUICK, note_shown=0.2)) as desk,
    ):
        await desk.sees(lambda: desk.wire.status().message.endswith("x" * 200))
        await desk.sees(lambda: desk.wire.status().message == "")


@looped
async def test_the_date_of_the_handshake_is_told_on_success_and_on_refusal() -> None:
    dates: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.accept("Date: Tue, 01 Sep 2026 00:00:01 GMT")

    async with (
        serving(answering("503 Busy", "Date: Tue, 01 Sep 2026 00:00:00 GMT"), script) as server,
        recording(server.address, on_date=dates.append) as desk,
    ):
        await desk.sees(lambda: len(dates) == 2)
    assert dates == [f"Tue, 01 Sep 2026 00:00:0{second} GMT" for second in (0, 1)]


# ---- symbols come and go


@looped
async def test_symbols_are_added_and_removed_on_the_open_connection() -> None:
    async with serving(stay) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.unsure == ["BTC"])
        desk.wire.add("ETH")
        desk.wire.add("ETH")
        desk.wire.remove("BTC")
        await desk.sees(lambda: len(server.peers[0].said) == 3)
        assert server.peers[0].said == ["hello BTC", "1 add ETH", "2 remove BTC"]
        assert desk.unsure == ["BTC", "ETH"]
        await server.peers[0].close(1001)
        await desk.sees(lambda: len(server.peers) == 2 and server.peers[1].said == ["hello ETH"])


@looped
async def test_a_symbol_that_is_added_during_the_handshake_is_not_forgotten() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        reached.set()
        await go_on.wait()
        await peer.accept()

    async with serving(slow) as server, recording(server.address) as desk:
        await reached.wait()
        desk.wire.add("ETH")
        desk.wire.remove("BTC")
        go_on.set()
        await desk.sees(lambda: server.peers[0].said == ["hello BTC", "1 add ETH", "2 remove BTC"])


@looped
async def test_nothing_is_dialled_without_a_symbol() -> None:
    async with serving(stay) as server, recording(server.address, symbols=()) as desk:
        await asyncio.sleep(0)
        desk.wire.add("ETH")
        await desk.sees(lambda: desk.wire.status().state == "connected")
        assert [peer.path for peer in server.peers] == ["/stream?ETH"]


@looped
async def test_messages_to_the_venue_keep_their_order_and_their_distance() -> None:
    async with (
        serving(stay) as server,
        recording(server.address, timing=replace(QUICK, messages_per_second=20)) as desk,
    ):
        await desk.sees(lambda: desk.wire.status().state == "connected")
        for number in range(5):
            desk.wire.add(f"S{number}")
        await desk.sees(lambda: len(server.peers[0].said) == 6)
        assert server.peers[0].said[1:] == [f"{number + 1} add S{number}" for number in range(5)]
        assert server.peers[0].heard[-1] - server.peers[0].heard[0] > 0.23


# ---- connections end


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
@looped
async def test_a_closed_connection_is_dialled_anew(code: int) -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.texts("BTC 1")
        await peer.greeted.wait()
        await peer.close(code, "go\naway")

    async with serving(closing, sending("BTC 2")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1, 2] and desk.unsure == ["BTC", "BTC"])
        assert desk.wire.status().reconnects == 1
        assert server.peers[0].close_code == code


@looped
async def test_the_status_says_why_the_connection_was_lost() -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.close(1008, "go\naway")

    timing = replace(QUICK, first_pause=5, longest_pause=5)
    async with serving(closing) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: desk.wire.status().state == "disconnected")
        message = desk.wire.status().message
        assert message.startswith("connection lost: the exchange closed it with 1008 (policy violation) go away")
        assert "; trying again in " in message


@pytest.mark.parametrize("ending", ["reset", "fin"])
@pytest.mark.parametrize("cut", [1, 3, 5])
@looped
async def test_a_frame_that_is_cut_off_is_counted_and_dialled_anew(ending: str, cut: int) -> None:
    async def cutting(peer: Peer) -> None:
        await peer.accept()
        await peer.greeted.wait()
        await peer.send(frame(b"BTC 1") + frame(b"BTC 2" + b" " * 200)[:cut])
        peer.reset() if ending == "reset" else peer.writer.close()

    async with serving(cutting, sending("BTC 3")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids()[-1:] == [3])
        assert desk.wire.status().reconnects == 1
        if ending == "fin":
            assert (desk.ids(), desk.wire.status().ignored) == ([1, 3], {"cut frame": 1})


@pytest.mark.parametrize(
    ("data", "code", "kind"),
    [
        (frame(b"BTC 2", BINARY), 1003, "binary frame"),
        (frame(b"BTC \xff"), 1007, "invalid UTF-8"),
        (frame(b"BT\xc3", first=0) + frame(b"C 2", 0), 1007, "invalid UTF-8"),
        (frame(b"BTC 2", first=0xC0), 1002, "broken frame"),
        (frame(b" " * 262_145), 1009, "oversized frame"),
        (frame(b" " * 200_000, first=0) + frame(b" " * 100_000, 0), 1009, "oversized frame"),
        (b"\x81\xffmasked", 1002, "broken frame"),
        (b"\x83\x00", 1002, "broken frame"),
        (frame(b"BT", first=0) + frame(b"BTC 3"), 1002, "broken frame"),
    ],
)
@looped
async def test_a_frame_that_must_not_be_closes_the_connection(data: bytes, code: int, kind: str) -> None:
    async def hostile(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(b"BTC 1") + data + frame(b"BTC 9"))

    async with serving(hostile, sending("BTC 4")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1, 4])
        await desk.sees(lambda: server.peers[0].close_code == code)
        assert desk.wire.status().ignored == {kind: 1}


@looped
async def test_an_exchange_that_negotiates_compression_is_refused() -> None:
    async def compressing(peer: Peer) -> None:
        await peer.accept("Sec-WebSocket-Extensions: permessage-deflate")

    async with serving(compressing, sending("BTC 1")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1])


@looped
async def test_a_mistake_in_parse_is_counted_and_dialled_anew(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(sending("BTC 1", "boom !"), sending("BTC 2")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1, 2])
        assert desk.wire.status().ignored == {"crash": 1}
    assert "please report it" in caplog.text


@looped
async def test_a_mistake_outside_of_a_connection_does_not_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Words):
        faults = 2

        def socket_path(self, symbols: Sequence[str]) -> str:
            Faulty.faults -= 1
            if Faulty.faults >= 0:
                raise KeyError("path")
            return super().socket_path(symbols)

    async with serving(sending("BTC 1")) as server, recording(server.address, venue=Faulty()) as desk:
        await desk.sees(lambda: desk.ids() == [1])
        assert desk.wire.status().ignored == {"crash": 2}
    assert "keeping the connection failed" in caplog.text


@looped
async def test_a_connection_that_cannot_be_begun_is_not_left_open() -> None:
    class Faulty(Words):
        faults = itertools.count()

        def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
            if next(self.faults) < 2:
                raise KeyError("opening")
            return super().opening(symbols)

    async with serving(stay) as server, recording(server.address, venue=Faulty()) as desk:
        await desk.sees(lambda: len(server.peers) == 3 and server.peers[2].said)
        await desk.sees(lambda: server.peers[0].gone.is_set() and server.peers[1].gone.is_set())
        assert desk.wire.status().ignored == {"crash": 2}


@looped
async def test_an_exchange_that_does_not_hang_up_after_its_close_is_left() -> None:
    async def lingering(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(b"\x03\xe9", 8))

    timing = replace(QUICK, close_timeout=0.2)
    async with serving(lingering, sending("BTC 1")) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: desk.ids() == [1])
        await desk.sees(server.peers[0].gone.is_set)


# ---- silence


@looped
async def test_silence_with_pongs_keeps_the_connection() -> None:
    """Whether symbols are silent is judged by those who know their pace."""

    async with serving(stay) as server, recording(server.address, timing=PATIENT) as desk:
        await desk.sees(lambda: server.peers and server.peers[0].pings >= 4)
        assert len(server.dials) == 1


@looped
async def test_a_connection_without_pongs_is_given_up_and_dialled_anew() -> None:
    async def frozen(peer: Peer) -> None:
        await peer.accept()
        peer.pongs = False
        await peer.texts("BTC 1")

    async with serving(frozen, sending("BTC 2")) as server, recording(server.address, timing=WATCHFUL) as desk:
        await desk.sees(lambda: desk.ids() == [1, 2])
        assert 0.2 <= server.dials[1] - server.dials[0] < 2
        assert server.peers[0].close_code is None


@looped
async def test_a_server_that_reads_nothing_any_more_is_given_up() -> None:
    """As when its process is stopped: the kernel still takes bytes, and nobody answers."""

    async def frozen(peer: Peer) -> None:
        await peer.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]

    timing = replace(WATCHFUL, close_timeout=0.2, first_pause=5, longest_pause=5)
    async with serving(frozen) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: "no byte came for 0.2 s" in desk.wire.status().message)


@contextmanager
def elsewhere(script: Callable[[Peer], Awaitable[None]]) -> Iterator[Server]:
    """Serve in a thread with a loop of its own."""
    ready, done = threading.Event(), threading.Event()
    servers: list[Server] = []

    async def serve() -> None:
        async with serving(script) as server:
            servers.append(server)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(5)
    try:
        yield servers[0]
    finally:
        done.set()
        thread.join(5)


@pytest.mark.parametrize("texts", [(), tuple(f"BTC {number}" for number in range(50))])
@looped
async def test_a_blocked_loop_does_not_cost_a_good_connection(texts: tuple[str, ...]) -> None:
    """Whether the server is quiet, or has sent what lies unread when the loop goes on."""
    blocked = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await asyncio.to_thread(blocked.wait)
        await peer.texts(*texts)

    with elsewhere(script) as server:
        async with recording(server.address, timing=PATIENT) as desk:
            await desk.sees(lambda: server.peers and server.peers[0].pings)
            blocked.set()
            time.sleep(1.0)  # longer than a dead connection is given
            pings = server.peers[0].pings
            await desk.sees(lambda: server.peers[0].pings > pings + 2)
            assert (desk.ids(), len(server.dials)) == (list(range(len(texts))), 1)


@looped
async def test_a_blocked_loop_does_not_hide_a_dead_connection() -> None:
    async def frozen(peer: Peer) -> None:
        await peer.accept()
        peer.pongs = False

    async with serving(frozen, sending("BTC 1")) as server, recording(server.address, timing=WATCHFUL) as desk:
        await desk.sees(lambda: desk.wire.status().state == "connected")
        for _ in range(12):  # late at every look
            time.sleep(0.06)
            await asyncio.sleep(0.001)
        await desk.sees(lambda: desk.ids() == [1], 1.0)
        assert server.peers[0].gone.is_set()


@looped
async def test_a_flood_of_pings_whose_pongs_are_not_read_does_not_fill_memory() -> None:
    async def flooding(peer: Peer) -> None:
        await peer.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            await peer.send(frame(b"p" * 125, PING) * 500)
            await asyncio.sleep(0)

    timing = replace(WATCHFUL, close_timeout=0.2, first_pause=5, longest_pause=5)
    async with serving(flooding) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: "it takes nothing from us" in desk.wire.status().message)


# ---- dialling


def test_dials_stay_within_sixty_in_five_minutes_over_a_day() -> None:
    now, draw = 0.0, random.Random(1)
    dials, made = Dials(30, 10.0, lambda: now), []
    while now < 86_400:
        now += max(dials.due(), draw.choice([0.001, 0.2, 5.0]) if draw.random() < 0.999 else 4_000.0)
        made.append(now)
        assert dials.due() <= 10.0
        dials.spend()
    most = max(sum(start <= moment <= start + 300 for moment in made[at : at + 80]) for at, start in enumerate(made))
    assert most == 60
    assert len(made) > 2_000


@looped
async def test_accepting_and_closing_for_ever_is_dialled_within_the_budget() -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.texts("BTC 1")  # data resets the back-off, but not the budget
        await peer.close(1008)

    timing = replace(QUICK, dials_at_once=5, dial_every=0.1)
    async with serving(closing) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: len(server.dials) >= 12)
        spread = [later - server.dials[0] for later in server.dials]
        assert all(count <= 5 + after / 0.1 + 0.5 for count, after in enumerate(spread, start=1))


@looped
async def test_pauses_double_until_a_trade_comes() -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.close(1001)

    async def trading(peer: Peer) -> None:
        await peer.accept()
        await peer.texts("BTC 1")
        await peer.close(1001)

    timing = replace(QUICK, first_pause=0.04, longest_pause=0.32)
    scripts = (closing, closing, closing, closing, trading, closing)
    async with serving(*scripts) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: len(server.dials) >= 6)
        waits = [later - earlier for earlier, later in zip(server.dials, server.dials[1:], strict=False)]
        assert all(wait > 0.02 * 2**at for at, wait in enumerate(waits[:4]))
        assert waits[4] < waits[3]


@looped
async def test_an_address_that_cannot_be_reached_costs_no_budget_and_the_next_is_tried() -> None:
    timing = replace(QUICK, dials_at_once=1, dial_every=60.0)
    async with (
        serving(sending("BTC 1")) as server,
        recording(free_address(), free_address(), server.address, timing=timing) as desk,
    ):
        await desk.sees(lambda: desk.ids() == [1])


@looped
async def test_an_address_that_cannot_be_reached_is_tried_again_soon() -> None:
    address = free_address()
    async with recording(address) as desk:
        await desk.sees(lambda: desk.wire.status().state == "disconnected")
        assert "cannot be reached" in desk.wire.status().message
        host, port = "127.0.0.1", int(address.rpartition(":")[2])
        server = Server((sending("BTC 1"),))
        async with await asyncio.start_server(server.serve, host, port):
            await desk.sees(lambda: desk.ids() == [1])
            server.peers[0].writer.transport.abort()


@looped
async def test_a_working_address_is_kept() -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.texts("BTC 1")
        await peer.close(1001)

    async with (
        serving(answering("451 No")) as first,
        serving(closing, closing, sending("BTC 2")) as second,
        recording(first.address, second.address) as desk,
    ):
        await desk.sees(lambda: desk.ids() == [1, 1, 2])
        assert (len(first.dials), len(second.dials)) == (1, 3)


@looped
async def test_a_handshake_that_does_not_end_is_given_up_and_counted_as_a_dial() -> None:
    async def hanging(peer: Peer) -> None:
        await asyncio.sleep(0)

    timing = replace(QUICK, open_timeout=0.1, first_pause=5, longest_pause=5)
    async with serving(hanging) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: "timed out during opening handshake" in desk.wire.status().message)


@pytest.mark.parametrize("answer", [b"\x16\x03\x01 what\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 70_000])
@looped
async def test_an_answer_that_is_no_http_is_dialled_anew(answer: bytes) -> None:
    async def garbling(peer: Peer) -> None:
        await peer.send(answer)

    async with serving(garbling, sending("BTC 1")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1])


# ---- refusals


@looped
async def test_nothing_is_dialled_before_retry_after_at_any_address() -> None:
    async def refused_with(status: int) -> None:
        async def refusing(peer: Peer) -> None:
            # The body never comes; the head is enough.
            await peer.send(f"HTTP/1.1 {status} No\r\nContent-Length: 99\r\nRetry-After: 1\r\n\r\n<html>".encode())

        async with (
            serving(refusing, stay) as first,
            serving(stay) as second,
            recording(first.address, second.address) as desk,
        ):
            await desk.sees(lambda: str(status) in desk.wire.status().message)
            assert desk.wire.status().state == ("disconnected" if status >= 500 else "refused")
            await desk.sees(lambda: desk.wire.status().state == "connected")
            assert min(first.dials[1:] + second.dials) - first.dials[0] >= 1.0
            assert desk.wire.status().message == ""

    await asyncio.gather(*map(refused_with, (403, 404, 418, 429, 451, 500, 503, 302)))


@pytest.mark.parametrize(
    ("status", "pause", "refused", "says"),
    [
        (200, 30, False, "no such server"),
        (301, 60, True, "we do not follow"),
        (400, 30, True, "does not take this path"),
        (401, 30, True, "correct PAIRSCOPE_BINANCE_SPOT_WS"),
        (403, 60, True, "firewall"),
        (404, 30, True, "does not take this path"),
        (418, 120, True, "banned"),
        (429, 60, True, "too many requests"),
        (451, 300, True, "set PAIRSCOPE_BINANCE_SPOT_WS"),
        (500, 0, False, "trouble of its own"),
        (503, 0, False, "trouble of its own"),
    ],
)
def test_every_answer_has_a_verdict(status: int, pause: float, refused: bool, says: str) -> None:
    found = verdict(status, {}, venue="binance-spot-raw", side="WS")
    assert (found.pause_s, found.refused) == (pause, refused)
    assert found.message.startswith(f"binance-spot-raw answered {status}: ")
    assert says in found.message
    assert found.binding is (status in (418, 429))
    assert verdict(status, {"retry-after": "7"}, venue="x", side="WS").pause_s == 7
    assert verdict(status, {"retry-after": "7"}, venue="x", side="WS").binding


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("37", 37),
        ("9" * 5_000, LONGEST_RETRY_S),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("", None),
        ("soon", None),
        ("Tue, 01 Sep 2026 00:02:00 GMT", 120),
        ("Tue, 01 Sep 2025 00:02:00 GMT", 0),
        ("Tue, 01 Sep 9999 00:02:00 GMT", LONGEST_RETRY_S),
        ("Tue, 01 Sep 2026 00:02:00", 120),
        ("Tue, 99 Sep 2026 00:02:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text, "date": "Tue, 01 Sep 2026 00:00:00 GMT"}) == seconds
    assert retry_after({"retry-after": "Tue, 01 Sep 2026 00:02:00 GMT"}) is None


@looped
async def test_a_refused_address_waits_while_the_next_one_is_tried() -> None:
    """The long pause of a refusal without Retry-After is the address's own."""

    async with (
        serving(answering("451 No")) as first,
        serving(answering("503 Busy"), stay) as second,
        recording(first.address, second.address) as desk,
    ):
        await desk.sees(lambda: desk.wire.status().state == "connected")
        assert (len(first.dials), len(second.dials)) == (1, 2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody trusts."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    try:
        subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with file.open("a") as both:
        both.write(Path(f"{file}.crt").read_text())
    return file


def secure(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@looped
async def test_a_certificate_that_is_wrong_is_refused_and_said_so(certificate: Path) -> None:
    async with serving(stay, tls=secure(certificate)) as server, recording(f"wss://127.0.0.1:{server.port}") as desk:
        await desk.sees(lambda: desk.wire.status().state == "refused")
        assert "the certificate of 127.0.0.1" in desk.wire.status().message
        assert "trying again in 60.0 s" in desk.wire.status().message
        assert server.dials == []


@looped
async def test_trades_arrive_through_tls(certificate: Path) -> None:
    texts = [f"BTC {number}" for number in range(5_000)]

    trust = ssl.create_default_context(cafile=str(certificate))
    async with (
        serving(sending(*texts), tls=secure(certificate)) as server,
        recording(f"wss://127.0.0.1:{server.port}", tls=trust) as desk,
    ):
        await desk.sees(lambda: desk.ids() == list(range(5_000)))


# ---- changing connections


@looped
async def test_connections_are_changed_before_their_lifetime_ends_and_nothing_is_lost() -> None:
    class Mortal(Words):
        lifetime_s = 0.3

    peers: list[Peer] = []

    async def join(peer: Peer) -> None:
        await peer.accept()
        peers.append(peer)

    async def trade() -> None:
        for number in itertools.count():
            data = frame(f"BTC {number}".encode())
            for peer in peers:
                if peer.close_code is None:  # each trade goes to all connections that are open when it happens
                    await peer.send(data[:3])
                    await peer.send(data[3:])
            await asyncio.sleep(0.001)

    async with serving(join) as server, recording(server.address, venue=Mortal()) as desk:
        trading = asyncio.create_task(trade())
        await desk.sees(lambda: desk.wire.status().rotations >= 4)
        await desk.sees(lambda: all(peer.close_code == 1000 for peer in server.peers[:3]))
        trading.cancel()
        assert (desk.wire.status().reconnects, desk.rejects) == (0, [])
        assert set(range(min(desk.ids()), max(desk.ids()))) <= set(desk.ids())


@looped
async def test_a_shutdown_notice_brings_a_new_connection_before_the_old_one_ends() -> None:
    async def leaving(peer: Peer) -> None:
        await peer.accept()
        await peer.texts("BTC 1", "ignored serverShutdown")

    async with serving(leaving, stay) as server, recording(server.address) as desk:
        await desk.sees(lambda: len(server.peers) == 2 and server.peers[1].said)
        assert server.peers[0].close_code is None
        await server.peers[0].texts("BTC 2")
        await server.peers[1].texts("BTC 3")
        await desk.sees(lambda: desk.wire.status().rotations == 1)
        await desk.sees(lambda: server.peers[0].close_code == 1000)
        assert sorted(desk.ids()) == [1, 2, 3]
        assert desk.wire.status().ignored == {"serverShutdown": 1}


@looped
async def test_calls_to_reopen_while_one_is_under_way_are_one() -> None:
    async with serving(stay) as server, recording(server.address) as desk:
        desk.wire.reopen("not connected yet")
        await desk.sees(lambda: desk.wire.status().state == "connected")
        for _ in range(3):
            desk.wire.reopen("BTC is silent")
        await desk.sees(lambda: len(server.peers) == 2 and server.peers[1].said)
        desk.wire.reopen("BTC is silent")
        await desk.sees(lambda: desk.wire.status().rotations == 1)
        await desk.sees(lambda: server.peers[0].close_code == 1000)
        assert (len(server.dials), desk.unsure) == (2, ["BTC", "BTC"])


@looped
async def test_a_new_connection_without_a_trade_takes_over_after_a_while() -> None:
    timing = replace(QUICK, overlap=0.15)
    async with serving(sending("BTC 1"), stay) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: desk.ids() == [1] and desk.wire.status().state == "connected")
        desk.wire.reopen("a test")
        await desk.sees(lambda: desk.wire.status().rotations == 1)
        assert time.monotonic() - server.dials[1] >= 0.15


@looped
async def test_the_old_connection_stays_while_no_new_one_can_be_opened() -> None:
    async def closing(peer: Peer) -> None:
        await peer.accept()
        await peer.close(1013)

    scripts = (sending("BTC 1"), answering("503 Busy"), answering("503 Busy"), closing, sending("BTC 3"))
    async with serving(*scripts) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1] and desk.wire.status().state == "connected")
        desk.wire.reopen("a test")
        await desk.sees(lambda: "a new one cannot be opened" in desk.wire.status().message)
        assert desk.wire.status().state == "connected"
        await server.peers[0].texts("BTC 2")
        await desk.sees(lambda: desk.wire.status().rotations == 1)
        assert sorted(desk.ids()) == [1, 2, 3]
        assert desk.wire.status().reconnects == 1


@looped
async def test_an_old_connection_that_dies_while_it_is_replaced_is_a_loss() -> None:
    async with (
        serving(sending("BTC 1"), answering("503 Busy"), sending("BTC 2")) as server,
        recording(server.address) as desk,
    ):
        await desk.sees(lambda: desk.ids() == [1] and desk.wire.status().state == "connected")
        desk.wire.reopen("a test")
        server.peers[0].reset()
        await desk.sees(lambda: desk.ids() == [1, 2])
        assert (desk.wire.status().reconnects, desk.wire.status().rotations) == (1, 0)


@looped
async def test_a_ban_that_began_while_the_old_connection_lived_outlasts_it() -> None:
    refusal = answering("418 Banned", "Retry-After: 1")
    async with serving(sending("BTC 1"), refusal, stay) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1] and desk.wire.status().state == "connected")
        desk.wire.reopen("a test")
        await desk.sees(lambda: "banned" in desk.wire.status().message)
        assert desk.wire.status().state == "connected"
        server.peers[0].reset()
        await desk.sees(lambda: desk.wire.status().state == "refused")
        assert "banned" in desk.wire.status().message
        await desk.sees(lambda: desk.wire.status().state == "connected")
        assert server.dials[2] - server.dials[1] >= 1.0


@looped
async def test_an_old_connection_that_dies_after_the_new_one_is_open_is_no_trouble() -> None:
    timing = replace(QUICK, overlap=5.0)
    async with serving(stay) as server, recording(server.address, timing=timing) as desk:
        await desk.sees(lambda: desk.wire.status().state == "connected")
        desk.wire.reopen("a test")
        await desk.sees(lambda: len(server.peers) == 2 and server.peers[1].said)
        server.peers[0].reset()
        await desk.sees(lambda: desk.wire.status().reconnects == 1)
        assert (desk.wire.status().state, desk.wire.status().message) == ("connected", "")
        assert len(server.dials) == 2


# ---- bounds and endings


@looped
async def test_beyond_the_bound_trades_are_dropped_and_counted() -> None:
    async with (
        serving(sending("BTC 0")) as server,
        recording(server.address, timing=replace(QUICK, queue_ticks=100)) as desk,
    ):
        await desk.sees(lambda: desk.ids() == [0])
        desk.held.clear()
        await server.peers[0].texts("BTC 1")  # which the consumer takes if it is not busy already
        await desk.sees(lambda: len(desk.ids()) + desk.wire.status().queue == 2)
        kept = len(desk.ids()) + 100
        await server.peers[0].texts(*(f"BTC {number}" for number in range(2, 252)))
        await desk.sees(lambda: desk.wire.status().dropped == 252 - kept)
        assert (desk.wire.status().queue, desk.wire.status().queue_limit) == (100, 100)
        desk.held.set()
        await desk.sees(lambda: desk.ids() == list(range(kept)))


@looped
async def test_a_burst_while_the_consumer_is_slow_keeps_the_connection() -> None:
    """The socket is read all the same, so that pongs are seen and the exchange does not lose patience."""

    texts = [f"BTC {number}" for number in range(20_000)]
    async with serving(stay) as server, recording(server.address, timing=PATIENT) as desk:
        await desk.sees(lambda: desk.wire.status().state == "connected")
        desk.held.clear()
        await server.peers[0].texts(*texts)
        pings = server.peers[0].pings
        await desk.sees(lambda: server.peers[0].pings > pings + 3)
        desk.held.set()
        await desk.sees(lambda: desk.ids() == list(range(20_000)))
        assert len(server.dials) == 1


@looped
async def test_close_says_goodbye_and_ends_the_stream() -> None:
    async with serving(sending("BTC 1")) as server, recording(server.address) as desk:
        await desk.sees(lambda: desk.ids() == [1])
        await desk.wire.close()
        await desk.sees(lambda: server.peers[0].close_code == 1000)
        assert desk.wire.status().reconnects == 0


@looped
async def test_close_does_not_wait_for_a_frozen_exchange() -> None:
    async def frozen(peer: Peer) -> None:
        await peer.accept()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async with (
        serving(frozen) as server,
        recording(server.address, timing=replace(QUICK, close_timeout=0.2)) as desk,
    ):
        await desk.sees(lambda: desk.wire.status().state == "connected")
        begun = time.monotonic()
        await desk.wire.close()
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("moment", ["dialling", "waiting", "connected"])
@looped
async def test_a_cancelled_stream_closes_its_connections_and_leaves_no_task(moment: str) -> None:
    reached = asyncio.Event()

    async def script(peer: Peer) -> None:
        if moment == "connected":
            await peer.accept()
            await peer.texts("BTC 1")
        if moment == "waiting":
            await peer.answer("503 Busy", "Retry-After: 9")
        reached.set()

    async with serving(script) as server:
        desk = Desk(Wire(cast("Venue", Words()), [server.address], timing=QUICK))
        before = asyncio.all_tasks()
        running = asyncio.create_task(desk.run(["BTC"]))
        await reached.wait()
        await desk.sees(lambda: moment != "connected" or desk.ids())
        running.cancel()
        await asyncio.wait([running])
        ours = {task for task in asyncio.all_tasks() - before if "Peer" not in str(task) and "serve" not in str(task)}
        assert (ours, running.cancelled()) == (set(), True)
        assert await asyncio.wait_for(server.peers[0].reader.read(), 5) is not None


@looped
async def test_what_came_while_the_connection_was_closed_is_not_in_the_next_stream() -> None:
    async def talks_on(peer: Peer) -> None:
        await sending("BTC 1")(peer)
        answer = peer.send

        async def late(data: bytes) -> None:
            await answer(frame(b"BTC 2") + data)

        peer.send = late  # type: ignore[method-assign]

    async with serving(talks_on, sending("BTC 9")) as server:
        desk = Desk(Wire(cast("Venue", Words()), [server.address], timing=QUICK))
        first = asyncio.create_task(desk.run(["BTC"]))
        await desk.sees(lambda: desk.ids() == [1])
        first.cancel()
        await asyncio.wait([first])
        assert desk.wire.status().queue == 1
        second = asyncio.create_task(desk.run(["BTC"]))
        await desk.sees(lambda: 9 in desk.ids())
        assert desk.ids() == [1, 9]
        await desk.wire.close()
        await second


@looped
async def test_the_instruments_that_are_in_doubt_name_the_venue() -> None:
    async with serving(stay) as server:
        wire = Wire(cast("Venue", Words()), [server.address], timing=QUICK)
        async for batch in wire.stream(["BTC"]):
            assert batch.unsure == (Instrument("scripted", "BTC"),)
            await wire.close()
