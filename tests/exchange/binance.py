"""Binance as a server: spot, and USD-M futures with its split routes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import orjson

from tests.exchange.dialect import Answer, Hub, Limits, Request, Session, Unknown, answer, candle_page
from tests.exchange.ledger import Decimals, Trade

_LENGTHS = {"1s": 1_000, "1m": 60_000}
_STREAM = re.compile(r"(?P<symbol>.+)@(?P<kind>aggTrade|trade)$")
_ID = re.compile(r"[A-Za-z0-9]{1,36}")


class Binance:
    """Binance's words; `futures` chooses between its two markets."""

    def __init__(self, *, futures: bool = False) -> None:
        self.futures = futures
        self.name = "binance-futures" if futures else "binance-spot"
        self.defaults: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
        self._rest = "/fapi/v1/" if futures else "/api/v3/"
        if futures:
            self.decimals = Decimals(price=2, qty=3, price_text=2, qty_text=3)
            self.limits = Limits(messages=10, ping_s=180.0, pong_s=600.0, weight=2_400, keeps_ms=48 * 3_600_000)
        else:
            self.decimals = Decimals()
            self.limits = Limits()

    # ---- the stream

    def open(self, request: Request, hub: Hub) -> tuple[Session, list[bytes]] | None:
        route, path = "", request.path
        if self.futures:
            for name in ("market", "public", "private"):
                if path.startswith(f"/{name}/"):
                    route, path = name, path.removeprefix(f"/{name}")
        if path == "/stream":
            session, names = Session(route, combined=True), request.query.get("streams", "")
        elif path == "/ws" or path.startswith("/ws/"):
            session, names = Session(route), path[len("/ws/") :]
        else:
            return None
        self._add(session, [unquote(name) for name in names.split("/") if name], hub)
        return session, []

    def _add(self, session: Session, names: Sequence[str], hub: Hub) -> None:
        """Subscribe; unknown streams are taken like any other, and stay silent."""
        session.streams.update(dict.fromkeys(names))
        self._choose(session, hub)

    def _choose(self, session: Session, hub: Hub) -> None:
        kind = "trade" if self.futures and session.route != "market" else "aggTrade"
        carried = {f"{book.symbol.lower()}@{kind}": book.symbol for book in hub.ledger}
        if self.futures and kind == "trade":
            carried = {}  # raw trades count their ids on a line of their own, which there is none of here
        session.symbols = {
            carried[name] for name in session.streams if name in carried and not hub.listing.get(carried[name])
        }

    def hear(self, session: Session, text: bytes, hub: Hub) -> list[bytes]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [orjson.dumps({"error": {"code": 3, "msg": "Invalid JSON"}})]
        return [orjson.dumps(self._reply(session, message, hub))]

    def _reply(self, session: Session, message: Any, hub: Hub) -> dict[str, Any]:
        if not isinstance(message, dict) or not self._fits(message.get("id")):
            return {"error": {"code": 2, "msg": "Invalid request: request ID is malformed"}}
        method, params, number = message.get("method"), message.get("params", []), message.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(session.streams), "id": number}
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return {"error": {"code": 2, "msg": f"Invalid request: unknown method {method}"}, "id": number}
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            return {"error": {"code": 1, "msg": "Invalid value type: expected array of strings"}, "id": number}
        if method == "SUBSCRIBE":
            self._add(session, params, hub)
        else:
            for name in params:
                session.streams.pop(name, None)
            self._choose(session, hub)
        return {"result": None, "id": number}

    def _fits(self, number: object) -> bool:
        if self.futures:
            return type(number) is int and number >= 0
        return number is None or type(number) is int or (isinstance(number, str) and bool(_ID.fullmatch(number)))

    def beat(self, session: Session, hub: Hub) -> list[bytes]:
        return []

    def frame(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> bytes:
        return self.frames(session, symbol, trades, hub)[0]

    def frames(self, session: Session, symbol: str, trades: Sequence[Trade], hub: Hub) -> list[bytes]:
        sent = hub.now_ms()
        head, tail = "", ""
        if session.combined:
            head, tail = f'{{"stream":"{symbol.lower()}@aggTrade","data":', "}"
        more = ',"st":1' if self.futures else ',"M":true'
        return [
            f'{head}{{"e":"aggTrade","E":{sent},"s":"{symbol}","a":{number},"p":"{price}","q":"{qty}",'
            f'{self._new_quantity(qty)}"f":{number * 2},"l":{number * 2 + 1},"T":{time_ms},'
            f'"m":{"true" if maker else "false"}{more}}}{tail}'.encode()
            for number, price, qty, time_ms, maker in trades
        ]

    def _new_quantity(self, qty: str) -> str:
        return f'"nq":"{qty}",' if self.futures else ""

    def shutdown(self, session: Session, hub: Hub) -> bytes:
        notice = {"e": "serverShutdown", "E": hub.now_ms()}
        return orjson.dumps({"stream": "!serverShutdown", "data": notice} if session.combined else notice)

    # ---- REST

    def weigh(self, request: Request) -> int:
        kind = request.path.removeprefix(self._rest)
        if kind == "klines" and self.futures:
            limit = _number(request.query, "limit", 500) or 0
            return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        spot = {"aggTrades": 4, "klines": 2, "exchangeInfo": 20, "time": 1, "ping": 1}
        futures = {"aggTrades": 20, "exchangeInfo": 1, "time": 1, "ping": 1}
        return (futures if self.futures else spot).get(kind, 0)

    def used(self, weight: int) -> Mapping[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(weight)}

    def over(self, retry_after: int, *, banned: bool) -> Answer:
        text = "Way too much request weight used; IP banned." if banned else "Too much request weight used."
        body = orjson.dumps({"code": -1003, "msg": text})
        return Answer(418 if banned else 429, body, {"Retry-After": str(retry_after)})

    def rest(self, request: Request, hub: Hub) -> Answer:
        kind = request.path.removeprefix(self._rest)
        if not request.path.startswith(self._rest):
            raise Unknown(request.path)
        if kind == "time":
            return answer({"serverTime": hub.now_ms()})
        if kind == "ping":
            return answer({})
        if kind == "exchangeInfo":
            return answer(self._info(hub))
        if kind not in ("aggTrades", "klines"):
            raise Unknown(request.path)
        symbol = request.query.get("symbol", "")
        if symbol not in hub.listing:
            return answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        if symbol not in hub.ledger:
            return answer([])  # listed once, and never traded here
        return self._trades(symbol, request.query, hub) if kind == "aggTrades" else self._candles(request.query, hub)

    def _info(self, hub: Hub) -> dict[str, Any]:
        limits = hub.limits
        return {
            "timezone": "UTC",
            "serverTime": hub.now_ms(),
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limits.weight}
            ],
            "symbols": [
                {"symbol": symbol, "status": status or "TRADING", "contractType": "PERPETUAL"}
                for symbol, status in hub.listing.items()
            ],
        }

    def _trades(self, symbol: str, query: Mapping[str, str], hub: Hub) -> Answer:
        limit = _number(query, "limit", 500) or 0
        first, start, end = (_number(query, name, None) for name in ("fromId", "startTime", "endTime"))
        if not 0 < limit <= hub.limits.page:
            return answer({"code": -1130, "msg": "Data sent for parameter 'limit' is not valid."}, 400)
        if first is not None and (start is not None or end is not None):
            return answer({"code": -1128, "msg": "Combination of optional parameters invalid."}, 400)
        if self.futures and start is not None and end is not None and end - start >= 3_600_000:
            return answer({"code": -1127, "msg": "More than 1 hours between startTime and endTime."}, 400)
        rows = _select(symbol, limit, first, start, end, hub)
        symbol, served = hub.served(symbol, rows)
        return Answer(200, b"[" + b",".join(self._row(row) for row in served) + b"]")

    def _row(self, trade: Trade) -> bytes:
        number, price, qty, time_ms, maker = trade
        first, last = (-1, -1) if qty == "0" else (number * 2, number * 2 + 1)
        more = f',"nq":"{qty}"' if self.futures else ',"M":true'
        side = "true" if maker else "false"
        return (
            f'{{"a":{number},"p":"{price}","q":"{qty}","f":{first},"l":{last},"T":{time_ms},"m":{side}{more}}}'.encode()
        )

    def _candles(self, query: Mapping[str, str], hub: Hub) -> Answer:
        length = _LENGTHS.get(query.get("interval", ""))
        if length is None or (self.futures and length == 1_000):
            return answer({"code": -1120, "msg": "Invalid interval."}, 400)
        limit = min(_number(query, "limit", 500) or 500, 1_500 if self.futures else 1_000)
        start, end = _number(query, "startTime", None), _number(query, "endTime", None)
        rows = candle_page(hub, query["symbol"], length, limit, start, end)
        return answer(
            [[*k[:6], k.open_ms + length - 1, k.turnover, k.trades, k.buy_volume, k.buy_turnover, "0"] for k in rows]
        )


def _number(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = query.get(name, "")
    return int(text) if text.lstrip("-").isdigit() else default


def _select(
    symbol: str, limit: int, first: int | None, start: int | None, end: int | None, hub: Hub
) -> Sequence[Trade]:
    """Choose rows by id, by time (oldest first from a start, newest up to an end), or the latest."""
    book = hub.ledger[symbol]
    oldest = book.id_at(hub.now_ms() - hub.limits.keeps_ms)
    if first is not None:
        return book.page_up(max(first, oldest), limit, blanked=True)
    last = book.next_id - 1 if end is None else book.id_at(end + 1) - 1
    if start is not None:
        rows = book.page_up(max(book.id_at(start), oldest), limit, blanked=True)
        return [row for row in rows if row.trade_id <= last]
    return [row for row in book.page_down(last, limit, blanked=True) if row.trade_id >= oldest]
