"""Coinbase Exchange as a server: the matches channel, and REST pages that run from the newest trade down."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.exchange.dialect import Answer, Hub, Limits, Request, Session, Unknown, answer
from tests.exchange.ledger import Decimals, Trade

_MOST_CANDLES = 300
_GRANULARITIES = (60, 300, 900, 3600, 21600, 86400)


def rfc3339(time_ms: int, micros: int = 0) -> str:
    """Write a time with microseconds and a Z."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}{micros:03d}Z"


class Coinbase:
    """Coinbase's words; its sides are those of the maker."""

    name = "coinbase"
    defaults: tuple[str, ...] = ("BTC-USD", "ETH-USD")
    decimals = Decimals(price=2, qty=8, price_text=2, qty_text=8)
    limits = Limits(messages=100, dials=8, dial_window_s=1.0, ping_s=0.0, subscribe_s=5.0, weight=10, window_s=1.0)

    # ---- the stream

    def open(self, request: Request, hub: Hub) -> tuple[Session, list[bytes]] | None:
        return (Session(), []) if request.path in ("/", "") else None

    def hear(self, session: Session, text: bytes, hub: Hub) -> list[bytes]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [_error("Malformed JSON", "")]
        kind = message.get("type")
        if kind not in ("subscribe", "unsubscribe"):
            return [_error("Malformed JSON", f"{kind} is not a valid type")]
        products, channels = message.get("product_ids", []), message.get("channels", [])
        if unknown := [product for product in products if product not in hub.listing]:
            return [_error("Failed to subscribe", f"{unknown[0]} is not a valid product")]
        names = [f"{channel}:{product}" for channel in channels for product in products]
        before = set(session.symbols)
        if kind == "subscribe":
            session.streams.update(dict.fromkeys(names))
        else:
            for name in names:
                session.streams.pop(name, None)
        matched = {name.partition(":")[2] for name in session.streams if name.startswith("matches:")}
        session.symbols = {symbol for symbol in matched if symbol in hub.ledger}
        return [_subscriptions(session), *self._last_matches(session.symbols - before, hub)]

    def _last_matches(self, symbols: set[str], hub: Hub) -> list[bytes]:
        newest = [(symbol, hub.ledger[symbol].page_down(hub.ledger[symbol].last_id, 1)) for symbol in sorted(symbols)]
        return [_match(symbol, trades[0], "last_match") for symbol, trades in newest if trades]

    def beat(self, session: Session, hub: Hub) -> list[bytes]:
        beating = [name.partition(":")[2] for name in session.streams if name.startswith("heartbeat:")]
        return [
            orjson.dumps(
                {
                    "type": "heartbeat",
                    "sequence": hub.ledger[symbol].last_id * 3,
                    "last_trade_id": hub.ledger[symbol].last_id,
                    "product_id": symbol,
                    "time": rfc3339(hub.now_ms()),
                }
            )
            for symbol in beating
            if symbol in hub.ledger
        ]

    def frame(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> bytes:
        return _match(symbol, trades[0], "match")

    def frames(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> list[bytes]:
        return [_match(symbol, trade, "match") for trade in trades]

    def shutdown(self, session: Session, hub: Hub) -> bytes:
        return b""

    # ---- REST

    def weigh(self, request: Request) -> int:
        return 1

    def used(self, weight: int) -> Mapping[str, str]:
        return {}

    def over(self, retry_after: int, *, banned: bool) -> Answer:
        return Answer(429, b'{"message":"Public rate limit exceeded"}', {"Retry-After": str(retry_after)})

    def rest(self, request: Request, hub: Hub) -> Answer:
        parts = request.path.strip("/").split("/")
        if parts == ["time"]:
            return answer({"iso": rfc3339(hub.now_ms())[:-4] + "Z", "epoch": hub.now_ms() / 1000})
        if parts == ["products"]:
            return answer([_product(symbol, status) for symbol, status in hub.listing.items()])
        if len(parts) != 3 or parts[0] != "products" or parts[2] not in ("trades", "candles"):
            raise Unknown(request.path)
        if parts[1] not in hub.ledger:
            return answer({"message": "NotFound"}, 404)
        read = self._trades if parts[2] == "trades" else self._candles
        return read(parts[1], request.query, hub)

    def _trades(self, symbol: str, query: Mapping[str, str], hub: Hub) -> Answer:
        book = hub.ledger[symbol]
        limit = min(int(query.get("limit", hub.limits.page)), hub.limits.page)
        if "before" in query:
            rows = book.page_down(book.last_id, limit)
            rows = [row for row in rows if row.trade_id > int(query["before"])]
        else:
            rows = book.page_down(int(query.get("after", book.next_id)) - 1, limit)
        symbol, served = hub.served(symbol, rows[::-1])
        body = orjson.dumps([_row(trade) for trade in served])
        ends = {"CB-BEFORE": str(served[0].trade_id), "CB-AFTER": str(served[-1].trade_id)} if served else {}
        return Answer(200, body, ends)

    def _candles(self, symbol: str, query: Mapping[str, str], hub: Hub) -> Answer:
        length = int(query.get("granularity", 60))
        if length not in _GRANULARITIES:
            return answer({"message": "Unsupported granularity"}, 400)
        end = _seconds(query.get("end", ""), hub.now_ms() // 1000)
        start = _seconds(query.get("start", ""), end - _MOST_CANDLES * length)
        if (end - start) / length > _MOST_CANDLES:
            text = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            return answer({"message": text}, 400)
        rows = hub.ledger[symbol].klines(length * 1000, start * 1000, end * 1000, _MOST_CANDLES + 1)
        return answer(
            [
                [row.open_ms // 1000, *(float(text) for text in (row.low, row.high, row.open, row.close, row.volume))]
                for row in reversed(rows)
                if row.trades
            ]
        )


def _seconds(text: str, default: int) -> int:
    """Read epoch seconds or RFC 3339."""
    if not text or text.isdigit():
        return int(text) if text else default
    return int(datetime.fromisoformat(text).timestamp())


def _side(trade: Trade) -> str:
    return "buy" if trade.buyer_is_maker else "sell"


def _micros(trade: Trade) -> int:
    return trade.trade_id * 7 % 1000


def _match(symbol: str, trade: Trade, kind: str) -> bytes:
    return (
        f'{{"type":"{kind}","trade_id":{trade.trade_id},"maker_order_id":"6f1f5c7e-0000-4000-8000-000000000001",'
        f'"taker_order_id":"6f1f5c7e-0000-4000-8000-000000000002","side":"{_side(trade)}","size":"{trade.qty}",'
        f'"price":"{trade.price}","product_id":"{symbol}","sequence":{trade.trade_id * 3},'
        f'"time":"{rfc3339(trade.time_ms, _micros(trade))}"}}'
    ).encode()


def _row(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "side": _side(trade),
        "size": trade.qty,
        "price": trade.price,
        "time": rfc3339(trade.time_ms, _micros(trade)),
    }


def _product(symbol: str, status: str) -> dict[str, Any]:
    base, _, quote = symbol.partition("-")
    return {
        "id": symbol,
        "base_currency": base,
        "quote_currency": quote,
        "status": status or "online",
        "trading_disabled": bool(status),
        "cancel_only": False,
        "post_only": False,
        "limit_only": False,
        "auction_mode": False,
    }


def _subscriptions(session: Session) -> bytes:
    channels: dict[str, list[str]] = {}
    for name in session.streams:
        channel, _, product = name.partition(":")
        channels.setdefault(channel, []).append(product)
    told = [{"name": channel, "product_ids": products} for channel, products in channels.items()]
    return orjson.dumps({"type": "subscriptions", "channels": told})


def _error(message: str, reason: str) -> bytes:
    return orjson.dumps({"type": "error", "message": message, "reason": reason})
