"""Kraken's words: WebSocket v2 and the public REST interface. The smallest venue: see docs/adding-an-exchange.md.

The two sides name some coins differently: Bitcoin is BTC in v2 and XBT to REST. A symbol here is v2's, such as BTC/USD.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from market import MINUTE, Bar, Side, Tick, Timeframe
from pairscope.recording import reading
from pairscope.recording.venue import Budget, Page, Parsed, Request, Span, Venue

_OLD = {"BTC": "XBT", "DOGE": "XDG"}
_NEW = {old: new for new, old in _OLD.items()}
_SIDES: dict[str, Side] = {"buy": "buy", "sell": "sell", "b": "buy", "s": "sell"}
_OTHERS = ("heartbeat", "status", "ticker", "book", "ohlc", "instrument")


class Kraken:
    """Kraken, as the drivers ask for it."""

    name = "kraken"
    sockets: tuple[str, ...] = ("wss://ws.kraken.com",)
    rests: tuple[str, ...] = ("https://api.kraken.com",)
    defaults: tuple[str, ...] = ("BTC/USD", "ETH/USD")
    most_symbols = 100
    lifetime_s = 23 * 3600.0
    # About one request a second is allowed, and we take half. Over twenty seconds, because ten at once do no harm, and
    # a desk that starts has that much to ask; half of one second's would not even be one.
    budget = Budget(20, 20.0)
    keeps_ms = math.inf
    page_size = 1000
    by_id = False
    order: Literal["up", "down"] = "up"
    candle_lengths: tuple[Timeframe, ...] = (Timeframe(MINUTE),)
    clock_error_ms = 500

    def socket_path(self, symbols: Sequence[str]) -> str:
        return "/v2"

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        return (self.subscribe(symbols, 1),)

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        # No snapshot: it would be the last 50 trades, and the audit asks REST for exactly what was missed.
        params = {"channel": "trade", "symbol": list(symbols), "snapshot": False}
        return orjson.dumps({"method": "subscribe", "params": params, "req_id": number}).decode()

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        params = {"channel": "trade", "symbol": list(symbols)}
        return orjson.dumps({"method": "unsubscribe", "params": params, "req_id": number}).decode()

    def parse(self, frame: bytes) -> Parsed:
        return reading.read_frame(frame, _message)

    def trades_request(self, symbol: str, span: Span) -> Request:
        # What is at `since` is left out, and several trades may share its nanosecond: from one before, none is missed.
        since = int(span.cursor or span.start_ms * 1_000_000) - 1
        return Request("/0/public/Trades", {"pair": _old(symbol), "since": since, "count": self.page_size})

    def newest_request(self, symbol: str) -> Request:
        return Request("/0/public/Trades", {"pair": _old(symbol), "count": 1})

    def read_page(self, symbol: str, body: bytes) -> Page:
        rows, last = _series(reading.read_exact(body), symbol)
        if not (isinstance(last, str) and last.isdecimal() and last.isascii() and len(last) < 20):
            raise reading.Refused("last is not a time in nanoseconds")
        ticks, rejected = reading.sift(rows, lambda row: _row(symbol, row))
        return Page(ticks, rejected, cursor=last)

    def candles_request(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> Request:
        """Ask for all from a time on; there are 720 at most, whatever is asked for."""
        params = {"interval": length.ms // MINUTE, "since": start_ms // 1000 - 1}
        return Request("/0/public/OHLC", {"pair": _old(symbol), **params})

    def read_candles(self, body: bytes) -> Sequence[Bar]:
        rows, _ = _series(reading.read_body(body))
        return reading.sift_bars(rows, _bar)

    def listing_request(self) -> Request:
        return Request("/0/public/AssetPairs")

    def read_listing(self, body: bytes) -> Mapping[str, str]:
        pairs = [reading.expect(pair, dict, "a pair") for pair in _result(reading.read_body(body)).values()]
        named = [(pair["wsname"], pair.get("status")) for pair in pairs if "wsname" in pair]
        return {_new(reading.symbol_in(name, "wsname")): _status(status) for name, status in named}

    def time_request(self) -> Request:
        return Request("/0/public/Time")

    def read_time(self, body: bytes) -> int:
        # It tells whole seconds: the middle of one is at most half a second wrong.
        return reading.whole(_result(reading.read_body(body)).get("unixtime"), "unixtime") * 1000 + 500

    def read_error(self, body: bytes) -> str:
        return reading.read_told(body, "error")


def _message(message: dict[str, Any]) -> Parsed:
    channel = message.get("channel")
    if channel == "trade" and message.get("type") == "update":
        ticks, rejected = reading.sift(reading.expect(message.get("data"), list, "data"), _trade)
        return Parsed(ticks, rejected, None if ticks or rejected else "empty")
    if channel == "trade":
        return Parsed(ignored="snapshot")
    if channel in _OTHERS:
        return Parsed(ignored=channel)
    if message.get("error"):
        return Parsed(ignored="error", note=reading.shown(message["error"]))
    return Parsed(ignored="ack" if "method" in message else "other")


def _trade(trade: Any) -> Tick:
    get = reading.expect(trade, dict, "a trade").get
    symbol, time_ms = reading.symbol_in(get("symbol"), "symbol"), reading.rfc3339_ms(get("timestamp"), "timestamp")
    price, qty = reading.number(get("price"), "price"), reading.number(get("qty"), "qty")
    return _tick(symbol, get("trade_id"), time_ms, price, qty, get("side"))


def _row(symbol: str, row: Any) -> Tick:
    price, qty, seconds, side, _, _, key, *_ = reading.columns(row, 7, "a trade")
    time_ms = reading.seconds_ms(seconds, "time")
    return _tick(symbol, key, time_ms, reading.decimal(price, "price"), reading.decimal(qty, "volume"), side)


def _tick(symbol: str, key: object, time_ms: int, price: float, qty: float, side: object) -> Tick:
    trade_id, taker = reading.whole(key, "trade_id"), reading.choose(side, _SIDES, "side")
    return reading.sound(Tick(Kraken.name, symbol, trade_id, time_ms, price, qty, taker))


def _bar(row: object) -> Bar:
    start, *texts, trades = reading.columns(row, 8, "a candle")[:8]
    first, high, low, last, average, volume = (reading.decimal(text, "a value of a candle") for text in texts)
    time_ms, count = reading.whole(start, "time") * 1000, reading.whole(trades, "count")
    prices = (first, high, low, last)
    return reading.candle(time_ms, prices, volume=volume, turnover=average * volume, trades=count)


def _result(body: object) -> dict[str, Any]:
    """Return the result of an answer; an error comes with status 200, too."""
    answer = reading.expect(body, dict, "the answer")
    if answer.get("error"):
        raise reading.Refused(f"Kraken says: {reading.shown(answer['error'])}")
    return reading.expect(answer.get("result"), dict, "the result")


def _series(body: object, symbol: str = "") -> tuple[list[Any], object]:
    """Return the rows of the one pair that an answer is about, and where the next page begins."""
    result = _result(body)
    names = [name for name in result if name != "last"]
    if len(names) != 1:
        raise reading.Refused(f"the answer is about {len(names)} pairs, not one")
    if symbol and not _is_about(names[0], symbol):
        raise reading.Refused(f"the answer is about {reading.shown(names[0])}, not {symbol}")
    return reading.expect(result[names[0]], list, "the page"), result.get("last")


def _is_about(name: str, symbol: str) -> bool:
    """Tell whether an answer's name is that of a symbol: XXBTZUSD, XBTUSD and BTC/USD are the same."""
    coins = [re.escape(_OLD.get(coin, coin)) for coin in symbol.split("/")]
    return name == symbol or re.fullmatch("[XZ]?" + "/?[XZ]?".join(coins), name) is not None


def _old(symbol: str) -> str:
    return "".join(_OLD.get(coin, coin) for coin in symbol.split("/"))


def _new(pair: str) -> str:
    return "/".join(_NEW.get(coin, coin) for coin in pair.split("/"))


def _status(status: object) -> str:
    return "" if status == "online" else reading.shown(status)


KRAKEN: Venue = Kraken()
