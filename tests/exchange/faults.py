"""Faults, scripted per connection: what is done to the trades, to the bytes of a frame, and to the connection itself.

A script is a sequence of faults; the n-th connection plays the n-th script. A fault begins when `after` trades (of its
symbol, if it names one) were due on the connection, and lasts for `count` of them. See `KINDS` for all there are.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from tests.exchange.dialect import Request
from tests.exchange.ledger import Trade
from tests.exchange.wire import BINARY, fragments, frame

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a stream."""

    kind: str
    after: int = 0
    """So many trades pass first."""
    count: int | None = None
    """So many trades are affected; None: one, or all that follow where the fault is a state (`STATES`)."""
    symbol: str = ""
    """Only trades of this symbol; empty: of all."""
    also: bool = False
    """The true trade is sent as well, after the wrong one."""
    code: int = 1001
    """The code of a close; 1006 closes without a close frame."""
    seconds: float = 0.0
    """How long: a delay, or the time from a shutdown notice to the end."""
    status: int = 503
    """The status of a refused handshake."""
    retry_after: int | None = None
    """Seconds that a refused handshake asks to wait."""
    text: str = ""
    """What is sent or said instead: the other symbol, an unknown event, the reason of a close, an HTML body."""

    @property
    def lasts(self) -> int:
        """How many trades are affected."""
        if self.count is not None:
            return self.count
        return FOREVER if self.kind in STATES else 1


@dataclass(frozen=True, slots=True)
class RestFault:
    """One fault of the REST side; it hits the next `count` requests whose path contains `path`.

    Of those only the ones whose query has the parameter `having`, when one is named.
    """

    kind: str
    """status, html, slow, hang, reset, cut; of a page of trades: short, empty, foreign, duplicate."""
    count: int = 1
    path: str = ""
    having: str = ""
    after: int = 0
    """So many fitting requests pass first."""
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0


ENDS = ("close", "rst", "fin", "shutdown")
"""The connection ends, or will."""
STATES = ("silent", "mute", "no_pong", "freeze", "delay")
"""The connection stays, and behaves so from then on, or for `count` trades."""
CONNECTION = (*ENDS, "freeze", "no_pong")
"""What happens to the connection itself, between two trades."""
HANDSHAKE = ("refuse", "slow_handshake", "no_answer")
PAGES = ("short", "empty", "foreign", "duplicate")
ANSWERS = ("status", "html", "slow", "hang", "reset", "cut")


def _at_price(change: Callable[[str], str]) -> Callable[[Trade], Trade]:
    return lambda trade: trade._replace(price=change(trade.price))


