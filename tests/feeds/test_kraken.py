"""Kraken's own ways: many trades in a frame, old names of coins, pages by nanoseconds, errors with status 200."""

import json
from typing import Any

import pytest

from market import MINUTE, Tick, Timeframe
from pairscope.feeds.kraken import KRAKEN
from pairscope.recording.venue import Parsed, Request, Span

TRADE = {
    "symbol": "BTC/USD",
    "side": "buy",
    "price": 62710.5,
    "qty": 0.0012,
    "ord_type": "market",
    "trade_id": 4711,
    "timestamp": "2026-07-09T17:20:01.130999Z",
}
ROW = ["62710.50000", "0.00120000", 1783617601.1309995, "b", "m", "", 4711]
TICK = Tick("kraken", "BTC/USD", 4711, 1_783_617_601_130, 62710.5, 0.0012, "buy")


def frame(*trades: Any, kind: str = "update") -> bytes:
    return json.dumps({"channel": "trade", "type": kind, "data": trades}).encode()


def answer(*rows: Any, pair: str = "XXBTZUSD", last: Any = "1783617601130999512") -> bytes:
    return json.dumps({"error": [], "result": {pair: rows, "last": last}}).encode()


def test_a_frame_holds_several_trades() -> None:
    second = {**TRADE, "trade_id": 4712, "price": 62711, "side": "sell"}
    expected = TICK._replace(trade_id=4712, price=62711.0, side="sell")
    assert KRAKEN.parse(frame(TRADE, second)) == Parsed(ticks=(TICK, expected))


def test_a_bad_trade_does_not_take_the_good_ones_of_its_frame_with_it() -> None:
    parsed = KRAKEN.parse(frame(TRADE, {**TRADE, "price": 0}, {**TRADE, "price": "1"}, 5))
    reasons = ("price is not a positive number", "price is not a number", "a trade is not a JSON object")
    assert parsed == Parsed(ticks=(TICK,), rejected=reasons)


def test_a_snapshot_is_old_news() -> None:
    assert KRAKEN.parse(frame(TRADE, kind="snapshot")) == Parsed(ignored="snapshot")
    (opening,) = KRAKEN.opening(["BTC/USD"])
    assert json.loads(opening)["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}


def test_a_page_and_the_stream_tell_the_same_trade() -> None:
    """Kraken's pages tell seconds with seven decimals, of which a float would lose the last."""
    page = KRAKEN.read_page("BTC/USD", answer(ROW))
    assert page.ticks == KRAKEN.parse(frame(TRADE)).ticks == (TICK,)
    assert page.cursor == "1783617601130999512"


def test_pages_begin_at_the_gap_and_go_on_where_the_last_one_ended() -> None:
    """`since` is not included, and trades may share a nanosecond: the first page and the next begin one earlier."""
    span = Span(1, 9, 1_783_617_601_130)
    first = KRAKEN.trades_request("BTC/USD", span)
    assert first == Request("/0/public/Trades", {"pair": "XBTUSD", "since": 1783617601129999999, "count": 1000})
    following = KRAKEN.trades_request("BTC/USD", span._replace(cursor="1783617601130999512"))
    assert following.params["since"] == 1783617601130999511
    assert KRAKEN.newest_request("DOGE/EUR").params == {"pair": "XDGEUR", "count": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":["EQuery:Unknown asset pair"]}', "Kraken says: EQuery:Unknown asset pair"),
        (b'{"error":["EAPI:Rate limit exceeded","x"],"result":{}}', "Kraken says: EAPI:Rate limit exceeded, x"),
        (b'{"error":[],"result":{"last":"1"}}', "the answer is about 0 pairs, not one"),
        (b'{"error":[],"result":{"A":[],"B":[],"last":"1"}}', "the answer is about 2 pairs, not one"),
        (answer(ROW, last="soon"), "last is not a time in nanoseconds"),
        (answer(ROW, last=1), "last is not a time in nanoseconds"),
    ],
)
def test_an_answer_that_is_no_page_says_why(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KRAKEN.read_page("BTC/USD", body)


def test_candles_are_asked_for_from_their_start() -> None:
    asked = KRAKEN.candles_request("BTC/USD", Timeframe(MINUTE), 1_700_000_040_000, 1_700_000_100_000)
    assert asked == Request("/0/public/OHLC", {"pair": "XBTUSD", "interval": 1, "since": 1_700_000_039})
