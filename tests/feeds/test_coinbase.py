"""Coinbase's own ways: the maker's side, microseconds, pages from the newest down, and real frames."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from market import HOUR, MINUTE, Tick, Timeframe
from pairscope.feeds.coinbase import COINBASE
from pairscope.recording.venue import Parsed, Request, Span

MATCH = {
    "type": "match",
    "trade_id": 881614,
    "maker_order_id": "27fff20b-af29-4f45-8744-56dd1ef57dc0",
    "taker_order_id": "1da6ce16-c8da-4732-9f71-6049f4c6aaf8",
    "side": "sell",
    "size": "0.04",
    "price": "14.7775",
    "product_id": "BAND-GBP",
    "sequence": 333938798,
    "time": "2021-04-17T16:43:30.244999Z",
}


def frame(**changes: Any) -> bytes:
    return json.dumps(MATCH | changes).encode()


def test_a_match_becomes_a_tick_with_the_side_of_the_taker() -> None:
    tick = Tick("coinbase", "BAND-GBP", 881614, 1_618_677_810_244, 14.7775, 0.04, "buy")
    assert COINBASE.parse(frame()) == Parsed(ticks=(tick,))
    assert COINBASE.parse(frame(side="buy")).ticks[0].side == "sell"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": "2021-04-17 16:43:30"}, "time is not a time in RFC 3339"),
        ({"time": None}, "time is not a time in RFC 3339"),
        ({"side": "SELL"}, "side is not one of buy, sell"),
        ({"side": ["sell"]}, "side is not one of buy, sell"),
        ({"price": 14.7}, "price is not a decimal number in a string"),
        ({"size": "0"}, "quantity is not a positive number"),
        ({"trade_id": "881614"}, "trade_id is not an integer"),
        ({"product_id": ""}, "product_id is not a symbol"),
    ],
)
def test_a_match_that_cannot_be_used_is_rejected_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert COINBASE.parse(frame(**changes)) == Parsed(rejected=(reason,))


def test_matches_and_heartbeats_are_subscribed_as_soon_as_the_connection_is_open() -> None:
    (opening,) = COINBASE.opening(["BTC-USD", "ETH-USD"])
    asked = {"type": "subscribe", "product_ids": ["BTC-USD", "ETH-USD"], "channels": ["matches", "heartbeat"]}
    assert json.loads(opening) == asked
    assert json.loads(COINBASE.unsubscribe(["BTC-USD"], 2))["type"] == "unsubscribe"


def test_a_page_ends_with_the_last_trade_that_is_asked_for() -> None:
    asked = COINBASE.trades_request("BTC-USD", Span(1, 5000, 0))
    assert asked == Request("/products/BTC-USD/trades", {"limit": 1000, "after": 5001})
    assert COINBASE.trades_request("BTC-USD", Span(5000, 5000, 0)).params["limit"] == 1
    assert COINBASE.newest_request("A/B").path == "/products/A%2FB/trades"


def test_of_a_long_range_the_last_300_candles_are_asked_for() -> None:
    """Coinbase refuses a range that holds more; both of its ends are included."""
    asked = COINBASE.candles_request("BTC-USD", Timeframe(MINUTE), 1_700_000_040_000 - 9 * HOUR, 1_700_000_040_000)
    assert asked.params == {
        "granularity": 60,
        "start": "2023-11-14T17:14:00.000Z",
        "end": "2023-11-14T22:13:00.000Z",
    }
    short = COINBASE.candles_request("BTC-USD", Timeframe(MINUTE), 1_700_000_040_000, 1_700_000_100_000)
    assert short.params["start"] == short.params["end"] == "2023-11-14T22:14:00.000Z"


def test_recorded_matches_are_whole(shared_data: Path) -> None:
    """Ids count on by one for each product; what else the feed said is told by its type."""
    recording = gzip.decompress((shared_data / "frames" / "cryptofeed_COINBASE.ws.28.0.gz").read_bytes())
    parsed = [COINBASE.parse(text) for text in re.findall(rb"^[0-9.]+: (.*)", recording, re.MULTILINE)]
    ticks = [tick for each in parsed for tick in each.ticks]
    assert (len(ticks), [each.rejected for each in parsed if each.rejected]) == (97, [])
    assert {each.ignored for each in parsed} == {
        None, "subscriptions", "snapshot", "l2update", "ticker", "last_match",
    }  # fmt: skip
    for symbol, count in Counter(tick.symbol for tick in ticks).items():
        keys = [tick.trade_id for tick in ticks if tick.symbol == symbol]
        assert keys == list(range(keys[0], keys[0] + count))
