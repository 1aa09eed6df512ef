"""What a condition is made of: comparisons, joined by `and` and `or`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["above", "below"]

Kind = Literal[">", ">=", "<", "<=", "crosses", "crosses above", "crosses below", "leaves", "outside", "inside"]

MOMENTS = ("crosses", "crosses above", "crosses below", "leaves")
"""The kinds that are true on one row only."""


@dataclass(frozen=True, slots=True)
class Found:
    """What made a condition true: its first comparison that is.

    `direction` and `value` are of the metric itself, also where its absolute value is compared; `threshold` is as
    written. So ``abs(z) > 2`` with z at -2.3 gives below, -2.3, 2.0.
    """

    metric: str
    direction: Direction
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric against one level, or a band from `low` to `high`."""

    metric: str
    absolute: bool
    kind: Kind
    low: float
    high: float

    @property
    def moment(self) -> bool:
        """Whether it is true on one row only."""
        return self.kind in MOMENTS

    @property
    def band(self) -> bool:
        """Whether it has two levels."""
        return self.kind in ("leaves", "outside", "inside")

    @property
    def text(self) -> str:
        value = f"abs({self.metric})" if self.absolute else self.metric
        levels = f"{plain(self.low)} to {plain(self.high)}" if self.band else plain(self.low)
        return f"{value} {self.kind} {levels}"

    def found(self, now: Mapping[str, float]) -> Found:
        """Return what there is to tell of this comparison, which is true."""
        raw = float(now[self.metric])
        value = abs(raw) if self.absolute else raw
        direction, threshold = self._side(value)
        if self.absolute and raw < 0:
            direction = "below" if direction == "above" else "above"
        return Found(self.metric, direction, raw, threshold)

    def _side(self, value: float) -> tuple[Direction, float]:
        if self.kind == "inside":
            return ("above", self.low) if value - self.low <= self.high - value else ("below", self.high)
        if self.band:
            return ("above", self.high) if value > self.high else ("below", self.low)
        if self.kind == "crosses":
            return ("above" if value > self.low else "below"), self.low
        return ("above" if self.kind in (">", ">=", "crosses above") else "below"), self.low


@dataclass(frozen=True, slots=True)
class Joined:
    """Several conditions of which all or one must hold; at least two, and none is joined by the same word."""

    word: Literal["and", "or"]
    parts: "tuple[Node, ...]"


Node = Comparison | Joined


def leaves(node: Node) -> Iterator[Comparison]:
    """Yield the comparisons of a condition as they are written."""
    if isinstance(node, Comparison):
        yield node
    else:
        for each in node.parts:
            yield from leaves(each)


def plain(number: float) -> str:
    """Write a number as a condition has it: ``2``, ``0.05``, ``-1.5``."""
    text = repr(number)
    return text.removesuffix(".0")
