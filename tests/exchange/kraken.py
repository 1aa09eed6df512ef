"""Kraken as a server: WebSocket v2 with several trades in a frame, and REST pages by nanoseconds."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tests.exchange.coinbase import rfc3339
from tests.exchange.dialect import Answer, Hub, Limits, Request, Session, Unknown, answer
from tests.exchange.ledger import Book, Decimals, Trade

_NANOS = 7_919
"""Trades of one millisecond lie this many nanoseconds apart."""
_IN_FRAME = 10
_CANDLES = 720
_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


class Kraken:
    """Kraken's words; its REST side calls BTC/USD XBTUSD or XXBTZUSD, and answers errors with status 200."""

    name = "kraken"
    defaults: tuple[str, ...] = ("BTC/USD", "ETH/USD")
    decimals = Decimals(price=1, qty=8, price_text=1, qty_text=8)
    limits = Limits(messages=100, dials=150, dial_window_s=600.0, ping_s=0.0, weight=60, window_s=60.0)

    # ---- the stream

    def open(self, request: Request, hub: Hub) -> tuple[Session, list[bytes]] | None:
        status = {"api_version": "v2", "connection_id": 1, "system": "online", "version": "2.0.10"}
        hello = orjson.dumps({"channel": "status", "type": "update", "data": [status]})
        return (Session(), [hello]) if request.path == "/v2" else None

    def hear(self, session: Session, text: bytes, hub: Hub) -> list[bytes]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [orjson.dumps({"error": "Malformed JSON", "success": False})]
        method, params, number = message.get("method"), message.get("params", {}), message.get("req_id", 0)
        if method == "ping":
            return [orjson.dumps({"method": "pong", "req_id": number, **_times(hub)})]
        if method not in ("subscribe", "unsubscribe") or params.get("channel") != "trade":
            return [_refusal(method, "Unsupported field: 'method' for the given msg type", number, hub)]
        replies: list[bytes] = []
        for symbol in params.get("symbol", []):
            replies += self._change(session, method, symbol, number, bool(params.get("snapshot", True)), hub)
        return replies

    def _change(self, session: Session, method: str, symbol: str, number: int, snapshot: bool, hub: Hub) -> list[bytes]:
        if symbol not in hub.listing:
            return [_refusal(method, f"Currency pair not supported {symbol}", number, hub, symbol=symbol)]
        told = {"channel": "trade", "symbol": symbol, **({"snapshot": snapshot} if method == "subscribe" else {})}
        reply = {"method": method, "result": told, "success": True, "req_id": number, **_times(hub)}
        if method == "unsubscribe":
            session.streams.pop(symbol, None)
            session.symbols.discard(symbol)
            return [orjson.dumps(reply)]
        session.streams[symbol] = None
        session.symbols |= {symbol} & set(hub.ledger.books)
        if not snapshot or symbol not in hub.ledger:
            return [orjson.dumps(reply)]
        book = hub.ledger[symbol]
        return [orjson.dumps(reply), _frame(symbol, book.page_down(book.last_id, 50), book, "snapshot")]

    def beat(self, session: Session, hub: Hub) -> list[bytes]:
        return [b'{"channel":"heartbeat"}'] if session.streams else []

    def frame(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> bytes:
        return _frame(symbol, trades, hub.ledger.get(symbol), "update")

    def frames(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> list[bytes]:
        groups = (trades[at : at + _IN_FRAME] for at in range(0, len(trades), _IN_FRAME))
        return [_frame(symbol, group, hub.ledger[symbol], "update") for group in groups]

    def shutdown(self, session: Session, hub: Hub) -> bytes:
        return b'{"channel":"status","type":"update","data":[{"system":"maintenance"}]}'

    # ---- REST

    def weigh(self, request: Request) -> int:
        return 1

    def used(self, weight: int) -> Mapping[str, str]:
        return {}

    def over(self, retry_after: int, *, banned: bool) -> Answer:
        body = orjson.dumps({"error": ["EGeneral:Too many requests"]})
        return Answer(429, body, {"Retry-After": str(retry_after)})

    def rest(self, request: Request, hub: Hub) -> Answer:
        kind = request.path.removeprefix("/0/public/")
        if kind == "Time":
            seconds = hub.now_ms() // 1000
            return _result({"unixtime": seconds, "rfc1123": "Thu, 1 Jan 70 00:00:00 +0000"})
        if kind == "AssetPairs":
            return _result({_long_name(symbol): _pair(symbol, status) for symbol, status in hub.listing.items()})
        if kind not in ("Trades", "OHLC"):
            raise Unknown(request.path)
        symbol = _symbol_of(request.query.get("pair", ""), hub)
        if symbol is None:
            return answer({"error": ["EQuery:Unknown asset pair"]})
        read = self._trades if kind == "Trades" else self._candles
        return read(symbol, request.query, hub)

    def _trades(self, symbol: str, query: Mapping[str, str], hub: Hub) -> Answer:
        book = hub.ledger[symbol]
        count = min(int(query.get("count", hub.limits.page)), hub.limits.page)
        if "since" not in query:
            rows = book.page_down(book.last_id, count)
        else:
            since = _since_ns(query["since"])
            early = book.page_up(book.id_at(since // 1_000_000), count + 1)
            while early and _nanos(early[0], book) <= since:
                gone = sum(1 for trade in early if _nanos(trade, book) <= since)
                early = early[gone:] or book.page_up(early[-1].trade_id + 1, count + 1)
            rows = book.page_up(early[0].trade_id, count) if early else []
        symbol, served = hub.served(symbol, rows)
        book = hub.ledger[symbol]
        last = str(_nanos(served[-1], book)) if served else query.get("since", "0")
        return _result({_long_name(symbol): [_row(trade, book) for trade in served], "last": last})

    def _candles(self, symbol: str, query: Mapping[str, str], hub: Hub) -> Answer:
        length = int(query.get("interval", 1)) * 60_000
        now = hub.now_ms()
        oldest = now // length * length - (_CANDLES - 1) * length
        start = max(oldest, (int(query.get("since", 0)) + 1) * 1000)
        rows = hub.ledger[symbol].klines(length, start, now, _CANDLES)
        shown = [[k.open_ms // 1000, k.open, k.high, k.low, k.close, k.close, k.volume, k.trades] for k in rows]
        last = shown[-2][0] if len(shown) > 1 else 0
        return _result({_long_name(symbol): shown, "last": last})


def _since_ns(text: str) -> int:
    """Read seconds, with a fraction or without, or nanoseconds."""
    if "." in text:
        whole, _, rest = text.partition(".")
        return int(whole) * 10**9 + int(rest[:9].ljust(9, "0"))
    return int(text) if int(text) >= 10**15 else int(text) * 10**9


def _nanos(trade: Trade, book: Book | None) -> int:
    """Return the time of a trade in nanoseconds: different for each, as the pages by time need it."""
    rank = book.rank(trade) if book and trade.trade_id > 0 and book.first_id <= trade.trade_id < book.next_id else 0
    return trade.time_ms * 1_000_000 + min(max(rank, 0) * _NANOS, 999_999)


def _frame(symbol: str, trades: Sequence[Trade], book: Book | None, kind: str) -> bytes:
    rows = ",".join(_update(symbol, trade, book) for trade in trades)
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()


def _update(symbol: str, trade: Trade, book: Book | None) -> str:
    stamp = rfc3339(trade.time_ms, _nanos(trade, book) // 1000 % 1000)
    return (
        f'{{"symbol":"{symbol}","side":"{"sell" if trade.buyer_is_maker else "buy"}","price":{trade.price},'
        f'"qty":{trade.qty},"ord_type":"market","trade_id":{trade.trade_id},"timestamp":"{stamp}"}}'
    )


def _row(trade: Trade, book: Book) -> list[Any]:
    nanos = _nanos(trade, book)
    seconds = orjson.Fragment(f"{nanos // 10**9}.{nanos % 10**9 // 100:07d}")
    return [trade.price, trade.qty, seconds, "s" if trade.buyer_is_maker else "b", "m", "", trade.trade_id]


def _old(symbol: str) -> tuple[str, str]:
    base, _, quote = symbol.partition("/")
    return _OLD_NAMES.get(base, base), _OLD_NAMES.get(quote, quote)


def _long_name(symbol: str) -> str:
    base, quote = _old(symbol)
    old = (base in ("XBT", "ETH", "XDG", "LTC", "XRP"), quote in ("USD", "EUR"))
    return f"X{base}Z{quote}" if all(old) else base + quote


def _symbol_of(pair: str, hub: Hub) -> str | None:
    for symbol in hub.ledger.books:
        base, quote = _old(symbol)
        if pair in (symbol, base + quote, f"{base}/{quote}", _long_name(symbol), symbol.replace("/", "")):
            return symbol
    return None


def _pair(symbol: str, status: str) -> dict[str, Any]:
    base, quote = _old(symbol)
    return {
        "altname": base + quote,
        "wsname": f"{base}/{quote}",
        "base": base,
        "quote": quote,
        "status": status or "online",
    }


def _times(hub: Hub) -> dict[str, str]:
    stamp = rfc3339(hub.now_ms())
    return {"time_in": stamp, "time_out": stamp}


def _refusal(method: object, error: str, number: int, hub: Hub, *, symbol: str = "") -> bytes:
    told = {"error": error, "method": method, "req_id": number, "success": False, **_times(hub)}
    return orjson.dumps(told | ({"symbol": symbol} if symbol else {}))


def _result(content: Any) -> Answer:
    return answer({"error": [], "result": content})
