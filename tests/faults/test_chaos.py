"""Everything at once, by the dice of a seed; a seed that ever failed stays here."""

from pathlib import Path

import pytest

from tests.chaos import rehearse

SEEDS = [(11, "binance-spot"), pytest.param(12, "binance-futures", marks=pytest.mark.nightly)]


@pytest.mark.parametrize(("seed", "venue"), SEEDS)
def test_no_trade_is_lost_twice_or_wrong_whatever_goes_wrong(seed: int, venue: str, tmp_path: Path) -> None:
    verdict, measured = rehearse(seed=seed, seconds=12.0, folder=tmp_path, venue=venue)
    print(measured)
    assert verdict.clean, verdict.line()
    assert measured["gaps"].get("open", 0) == 0
    assert measured["shown"] > 0


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 110))
def test_ten_more_seeds_of_a_minute_each(seed: int, tmp_path: Path) -> None:
    venue = "binance-futures" if seed % 2 else "binance-spot"
    verdict, measured = rehearse(seed=seed, seconds=60.0, folder=tmp_path, venue=venue)
    print(measured)
    assert verdict.clean, verdict.line()
