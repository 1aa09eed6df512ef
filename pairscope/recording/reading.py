"""Reading what venues write: JSON, numbers, times, rows of trades. Pure; what is wrong is Refused, with the reason."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import orjson

from market import DAY, HOUR, MINUTE, SECOND, Bar, Tick, flaw
from pairscope.recording.venue import Parsed

LATEST_MS = 10**14
"""The year 5138: from here on a time is in microseconds, or wrong. What is too new today, the intake knows."""

LONGEST_NUMBER = 40
LONGEST_SYMBOL = 64
LONGEST_NOTE = 200

float_in = msgspec.json.Decoder(float).decode
"""Reads text that is a number as JSON writes it: no "nan", no "1_0", no full-width digits. Faster than float()."""

_WITH_DECIMALS = msgspec.json.Decoder(float_hook=Decimal)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)"
    r"(?:\.([0-9]{1,9}))?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_EPOCH = date(1970, 1, 1)
_KINDS = {dict: "a JSON object", list: "a list", str: "text"}

Kind = TypeVar("Kind", dict[str, Any], list[Any], str)


class Refused(ValueError):
    """What was read is not what it should be; the message is the reason."""


# ---- JSON


def read_frame(frame: str | bytes, read: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    """Hand the JSON object of a frame to `read`; no input makes it raise as long as `read` raises only Refused.

    Args:
        frame: the text as received.
        read: makes the trades of the message.
    """
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return Parsed(rejected=("not JSON",))
    if isinstance(message, list):
        return Parsed(ignored="other")
    if not isinstance(message, dict):
        return Parsed(rejected=("not a JSON object",))
    try:
        return read(message)
    except Refused as refused:
        return Parsed(rejected=(str(refused),))


def read_body(body: bytes) -> Any:
    """Read the body of an answer.

    Raises:
        Refused: when it is not JSON, such as the HTML of a proxy.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"JSON was expected, not {shown(body)}") from error


def read_exact(body: bytes) -> Any:
    """Read the body of an answer, and its numbers with a point as Decimals, digit by digit.

    Raises:
        Refused: when it is not JSON.
    """
    try:
        return _WITH_DECIMALS.decode(body)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Refused(f"JSON was expected, not {shown(body)}") from error


def read_told(body: bytes, *keys: str) -> str:
    """Return what a JSON object says under the keys that hold its error, joined; an empty text for anything else."""
    try:
        told = expect(read_body(body), dict, "an error")
    except Refused:
        return ""
    return ": ".join(filter(None, (shown(told.get(key)) for key in keys)))


def expect(value: object, kind: type[Kind], what: str) -> Kind:
    """Return a JSON value of a kind: an object, a list, or text.

    Raises:
        Refused: when it is of another.
    """
    if isinstance(value, kind):
        return value
    raise Refused(f"{what} is not {_KINDS[kind]}")


def shown(value: object) -> str:
    """Return text, a number or a list of texts that a stranger wrote as a short text that is safe to print."""
    if isinstance(value, bytes):
        plain = value[: 4 * LONGEST_NOTE].decode("utf-8", "replace")
    elif isinstance(value, list):
        plain = ", ".join(item for item in value if isinstance(item, str))
    else:
        # Not str() of anything: that of a thousand nested lists is a RecursionError.
        plain = str(value) if isinstance(value, str | int | float) else ""
    return "".join(letter if letter.isprintable() else " " for letter in plain[:LONGEST_NOTE])


# ---- single values


def decimal(value: object, what: str) -> float:
    """Read a decimal number in a text.

    Raises:
        Refused: for anything that JSON would not call a number, spaces around it, and more than 40 letters.
    """
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER and value.strip() is value:
        try:
            return float_in(value)
        except ValueError:
            pass
    raise Refused(f"{what} is not a decimal number in a string")


def number(value: object, what: str) -> float:
    """Read a JSON number.

    Raises:
        Refused: for anything else; true and false are no numbers.
    """
    if type(value) is float or type(value) is int:
        return float(value)
    raise Refused(f"{what} is not a number")


def whole(value: object, what: str) -> int:
    """Read a JSON number without a point.

    Raises:
        Refused: for anything else; true and false are no numbers.
    """
    if type(value) is int:
        return value
    raise Refused(f"{what} is not an integer")


def symbol_in(value: object, what: str) -> str:
    """Read a symbol: not only A-Z0-9, for there are Chinese ones.

    Raises:
        Refused: when it is empty, longer than 64 letters, or not printable.
    """
    if isinstance(value, str) and 0 < len(value) <= LONGEST_SYMBOL and value.isprintable():
        return value
    raise Refused(f"{what} is not a symbol")


