"""Settings, frozen once read: defaults < pairscope.toml < environment < flags.

Every key can stand in ``pairscope.toml`` as it is, in the environment as ``PAIRSCOPE_<KEY>``, and as a flag where a
command has one. Every error is one sentence that names the key, where it stood, what it was and what is allowed.

In the environment a name that is nearly one of ours is a slip, and an error; any other ``PAIRSCOPE_...`` is somebody
else's (an orchestrator sets ``PAIRSCOPE_PORT`` beside a service of our name) and left alone.

Secrets are no settings: ``PAIRSCOPE_SECRET_<NAME>`` in the environment, or ``name = "value"`` in ``secrets.toml``, put
in where a channel's address says ``{NAME}``, and shown nowhere.
"""

import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from market import Instrument, UnknownName, WrongUse, did_you_mean, iso

NETWORK_VENUES = ("binance-spot", "binance-futures", "coinbase", "kraken")
"""The venues that are reached over a network; each has two keys for its addresses."""

VENUES = (*NETWORK_VENUES, "simulated")
CONFIG_FILE = "pairscope.toml"
SECRETS_FILE = "secrets.toml"
PREFIX = "PAIRSCOPE_"
SECRET_PREFIX = "PAIRSCOPE_SECRET_"  # noqa: S105  # what stands before the name of one
DEMO: Mapping[str, object] = {"venue": "simulated", "store": "sqlite:///demo.db", "symbols": ()}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = re.compile(r"[0-9]{1,18}")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]*@")
_SECRET_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_TOML_PLACE = re.compile(r"\(at [^()]*\)$")
PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)\}")
"""How a secret is named where it is to stand."""

SHORTEST_HIDDEN = 4
"""A secret with fewer letters is not looked for in texts: it would blot out what is none."""


class SettingsError(WrongUse):
    """A setting that cannot be used; the message names it."""


