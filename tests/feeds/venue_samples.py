"""What each venue writes, by hand: the contract suite in test_venues.py runs over these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from market import Bar, Tick, flaw
from pairscope.feeds.binance import FUTURES, SPOT
from pairscope.feeds.coinbase import COINBASE
from pairscope.feeds.kraken import KRAKEN
from pairscope.recording.reading import LATEST_MS
from pairscope.recording.venue import Parsed, Venue

NAN = float("nan")


@dataclass(frozen=True)
class Sample:
    """A venue, and what it writes."""

    venue: Venue
    symbol: str
    frame: Callable[[Tick], bytes]
    """Write a trade as the frame of the stream."""
    page: Callable[[Sequence[Tick]], bytes]
    """Write trades as a page, in the order of the venue."""
    quiet: Mapping[str, str]
    """Frames without a trade, and the type that they are counted by."""
    error: tuple[str, str]
    """A frame that tells of an error, and the note for a person."""
    candles: str
    bars: tuple[Bar, ...]
    listing: str
    listed: Mapping[str, str]
    clock: str
    clock_ms: int
    refusal: str
    """The body of an answer that says no."""
    refused: str


def at(sample: Sample, tick: Tick) -> Tick:
    return tick._replace(venue=sample.venue.name, symbol=sample.symbol)


def a_tick(sample: Sample, trade_id: int = 7) -> Tick:
    return at(sample, Tick("", "", trade_id, 1_700_000_000_123, 61837.63, 0.02, "sell"))


def assert_documented(parsed: Parsed) -> None:
    """A frame is trades, good ones or not, or it is ignored by a short name."""
    assert bool(parsed.ticks or parsed.rejected) != bool(parsed.ignored)
    assert len(parsed.ignored or "") < 20
    assert len(parsed.note) <= 500
    for tick in parsed.ticks:
        assert flaw(tick, latest_ms=LATEST_MS) is None


def decimal(value: float) -> str:
    return f"{value:.8f}"


def rfc3339(time_ms: int) -> str:
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}789Z"


# ---- Binance


def binance_frame(tick: Tick) -> bytes:
    last = '"M":true' if tick.venue == "binance-spot" else f'"nq":"{decimal(tick.qty)}","st":1'
    return (
        f'{{"stream":"{tick.symbol.lower()}@aggTrade","data":{{"e":"aggTrade","E":{tick.time_ms + 1},'
        f'"s":"{tick.symbol}","a":{tick.trade_id},"p":"{decimal(tick.price)}","q":"{decimal(tick.qty)}",'
        f'"f":2,"l":3,"T":{tick.time_ms},"m":{"true" if tick.side == "sell" else "false"},{last}}}}}'
    ).encode()


def binance_page(ticks: Sequence[Tick]) -> bytes:
    return orjson.dumps(
        [
            {
                "a": tick.trade_id,
                "p": decimal(tick.price),
                "q": decimal(tick.qty),
                "f": 2,
                "l": 3,
                "T": tick.time_ms,
                "m": tick.side == "sell",
            }
            for tick in ticks
        ]
    )


BINANCE_CANDLES = (
    '[[1700000040000,"10.0","12.0","9.0","11.0","3.0",1700000099999,"31.5",4,"1.0","10.5","0"],'
    '[1700000100000,"11.0","11.0","11.0","11.0","0.0",1700000159999,"0.0",0,"0.0","0.0","0"]]'
)
BINANCE_BARS = (
    Bar(1_700_000_040_000, 10.0, 12.0, 9.0, 11.0, 3.0, 31.5, 1.0, 4, klines=True),
    Bar(1_700_000_100_000, 11.0, 11.0, 11.0, 11.0, 0.0, 0.0, 0.0, 0, klines=True),
)
BINANCE_QUIET = {
    '{"result":null,"id":1}': "ack",
    '{"e":"serverShutdown","E":1}': "serverShutdown",
    '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}': "serverShutdown",
    '{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":1}}': "trade",
    '{"stream":"!ticker@arr","data":[]}': "other",
    '{"e":"brandNew"}': "other",
}


def binance(venue: Venue) -> Sample:
    return Sample(
        venue=venue,
        symbol="BTCUSDT",
        frame=binance_frame,
        page=binance_page,
        quiet=BINANCE_QUIET,
        error=(
            '{"error":{"code":2,"msg":"Invalid request: unknown method"},"id":7}',
            "Invalid request: unknown method: 2",
        ),
        candles=BINANCE_CANDLES,
        bars=BINANCE_BARS,
        listing='{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[{}]},{"symbol":"LUNAUSDT","status":"BREAK"}]}',
        listed={"BTCUSDT": "", "LUNAUSDT": "BREAK"},
        clock='{"serverTime":1700000000123}',
        clock_ms=1_700_000_000_123,
        refusal='{"code":-1121,"msg":"Invalid symbol."}',
        refused="Invalid symbol.: -1121",
    )


# ---- Coinbase


def coinbase_trade(tick: Tick) -> dict[str, object]:
    return {
        "trade_id": tick.trade_id,
        "side": "buy" if tick.side == "sell" else "sell",
        "size": decimal(tick.qty),
        "price": decimal(tick.price),
        "time": rfc3339(tick.time_ms),
    }


COINBASE_SAMPLE = Sample(
    venue=COINBASE,
    symbol="BTC-USD",
    frame=lambda tick: orjson.dumps({"type": "match", "product_id": tick.symbol, **coinbase_trade(tick)}),
    page=lambda ticks: orjson.dumps([coinbase_trade(tick) for tick in reversed(ticks)]),
    quiet={
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD"}': "heartbeat",
        '{"type":"subscriptions","channels":[]}': "subscriptions",
        '{"type":"last_match","trade_id":1,"side":"buy","size":"1","price":"1","product_id":"BTC-USD"}': "last_match",
        '{"type":"l2update","changes":[]}': "l2update",
        '{"type":["match"]}': "other",
    },
    error=(
        '{"type":"error","message":"Failed to subscribe","reason":"X-USD is not a valid product"}',
        "Failed to subscribe: X-USD is not a valid product",
    ),
    candles="[[1700000100,11,11,11,11,0.5],[1700000040,9.0,12.0,10.0,11.0,2]]",
    bars=(
        Bar(1_700_000_040_000, 10.0, 12.0, 9.0, 11.0, 2.0, NAN, NAN, 0, klines=True),
        Bar(1_700_000_100_000, 11.0, 11.0, 11.0, 11.0, 0.5, NAN, NAN, 0, klines=True),
    ),
    listing='[{"id":"BTC-USD","status":"online","trading_disabled":false},{"id":"OLD-USD","status":"delisted"},'
    '{"id":"OFF-USD","status":"online","trading_disabled":true}]',
    listed={"BTC-USD": "", "OLD-USD": "delisted", "OFF-USD": "trading disabled"},
    clock='{"iso":"2023-11-14T22:13:20.123Z","epoch":1700000000.123}',
    clock_ms=1_700_000_000_123,
    refusal='{"message":"NotFound"}',
    refused="NotFound",
)


# ---- Kraken


def kraken_frame(*ticks: Tick) -> bytes:
    rows = ",".join(
        f'{{"symbol":"{tick.symbol}","side":"{tick.side}","price":{decimal(tick.price)},"qty":{decimal(tick.qty)},'
        f'"ord_type":"market","trade_id":{tick.trade_id},"timestamp":"{rfc3339(tick.time_ms)}"}}'
        for tick in ticks
    )
    return f'{{"channel":"trade","type":"update","data":[{rows}]}}'.encode()


def kraken_page(ticks: Sequence[Tick]) -> bytes:
    rows = ",".join(
        f'["{decimal(tick.price)}","{decimal(tick.qty)}",{tick.time_ms // 1000}.{tick.time_ms % 1000:03d}9999,'
        f'"{"b" if tick.side == "buy" else "s"}","m","",{tick.trade_id}]'
        for tick in ticks
    )
    return f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"1700000000123456789"}}}}'.encode()


KRAKEN_SAMPLE = Sample(
    venue=KRAKEN,
    symbol="BTC/USD",
    frame=kraken_frame,
    page=kraken_page,
    quiet={
        '{"channel":"heartbeat"}': "heartbeat",
        '{"channel":"status","type":"update","data":[{"system":"online"}]}': "status",
        '{"method":"subscribe","result":{"channel":"trade"},"success":true,"req_id":1}': "ack",
        '{"method":"pong","req_id":1}': "ack",
        '{"channel":"trade","type":"snapshot","data":[{"symbol":"BTC/USD"}]}': "snapshot",
        '{"channel":"trade","type":"update","data":[]}': "empty",
        '{"channel":["trade"]}': "other",
    },
    error=(
        '{"error":"Currency pair not supported X/USD","method":"subscribe","success":false}',
        "Currency pair not supported X/USD",
    ),
    candles='{"error":[],"result":{"XXBTZUSD":[[1700000040,"10.0","12.0","9.0","11.0","10.5","2.0",4],'
    '[1700000100,"11.0","11.0","11.0","11.0","0.0","0.0",0]],"last":1700000040}}',
    bars=(
        Bar(1_700_000_040_000, 10.0, 12.0, 9.0, 11.0, 2.0, 21.0, NAN, 4, klines=True),
        Bar(1_700_000_100_000, 11.0, 11.0, 11.0, 11.0, 0.0, 0.0, NAN, 0, klines=True),
    ),
    listing='{"error":[],"result":{"XXBTZUSD":{"wsname":"XBT/USD","status":"online"},'
    '"XDGEUR":{"wsname":"XDG/EUR","status":"cancel_only"},"DARK.d":{"altname":"DARK.d"}}}',
    listed={"BTC/USD": "", "DOGE/EUR": "cancel_only"},
    clock='{"error":[],"result":{"unixtime":1700000000,"rfc1123":"Tue, 14 Nov 23 22:13:20 +0000"}}',
    clock_ms=1_700_000_000_500,
    refusal='{"error":["EQuery:Unknown asset pair"]}',
    refused="EQuery:Unknown asset pair",
)

SAMPLES = (binance(SPOT), binance(FUTURES), COINBASE_SAMPLE, KRAKEN_SAMPLE)