Chosen = TypeVar("Chosen")


def choose(value: object, table: Mapping[str, Chosen], what: str) -> Chosen:
    """Return what a table has for a text.

    Raises:
        Refused: when it has nothing.
    """
    if isinstance(value, str) and value in table:
        return table[value]
    raise Refused(f"{what} is not one of {', '.join(table)}")


def rfc3339_ms(value: object, what: str) -> int:
    """Read a time such as ``2021-04-17T16:43:30.244075Z``; return epoch milliseconds, without what is below one.

    Raises:
        Refused: for anything else, also for a time without an offset.
    """
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f"{what} is not a time in RFC 3339")
    day, hours, minutes, seconds, fraction, offset = found.groups()
    clock = int(hours) * HOUR + int(minutes) * MINUTE + int(seconds) * SECOND
    return _day_ms(day, what) + clock + int((fraction or "0").ljust(3, "0")[:3]) - _offset_ms(offset)


@lru_cache(maxsize=64)
def _day_ms(day: str, what: str) -> int:
    try:
        return (date.fromisoformat(day) - _EPOCH).days * DAY
    except ValueError as error:
        raise Refused(f"{what} is not a time in RFC 3339") from error


def _offset_ms(offset: str) -> int:
    if offset == "Z":
        return 0
    ahead = int(offset[1:3]) * HOUR + int(offset[4:]) * MINUTE
    return ahead if offset[0] == "+" else -ahead


def seconds_ms(value: object, what: str) -> int:
    """Read epoch seconds from read_exact(); return milliseconds, without what is below one.

    A float would not do: of the seventh decimal, the nearest float may belong to the next millisecond.

    Raises:
        Refused: for anything else.
    """
    if type(value) is int:
        return value * SECOND
    if isinstance(value, Decimal) and 0 <= value < LATEST_MS:
        return int(value * SECOND)
    raise Refused(f"{what} is not a time in seconds")


# ---- trades and bars


def sound(tick: Tick) -> Tick:
    """Return a trade that can be one of a market.

    Raises:
        Refused: with the reason why it cannot.
    """
    if why := flaw(tick, latest_ms=LATEST_MS):
        raise Refused(why)
    return tick


def sift(rows: Iterable[Any], read: Callable[[Any], Tick]) -> tuple[tuple[Tick, ...], tuple[str, ...]]:
    """Read rows one by one; return the trades, and the reasons why the others are none."""
    ticks: list[Tick] = []
    rejected: list[str] = []
    for row in rows:
        try:
            ticks.append(read(row))
        except Refused as refused:
            rejected.append(str(refused))
    return tuple(ticks), tuple(rejected)


def columns(row: object, count: int, what: str) -> list[Any]:
    """Return a row that is a list of at least `count` values.

    Raises:
        Refused: when it is not.
    """
    values = expect(row, list, what)
    if len(values) < count:
        raise Refused(f"{what} has {len(values)} values, not {count}")
    return values


def sift_bars(rows: Iterable[Any], read: Callable[[Any], Bar]) -> list[Bar]:
    """Read rows one by one, and leave out those that cannot be candles: a hole in a chart is better than a lie.

    Raises:
        Refused: when there are rows, and not one is a candle.
    """
    bars: list[Bar] = []
    refused: Refused | None = None
    for row in rows:
        try:
            bars.append(read(row))
        except Refused as error:
            refused = error
    if refused and not bars:
        raise refused
    return bars


def candle(
    time_ms: int,
    prices: Sequence[float],
    *,
    volume: float,
    turnover: float = math.nan,
    trades: int = 0,
    bought: float = math.nan,
) -> Bar:
    """Make a bar of a venue's candle.

    Args:
        time_ms: its start.
        prices: open, high, low, close.
        volume: what was traded, in the base currency.
        turnover: what was paid for it; NaN where the venue does not say.
        trades: how many there were; 0 where it does not say.
        bought: the part of the volume where the taker bought; NaN where the venue does not say.

    Raises:
        Refused: when it cannot be: a store would take NaN for "nothing", and then none of the page.
    """
    first, high, low, last = prices
    if not all(math.isfinite(price) and price > 0 for price in prices):
        raise Refused("a candle has a price that is not a positive number")
    if low != min(prices) or high != max(prices):
        raise Refused("a candle's low is not its lowest price, or its high not the highest")
    if not (0 <= volume < math.inf and trades >= 0 and not turnover < 0 and turnover != math.inf):
        raise Refused("a candle has a volume that is not a number from 0")
    return Bar(time_ms, first, high, low, last, volume, turnover, bought, trades, klines=True)