@dataclass(frozen=True, eq=False)
class Secrets:
    """What nobody is shown: passwords and tokens, by name. Whatever prints it sees the names alone."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Secrets":
        """Return secrets of these names; names are in capitals."""
        secrets = cls(tuple(sorted(values)))
        object.__setattr__(secrets, "_values", dict(values))
        return secrets

    def _known(self) -> Mapping[str, str]:
        values: Mapping[str, str] = getattr(self, "_values", {})
        return values

    def fill(self, text: str, *, quoted: str | None = None) -> str:
        """Put the secrets in where `text` names them as ``{NAME}``.

        Args:
            text: what names them.
            quoted: write them as an address does, with these characters besides letters and digits as they are.

        Raises:
            UnknownName: when one is not known.
        """
        return PLACEHOLDER.sub(lambda found: self._written(found[1].upper(), quoted), text)

    def _written(self, name: str, quoted: str | None) -> str:
        if name not in self._known():
            raise UnknownName("secret", name, self.names)
        value = self._known()[name]
        return value if quoted is None else quote(value, safe=quoted)

    def hide(self, text: str) -> str:
        """Return `text` with the name of each secret where it stood in clear."""
        for name, value in sorted(self._known().items(), key=lambda item: -len(item[1])):
            for written in {value, quote(value, safe=""), quote(value)}:
                if len(value) >= SHORTEST_HIDDEN:
                    text = text.replace(written, f"{{{name}}}")
        return text


def moment_ms(text: str) -> int:
    """Read a time in ISO-8601, in UTC unless it says otherwise; return epoch milliseconds.

    Raises:
        ValueError: when it is none.
    """
    moment = datetime.fromisoformat(text.strip())
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


# ---- each reads one kind of value; ValueError says what it must be


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("text that is not empty")


def _venue(value: object) -> str:
    name = _text(value)
    if name not in VENUES:
        raise UnknownName("venue", name, VENUES)
    return name


def _level(value: object) -> str:
    name = _text(value).upper()
    if name not in LEVELS:
        raise UnknownName("log level", name, LEVELS)
    return name


def _symbols(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError('symbols separated by commas, such as "BTCUSDT,ETHUSDT"')
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _moments(value: object) -> tuple[int, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if isinstance(given, list | tuple):
        texts = [each.isoformat() if isinstance(each, date) else each for each in given]  # TOML has dates of its own
        try:
            return tuple(sorted({moment_ms(text) for text in texts if text.strip()}))
        except (ValueError, AttributeError):
            pass
    raise ValueError('times separated by commas, such as "2026-11-21T08:30:00Z"')


def _addresses(*schemes: str) -> Callable[[object], tuple[str, ...]]:
    """Return what reads base addresses with one of these schemes: where a venue is, not what it is asked."""
    plain = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)

    def read(value: object) -> tuple[str, ...]:
        texts = value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{plain}, several separated by commas")
        return tuple(dict.fromkeys(_address(text.strip(), schemes, plain) for text in texts if text.strip()))

    return read


def _address(text: str, schemes: Sequence[str], plain: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:  # no number, or one that is no port
        raise ValueError(f"{plain} with a port from 1 to 65535") from error
    if parts.scheme not in schemes or not parts.hostname or port == 0 or not text.isascii() or " " in text:
        raise ValueError(plain)
    if surplus := _surplus(parts, text):
        raise ValueError(f"{plain} without {surplus}")
    return text.rstrip("/")


def _surplus(parts: SplitResult, text: str) -> str:
    """Name what a base address has too much of."""
    if "@" in parts.netloc:
        return "a user or password"
    if "?" in text or "#" in text:
        return "a query"
    return "a path: paths are the venue's own" if parts.path not in ("", "/") else ""


def _base(value: object) -> str:
    """Read the base address of a service."""
    found = _addresses("http", "https")(value)
    if len(found) != 1:
        raise ValueError("one address, https://HOST[:PORT]")
    return found[0]


def _link(value: object) -> str:
    """Read the address of this desk, which may have a path; empty: none."""
    text = value.strip().rstrip("/") if isinstance(value, str) else None
    plain = "empty, or http://HOST[:PORT][/PATH] with https as well"
    if text is None:
        raise ValueError(plain)
    if text:
        parts = urlsplit(text)
        _address(f"{parts.scheme}://{parts.netloc}", ("http", "https"), plain)
        if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"{plain}, without a query")
    return text


def _names(value: object) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError('names, addresses or networks separated by commas, such as "sink.lan,192.168.1.0/24"')
    names = tuple(dict.fromkeys(text.strip().lower() for text in texts if text.strip()))
    for name in names:
        if not _ALLOWED.fullmatch(name):
            raise ValueError("names, addresses or networks, without scheme, port or path")
        if "/" in name or _NUMERIC.fullmatch(name) or ":" in name:
            _network(name)
    return names


_ALLOWED = re.compile(r"[0-9a-z_.-]+(?:/[0-9]{1,3})?|[0-9a-f:.]+(?:/[0-9]{1,3})?")
_NUMERIC = re.compile(r"[0-9.]+(?:/[0-9]+)?")


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"names, addresses or networks such as 192.168.1.0/24, which {text} is not") from error


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        expected = f"a whole number from {low:,} to {high:,}"
        if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(expected)
        return value

    return read


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) and type(value) is not bool else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _share(value: object) -> float:
    share = _number(value)
    if not 0 < share <= 1:
        raise ValueError("a number above 0, up to 1")
    return share


def _days(value: object) -> float:
    """Read a number of days; "forever" is infinity."""
    days = math.inf if value == "forever" else _number(value)
    if not days > 0:
        raise ValueError('a number of days above 0, or "forever"')
    return days


# ---- what is not plain already is written so that the same function reads it


def _days_record(days: float) -> object:
    return "forever" if math.isinf(days) else days


def _moments_record(moments: tuple[int, ...]) -> object:
    return [iso(moment) for moment in moments]


def _key(
    default: Any, read: Callable[[object], Any], meaning: str, *, record: Callable[[Any], object] | None = None
) -> Any:
    return field(
        default=default, metadata={"read": read, "meaning": meaning, "record": record or (lambda value: value)}
    )


def _sockets() -> Any:
    meaning = "other WebSocket addresses than the venue's: `wss://HOST:PORT`, several separated by commas"
    return _key((), _addresses("ws", "wss"), meaning, record=list)


def _rests() -> Any:
    meaning = "other REST addresses than the venue's: `https://HOST:PORT`, several separated by commas"
    return _key((), _addresses("http", "https"), meaning, record=list)


def _service(base: str) -> Any:
    return _key(base, _base, "where alerts for this service are sent: `https://HOST[:PORT]`")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All there is to set; the meaning of each key stands beside it and in README."""

    store: str = _key("sqlite:///ticks.db", _text, "where trades are kept: sqlite:///FILE")
    venue: str = _key("binance-spot", _venue, f"where trades come from: {', '.join(VENUES)}")
    symbols: tuple[str, ...] = _key(
        (),
        _symbols,
        "what to record, separated by commas; one of another venue as `kraken:BTC/USD`; empty: the venue's defaults",
        record=list,
    )
    binance_spot_ws: tuple[str, ...] = _sockets()
    binance_spot_rest: tuple[str, ...] = _rests()
    binance_futures_ws: tuple[str, ...] = _sockets()
    binance_futures_rest: tuple[str, ...] = _rests()
    coinbase_ws: tuple[str, ...] = _sockets()
    coinbase_rest: tuple[str, ...] = _rests()
    kraken_ws: tuple[str, ...] = _sockets()
    kraken_rest: tuple[str, ...] = _rests()
    refill_trades: int = _key(
        2_000_000,
        _whole(1_000, 1_000_000_000),
        "of a larger gap only so many trades are fetched, the newest; candles cover the rest",
    )
    seed: int = _key(7, _whole(0, 2**32 - 1), "the simulated market's seed")
    breaks: tuple[int, ...] = _key(
        (),
        _moments,
        "when the simulated pair LINKUSDT/DOTUSDT breaks: times in ISO-8601, separated by commas",
        record=_moments_record,
    )
    commit_ms: int = _key(100, _whole(1, 10_000), "a trade waits at most this long for its commit, in milliseconds")
    commit_rows: int = _key(2_000, _whole(1, 1_000_000), "a commit is made at the latest when this many trades wait")
    queue_rows: int = _key(
        200_000, _whole(1_000, 10_000_000), "trades kept in memory while the disk does not take them; more become a gap"
    )
    keep_ticks_days: float = _key(math.inf, _days, 'days that trades are kept, or "forever"', record=_days_record)
    keep_seconds_days: float = _key(
        math.inf, _days, 'days that 1-second bars are kept, or "forever"', record=_days_record
    )
    disk_warn: float = _key(0.8, _share, "warn when the disk is fuller than this share")
    notify_allow: tuple[str, ...] = _key(
        (),
        _names,
        "private places that alerts may be sent to: names, addresses or networks, separated by commas",
        record=list,
    )
    discord_api: str = _service("https://discord.com")
    slack_api: str = _service("https://hooks.slack.com")
    telegram_api: str = _service("https://api.telegram.org")
    ntfy_api: str = _service("https://ntfy.sh")
    url: str = _key(
        "", _link, "where people reach this desk, for the links in alerts; empty: this machine's own address"
    )
    log_file: str = _key("pairscope.log", _text, "the log; it is rotated at 5 MB, three old ones are kept")
    log_level: str = _key("INFO", _level, f"what the log tells: {', '.join(LEVELS)}")

    secrets: Secrets = field(default=Secrets(), compare=False)
    """No setting: not in the table, not in the record."""

    def __post_init__(self) -> None:
        if self.keep_seconds_days < self.keep_ticks_days:
            seconds, ticks = (_days_record(days) for days in (self.keep_seconds_days, self.keep_ticks_days))
            raise SettingsError(
                f"keep_seconds_days is {seconds}, but must be at least keep_ticks_days, which is {ticks}:"
                " trades are found by their 1-second bars"
            )

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What to record, each with its venue."""
        return tuple(dict.fromkeys(Instrument.parse(symbol, venue=self.venue) for symbol in self.symbols))

    def sockets(self, venue: str) -> tuple[str, ...]:
        """Return where the venue's WebSocket servers are; none: where the venue itself says."""
        return self._addresses_of(venue, "ws")

    def rests(self, venue: str) -> tuple[str, ...]:
        """Return where the venue's REST servers are; none: where the venue itself says."""
        return self._addresses_of(venue, "rest")

    def _addresses_of(self, venue: str, kind: str) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(self, f"{venue.replace('-', '_')}_{kind}")
        return found

    def to_record(self) -> dict[str, object]:
        """Return the settings as JSON can say them, for the ledger of runs; `read_settings` reads them back."""
        return {key: each.metadata["record"](getattr(self, key)) for key, each in KEYS.items()}


