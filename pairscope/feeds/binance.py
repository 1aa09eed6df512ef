"""Binance's words, spot and USD-M futures: frames, and the public REST interface. No socket in here.

Aggregate trades and raw trades count their ids on different lines, so they are different venues:

    ============  ===================  =======================
    market        ``aggTrade``         ``trade``
    ============  ===================  =======================
    spot          ``binance-spot``     ``binance-spot-raw``
    futures       ``binance-futures``  ``binance-futures-raw``
    ============  ===================  =======================

Aggregates are what is streamed: they alone can be had again by id, without a key, on both markets. Raw ones come in
recordings.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import orjson

from market import DAY, EARLIEST_MS, HOUR, MAX_ID, MINUTE, SECOND, Bar, Side, Tick, Timeframe
from pairscope.recording import reading
from pairscope.recording.venue import Budget, Page, Parsed, Request, Span

Market = Literal["spot", "futures"]
Kind = Literal["aggTrade", "trade"]

VENUES: dict[tuple[Market, Kind], str] = {
    ("spot", "aggTrade"): "binance-spot",
    ("spot", "trade"): "binance-spot-raw",
    ("futures", "aggTrade"): "binance-futures",
    ("futures", "trade"): "binance-futures-raw",
}

_ALL_KINDS: dict[str, Kind] = {"aggTrade": "aggTrade", "trade": "trade"}
_STREAMED: dict[str, Kind] = {"aggTrade": "aggTrade"}
_UNREAL_PRINTS = ("NA", "INSURANCE_FUND", "ADL")

# Types that are counted by name; all others share one, so that a hostile peer cannot make the counters grow.
_NOT_TRADES = frozenset(
    [
        "24hrMiniTicker",
        "24hrTicker",
        "avgPrice",
        "blockTrade",
        "bookTicker",
        "contractInfo",
        "depthUpdate",
        "forceOrder",
        "kline",
        "markPriceUpdate",
        "serverShutdown",
        "trade",
        "tradingSession",
    ]
)
# Frames without a type of their own, told by a key that only they have.
_TOLD_BY_KEY = {
    "result": "ack",
    "lastUpdateId": "snapshot",
    "B": "bookTicker",
}


# ---- the stream: any frame, with care


def parse(frame: str | bytes, *, market: Market | None = None) -> Parsed:
    """Read one frame, bare or combined (``{"stream": ..., "data": ...}``); no input makes it raise.

    Args:
        frame: the text as received.
        market: where it comes from; without it, a trade with the key ``M`` is spot and one without is futures.
    """
    return reading.read_frame(frame, partial(_message, market=market, kinds=_ALL_KINDS))


def _message(message: dict[str, Any], *, market: Market | None, kinds: Mapping[str, Kind]) -> Parsed:
    stream = message.get("stream")
    if stream == "!serverShutdown":
        return Parsed(ignored="serverShutdown")
    event = message.get("data") if "stream" in message else message
    if isinstance(event, list):
        return Parsed(ignored="other")
    event = reading.expect(event, dict, "data")
    name = event.get("e")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        return _not_trade(event)
    tick = _tick(event, kind, market)
    if "stream" in message and stream != f"{tick.symbol.lower()}@{kind}":
        raise reading.Refused("stream and symbol differ")
    return Parsed(ticks=(tick,))


def _not_trade(event: dict[str, Any]) -> Parsed:
    kind = event.get("e")
    if isinstance(kind, str):
        return Parsed(ignored=kind if kind in _NOT_TRADES else "other")
    error = event.get("error", event)
    if isinstance(error, dict) and "code" in error:
        note = ": ".join(filter(None, (reading.shown(error.get("msg")), reading.shown(error["code"]))))
        return Parsed(ignored="error", note=note)
    if "error" in event:
        return Parsed(ignored="error", note=reading.shown(error))
    return Parsed(ignored=next((name for key, name in _TOLD_BY_KEY.items() if key in event), "other"))


def _tick(trade: dict[str, Any], kind: Kind, market: Market | None) -> Tick:
    _refuse_unreal(trade)
    where: Market = market or ("spot" if "M" in trade else "futures")
    symbol = reading.symbol_in(trade.get("s"), "s")
    return _trade(VENUES[where, kind], symbol, trade, "a" if kind == "aggTrade" else "t")


def _trade(venue: str, symbol: str, trade: dict[str, Any], id_key: str) -> Tick:
    """Read what a trade of the stream and a row of a page have in common."""
    return reading.sound(
        Tick(
            venue,
            symbol,
            trade.get(id_key),  # type: ignore[arg-type]  # sound() looks at what it is
            _time_ms(trade.get("T")),
            reading.decimal(trade.get("p"), "p"),
            reading.decimal(trade.get("q"), "q"),
            _side(trade.get("m")),
        )
    )


def _refuse_unreal(trade: dict[str, Any]) -> None:
    """Refuse what the matching engine did not make: futures book-keeping, and aggregates that Binance blanked."""
    print_type = trade.get("X", "MARKET")
    if print_type != "MARKET":
        raise reading.Refused(f"not a market trade: X is {print_type if print_type in _UNREAL_PRINTS else 'unknown'}")
    if trade.get("f") == -1:
        raise reading.Refused("blanked by the exchange: f is -1")


def _time_ms(value: object) -> int:
    time = reading.whole(value, "T")
    return time // 1000 if time >= reading.LATEST_MS else time


def _side(buyer_is_maker: object) -> Side:
    if buyer_is_maker is True:
        return "sell"
    if buyer_is_maker is False:
        return "buy"
    raise reading.Refused("m is not true or false")


# ---- the stream: the frame that comes a million times

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
_Amount = Annotated[str, msgspec.Meta(max_length=reading.LONGEST_NUMBER)]


class _Aggregate(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An aggregate trade as it should be; the fields stand in the order of spot, which msgspec reads fastest.

    Also what is not needed is declared: msgspec skips the unknown without looking at it as closely as orjson does.
    """

    e: Literal["aggTrade"]
    E: _Count
    s: Annotated[str, msgspec.Meta(min_length=1, max_length=reading.LONGEST_SYMBOL)]
    a: _Count
    p: _Amount
    q: _Amount
    f: _Count
    l: _Count  # noqa: E741  # Binance's name
    T: Annotated[int, msgspec.Meta(ge=EARLIEST_MS, lt=reading.LATEST_MS)]
    m: bool
    M: bool = True
    nq: str = ""
    st: _Count = 0
    X: Literal["MARKET"] = "MARKET"


