"""The test exchange keeps its ledger, its limits and its scripts: what other tests rely on."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import websockets

from tests.exchange.binance import Binance
from tests.exchange.client import BOTH, ask, closed, connected, hear, run, spot
from tests.exchange.coinbase import Coinbase
from tests.exchange.faults import RestFault
from tests.exchange.kraken import Kraken
from tests.exchange.ledger import Decimals, Ledger, Trade
from tests.exchange.meters import Window, share_of_weight
from tests.exchange.running import exchange_process, running_exchange, wait_until
from tests.exchange.server import Exchange

T0 = 1_790_000_000_000


# ---- the ledger


def test_trades_are_the_same_however_many_are_made_at_once() -> None:
    """Price, quantity and side are a function of seed, symbol and id."""
    at_once, piecemeal = Ledger(("BTCUSDT",), seed=7)["BTCUSDT"], Ledger(("BTCUSDT",), seed=7)["BTCUSDT"]
    at_once.make(9_000, T0)
    for size in (1, 4_095, 4, 4_900):
        piecemeal.make(size, T0)
    assert at_once.trades(0, 2**62) == piecemeal.trades(0, 2**62)
    assert len(set(at_once.trades(0, 2**62))) == 9_000


def test_two_million_trades_are_made_in_a_second_or_two() -> None:
    book = Ledger(("BTCUSDT",))["BTCUSDT"]
    book.make(2_000_000, T0, since_ms=T0 - 86_400_000)
    first, last = book.trades(book.first_id, book.first_id)[0], book.trades(book.last_id, book.last_id)[0]
    assert (first.time_ms, last.time_ms, last.trade_id) == (T0 - 86_400_000, T0, book.first_id + 1_999_999)
    assert min(book.columns(0, 2**62).price) > 0


def test_the_columns_are_the_floats_of_the_text() -> None:
    book = Ledger(("BTCUSDT",), decimals=Decimals(price=3, qty=8, price_text=8, qty_text=8))["BTCUSDT"]
    book.make(5_000, T0)
    columns = book.columns(0, 2**62)
    assert [float(trade.price) for trade in book.trades(0, 2**62)] == columns.price.tolist()
    assert [float(trade.qty) for trade in book.trades(0, 2**62)] == columns.qty.tolist()


def test_candles_are_made_of_the_trades() -> None:
    book = Ledger(("BTCUSDT",))["BTCUSDT"]
    book.make(300, T0 + 59_999, since_ms=T0)
    book.make(1, T0 + 125_000)
    minute = [row for row in book.trades(0, 2**62) if row.time_ms // 60_000 == T0 // 60_000]
    bars = book.klines(60_000, T0 - 60_000, 2**60, 10)
    assert bars[0].open == minute[0].price
    assert bars[0].close == minute[-1].price
    assert bars[0].high == max(minute, key=lambda row: float(row.price)).price
    assert float(bars[0].volume) == pytest.approx(sum(float(row.qty) for row in minute))
    assert sum(bar.trades for bar in bars) == 301


def test_a_saved_ledger_is_read_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(("BTCUSDT", "币安人生USDT"), seed=3)
    ledger["币安人生USDT"].make(12_000, T0, since_ms=T0 - 9_000)
    ledger["币安人生USDT"].blank(2, T0)
    ledger.save(tmp_path / "ledger")
    read = Ledger.load(tmp_path / "ledger")
    assert read["币安人生USDT"].page_up(0, 99_999, blanked=True) == ledger["币安人生USDT"].page_up(
        0, 99_999, blanked=True
    )
    assert read["BTCUSDT"].next_id == ledger["BTCUSDT"].next_id


# ---- the stream of Binance


def test_a_plain_client_sees_consecutive_trades_as_in_the_ledger() -> None:
    async def work() -> None:
        async with spot(rate=400) as exchange, connected(exchange, BOTH) as client:
            frames = await hear(client, 60)
        for book in exchange.ledger:
            mine = [frame for frame in frames if frame["s"] == book.symbol]
            seen = [Trade(row["a"], row["p"], row["q"], row["T"], row["m"]) for row in mine]
            assert seen == book.trades(seen[0].trade_id, seen[-1].trade_id)

    run(work)


def test_some_trades_share_their_millisecond() -> None:
    async def work() -> None:
        async with spot(rate=100) as exchange:
            await exchange.until(lambda x: len(x.ledger["BTCUSDT"]) > 30)
            times = exchange.ledger["BTCUSDT"].columns(0, 2**62).time_ms.tolist()
            assert times == sorted(times)
            assert len(set(times)) < len(times)

    run(work)


def test_streams_are_added_and_taken_off_and_unknown_ones_stay_silent() -> None:
    async def work() -> None:
        async with spot() as exchange, connected(exchange, "/ws") as client:
            for number, (method, name) in enumerate(
                (("SUBSCRIBE", "ethusdt@aggTrade"), ("SUBSCRIBE", "BTCUSDT@aggTrade"), ("UNSUBSCRIBE", "nope"))
            ):
                await client.send(json.dumps({"method": method, "params": [name], "id": number}))
                assert json.loads(await client.recv()) == {"result": None, "id": number}
            exchange.make("BTCUSDT")
            exchange.make("ETHUSDT")
            assert json.loads(await client.recv())["s"] == "ETHUSDT"
            await client.send("{")
            assert json.loads(await client.recv())["error"]["code"] == 3

    run(work)


@pytest.mark.parametrize(
    ("path", "hears"), [("/market/stream", True), ("/public/stream", False), ("/stream", False), ("/ws", False)]
)
def test_futures_carry_trades_on_the_market_route_only(path: str, hears: bool) -> None:
    async def work() -> None:
        streams = "/btcusdt@aggTrade" if path == "/ws" else "?streams=btcusdt@aggTrade"
        async with Exchange(Binance(futures=True)) as exchange, connected(exchange, path + streams) as client:
            exchange.make("BTCUSDT")
            await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            first = json.loads(await client.recv())
            assert ("stream" in first) is hears
            assert exchange.stats.trades_sent == hears

    run(work)


def test_the_server_pings_and_a_client_that_does_not_answer_is_cut() -> None:
    async def work() -> None:
        limits = replace(Binance().limits, ping_s=0.02, pong_s=0.05)
        async with spot(limits=limits) as exchange:
            async with connected(exchange):
                await exchange.until(lambda x: x.stats.pongs >= 2)
            assert exchange.violations == []
            _, deaf = await asyncio.open_connection("127.0.0.1", exchange.port)
            deaf.write(b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
            await exchange.until(lambda x: x.violations != [])
            assert "ping was not answered" in exchange.violations[0]
            deaf.close()

    run(work)


def test_a_client_that_says_too_much_is_thrown_out() -> None:
    async def work() -> None:
        async with spot() as exchange, connected(exchange) as client:
            for _ in range(6):
                await client.ping()
            assert (await closed(client)).rcvd == websockets.frames.Close(1008, "Too many requests")
            assert exchange.violations == ["connection 0: messages: 6 within a second, 5 allowed"]

    run(work)


def test_dials_are_counted_in_a_sliding_window() -> None:
    async def work() -> None:
        limits = replace(Binance().limits, dials=2)
        async with spot(limits=limits) as exchange:
            for _ in range(2):
                async with connected(exchange):
                    pass
            with pytest.raises(websockets.InvalidStatus):
                async with connected(exchange):
                    pass
            assert exchange.violations == ["dials: 3 within 300 s, 2 allowed"]
            assert exchange.stats.dials_peak == 3

    run(work)


def test_a_connection_is_cut_at_its_age() -> None:
    async def work() -> None:
        limits = replace(Binance().limits, lifetime_s=0.05)
        async with spot(limits=limits) as exchange, connected(exchange) as client:
            assert (await closed(client)).rcvd == websockets.frames.Close(1001, "lifetime")

    run(work)


def test_a_window_forgets_what_is_older_than_itself() -> None:
    window = Window(60.0)
    assert [window.add(now, 10) for now in (0.0, 30.0, 59.9, 60.0, 200.0)] == [10, 20, 30, 30, 10]
    assert window.peak == 30


# ---- the REST side of Binance


def test_pages_begin_at_an_id_and_follow_each_other() -> None:
    async def work() -> None:
        async with spot() as exchange:
            book = exchange.ledger["BTCUSDT"]
            exchange.make("BTCUSDT", 2_500)
            ids: list[int] = []
            while len(ids) < 2_500:
                start = book.first_id + len(ids)
                rows = (await ask(exchange, f"/api/v3/aggTrades?symbol=BTCUSDT&fromId={start}&limit=1000")).json()
                ids += [row["a"] for row in rows]
            assert ids == list(range(book.first_id, book.next_id))
            newest = (await ask(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&limit=1")).json()
            assert [row["a"] for row in newest] == [book.last_id]

    run(work)


def test_pages_by_time_begin_at_the_start_or_end_at_the_end() -> None:
    async def work() -> None:
        async with spot() as exchange:
            now = exchange.now_ms()
            exchange.make("BTCUSDT", 1_000, since_ms=now - 100_000)
            base = "/api/v3/aggTrades?symbol=BTCUSDT&limit=10"
            forward = (await ask(exchange, f"{base}&startTime={now - 50_000}")).json()
            backward = (await ask(exchange, f"{base}&endTime={now - 50_000}")).json()
            within = (await ask(exchange, f"{base}&startTime={now - 50_000}&endTime={now - 49_800}")).json()
            assert forward[0]["T"] >= now - 50_000 > forward[0]["T"] - 200
            assert backward[-1]["T"] <= now - 50_000 < backward[-1]["T"] + 200
            assert 1 <= len(within) <= 3
            both = await ask(exchange, f"{base}&fromId=1&startTime={now}")
            assert both.json()["code"] == -1128

    run(work)


def test_real_holes_are_nowhere_and_blanked_rows_are_zeros() -> None:
    async def work() -> None:
        async with spot() as exchange, connected(exchange) as client:
            ids = exchange.make("BTCUSDT"), exchange.skip_ids("BTCUSDT", 3), exchange.blank("BTCUSDT")
            last = exchange.make("BTCUSDT")[0]
            rows = (await ask(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&fromId=1")).json()
            assert [row["a"] for row in rows] == [ids[0][0], ids[2][0], last]
            assert (rows[1]["p"], rows[1]["f"]) == ("0", -1)
            assert [frame["a"] for frame in await hear(client, 2)] == [ids[0][0], last]

    run(work)


def test_weight_is_counted_and_shown_and_its_end_is_429_then_418() -> None:
    async def work() -> None:
        limits = replace(Binance().limits, weight=10, grace_s=0.0)
        async with spot(limits=limits) as exchange:
            exchange.set_clock(30_000 - exchange.now_ms() % 60_000)  # a new minute counts anew
            answers = [await ask(exchange, "/api/v3/aggTrades?symbol=BTCUSDT") for _ in range(4)]
            assert [each.status_code for each in answers] == [200, 200, 429, 418]
            assert [each.headers["x-mbx-used-weight-1m"] for each in answers] == ["4", "8", "12", "16"]
            assert 1 <= int(answers[2].headers["retry-after"]) <= 60
            assert answers[3].json()["code"] == -1003
            assert ["weight" in each or "Retry-After" in each for each in exchange.violations] == [True, True]
            assert share_of_weight(exchange.stats.as_dict()) == 1.6

    run(work)


def test_futures_cost_more_and_forget_after_two_days() -> None:
    async def work() -> None:
        async with Exchange(Binance(futures=True)) as exchange:
            exchange.make("BTCUSDT", 97, since_ms=exchange.now_ms() - 96 * 3_600_000)
            page = await ask(exchange, "/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=1")
            assert len(page.json()) == 48
            assert page.headers["x-mbx-used-weight-1m"] == "20"
            far = await ask(exchange, "/fapi/v1/aggTrades?symbol=BTCUSDT&startTime=1&endTime=4000000")
            assert far.json()["code"] == -1127
            bars = await ask(exchange, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3")
            assert len(bars.json()) == 3
            assert (await ask(exchange, "/fapi/v1/klines?symbol=BTCUSDT&interval=1s")).json()["code"] == -1120

    run(work)


def test_the_listing_says_what_does_not_trade() -> None:
    async def work() -> None:
        async with spot(listing={"OLDUSDT": "BREAK"}) as exchange:
            listing = (await ask(exchange, "/api/v3/exchangeInfo")).json()["symbols"]
            assert {row["symbol"]: row["status"] for row in listing} == {
                "BTCUSDT": "TRADING", "ETHUSDT": "TRADING", "OLDUSDT": "BREAK",
            }  # fmt: skip
            unknown = await ask(exchange, "/api/v3/aggTrades?symbol=BTCUSD")
            assert (unknown.status_code, unknown.json()["code"]) == (400, -1121)
            assert (await ask(exchange, "/api/v3/nothing")).status_code == 404

    run(work)


@pytest.mark.parametrize(
    ("fault", "rows", "status"),
    [
        (RestFault("short"), 5, 200),
        (RestFault("empty"), 0, 200),
        (RestFault("duplicate"), 20, 200),
        (RestFault("foreign"), 10, 200),
        (RestFault("status", status=500), None, 500),
        (RestFault("status", status=429, retry_after=3), None, 429),
        (RestFault("html"), None, 200),
    ],
)
def test_rest_faults_hit_once_and_are_counted(fault: RestFault, rows: int | None, status: int) -> None:
    async def work() -> None:
        async with spot() as exchange:
            exchange.make("BTCUSDT", 10)
            exchange.make("ETHUSDT", 10)
            exchange.fault_rest(fault)
            page = await ask(exchange, "/api/v3/aggTrades?symbol=BTCUSDT&limit=10")
            assert page.status_code == status
            if rows is not None:
                assert len(page.json()) == rows
                assert all((row["a"] // 10**9 == 2) is (fault.kind == "foreign") for row in page.json())
            assert exchange.stats.faults == {f"rest_{fault.kind}": 1}

    run(work)


@pytest.mark.parametrize("kind", ["reset", "cut", "hang"])
def test_rest_faults_break_the_connection(kind: str) -> None:
    async def work() -> None:
        async with spot() as exchange:
            exchange.fault_rest(RestFault(kind, path="time", after=1))
            async with httpx.AsyncClient(base_url=exchange.rest, trust_env=False, timeout=0.2) as client:
                assert (await client.get("/api/v3/time")).status_code == 200
                with pytest.raises(httpx.TransportError):
                    await client.get("/api/v3/time")
                assert (await client.get("/api/v3/time")).status_code == 200

    run(work)


def test_requests_inside_a_scripted_retry_after_are_violations() -> None:
    async def work() -> None:
        async with spot(limits=replace(Binance().limits, grace_s=0.0)) as exchange:
            exchange.fault_rest(RestFault("status", status=503, retry_after=30))
            assert (await ask(exchange, "/api/v3/time")).headers["retry-after"] == "30"
            assert (await ask(exchange, "/api/v3/time")).status_code == 418
            assert exchange.violations[0].startswith("Retry-After: a request came 29.")

    run(work)


# ---- Coinbase and Kraken


def test_coinbase_wants_a_subscription_and_tells_the_side_of_the_maker() -> None:
    async def work() -> None:
        async with Exchange(Coinbase()) as exchange, connected(exchange, "/") as client:
            exchange.make("BTC-USD")
            names = {"product_ids": ["BTC-USD"], "channels": ["matches", "heartbeat"]}
            await client.send(json.dumps({"type": "subscribe", **names}))
            frames = [json.loads(await client.recv()) for _ in range(2)]
            assert [frame["type"] for frame in frames] == ["subscriptions", "last_match"]
            ids = exchange.make("BTC-USD", 2)
            match = json.loads(await client.recv())
            trade = exchange.ledger["BTC-USD"].trades(ids[0], ids[0])[0]
            assert (match["trade_id"], match["price"], match["size"]) == trade[:3]
            assert match["side"] == ("buy" if trade.buyer_is_maker else "sell")
            rows = (await ask(exchange, f"/products/BTC-USD/trades?limit=2&after={ids[1]}")).json()
            assert [row["trade_id"] for row in rows] == [ids[0], ids[0] - 1]
            assert rows[0]["time"] == match["time"]

    run(work)


def test_coinbase_refuses_unknown_products_long_candles_and_silence() -> None:
    async def work() -> None:
        limits = replace(Coinbase().limits, subscribe_s=0.1)
        async with Exchange(Coinbase(), limits=limits) as exchange, connected(exchange, "/") as client:
            await client.send('{"type":"subscribe","product_ids":["FOO-USD"],"channels":["matches"]}')
            assert json.loads(await client.recv())["reason"] == "FOO-USD is not a valid product"
            assert (await ask(exchange, "/products/BTC-USD/candles?start=0&end=99999999")).status_code == 400
            exchange.make("BTC-USD", 10)
            assert len((await ask(exchange, "/products/BTC-USD/candles?granularity=60")).json()) == 1
            await closed(client)

    run(work)


def test_kraken_puts_several_trades_into_a_frame() -> None:
    async def work() -> None:
        async with Exchange(Kraken()) as exchange, connected(exchange, "/v2") as client:
            params = {"channel": "trade", "symbol": ["BTC/USD", "FOO/USD"], "snapshot": False}
            await client.send(json.dumps({"method": "subscribe", "params": params, "req_id": 4}))
            frames = [json.loads(await client.recv()) for _ in range(3)]
            assert [frame.get("success", frame.get("channel")) for frame in frames] == ["status", True, False]
            ids = exchange.make("BTC/USD", 25)
            frames = [json.loads(await client.recv()) for _ in range(3)]
            assert [row["trade_id"] for frame in frames for row in frame["data"]] == list(ids)

    run(work)


def test_kraken_pages_by_nanoseconds_lose_no_trade_of_a_busy_millisecond() -> None:
    async def work() -> None:
        async with Exchange(Kraken()) as exchange:
            exchange.make("BTC/USD", 350, since_ms=exchange.now_ms() - 40)
            found: list[int] = []
            since = "0"
            while len(found) < 350:
                page = await ask(exchange, f"/0/public/Trades?pair=XBTUSD&since={since}&count=100")
                found += [row[6] for row in page.json()["result"]["XXBTZUSD"]]
                since = page.json()["result"]["last"]
            book = exchange.ledger["BTC/USD"]
            assert found == list(range(book.first_id, book.next_id))
            unknown = await ask(exchange, "/0/public/Trades?pair=FOOUSD")
            assert unknown.json() == {"error": ["EQuery:Unknown asset pair"]}

    run(work)


# ---- how it is run


def test_an_exchange_in_a_thread_is_told_what_to_do_from_a_test() -> None:
    with running_exchange("binance-spot", rate=200) as exchange, httpx.Client(trust_env=False) as client:
        wait_until(lambda: len(exchange.ledger["BTCUSDT"]) > 5)
        exchange.pace(0)
        last = exchange.ledger["BTCUSDT"].last_id
        rows = client.get(f"{exchange.rest}/api/v3/aggTrades?symbol=BTCUSDT&limit=1").json()
        assert rows[0]["a"] == last
        assert exchange.make("ETHUSDT", 3)[-1] == exchange.ledger["ETHUSDT"].last_id


def test_an_exchange_in_a_process_obeys_and_leaves_its_ledger(tmp_path: Path) -> None:
    with exchange_process("binance-futures", ("BTCUSDT",), folder=tmp_path, seed=9) as exchange:
        assert exchange.control("make", symbol="BTCUSDT", count=40)[1] == 1_000_000_040
        assert exchange.control("blank", symbol="BTCUSDT") == [1_000_000_041, 1_000_000_041]
        exchange.control("fault_rest", kind="status", status=429, retry_after=1)
        exchange.control("inject", kind="skip", count=2)
        exchange.control("script", faults="close:after=1")
        assert exchange.report()["last_ids"] == {"BTCUSDT": 1_000_000_040}
        with pytest.raises(ValueError, match="unknown deed 'explode'"):
            exchange.control("explode")
        assert len(exchange.ledger()["BTCUSDT"]) == 41
    assert exchange.ledger().seed == 9
    assert exchange.last_report["violations"] == []
    assert exchange.process.returncode == 0
