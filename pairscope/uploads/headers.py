"""What the columns of a table are: by the names in its header, or by the known shapes of tables that have none."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from market import UnknownName
from pairscope.uploads.upload import AmbiguousFile, FileError, Kind, UploadOptions

_ALIASES = {
    "time": (
        "trade_time transact_time transaction_time open_time timestamp ts datetime date_time time unix unixtime "
        "unix_timestamp epoch created_at trade_date date period"
    ),
    "symbol": "symbol ticker pair instrument product_id",
    "venue": "venue exchange",
    "open": "open open_price",
    "high": "high high_price",
    "low": "low low_price",
    "close": "close close_price closing_price",
    "price": "price trade_price",
    "qty": "qty quantity size volume vol amount trade_qty",
    "volume": "volume vol base_volume tick_volume tickvol",
    "trade_id": "trade_id agg_trade_id aggregate_trade_id aggtradeid tradeid tid id",
    "side": "side taker_side",
    "buyer_is_maker": "is_buyer_maker isbuyermaker buyer_is_maker is_buyer_the_maker",
    "exec_type": "exec_type",
    "turnover": "turnover quote_volume quote_asset_volume",
    "trades": "trades count number_of_trades trade_count",
    "buy_volume": "buy_volume taker_buy_volume taker_buy_base_volume taker_buy_base_asset_volume",
    "source": "source",
    "gap": "gap",
    "forming": "forming",
    "close_time": "close_time",
    "label": "label",
}
"""By field, the names it may go by; of several in one table the first one here is taken."""

_LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "t": "time"}
"""Names of one letter, which are fields only all together: alone they are symbols of shares."""

_IGNORED = "label index ignore adj_close"
_KNOWN = {name for names in _ALIASES.values() for name in names.split()} | set(_IGNORED.split())
_NEVER_SYMBOLS = {*_ALIASES["time"].split(), *_IGNORED.split(), "close_time"}
_UNIT_ENDING = re.compile(r"_(?:utc|gmt|ms|us|ns|s|sec|millis|iso|iso8601)$")
_UNNAMED = re.compile(r"(?:unnamed_\d+|index|index_level_0)?")
_PRICES = ("open", "high", "low", "close")
_TICKS = ("time", "price", "qty", "trade_id", "symbol", "venue", "side", "buyer_is_maker", "exec_type")
_OTHERS_BARS = ("time", *_PRICES, "volume", "turnover", "buy_volume", "trades", "symbol", "venue")
_BARS = (*_OTHERS_BARS, "source", "gap", "forming", "label")
NUMBERS = (*_PRICES, "price", "qty", "volume", "turnover", "buy_volume")
"""Fields that hold measures: their cells tell the decimal mark."""

_SHAPES: dict[str, tuple[Kind, str]] = {
    "TNNNNNTNNNNN": (
        "klines", "time open high low close volume close_time turnover trades buy_volume taker_buy_quote ignore"
    ),
    "NNNNNTBB": ("agg_trades", "trade_id price qty first_id last_id time buyer_is_maker is_best_match"),
    "NNNNNTB": ("agg_trades", "trade_id price qty first_id last_id time buyer_is_maker"),
    "NNNNTBB": ("trades", "trade_id price qty quote_qty time buyer_is_maker is_best_match"),
    "NNNNTB": ("trades", "trade_id price qty quote_qty time buyer_is_maker"),
}  # fmt: skip
_SHAPE_OF_BARS = "time open high low close volume"
_CELL_SHAPES = (("T", re.compile(r"1[0-9]{12}|1[0-9]{15}")), ("N", re.compile(r"[0-9]+(\.[0-9]*)?")))
_TRUTH = ("true", "false")
_DATED = re.compile(r"(?:19|20)[0-9]{2}[-/.]?[0-9]{2}[-/.]?[0-9]{2}.*")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}.*)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column holds what, by place.

    `symbols` is of a table of closes; `clock` is the column with the time of day where `time` has only dates;
    `midnight` is the day, in epoch milliseconds, whose midnight the times count from.
    """

    kind: Kind
    names: tuple[str, ...]
    fields: Mapping[str, int]
    symbols: Mapping[int, str] = field(default_factory=dict)
    clock: int | None = None
    midnight: int | None = None
    headed: bool = True
    notes: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[int, ...]:
        """The places of all columns that are read."""
        clock = () if self.clock is None else (self.clock,)
        return tuple(sorted({*self.fields.values(), *self.symbols, *clock}))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The places of the columns that hold measures."""
        return (*(self.fields[name] for name in NUMBERS if name in self.fields), *self.symbols)


def plain_name(name: str) -> str:
    """Return the name of a column without case, marks and a unit at its end."""
    words = re.sub(r"[^0-9a-z]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name.strip()).lower()).strip("_")
    joined = words.replace("_", "")
    if words not in _KNOWN and joined in _KNOWN:
        return joined
    short = _UNIT_ENDING.sub("", words)
    return short if words not in _KNOWN and short in _KNOWN else words


def layout_of(names: Sequence[str], below: Sequence[str], file: str, options: UploadOptions) -> Layout | None:
    """Return what the columns are, if `names` is a header that we know; `below` is the row after it.

    Raises:
        FileError: two columns that we need have one name.
    """
    plain = [plain_name(name) for name in names]
    if {"o", "h", "l", "c"} <= set(plain):
        plain = [_LETTERS.get(name, name) for name in plain]
    fields = {name: place for name in _ALIASES if (place := _place_of(name, plain)) is not None}
    if "time" not in fields and len(below) == len(plain):
        unnamed = [place for place, name in enumerate(plain) if _UNNAMED.fullmatch(name) and not (place and not name)]
        if dated := [place for place in unnamed if _DATED.fullmatch(below[place])]:
            fields["time"] = dated[0]
    if "time" not in fields or len(names) < 2:
        return None
    fields, clock = _with_clock(fields, plain, below)
    layout = _known(tuple(names), plain, fields, clock, file, options)
    if layout is not None:
        _demand_unique(layout, plain, file)
    return layout


def _place_of(name: str, plain: Sequence[str]) -> int | None:
    return next((plain.index(alias) for alias in _ALIASES[name].split() if alias in plain), None)


def _with_clock(fields: dict[str, int], plain: list[str], below: Sequence[str]) -> tuple[dict[str, int], int | None]:
    """Join a column of dates and one of times of day."""
    if "date" in plain and "time" in plain and len(below) == len(plain):
        clock = plain.index("time")
        if _CLOCK.fullmatch(below[clock].strip()):
            return fields | {"time": plain.index("date")}, clock
    return fields, None


def _known(
    names: tuple[str, ...],
    plain: list[str],
    fields: dict[str, int],
    clock: int | None,
    file: str,
    options: UploadOptions,
) -> Layout | None:
    kind = options.kind
    prices = [name for name in _PRICES if name in fields]
    priced = ""
    if kind != "wide_closes" and prices == ["open", "high", "low"] and "price" in fields:
        priced = f"Beside open, high and low the column {names[fields['price']]!r} is taken for the close."
        fields, prices = fields | {"close": fields["price"]}, [*_PRICES]
    if kind != "wide_closes" and (prices == ["close"] or len(prices) == 4):
        ours = "label" in plain and {"source", "gap", "forming"} <= fields.keys()
        made = _chosen(fields, _BARS if ours else _OTHERS_BARS)
        bars: Kind = "ohlc_long" if "symbol" in fields else "ohlc_single"
        if len(prices) == 4 and "close_time" in fields and "symbol" not in fields:
            bars = "klines"
        note = priced if len(prices) == 4 else "Only closes are given: open, high and low are the close."
        return Layout(bars, names, made, clock=clock, notes=(note,) if note else ())
    if kind != "wide_closes" and "price" in fields and "qty" in fields:
        ticks: Kind = "ticks"
        if "buyer_is_maker" in fields and "trade_id" in fields:
            aggregate = {"agg_trade_id", "aggregate_trade_id", "aggtradeid"} & set(plain)
            ticks = "agg_trades" if aggregate else "trades" if plain[fields["trade_id"]] == "id" else "ticks"
        return Layout(ticks, names, _chosen(fields, _TICKS), clock=clock)
    return _closes(names, plain, fields["time"], clock, file, options)


def _closes(
    names: tuple[str, ...], plain: list[str], time: int, clock: int | None, file: str, options: UploadOptions
) -> Layout | None:
    """Return the columns as closes of a symbol each, where they can be nothing else or the person says so."""
    others = [
        place
        for place, name in enumerate(plain)
        if place not in (time, clock) and name not in _NEVER_SYMBOLS and not _UNNAMED.fullmatch(name)
    ]
    fields = [place for place in others if plain[place] in _KNOWN]
    if options.kind is None and fields:
        if len(fields) < len(others):
            why = f"has a column {names[fields[0]]!r}, which is no symbol unless it is a table of closes"
            raise AmbiguousFile(file, why, "kind", ("wide_closes",))
        return None
    symbols = {place: symbol_spelled(names[place]) for place in others}
    return Layout("wide_closes", names, {"time": time}, symbols, clock) if symbols else None


def _chosen(fields: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    chosen = {name: fields[name] for name in names if name in fields}
    if "venue" in chosen and "symbol" not in chosen:
        del chosen["venue"]
    return chosen


def _demand_unique(layout: Layout, plain: Sequence[str], file: str) -> None:
    counts = Counter(plain)
    for place in layout.wanted:
        if counts[plain[place]] > 1:
            raise FileError(
                f"{file} has {counts[plain[place]]} columns named {layout.names[place]!r} in its header: "
                "rename or remove all but one"
            )
    if twice := [name for name, count in Counter(layout.symbols.values()).items() if count > 1]:
        raise FileError(f"{file} has two columns of the symbol {twice[0]!r}: rename or remove one")


def shape_of(row: Sequence[str], file: str, options: UploadOptions) -> Layout | None:
    """Return what the columns of a table without a header are, if its first row is of a shape that we know."""
    shape = "".join(map(_cell_shape, row))
    if shape in _SHAPES and options.kind in (None, _SHAPES[shape][0]):
        kind, names = _SHAPES[shape]
        return _headless(kind, names, _TICKS if kind != "klines" else (*_BARS, "close_time"))
    day = _LEAN.fullmatch(PurePath(file).name)
    if day and len(row) == 6 and all(_cell_shape(cell) == "N" for cell in row):
        note = "The day is of the file's name, the prices are as written (Lean scales those of shares by 10,000)."
        return _headless("ohlc_single", _SHAPE_OF_BARS, _BARS, midnight=_midnight(day[1]), notes=(note,))
    if len(row) == 6 and options.kind == "ohlc_single":
        return _headless("ohlc_single", _SHAPE_OF_BARS, _BARS)
    return None


_LEAN = re.compile(r"([0-9]{8})_\w+_(?:second|minute)_trade\.csv")


def _midnight(day: str) -> int | None:
    from datetime import UTC, datetime

    try:
        return int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


def _headless(
    kind: Kind, names: str, fields: Sequence[str], midnight: int | None = None, notes: tuple[str, ...] = ()
) -> Layout:
    columns = tuple(names.split())
    places = {name: place for place, name in enumerate(columns) if name in fields and name != "close_time"}
    return Layout(kind, columns, places, midnight=midnight, headed=False, notes=notes)


def _cell_shape(cell: str) -> str:
    if cell.strip().lower() in _TRUTH:
        return "B"
    return next((shape for shape, pattern in _CELL_SHAPES if pattern.fullmatch(cell.strip())), "?")


# ---- symbols

_QUOTES = {"USD", "USDT", "USDC", "EUR", "GBP", "BTC", "ETH", "BUSD", "FDUSD", "JPY", "TRY", "AUD", "CAD", "CHF", "XBT"}
_MARKETS = {
    "spot": "spot", "usdm": "um", "um": "um", "coinm": "cm", "cm": "cm", "future": "futures", "futures": "futures",
    "perp": "perp", "perpetual": "perp", "swap": "perp",
}  # fmt: skip
_VENUES = "binance|coinbase|kraken|bybit|okx|bitstamp|bitfinex|gemini|deribit|kucoin"
_NOT_SYMBOLS = re.compile(
    rf"[0-9]+(?:ms|s|sec|m|min|h|hr|d|w|mo)|{_VENUES}|{'|'.join(_MARKETS)}|trades?|"
    r"agg|aggtrades?|klines?|candles?|bars?|ohlcv?|ticks?|prices?|closes?|daily|hourly|minutely|minute|second|hour|day|"
    r"data|export|history|historical|hist|lean|part|sample|"
    r"dump|csv|json|upload|file|the|raw|all|new|copy|final|test|table|out|output|input|market|x|y"
)
_ENDINGS = re.compile(
    r"(?:\.(?:csv|txt|tsv|json|ndjson|jsonl|parquet|pq|zip|gz|db|sqlite3?))+$| ?\([0-9]+\)(?=\.|$)", re.IGNORECASE
)
_DAY_OF_NAME = re.compile(
    r"(?<![0-9A-Za-z])(?:19|20)[0-9]{2}(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[-_T ](?:[01][0-9]|2[0-3])(?:[-_.:][0-5][0-9]){0,2}Z?)?)?)?(?![0-9A-Za-z])"
)
"""A year, month, day, or hour of a day."""
_CONTRACT = r"(?P<end>[-_](?:perp(?:etual)?|swap|[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])))"
"""What makes another instrument of a symbol that it follows: a contract without an end, or its day of delivery."""
_SYMBOL_AND_CONTRACT = re.compile(rf"(?<![0-9A-Za-z])(?P<begin>[0-9A-Za-z]+){_CONTRACT}(?![0-9A-Za-z])", re.IGNORECASE)


def symbol_of(file: str) -> str | None:
    """Return the one symbol that a file's name tells, None where it tells none or could tell several.

    What follows it as the name of a contract (``BTCUSDT_PERP``, ``BTCUSDT_240329``) is a part of it.
    """
    stem = _ENDINGS.sub("", _ENDINGS.sub("", PurePath(file).name))
    contract = next((found for found in _SYMBOL_AND_CONTRACT.finditer(stem) if _is_symbol(found["begin"])), None)
    if contract:
        stem = f"{stem[: contract.end('begin')]} {stem[contract.end() :]}"
    stem = _DAY_OF_NAME.sub(" ", stem)
    words: list[str] = re.findall(r"[^\W_]+", stem)
    left = [word for word in words if not _NOT_SYMBOLS.fullmatch(word.lower())]
    ending = contract["end"].upper() if contract else ""
    if len(left) == 2 and left[1].upper() in _QUOTES:
        found = re.search(rf"(?<![^\W_]){left[0]}[-_]{left[1]}(?![^\W_])", stem)
        return f"{found.group().upper()}{ending}" if found else None
    if len(left) != 1 or not re.search("[A-Za-z]", left[0]) or not left[0].isascii() or len(left[0]) > 20:
        return None
    return f"{left[0].upper()}{ending}"


def _is_symbol(word: str) -> bool:
    return bool(re.search("[A-Za-z]", word)) and not _NOT_SYMBOLS.fullmatch(word.lower())


def markets_of(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the kinds of market and the venues that the names of a file and its folders speak of."""
    words = [word.lower() for word in re.findall(r"[0-9A-Za-z]+", file)]
    kinds = frozenset(_MARKETS[word] for word in words if word in _MARKETS)
    return kinds, frozenset(word for word in words if word in _VENUES.split("|"))


def symbol_spelled(symbol: str) -> str:
    """Return a symbol in upper case, so that ``ethusdt`` and ``ETHUSDT`` are one; other alphabets stay as they are."""
    symbol = symbol.strip()
    return symbol.upper() if symbol.isascii() else symbol


def demand_kind(kind: Kind, options: UploadOptions) -> None:
    """Refuse a file that is not of the kind which was said."""
    if options.kind not in (None, kind):
        raise UnknownName("kind of this file", str(options.kind), [kind])
