"""What a round trip earns and costs, in basis points of what both legs are worth."""

import math

import pytest

from market import UnknownName, WrongUse
from pairscope.numbers.costs import PRESETS, Costs, costs_of, round_trip


def test_a_round_trip_by_hand() -> None:
    # 1 ETH at 2,000 against 0.03 BTC at 60,000: 3,800 in all; a move of 3.8 is 10 bp, four trades of 2 bp cost 4 bp.
    trip = round_trip(move=3.8, notional_y=2000, notional_x=0.03 * 60_000, costs_y=Costs(2), costs_x=Costs(2))
    assert trip.gross_bp == pytest.approx(10)
    assert trip.cost_bp == pytest.approx(4)
    assert trip.edge_bp == pytest.approx(6)
    assert trip.breakeven == pytest.approx(2.5)


def test_each_leg_pays_for_its_own_worth() -> None:
    trip = round_trip(move=1, notional_y=300, notional_x=100, costs_y=Costs(10), costs_x=Costs(0))
    assert trip.cost_bp == pytest.approx(2 * 10 * 0.75)


def test_slippage_and_half_the_spread_are_costs_too() -> None:
    assert Costs(10, slippage_bp=1, half_spread_bp=0.5).side_bp == 11.5


def test_nothing_to_pay_is_broken_even_at_once() -> None:
    free = round_trip(move=1, notional_y=1, notional_x=1, costs_y=Costs(0), costs_x=Costs(0))
    assert free.breakeven == math.inf


def test_an_unknown_move_has_an_unknown_edge() -> None:
    trip = round_trip(move=math.nan, notional_y=1, notional_x=1, costs_y=Costs(1), costs_x=Costs(1))
    assert math.isnan(trip.edge_bp)
    assert math.isnan(trip.breakeven)
    assert trip.cost_bp == 2
    assert math.isnan(round_trip(move=1, notional_y=math.nan, notional_x=1, costs_y=Costs(1), costs_x=Costs(1)).cost_bp)


def test_a_venue_brings_its_own_costs() -> None:
    assert costs_of(None, "kraken") is PRESETS["kraken"]
    assert costs_of(None, "binance-spot-raw") is PRESETS["binance-spot"]
    assert costs_of("none", "kraken").side_bp == 0
    assert costs_of(Costs(3), "kraken").fee_bp == 3


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean kraken"):
        costs_of("krakn", "kraken")


@pytest.mark.parametrize("wrong", [{"fee_bp": math.nan}, {"fee_bp": 1, "slippage_bp": -1}])
def test_costs_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(WrongUse, match="basis points"):
        Costs(**wrong)


def test_a_maker_may_be_paid() -> None:
    assert Costs(-0.5).side_bp == -0.5