KEYS = {each.name: each for each in fields(Settings) if each.metadata}
_UPPER_KEYS = [key.upper() for key in KEYS]
ENVIRONMENT = {PREFIX + key.upper(): key for key in KEYS}
"""Names in capitals only: Windows gives them so, and elsewhere pairscope_store is not ours."""


def load(flags: Mapping[str, object] | None = None, *, folder: Path = Path(), demo: bool = False) -> Settings:
    """Read the settings of this process.

    Args:
        flags: what the command line said; None values were not given.
        folder: where ``pairscope.toml`` is looked for.
        demo: the simulated market in its own store; flags still win.

    Raises:
        SettingsError: for an unknown key, a wrong value or an unreadable file.
    """
    config, secrets = _config(folder / CONFIG_FILE), _config(folder / SECRETS_FILE, hidden=True)
    return read_settings(config, os.environ, flags or {}, demo=demo, secrets=secrets)


def read_settings(
    config: Mapping[str, object],
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    demo: bool = False,
    secrets: Mapping[str, object] = MappingProxyType({}),
) -> Settings:
    """Put the settings together from their sources, the later ones first in rank; `secrets` is what their file says."""
    values: dict[str, object] = {}
    for key, value in config.items():
        values[key] = _value(key, value, where=f"in {CONFIG_FILE}", name=key)
    values |= _environment(environ)
    values |= DEMO if demo else {}
    for key, value in flags.items():
        if value is not None:
            values[key] = _value(key, value, where="on the command line", name=f"--{key.replace('_', '-')}")
    settings = Settings(**values, secrets=_secrets(secrets, environ))  # type: ignore[arg-type]  # each key read its own
    for instrument in settings.instruments:
        if instrument.venue not in VENUES:
            raise SettingsError(f"symbols: {UnknownName('venue', instrument.venue, VENUES)}")
        if not instrument.symbol:
            raise SettingsError(f"symbols: {str(instrument)!r} names a venue, but no symbol")
    return settings


