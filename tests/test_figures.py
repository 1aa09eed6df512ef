"""The figures above the chart say what they count, and in what."""

import pytest

from pairscope.views.figures import Units, figures_of, pace_text, units_of


@pytest.mark.parametrize(
    ("symbol", "units"),
    [
        ("BTCUSDT", Units("BTC", "USDT")),
        ("1000SHIBUSDT", Units("1000SHIB", "USDT")),
        ("BTC-USD", Units("BTC", "USD")),
        ("XBT/EUR", Units("XBT", "EUR")),
        ("USDT", Units()),
        ("币安人生", Units()),
    ],
)
def test_a_symbol_tells_its_two_currencies(symbol: str, units: Units) -> None:
    assert units_of(symbol) == units


def test_a_pace_below_one_a_second_is_told_by_the_minute() -> None:
    assert pace_text(8_849, 1_500.0) == "5.9 per second"
    assert pace_text(369, 22_140.0) == "1.0 per minute"


def test_without_bars_every_figure_says_that_it_waits() -> None:
    figures = figures_of(None, units_of("BTCUSDT"))
    assert [each.value for each in figures] == ["–"] * 6
    assert all("first trade" in each.meaning for each in figures)
