"""Coinbase Exchange's words: the matches channel and the public REST interface. Sides are the maker's, and turned here.

A symbol is a product, such as BTC-USD; trade ids count on by one for each.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import orjson

from market import MINUTE, Bar, Side, Tick, Timeframe, iso
from pairscope.recording import reading
from pairscope.recording.venue import Budget, Page, Parsed, Request, Span, Venue

CANDLES_AT_ONCE = 300

_TAKERS: dict[str, Side] = {"buy": "sell", "sell": "buy"}
"""The taker by the side of the maker, whose order was waiting."""

# `last_match` is a trade from before we came: the audit asks REST for all of those, not for one.
_OTHERS = ("heartbeat", "subscriptions", "last_match", "ticker", "snapshot", "l2update", "status")


class Coinbase:
    """Coinbase Exchange, as the drivers ask for it."""

    name = "coinbase"
    sockets: tuple[str, ...] = ("wss://ws-feed.exchange.coinbase.com",)
    rests: tuple[str, ...] = ("https://api.exchange.coinbase.com",)
    defaults: tuple[str, ...] = ("BTC-USD", "ETH-USD")
    most_symbols = 100
    lifetime_s = 23 * 3600.0
    budget = Budget(10, 1.0)
    keeps_ms = math.inf
    page_size = 1000
    by_id = True
    order: Literal["up", "down"] = "down"
    candle_lengths: tuple[Timeframe, ...] = (Timeframe(MINUTE),)
    clock_error_ms = 0

    def socket_path(self, symbols: Sequence[str]) -> str:
        return "/"

    def opening(self, symbols: Sequence[str]) -> tuple[str, ...]:
        return (self.subscribe(symbols, 1),)  # within 5 s, or Coinbase hangs up

    def subscribe(self, symbols: Sequence[str], number: int) -> str:
        return _channels("subscribe", symbols)

    def unsubscribe(self, symbols: Sequence[str], number: int) -> str:
        return _channels("unsubscribe", symbols)

    def parse(self, frame: bytes) -> Parsed:
        return reading.read_frame(frame, _message)

    def trades_request(self, symbol: str, span: Span) -> Request:
        # `after` means older: the page ends with the trade before it.
        limit = min(self.page_size, span.last_id - span.first_id + 1)
        return Request(_path(symbol, "trades"), {"limit": limit, "after": span.last_id + 1})

    def newest_request(self, symbol: str) -> Request:
        return Request(_path(symbol, "trades"), {"limit": 1})

    def read_page(self, symbol: str, body: bytes) -> Page:
        rows = reading.expect(reading.read_body(body), list, "the page")
        return Page(*reading.sift(rows, lambda row: _tick(symbol, row)))

    def candles_request(self, symbol: str, length: Timeframe, start_ms: int, end_ms: int) -> Request:
        """Ask for the last 300 of the range: Coinbase refuses to give more at once, and a chart wants the newest."""
        start = max(start_ms, end_ms - CANDLES_AT_ONCE * length.ms)
        # Both ends are included.
        ends = {"start": iso(start), "end": iso(end_ms - length.ms)}
        return Request(_path(symbol, "candles"), {"granularity": length.ms // 1000, **ends})

    def read_candles(self, body: bytes) -> Sequence[Bar]:
        rows = reading.expect(reading.read_body(body), list, "the page")
        return sorted(reading.sift_bars(rows, _bar))

    def listing_request(self) -> Request:
        return Request("/products")

    def read_listing(self, body: bytes) -> Mapping[str, str]:
        rows = reading.expect(reading.read_body(body), list, "the listing")
        products = [reading.expect(row, dict, "a product") for row in rows]
        return {reading.symbol_in(product.get("id"), "id"): _status(product) for product in products}

    def time_request(self) -> Request:
        return Request("/time")

    def read_time(self, body: bytes) -> int:
        return reading.rfc3339_ms(reading.expect(reading.read_body(body), dict, "the time").get("iso"), "iso")

    def read_error(self, body: bytes) -> str:
        return reading.read_told(body, "message")


def _channels(kind: str, symbols: Sequence[str]) -> str:
    return orjson.dumps({"type": kind, "product_ids": list(symbols), "channels": ["matches", "heartbeat"]}).decode()


def _path(symbol: str, what: str) -> str:
    return f"/products/{quote(symbol, safe='')}/{what}"


def _message(message: dict[str, Any]) -> Parsed:
    kind = message.get("type")
    if kind == "match":
        symbol = reading.symbol_in(message.get("product_id"), "product_id")
        return Parsed(ticks=(_tick(symbol, message),))
    if kind == "error":
        told = (reading.shown(message.get(key)) for key in ("message", "reason"))
        return Parsed(ignored="error", note=": ".join(filter(None, told)))
    return Parsed(ignored=kind if kind in _OTHERS else "other")


def _tick(symbol: str, trade: object) -> Tick:
    """Read a trade; message and row of a page have the same keys."""
    get = reading.expect(trade, dict, "a trade").get
    return reading.sound(
        Tick(
            Coinbase.name,
            symbol,
            reading.whole(get("trade_id"), "trade_id"),
            reading.rfc3339_ms(get("time"), "time"),
            reading.decimal(get("price"), "price"),
            reading.decimal(get("size"), "size"),
            reading.choose(get("side"), _TAKERS, "side"),
        )
    )


def _bar(row: Any) -> Bar:
    """Read a candle; Coinbase does not tell its turnover, nor how many trades made it."""
    start, *values = reading.columns(row, 6, "a candle")[:6]
    low, high, first, last, volume = (reading.number(value, "a value of a candle") for value in values)
    time_ms = reading.whole(start, "time") * 1000
    return reading.candle(time_ms, (first, high, low, last), volume=volume)


def _status(product: dict[str, Any]) -> str:
    if product.get("trading_disabled") is True:
        return "trading disabled"
    return "" if product.get("status") == "online" else reading.shown(product.get("status"))


COINBASE: Venue = Coinbase()
