"""Each fault does to the stream what it says, and is counted."""

import asyncio
import json
import shutil
import ssl
import time
from pathlib import Path

import pytest
import websockets

from tests.exchange.client import ask, closed, connected, hear, run, spot
from tests.exchange.faults import MUTATIONS, Fault, misbehave, parse_scripts
from tests.exchange.running import wrong_certificate


def test_skipped_trades_are_in_the_ledger_and_counted() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("skip", after=2, count=7),)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 12)
            heard = [frame["a"] for frame in await hear(client, 5)]
            assert heard == [*ids[:2], *ids[9:]]
            assert exchange.stats.skipped == [("BTCUSDT", number) for number in ids[2:9]]
            assert exchange.stats.faults == {"skip": 7}
            page = await ask(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&fromId={ids[2]}&limit=7")
            assert [row["a"] for row in page.json()] == list(ids[2:9])

    run(work)


@pytest.mark.parametrize(
    ("fault", "order"),
    [
        (Fault("duplicate", count=2), [0, 0, 1, 1, 2, 3]),
        (Fault("reuse"), [0, 0, 1, 2, 3]),
        (Fault("burst", count=3), [0, 1, 2, 3]),
        (Fault("mute", symbol="BTCUSDT", count=2), [2, 3]),
        (Fault("mute", symbol="ETHUSDT"), [0, 1, 2, 3]),
        (Fault("silent", after=1, count=2), [0, 3]),
        (Fault("fragmented", count=4), [0, 1, 2, 3]),
        (Fault("price_zero", also=True), [0, 0, 1, 2, 3]),
    ],
)
def test_faults_change_which_trades_come(fault: Fault, order: list[int]) -> None:
    async def work() -> None:
        async with spot(scripts=[(fault,)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 4)
            heard = [frame["a"] - ids[0] for frame in await hear(client, len(order))]
            assert heard == order

    run(work)


def test_a_wrong_symbol_comes_under_the_true_name_of_the_stream() -> None:
    async def work() -> None:
        script = (Fault("wrong_symbol", text="ETHUSDT"),)
        async with spot(scripts=[script]) as exchange, connected(exchange) as client:
            exchange.make("BTCUSDT")
            frame = json.loads(await client.recv())
            assert (frame["stream"], frame["data"]["s"]) == ("btcusdt@aggTrade", "ETHUSDT")

    run(work)


def test_a_flipped_bit_never_makes_another_price() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("bit_flip", count=200),)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 200)
            for trade in exchange.ledger["BTCUSDT"].trades(ids[0], ids[-1]):
                flipped = await client.recv(decode=False)
                numbers = (str(trade.trade_id), *trade.price.split("."), *trade.qty.split("."), str(trade.time_ms))
                assert all(number.encode() in flipped for number in numbers)

    run(work)


def test_reordering_keeps_all_trades_of_its_window() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("reorder", count=50),)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 60)
            heard = [frame["a"] for frame in await hear(client, 60)]
            assert heard != list(ids)
            assert sorted(heard) == list(ids)
            assert heard[50:] == list(ids[50:])

    run(work)


@pytest.mark.parametrize("kind", sorted(MUTATIONS))
def test_a_wrong_trade_replaces_the_true_one_on_the_wire_only(kind: str) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault(kind),)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 2)
            wrong, right = await hear(client, 2)
            true = exchange.ledger["BTCUSDT"].trades(ids[0], ids[0])[0]
            assert (wrong["s"], wrong["a"], wrong["p"], wrong["q"], wrong["T"]) != ("BTCUSDT", *true[:4])
            assert right["a"] == ids[1]
            assert exchange.stats.skipped == [("BTCUSDT", ids[0])]

    run(work)


@pytest.mark.parametrize("kind", ["malformed", "truncated", "unknown_event", "error", "bit_flip", "binary"])
def test_a_broken_frame_comes_and_the_stream_goes_on(kind: str) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault(kind),)]) as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT", 2)
            broken = await client.recv()
            payload = broken if isinstance(broken, bytes) else broken.encode()
            true = exchange.dialect.frame(exchange.connections[0].session, "BTCUSDT",
                                          exchange.ledger["BTCUSDT"].trades(ids[0], ids[0]), exchange)  # fmt: skip
            assert isinstance(broken, bytes) or payload != true
            later = [json.loads(await client.recv())["data"]["a"] for _ in range(exchange.stats.trades_sent)]
            assert later == (list(ids) if kind in ("unknown_event", "error") else [ids[1]])

    run(work)


@pytest.mark.parametrize(
    ("kind", "code"), [("oversized", 1009), ("invalid_utf8", 1007), ("compressed", 1002)]
)  # fmt: skip
def test_frames_that_break_the_protocol_are_refused_by_a_sound_client(kind: str, code: int) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault(kind),)]) as exchange, connected(exchange) as client:
            exchange.make("BTCUSDT")
            ended = await closed(client)
            assert ended.sent is not None
            assert ended.sent.code == code

    run(work)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
