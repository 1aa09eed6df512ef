"""What a round trip costs, and what it would have to earn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from market import UnknownName, WrongUse

BP = 1e4
"""Basis points of one."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one trade of one leg costs, in basis points of what is traded; a round trip pays it twice a leg."""

    fee_bp: float
    slippage_bp: float = 0.0
    half_spread_bp: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fee_bp", "slippage_bp", "half_spread_bp"):
            value = getattr(self, name)
            if isinstance(value, bool | str) or not math.isfinite(value) or (value < 0 and name != "fee_bp"):
                raise WrongUse(f"{name} is {value!r}; expected basis points, such as 10 for 0.1 %")

    @property
    def side_bp(self) -> float:
        """The cost of one trade of one leg."""
        return self.fee_bp + self.slippage_bp + self.half_spread_bp


PRESETS: Mapping[str, Costs] = MappingProxyType(
    {
        "binance-spot": Costs(10.0, slippage_bp=0.5, half_spread_bp=0.1),
        "binance-futures": Costs(5.0, slippage_bp=0.5, half_spread_bp=0.1),
        "coinbase": Costs(60.0, slippage_bp=1.0, half_spread_bp=0.5),
        "kraken": Costs(40.0, slippage_bp=1.0, half_spread_bp=0.5),
        "simulated": Costs(1.0, slippage_bp=0.5, half_spread_bp=0.5),
        "none": Costs(0.0),
    }
)
"""Taker fees of the lowest tier, with slippage and half a spread of a liquid symbol; a tier of your own: give it."""


def costs_of(given: "Costs | str | None", venue: str) -> Costs:
    """Return costs as given, by the name of a preset, or those of a venue (unknown: those of binance-spot).

    Raises:
        UnknownName: for a preset that does not exist.
    """
    if isinstance(given, Costs):
        return given
    if given is None:
        return PRESETS.get(venue.removesuffix("-raw"), PRESETS["binance-spot"])
    if given not in PRESETS:
        raise UnknownName("costs", given, PRESETS)
    return PRESETS[given]


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A trade of the pair from entry to exit, in basis points of what both legs are worth together."""

    gross_bp: float
    cost_bp: float

    @property
    def edge_bp(self) -> float:
        """What is left after costs when the spread comes back as far as the exit."""
        return self.gross_bp - self.cost_bp

    @property
    def breakeven(self) -> float:
        """How many times the move pays the costs; below 1 the trade loses even when it is right."""
        if self.cost_bp > 0:
            return self.gross_bp / self.cost_bp
        return math.nan if math.isnan(self.gross_bp) else math.inf


def round_trip(
    *,
    move: float,
    notional_y: float,
    notional_x: float,
    costs_y: Costs,
    costs_x: Costs,
) -> RoundTrip:
    """Return what a move of the spread earns and costs.

    Args:
        move: how far the spread comes back, ``(entry - exit) * std``, in the units of the spread.
        notional_y: the worth of one unit of the spread's y leg, in the same units (its price; 1 for log prices).
        notional_x: the worth of its x leg, ``|beta| * price`` (``|beta|`` for log prices).
        costs_y, costs_x: what one trade of each leg costs.

    With N = notional_y + notional_x: gross = move / N, cost = 2 (cost_y notional_y + cost_x notional_x) / N.
    """
    gross = notional_y + notional_x
    if not gross > 0:
        return RoundTrip(math.nan, math.nan)
    cost = 2 * (costs_y.side_bp * notional_y + costs_x.side_bp * notional_x) / gross
    return RoundTrip(BP * move / gross, cost)
