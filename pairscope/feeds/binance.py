"""Binance's words, spot and USD-M futures: what a WebSocket frame says about trades. No socket in here.

Aggregate trades and raw trades count their ids on different lines, so they are different venues:

    ============  ===================  =======================
    market        ``aggTrade``         ``trade``
    ============  ===================  =======================
    spot          ``binance-spot``     ``binance-spot-raw``
    futures       ``binance-futures``  ``binance-futures-raw``
    ============  ===================  =======================
"""

import re
from typing import Any, Literal, NamedTuple

import orjson

from market import Side, Tick, flaw

Market = Literal["spot", "futures"]
Kind = Literal["aggTrade", "trade"]

VENUES: dict[tuple[Market, Kind], str] = {
    ("spot", "aggTrade"): "binance-spot",
    ("spot", "trade"): "binance-spot-raw",
    ("futures", "aggTrade"): "binance-futures",
    ("futures", "trade"): "binance-futures-raw",
}

_DECIMAL = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_MICROSECONDS_FROM = 10**14  # as milliseconds this would be the year 5138
_LATEST_MS = 10**14
_LONGEST_SYMBOL = 64
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
        "tradingSession",
    ]
)
# Frames without a type of their own, told by a key that only they have.
_TOLD_BY_KEY = {
    "result": "ack",
    "error": "error",
    "code": "error",
    "lastUpdateId": "snapshot",
    "B": "bookTicker",
}


class Parsed(NamedTuple):
    """What one frame held; exactly one of the three is filled.

    `rejected` says why a trade is none, one reason each; `ignored` is the type of a frame that is not about trades.
    """

    ticks: tuple[Tick, ...] = ()
    rejected: tuple[str, ...] = ()
    ignored: str | None = None


class _Refused(ValueError):
    """A trade that cannot be used; the message is the reason."""


def parse(frame: str | bytes, *, market: Market | None = None) -> Parsed:
    """Read one frame, bare or combined (``{"stream": ..., "data": ...}``); no input makes it raise.

    Args:
        frame: the text as received.
        market: where it comes from; without it, a trade with the key ``M`` is spot and one without is futures.
    """
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return Parsed(rejected=("not JSON",))
    if isinstance(message, dict) and "stream" in message:
        message = message.get("data")
    if isinstance(message, list):
        return Parsed(ignored="other")
    if not isinstance(message, dict):
        return Parsed(rejected=("not a JSON object",))
    kind = message.get("e")
    if kind not in ("aggTrade", "trade"):
        return Parsed(ignored=_type_of(message))
    try:
        return Parsed(ticks=(_tick(message, kind, market),))
    except _Refused as refused:
        return Parsed(rejected=(str(refused),))


def _type_of(message: dict[str, Any]) -> str:
    kind = message.get("e")
    if isinstance(kind, str):
        return kind if kind in _NOT_TRADES else "other"
    return next((name for key, name in _TOLD_BY_KEY.items() if key in message), "other")


def _tick(trade: dict[str, Any], kind: Kind, market: Market | None) -> Tick:
    _refuse_unreal(trade)
    where: Market = market or ("spot" if "M" in trade else "futures")
    tick = Tick(
        VENUES[where, kind],
        _symbol(trade.get("s")),
        trade.get("a" if kind == "aggTrade" else "t"),  # type: ignore[arg-type]  # flaw() looks at what it is
        _time_ms(trade.get("T")),
        _decimal(trade.get("p"), "p"),
        _decimal(trade.get("q"), "q"),
        _side(trade.get("m")),
    )
    if why := flaw(tick, latest_ms=_LATEST_MS):
        raise _Refused(why)
    return tick


def _refuse_unreal(trade: dict[str, Any]) -> None:
    """Refuse what the matching engine did not make: futures book-keeping, and aggregates that Binance blanked."""
    print_type = trade.get("X", "MARKET")
    if print_type != "MARKET":
        raise _Refused(f"not a market trade: X is {print_type if print_type in _UNREAL_PRINTS else 'unknown'}")
    if trade.get("f") == -1:
        raise _Refused("blanked by the exchange: f is -1")


def _symbol(value: object) -> str:
    # Not only A-Z0-9: Binance lists symbols in Chinese.
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_SYMBOL and value.isprintable():
        return value
    raise _Refused("s is not a symbol")


def _time_ms(value: object) -> int:
    if type(value) is not int:
        raise _Refused("T is not an integer")
    return value // 1000 if value >= _MICROSECONDS_FROM else value


def _decimal(value: object, key: str) -> float:
    # float() alone would take "nan", "1_0" and " 1 ".
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    raise _Refused(f"{key} is not a decimal number in a string")


def _side(buyer_is_maker: object) -> Side:
    if buyer_is_maker is True:
        return "sell"
    if buyer_is_maker is False:
        return "buy"
    raise _Refused("m is not true or false")