def test_a_close_comes_after_exactly_so_many_trades(code: int) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("close", after=3, code=code),)]) as exchange, connected(exchange) as client:
            exchange.make("BTCUSDT", 10)
            assert len(await hear(client, 3)) == 3
            ended = await closed(client)
            assert ended.rcvd is not None
            assert ended.rcvd.code == code
            assert exchange.stats.trades_sent == 3

    run(work)


@pytest.mark.parametrize("kind", ["rst", "fin", "close"])
def test_a_connection_ends_without_a_close_frame(kind: str) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault(kind, code=1006),)]) as exchange, connected(exchange) as client:
            assert (await closed(client)).rcvd is None

    run(work)


def test_a_silent_connection_still_answers_pings_and_a_frozen_one_thaws() -> None:
    async def work() -> None:
        async with spot() as exchange, connected(exchange) as client:
            exchange.inject(Fault("silent", count=1))
            exchange.make("BTCUSDT")
            await asyncio.wait_for(await client.ping(), 5)
            exchange.inject(Fault("freeze", seconds=0.2))
            began = time.monotonic()
            exchange.make("BTCUSDT")
            await asyncio.wait_for(await client.ping(), 5)
            assert time.monotonic() - began >= 0.19
            assert (await hear(client, 1))[0]["a"] == exchange.ledger["BTCUSDT"].last_id

    run(work)


def test_pings_stay_unanswered_while_trades_go_on() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("no_pong"),)]) as exchange, connected(exchange) as client:
            pong = asyncio.ensure_future(await client.ping())
            await exchange.until(lambda x: x.stats.messages == 1)
            exchange.make("BTCUSDT")
            await hear(client, 1)
            assert not pong.done()
            pong.cancel()

    run(work)


def test_a_shutdown_is_announced_and_comes() -> None:
    async def work() -> None:
        async with spot() as exchange, connected(exchange) as client:
            exchange.inject(Fault("shutdown", seconds=0.05))
            exchange.make("BTCUSDT")
            notice, trade = await hear(client, 2)
            assert (notice["e"], trade["e"]) == ("serverShutdown", "aggTrade")
            await closed(client)

    run(work)


def test_delayed_trades_come_in_order_and_late() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("delay", seconds=0.1),)]) as exchange, connected(exchange) as client:
            began = time.monotonic()
            ids = exchange.make("BTCUSDT", 5)
            assert [frame["a"] for frame in await hear(client, 5)] == list(ids)
            assert time.monotonic() - began >= 0.09

    run(work)


@pytest.mark.parametrize("status", [403, 418, 429, 451, 500, 503])
def test_a_handshake_is_refused_and_an_early_dial_is_a_violation(status: int) -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("refuse", status=status, retry_after=9),)]) as exchange:
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with connected(exchange):
                    pass
            assert caught.value.response.status_code == status
            assert caught.value.response.headers["Retry-After"] == "9"
            async with connected(exchange):
                assert exchange.violations[0].startswith("Retry-After: a dial came 8.")

    run(work)


def test_a_handshake_is_slow() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("slow_handshake", seconds=0.1),)]) as exchange:
            began = time.monotonic()
            async with connected(exchange):
                assert time.monotonic() - began >= 0.09

    run(work)


def test_each_connection_plays_its_own_script() -> None:
    async def work() -> None:
        async with spot(scripts=[(Fault("skip"),), (), (Fault("duplicate"),)]) as exchange:
            for order in ([1, 2], [0, 1, 2], [0, 0, 1, 2]):
                async with connected(exchange) as client:
                    ids = exchange.make("BTCUSDT", 3)
                    assert [frame["a"] - ids[0] for frame in await hear(client, len(order))] == order

    run(work)


def test_scripts_are_read_from_text() -> None:
    assert parse_scripts("close:after=10,code=1012;skip:count=7,symbol=BTCUSDT|refuse:status=429,retry_after=2") == [
        (Fault("close", after=10, code=1012), Fault("skip", count=7, symbol="BTCUSDT")),
        (Fault("refuse", status=429, retry_after=2),),
    ]
    with pytest.raises(ValueError, match="there is no fault 'clos'"):
        parse_scripts("clos")


def test_random_scripts_are_the_same_for_the_same_seed() -> None:
    one, other = misbehave(5), misbehave(5)
    assert [next(one) for _ in range(50)] == [next(other) for _ in range(50)]


def test_a_wrong_certificate_is_refused(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")

    async def work() -> None:
        async with spot(tls=wrong_certificate(tmp_path)) as exchange:
            with pytest.raises(ssl.SSLCertVerificationError):
                async with connected(exchange):
                    pass

    run(work)