def _environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, text in environ.items():
        if name in ENVIRONMENT:
            key = ENVIRONMENT[name]
            values[key] = _value(key, text, where="in the environment", name=name)
        elif name.startswith(SECRET_PREFIX):
            continue
        elif name.startswith(PREFIX) and (near := did_you_mean(name.removeprefix(PREFIX), _UPPER_KEYS)):
            raise SettingsError(f"unknown setting {name!r} in the environment{near.replace('mean ', f'mean {PREFIX}')}")
    return values


def _secrets(file: Mapping[str, object], environ: Mapping[str, str]) -> Secrets:
    """Put the secrets together; what the environment says wins."""
    table = file.get("secrets", {})
    inner = table if isinstance(table, Mapping) else {"secrets": table}
    given = [(name, value, f"in {SECRETS_FILE}") for name, value in {**file, **inner}.items() if value is not table]
    spoken = [(name, text) for name, text in environ.items() if name.startswith(SECRET_PREFIX)]
    given += [(name.removeprefix(SECRET_PREFIX), text, "in the environment") for name, text in spoken]
    found: dict[str, str] = {}
    for name, value, where in given:
        if not _SECRET_NAME.fullmatch(name.upper()):
            raise SettingsError(f"a secret {where} must have a name of letters, digits and _ that begins with a letter")
        if not isinstance(value, str) or not value or not value.isprintable():
            raise SettingsError(f"the secret {name.upper()} {where} must be text of one line that is not empty")
        found[name.upper()] = value
    return Secrets.of(found)


def child_environment() -> dict[str, str]:
    """Return the environment for a process that is to know none of our secrets, and no proxies."""
    return {
        name: text
        for name, text in os.environ.items()
        if not name.upper().startswith(PREFIX) and not name.lower().endswith("_proxy")
    }


def _config(path: Path, *, hidden: bool = False) -> dict[str, object]:
    """Read a file of TOML; with `hidden` no error tells what stands in it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors begin a file with a mark
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if hidden:
            place = _TOML_PLACE.search(str(error))
            raise SettingsError(f"{path} is not valid TOML {place[0] if place else ''}".rstrip()) from None
        raise SettingsError(f"{path} is not valid TOML: {error}") from error


def _value(key: str, value: object, where: str, name: str) -> object:
    if key not in KEYS:
        keys = sorted(KEYS)
        raise SettingsError(f"unknown setting {name!r} {where}{did_you_mean(key, keys)}; known: {', '.join(keys)}")
    try:
        return KEYS[key].metadata["read"](value)
    except ValueError as error:
        told = _USER_INFO.sub("***@", repr(value))  # a password is told nobody
        raise SettingsError(f"{name} {where} is {told}, but must be {error}") from error
    except UnknownName as error:
        raise SettingsError(f"{name} {where}: {error}") from error