class _Combined(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    stream: str
    data: _Aggregate


_combined_in = msgspec.json.Decoder(_Combined).decode
_float_in = reading.float_in
# Tick(...) and Parsed(...) go through functions in Python; this makes the same, in half their time.
_tuple = tuple.__new__
_MOST_NAMES = 4096


# ---- the venues


class Edition(NamedTuple):
    """What differs between the two markets."""

    market: Market
    sockets: tuple[str, ...]
    rests: tuple[str, ...]
    stream_path: str
    rest_path: str
    budget: Budget
    keeps_ms: float
    candle_lengths: tuple[Timeframe, ...]
    trades_weight: int
    candle_weights: tuple[tuple[int, int], ...]
    """What candles cost: for fewer than so many, so much."""
    listing: Request


_USED = "x-mbx-used-weight-1m"

SPOT_EDITION = Edition(
    market="spot",
    # First the servers that hold market data only: nobody's orders suffer from what we ask.
    sockets=("wss://data-stream.binance.vision", "wss://stream.binance.com:9443"),
    rests=("https://data-api.binance.vision", "https://api.binance.com"),
    stream_path="/stream",
    rest_path="/api/v3",
    budget=Budget(6000, 60.0, _USED),
    keeps_ms=math.inf,
    candle_lengths=(Timeframe(SECOND), Timeframe(MINUTE)),
    trades_weight=4,
    candle_weights=((1001, 2),),
    # The sets of permissions are most of the listing, and say nothing of trades.
    listing=Request("/api/v3/exchangeInfo", {"showPermissionSets": "false"}, 20),
)
FUTURES_EDITION = Edition(
    market="futures",
    sockets=("wss://fstream.binance.com",),
    rests=("https://fapi.binance.com",),
    # Only under /market: the address without a route takes the subscription too, and stays silent for ever.
    stream_path="/market/stream",
    rest_path="/fapi/v1",
    budget=Budget(2400, 60.0, _USED),
    keeps_ms=2 * DAY,
    candle_lengths=(Timeframe(MINUTE),),
    trades_weight=20,
    candle_weights=((100, 1), (500, 2), (1001, 5)),
    listing=Request("/fapi/v1/exchangeInfo", {}, 1),
)


class Binance:
    """One of Binance's markets, as the drivers ask for it."""

    defaults: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    # 1,024 streams are allowed; but their names stand in the address, and so many would make one of 20 KB.
    most_symbols = 200
    lifetime_s = 23.0 * HOUR / SECOND
    page_size = 1000
    by_id = True
    clock_error_ms = 0
    order: Literal["up", "down"] = "up"

    def __init__(self, edition: Edition) -> None:
        self.name = VENUES[edition.market, "aggTrade"]
        self.sockets = edition.sockets
        self.rests = edition.rests
        self.budget = edition.budget
        self.keeps_ms = edition.keeps_ms
        self.candle_lengths = edition.candle_lengths
        self._edition = edition
        self._names: dict[str, str] = {}
        """Symbols by the streams whose trades were looked at with care before; only to be quick."""

    def socket_path(self, symbols: Sequence[str]) -> str:
        names = "/".join(quote(name, safe="@") for name in _streams(symbols))
        return f"{self._edition.stream_path}?streams={names}"

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        return ()

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        return orjson.dumps({"method": "SUBSCRIBE", "params": _streams(symbols), "id": number}).decode()

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        return orjson.dumps({"method": "UNSUBSCRIBE", "params": _streams(symbols), "id": number}).decode()

    def parse(self, frame: bytes) -> Parsed:
        """Read a frame: quickly if it is just what is expected, which is no verdict on any other."""
        try:
            message = _combined_in(frame)
            trade = message.data
            symbol, price_text, qty_text = trade.s, trade.p, trade.q
            price, qty = _float_in(price_text), _float_in(qty_text)
            if (
                self._names[message.stream] == symbol
                and price > 0.0
                and qty > 0.0
                and price_text.strip() is price_text  # JSON allows spaces around a number
                and qty_text.strip() is qty_text
            ):
                tick = _tuple(Tick, (self.name, symbol, trade.a, trade.T, price, qty, "sell" if trade.m else "buy"))
                return _tuple(Parsed, ((tick,), (), None, ""))
        except (ValueError, LookupError, RecursionError):
            pass
        return self.parse_with_care(frame)

    def parse_with_care(self, frame: bytes) -> Parsed:
        """Read any frame, and give the reason where it holds no trade."""
        parsed = reading.read_frame(frame, partial(_message, market=self._edition.market, kinds=_STREAMED))
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names.update((f"{tick.symbol.lower()}@aggTrade", tick.symbol) for tick in parsed.ticks)
        return parsed

    def trades_request(self, symbol: str, span: Span) -> Request:
        limit = min(self.page_size, span.last_id - span.first_id + 1)
        return self._aggregates(symbol, limit=limit, fromId=span.first_id)

    def newest_request(self, symbol: str) -> Request:
        return self._aggregates(symbol, limit=1)

    def _aggregates(self, symbol: str, **params: int) -> Request:
        # Never ids together with times: futures may then not answer at all.
        edition = self._edition
        return Request(f"{edition.rest_path}/aggTrades", {"symbol": symbol, **params}, edition.trades_weight)

    def read_page(self, symbol: str, body: bytes) -> Page:
        rows = [reading.expect(row, dict, "a trade") for row in _list_in(body)]
        return Page(*reading.sift(filter(_not_blanked, rows), lambda row: _trade(self.name, symbol, row, "a")))

    def candles_request(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> Request:
        """Ask for the first 1,000 of the range."""
        limit = max(1, min(1000, -((start_ms - end_ms) // length.ms)))
        weight = next(cost for fewer, cost in self._edition.candle_weights if limit < fewer)
        times = {"startTime": start_ms, "endTime": end_ms - 1, "limit": limit}
        path = f"{self._edition.rest_path}/klines"
        return Request(path, {"symbol": symbol, "interval": str(length), **times}, weight)

    def read_candles(self, body: bytes) -> Sequence[Bar]:
        return reading.sift_bars(_list_in(body), _bar)

    def listing_request(self) -> Request:
        return self._edition.listing

    def read_listing(self, body: bytes) -> Mapping[str, str]:
        try:
            listed = _listing_in(body).symbols
        except (ValueError, RecursionError) as error:
            raise reading.Refused(f"a list of symbols was expected, not {reading.shown(body)}") from error
        return {each.symbol: "" if each.status == "TRADING" else each.status for each in listed}

    def time_request(self) -> Request:
        return Request(f"{self._edition.rest_path}/time")

    def read_time(self, body: bytes) -> int:
        answer = reading.expect(reading.read_body(body), dict, "the time")
        return reading.whole(answer.get("serverTime"), "serverTime")

    def read_error(self, body: bytes) -> str:
        return reading.read_told(body, "msg", "code")


class _Listed(msgspec.Struct):
    symbol: str
    status: str


class _Listing(msgspec.Struct):
    symbols: list[_Listed]


_listing_in = msgspec.json.Decoder(_Listing).decode
"""Skips all but two words of each symbol: there are megabytes of the others, and the event loop waits."""


def _streams(symbols: Sequence[str]) -> list[str]:
    # lower(), not casefold(): names of streams are lower case as Binance's servers understand it.
    return [f"{symbol.lower()}@aggTrade" for symbol in symbols]


def _list_in(body: bytes) -> list[Any]:
    return reading.expect(reading.read_body(body), list, "the page")


def _not_blanked(row: dict[str, Any]) -> bool:
    """Tell whether a row still is a trade: duplicates of 2022 and before were blanked, and keep only their id."""
    return row.get("f") != -1


def _bar(row: object) -> Bar:
    row = reading.columns(row, 10, "a candle")
    prices = [reading.decimal(text, "a price") for text in row[1:5]]
    volume, turnover, bought = (reading.decimal(row[at], "a volume") for at in (5, 7, 9))
    start, trades = reading.whole(row[0], "open time"), reading.whole(row[8], "count")
    return reading.candle(start, prices, volume=volume, turnover=turnover, trades=trades, bought=bought)


SPOT = Binance(SPOT_EDITION)
FUTURES = Binance(FUTURES_EDITION)