MUTATIONS: Mapping[str, Callable[[Trade], Trade]] = {
    "price_x1000": _at_price(lambda price: f"{float(price) * 1000:.2f}"),
    "price_zero": _at_price(lambda _: "0.00000000"),
    "price_negative": _at_price(lambda price: "-" + price),
    "price_nan": _at_price(lambda _: "NaN"),
    "price_inf": _at_price(lambda _: "1e999"),
    "price_off": _at_price(lambda price: f"{float(price) * 1.001:.2f}"),
    "qty_zero": lambda trade: trade._replace(qty="0.00000000"),
    "time_future": lambda trade: trade._replace(time_ms=trade.time_ms + 86_400_000),
    "time_past": lambda trade: trade._replace(time_ms=trade.time_ms - 365 * 86_400_000),
    "time_seconds": lambda trade: trade._replace(time_ms=trade.time_ms // 1000),
    "id_negative": lambda trade: trade._replace(trade_id=-trade.trade_id),
    "wrong_symbol": lambda trade: trade,
}
"""What is wrong with the trade that is sent; the true one is in the ledger."""

BYTES: Mapping[str, Callable[[bytes, Fault, random.Random], bytes]] = {
    "malformed": lambda payload, _, __: frame(payload[:-1] + b",,}"),
    "truncated": lambda payload, _, __: frame(payload[: len(payload) // 2]),
    "bit_flip": lambda payload, _, rng: frame(_flip(payload, rng)),
    "invalid_utf8": lambda payload, _, __: frame(payload[:20] + b"\xff\xfe" + payload[22:]),
    "binary": lambda payload, _, __: frame(payload, BINARY),
    "oversized": lambda payload, _, __: frame(payload[:-1] + b" " * 2_000_000 + b"}"),
    "fragmented": lambda payload, _, __: fragments(payload),
    "compressed": lambda payload, _, __: frame(payload, reserved=0x40),
    "unknown_event": lambda _, fault, __: frame(fault.text.encode() or b'{"e":"somethingNew","E":1,"s":"X"}'),
    "error": lambda _, fault, __: frame(fault.text.encode() or b'{"code":2,"msg":"Invalid request: property name"}'),
}
"""What is wrong with the bytes; unknown_event and error frames are sent besides the trade."""

FLOW = ("skip", "duplicate", "reorder", "burst", "reuse")
KINDS = frozenset((*ENDS, *STATES, *HANDSHAKE, *MUTATIONS, *BYTES, *FLOW))
"""All faults of a stream.

skip: trades of the ledger that are not sent. duplicate: sent twice. reorder: shuffled within `count`. burst: `count`
are held back and sent at once. reuse: the id comes again with another price. silent: no trades, but pongs; mute: the
same, for its symbol. no_pong: pings are not answered. freeze: nothing is read or written (for `seconds`, or for ever).
delay: every trade comes `seconds` late.
close, rst, fin (in the middle of a frame), shutdown (the notice, and the end after `seconds`).
refuse (with `status`), slow_handshake, no_answer: instead of an open connection.
"""
_RARE_KINDS = ("close", "rst", "fin", "silent", "freeze", "no_pong", "shutdown", "refuse", "mute")
_MILD_KINDS = (
    *("skip", "duplicate", "reorder", "burst", "reuse"),
    *("bit_flip", "truncated", "price_zero", "fragmented", "unknown_event"),
)


def _flip(payload: bytes, rng: random.Random) -> bytes:
    """Flip a bit, but not of a digit: another price would be as good as the true one to anybody."""
    at = rng.choice([place for place, byte in enumerate(payload) if not 48 <= byte <= 57])
    return payload[:at] + bytes((payload[at] ^ (1 << rng.randrange(7)),)) + payload[at + 1 :]


def _renamed(payload: bytes, symbol: str, other: str) -> bytes:
    """Put another symbol into a trade; a stream's name around it stays."""
    return payload.replace(f'"{symbol}"'.encode(), f'"{other or "OTHERUSDT"}"'.encode())


class Send(NamedTuple):
    """Bytes to send; `trade` is the true trade that they carry, if they do."""

    wire: bytes
    trade: Trade | None = None
    delay: float = 0.0


class Act(NamedTuple):
    """Something to do to the connection."""

    fault: Fault


Step = Send | Act


@dataclass(slots=True)
class Running:
    """A fault on a connection, and how far it is."""

    fault: Fault
    seen: int = 0
    done: bool = False

    def due(self, symbol: str) -> bool:
        """Count a trade; tell whether it is affected."""
        if self.done or (self.fault.symbol and self.fault.symbol != symbol):
            return False
        self.seen += 1
        if self.fault.kind in CONNECTION:
            return False
        number = self.seen - self.fault.after
        self.done = number >= self.fault.lasts
        return number > 0


Render = Callable[[str, Trade], bytes]


class Player:
    """Plays a script to one connection."""

    def __init__(self, script: Iterable[Fault], *, seed: int, counts: Counter[str]) -> None:
        self.running = [Running(fault) for fault in script]
        self.skipped: list[tuple[str, int]] = []
        """Trades that were not sent although they are in the ledger: (symbol, id)."""
        self._held: list[tuple[Fault, list[tuple[str, Trade]]]] = []
        self._rng = random.Random(seed)
        self._counts = counts

    @property
    def idle(self) -> bool:
        """Whether nothing will ever happen again, so that trades can be sent in bulk."""
        return not self._held and all(each.done for each in self.running)

    def add(self, fault: Fault) -> list[Step]:
        """Play one more from now on; return what is to be done at once."""
        self.running.append(Running(fault))
        return self.begin()

    def begin(self) -> list[Step]:
        """Return what happens to the connection at this point: ends and states of it that are due now."""
        steps: list[Step] = []
        for each in self.running:
            if not each.done and each.fault.kind in CONNECTION and each.seen == each.fault.after:
                each.done = True
                self._counts[each.fault.kind] += 1
                steps.append(Act(each.fault))
        return steps

    def play(self, symbol: str, trade: Trade, render: Render) -> list[Step]:
        """Return what happens instead of sending a trade."""
        active = [each.fault for each in self.running if each.due(symbol)]
        self._counts.update(fault.kind for fault in active)
        return self._send(symbol, trade, active, render) + self._release(render) + self.begin()

    def _send(self, symbol: str, trade: Trade, faults: Sequence[Fault], render: Render) -> list[Step]:
        delay = 0.0
        for fault in faults:
            if fault.kind in ("skip", "silent", "mute"):
                self.skipped.append((symbol, trade.trade_id))
                return []
            if fault.kind in ("reorder", "burst"):
                self._hold(fault, symbol, trade)
                return []
            if fault.kind == "delay":
                delay = fault.seconds
            elif wrong := self._wrong(fault, symbol, trade, render):
                return wrong
        return [Send(frame(render(symbol, trade)), trade, delay)]

    def _wrong(self, fault: Fault, symbol: str, trade: Trade, render: Render) -> list[Step]:
        true = Send(frame(render(symbol, trade)), trade)
        if fault.kind == "duplicate":
            return [true, true]
        if fault.kind == "reuse":
            return [true, Send(frame(render(symbol, MUTATIONS["price_off"](trade))))]
        if fault.kind in MUTATIONS:
            payload = render(symbol, MUTATIONS[fault.kind](trade))
            wire = frame(_renamed(payload, symbol, fault.text) if fault.kind == "wrong_symbol" else payload)
        elif fault.kind in BYTES:
            wire = BYTES[fault.kind](render(symbol, trade), fault, self._rng)
        else:
            return []
        if fault.kind == "fragmented":
            return [Send(wire, trade)]
        if fault.also or fault.kind in ("unknown_event", "error"):
            return [Send(wire), true]
        self.skipped.append((symbol, trade.trade_id))
        return [Send(wire)]

    def _hold(self, fault: Fault, symbol: str, trade: Trade) -> None:
        for held_for, trades in self._held:
            if held_for is fault:
                trades.append((symbol, trade))
                return
        self._held.append((fault, [(symbol, trade)]))

    def _release(self, render: Render) -> list[Step]:
        """Return the trades that were held back and are complete now."""
        steps: list[Step] = []
        for fault, trades in list(self._held):
            if len(trades) < fault.lasts:
                continue
            self._held.remove((fault, trades))
            if fault.kind == "reorder":
                self._rng.shuffle(trades)
            steps += [Send(frame(render(symbol, trade)), trade) for symbol, trade in trades]
        return steps


class RestPlayer:
    """Chooses the fault that hits a request."""

    def __init__(self, counts: Counter[str]) -> None:
        self.waiting: list[RestFault] = []
        self._counts = counts

    def take(self, request: Request, kinds: Sequence[str]) -> RestFault | None:
        """Return the fault of a request, out of these kinds, and count it."""
        for at, fault in enumerate(self.waiting):
            if fault.kind not in kinds or fault.path not in request.path:
                continue
            if fault.having and fault.having not in request.query:
                continue
            if fault.after:
                self.waiting[at] = replace(fault, after=fault.after - 1)
                continue
            self.waiting[at : at + 1] = [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
            self._counts[f"rest_{fault.kind}"] += 1
            return fault
        return None


def misbehave(seed: int, *, every: int = 200) -> Iterator[tuple[Fault, ...]]:
    """Yield a random script per connection: mild faults about `every` trades, then one that ends or spoils it."""
    rng = random.Random(seed)
    while True:
        mild = [
            Fault(rng.choice(_MILD_KINDS), after=rng.randrange(2 * every), count=rng.randint(1, 9))
            for _ in range(rng.randrange(3))
        ]
        last = rng.choice(_RARE_KINDS)
        if last == "refuse":
            yield (Fault("refuse", status=rng.choice((500, 503, 429)), retry_after=1),)
            continue
        code = rng.choice((1000, 1001, 1006, 1008, 1011, 1012))
        yield (*mild, Fault(last, after=rng.randrange(every, 3 * every), code=code, seconds=0.2))


# ---- faults as text: "close:after=10,code=1001;skip:count=7|refuse:status=429" is two scripts


def parse_scripts(spec: str) -> list[tuple[Fault, ...]]:
    """Read scripts: `|` between connections, `;` between faults, `kind:name=value,name=value`.

    Raises:
        ValueError: naming what is not a fault or not an option of one.
    """
    scripts = [tuple(_parse_fault(text) for text in script.split(";") if text.strip()) for script in spec.split("|")]
    return scripts if any(scripts) else []


def _parse_fault(text: str) -> Fault:
    kind, _, options = text.strip().partition(":")
    given = dict(re.findall(r"(\w+)=([^,]*)", options))
    return fault_from({"kind": kind, **given})


def fault_from(given: Mapping[str, Any]) -> Fault:
    """Make a fault of named values, as they come in JSON or text."""
    if given.get("kind") not in KINDS:
        raise ValueError(f"there is no fault {given.get('kind')!r}; there are: {', '.join(sorted(KINDS))}")
    return Fault(**_typed(Fault, given))


def rest_fault_from(given: Mapping[str, Any]) -> RestFault:
    """Make a fault of the REST side of named values."""
    if given.get("kind") not in (*PAGES, *ANSWERS):
        raise ValueError(f"there is no REST fault {given.get('kind')!r}; there are: {', '.join((*PAGES, *ANSWERS))}")
    return RestFault(**_typed(RestFault, given))


def _typed(kind: type[Fault] | type[RestFault], given: Mapping[str, Any]) -> dict[str, Any]:
    readers: dict[str, Callable[[Any], Any]] = {"seconds": float, "also": lambda value: str(value).lower() == "true"}
    texts = ("kind", "symbol", "text", "path")
    known = {field.name for field in fields(kind)}
    if unknown := set(given) - known:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return {
        name: value if name in texts else None if value is None else readers.get(name, int)(value)
        for name, value in given.items()
    }
