"""Binance's parser: real frames with known answers, and everything a hostile peer can send."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market import MINUTE, SECOND, Tick, Timeframe, flaw
from pairscope.feeds.binance import FUTURES, FUTURES_EDITION, SPOT, SPOT_EDITION, VENUES, Binance, Market, parse
from pairscope.recording.venue import Parsed, Request, Span

SPOT_TRADE = {
    "e": "trade",
    "E": 1723161255343,
    "s": "BTCUSDT",
    "t": 3735683259,
    "p": "61837.63000000",
    "q": "0.02000000",
    "T": 1723161255342,
    "m": True,
    "M": True,
}
FUTURES_TRADE = {
    "e": "trade",
    "E": 1680652874406,
    "T": 1680652874400,
    "s": "BTCUSDT",
    "t": 3535191080,
    "p": "28147.00",
    "q": "0.001",
    "X": "MARKET",
    "m": False,
}
SPOT_AGGREGATE = {
    "e": "aggTrade",
    "E": 1628952396573,
    "s": "FTMUSDT",
    "a": 31718372,
    "p": "0.33993000",
    "q": "99.90000000",
    "f": 38248910,
    "l": 38248910,
    "T": 1628952396572,
    "m": True,
    "M": True,
}


def frame(trade: dict[str, Any], **changes: Any) -> str:
    return json.dumps({key: value for key, value in (trade | changes).items() if value is not ...})


def parsed_file(path: Path) -> tuple[list[Tick], list[str], Counter[str | None]]:
    """Return the ticks, the reasons of rejections and the ignored types of a recording."""
    ticks: list[Tick] = []
    rejected: list[str] = []
    ignored: Counter[str | None] = Counter()
    for text in re.findall(rb"^[0-9.]+:? (.*)", gzip.decompress(path.read_bytes()), re.MULTILINE):
        parsed = parse(text)
        ticks += parsed.ticks
        rejected += parsed.rejected
        ignored[parsed.ignored] += 1
    return ticks, rejected, ignored


def test_a_spot_trade_becomes_a_tick_of_the_raw_venue() -> None:
    tick = Tick("binance-spot-raw", "BTCUSDT", 3735683259, 1723161255342, 61837.63, 0.02, "sell")
    assert parse(frame(SPOT_TRADE)) == Parsed(ticks=(tick,))


def test_a_combined_frame_holds_the_same_as_a_bare_one() -> None:
    combined = json.dumps({"stream": "btcusdt@trade", "data": SPOT_TRADE})
    assert parse(combined) == parse(combined.encode()) == parse(frame(SPOT_TRADE))


def test_an_aggregate_has_its_own_id_and_not_an_order_id() -> None:
    (tick,) = parse(frame(SPOT_AGGREGATE)).ticks
    assert (tick.venue, tick.trade_id) == ("binance-spot", 31718372)
    # Until June 2024 raw spot trades had `a` and `b` too: order ids.
    (raw,) = parse(frame(SPOT_TRADE, a=1, b=2)).ticks
    assert raw.trade_id == 3735683259


@pytest.mark.parametrize(("maker", "side"), [(True, "sell"), (False, "buy")])
def test_the_side_is_the_takers(maker: bool, side: str) -> None:
    assert parse(frame(SPOT_TRADE, m=maker)).ticks[0].side == side


@pytest.mark.parametrize(
    ("market", "venues"),
    [
        ("spot", ["binance-spot-raw", "binance-spot-raw", "binance-spot"]),
        ("futures", ["binance-futures-raw", "binance-futures-raw", "binance-futures"]),
        (None, ["binance-spot-raw", "binance-futures-raw", "binance-spot"]),
    ],
)
def test_the_market_that_is_told_goes_before_the_key_that_hints_at_it(market: Market | None, venues: list[str]) -> None:
    trades = (SPOT_TRADE, FUTURES_TRADE, SPOT_AGGREGATE)
    assert [parse(frame(trade), market=market).ticks[0].venue for trade in trades] == venues


def test_microseconds_are_told_by_their_size() -> None:
    assert parse(frame(SPOT_TRADE, T=1723161255342999)).ticks[0].time_ms == 1723161255342


def test_a_symbol_need_not_be_ascii() -> None:
    assert parse(frame(SPOT_TRADE, s="币安人生USDT")).ticks[0].symbol == "币安人生USDT"


def test_keys_that_are_not_known_yet_do_no_harm() -> None:
    assert parse(frame(SPOT_AGGREGATE, M=..., nq="1.0", st=1)).ticks[0].venue == "binance-futures"


@pytest.mark.parametrize(
    ("trade", "changes", "reason"),
    [
        (FUTURES_TRADE, {"X": "INSURANCE_FUND"}, "not a market trade: X is INSURANCE_FUND"),
        (FUTURES_TRADE, {"X": "NA", "p": "0", "q": "0"}, "not a market trade: X is NA"),
        (FUTURES_TRADE, {"X": ["?"]}, "not a market trade: X is unknown"),
        (SPOT_AGGREGATE, {"f": -1, "l": -1, "p": "0", "q": "0"}, "blanked by the exchange: f is -1"),
        (SPOT_TRADE, {"p": "0.00"}, "price is not a positive number"),
        (SPOT_TRADE, {"q": "0.00"}, "quantity is not a positive number"),
        (SPOT_TRADE, {"p": "-1"}, "price is not a positive number"),
        (SPOT_TRADE, {"p": "nan"}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"p": "1_0"}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"p": " 1 "}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"p": "１"}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"p": "1."}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"p": "9" * 400}, "p is not a decimal number in a string"),
        (SPOT_TRADE, {"q": 0.02}, "q is not a decimal number in a string"),
        (SPOT_TRADE, {"t": 2**63}, "trade id is not an integer from 0 to 2**63 - 1"),
        (SPOT_TRADE, {"t": 10**40}, "trade id is not an integer from 0 to 2**63 - 1"),
        (SPOT_TRADE, {"t": True}, "trade id is not an integer from 0 to 2**63 - 1"),
        (SPOT_TRADE, {"t": ...}, "trade id is not an integer from 0 to 2**63 - 1"),
        (SPOT_TRADE, {"T": "1723161255342"}, "T is not an integer"),
        (SPOT_TRADE, {"T": 0}, "time is not in epoch milliseconds"),
        (SPOT_TRADE, {"T": 10**18}, "time is in the future"),
        (SPOT_TRADE, {"s": ""}, "s is not a symbol"),
        (SPOT_TRADE, {"s": "BTC\nUSDT"}, "s is not a symbol"),
        (SPOT_TRADE, {"s": "B" * 65}, "s is not a symbol"),
        (SPOT_TRADE, {"m": 1}, "m is not true or false"),
    ],
)
def test_a_trade_that_cannot_be_used_is_rejected_with_its_reason(
    trade: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    assert parse(frame(trade, **changes)) == Parsed(rejected=(reason,))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"result":null,"id":1}', "ack"),
        ('{"e":"serverShutdown","E":1}', "serverShutdown"),
        ('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', "serverShutdown"),
        ('{"e":"kline","k":{}}', "kline"),
        ('{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}', "bookTicker"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "snapshot"),
        ('{"e":"somethingNew"}', "other"),
        ('{"e":{}}', "other"),
        ('[{"e":"24hrTicker"}]', "other"),
    ],
)
def test_what_is_not_a_trade_is_ignored_by_its_type(text: str, kind: str) -> None:
    assert parse(text) == Parsed(ignored=kind)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"e":NaN}', "[" * 100_000, '{"a":' * 5_000, '"\\ud800"', b"\xff", "\ud800"]
)
def test_what_is_not_json_is_rejected(text: str | bytes) -> None:
    assert parse(text) == Parsed(rejected=("not JSON",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("null", "not a JSON object"),
        ("5", "not a JSON object"),
        ('"x"', "not a JSON object"),
        ('{"stream":"x"}', "data is not a JSON object"),
        ('{"stream":"x","data":5}', "data is not a JSON object"),
    ],
)
def test_json_that_is_no_object_is_rejected(text: str, reason: str) -> None:
    assert parse(text) == Parsed(rejected=(reason,))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ('{"code":2,"msg":"Invalid request"}', "Invalid request: 2"),
        ('{"error":{"code":3,"msg":"Invalid JSON\\n"},"id":1}', "Invalid JSON : 3"),
        ('{"error":"no","id":1}', "no"),
        ('{"code":{},"msg":[[]]}', ""),
    ],
)
def test_an_error_is_noted_in_both_of_its_shapes(text: str, note: str) -> None:
    assert parse(text) == Parsed(ignored="error", note=note)


@pytest.mark.parametrize("stream", ["ethusdt@trade", "btcusdt@aggTrade", "BTCUSDT@trade", "x", None, 7])
def test_a_stream_whose_name_is_not_the_symbols_is_rejected(stream: object) -> None:
    text = json.dumps({"stream": stream, "data": SPOT_TRADE})
    assert parse(text) == Parsed(rejected=("stream and symbol differ",))


def assert_documented(parsed: Parsed) -> None:
    assert bool(parsed.ticks) + bool(parsed.rejected) + bool(parsed.ignored) == 1
    for tick in parsed.ticks:
        assert flaw(tick, latest_ms=10**14) is None
        assert tick.venue in VENUES.values()


@settings(max_examples=300)
@given(st.text() | st.binary())
def test_any_text_or_bytes_has_a_documented_outcome(noise: str | bytes) -> None:
    assert_documented(parse(noise))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    trade=st.sampled_from([SPOT_TRADE, FUTURES_TRADE, SPOT_AGGREGATE]),
    changes=st.dictionaries(st.sampled_from("eEsatpqflTmMX"), JSON, max_size=3),
    wrapped=st.booleans(),
)
@example(trade=SPOT_TRADE, changes={"e": []}, wrapped=True)
def test_any_change_of_a_real_frame_has_a_documented_outcome(
    trade: dict[str, Any], changes: dict[str, Any], wrapped: bool
) -> None:
    changed = trade | changes
    assert_documented(parse(json.dumps({"stream": "x", "data": changed} if wrapped else changed)))


@pytest.mark.parametrize(
    ("name", "venue", "symbol", "first", "last", "rejected"),
    [
        ("hft_spot_btcusdt_20240808.gz", "binance-spot-raw", "BTCUSDT", 3735683259, 3735693015, []),
        ("hft_spot_ethusdt_20240808.gz", "binance-spot-raw", "ETHUSDT", 1520538925, 1520545030, []),
        ("tradeonly_usdm_btcusdt_202408.txt.gz", "binance-futures-raw", "BTCUSDT", 5266583935, 5266605247, []),
        ("tradeonly_usdm_ethusdt_202408.txt.gz", "binance-futures-raw", "ETHUSDT", 4308068523, 4308082598, []),
        (
            "tradeonly_usdm_btcusdt_202304.txt.gz",
            "binance-futures-raw",
            "BTCUSDT",
            3535186032,
            3535198966,
            [3535191080],
        ),
    ],
)
def test_recorded_raw_trades_are_whole(
    shared_data: Path, name: str, venue: str, symbol: str, first: int, last: int, rejected: list[int]
) -> None:
    ticks, reasons, _ = parsed_file(shared_data / "frames" / name)
    assert [tick.trade_id for tick in ticks] == [key for key in range(first, last + 1) if key not in rejected]
    assert {tick.instrument for tick in ticks} == {(venue, symbol)}
    assert reasons == ["not a market trade: X is INSURANCE_FUND"] * len(rejected)


@pytest.mark.parametrize(
    ("name", "venue", "count", "others"),
    [
        (
            "cryptofeed_BINANCE.ws.1.0@202108.gz",
            "binance-spot",
            28,
            {"depthUpdate": 546, "kline": 17, "bookTicker": 412},
        ),
        (
            "cryptofeed_BINANCE_FUTURES.ws.1.0.gz",
            "binance-futures",
            91,
            {"depthUpdate": 764, "kline": 67, "bookTicker": 613},
        ),
    ],
)
def test_recorded_aggregates_stand_out_from_the_rest(
    shared_data: Path, name: str, venue: str, count: int, others: dict[str, int]
) -> None:
    ticks, reasons, ignored = parsed_file(shared_data / "frames" / name)
    assert (len(ticks), {tick.venue for tick in ticks}, reasons) == (count, {venue}, [])
    assert ignored == Counter({None: count}) + Counter(others)
    for symbol in {tick.symbol for tick in ticks}:
        keys = [tick.trade_id for tick in ticks if tick.symbol == symbol]
        assert keys == list(range(keys[0], keys[0] + len(keys)))


@pytest.mark.parametrize(
    ("name", "venue"),
    [("cryptofeed_BINANCE.ws.1.0@202108.gz", SPOT), ("cryptofeed_BINANCE_FUTURES.ws.1.0.gz", FUTURES)],
)
def test_a_venue_reads_its_recording_as_the_replay_does(shared_data: Path, name: str, venue: Binance) -> None:
    recording = gzip.decompress((shared_data / "frames" / name).read_bytes())
    frames = re.findall(rb"^[0-9.]+: (.*)", recording, re.MULTILINE)
    assert [venue.parse(text) for text in frames] == [parse(text) for text in frames]


def test_the_stray_snapshot_of_the_recorder_is_ignored(shared_data: Path) -> None:
    _, _, ignored = parsed_file(shared_data / "frames" / "hft_spot_btcusdt_20240808.gz")
    assert ignored == {None: 9757, "bookTicker": 28040, "depthUpdate": 3451, "snapshot": 1}


def test_another_venues_frames_hold_nothing_for_us(shared_data: Path) -> None:
    ticks, reasons, ignored = parsed_file(shared_data / "frames" / "cryptofeed_COINBASE.ws.28.0.gz")
    assert (ticks, reasons, set(ignored)) == ([], [], {"other"})


# ---- the quick way and the careful way

AGGREGATE = {key: json.dumps(value) for key, value in SPOT_AGGREGATE.items()}
HOSTILE = [
    *("null", "true", "false", "-1", "0", "1", "1.0", "1e3", "-0", '""', '"x"', "[]", "{}", "NaN", "1e999", "01"),
    *('"1"', '"1e5"', '" 1"', '"1 "', '"-0.5"', '"0"', '"0.0"', '"nan"', '"1_0"', '"１"', '"\\u0031"', '"\\ud800"'),
    *(str(2**63 - 1), str(2**63), "9" * 308, "9" * 310, "9" * 5000, '"' + "9" * 40 + '"', '"' + "9" * 41 + '"'),
    *("631151999999", "631152000000", "99999999999999", "100000000000000", '"MARKET"', '"NA"', '"aggTrade"'),
    *('"FTMUSDT"', '"ftmusdt"', '"\\u0046TMUSDT"', '"币安人生USDT"', '"FTM\\nUSDT"', '"' + "F" * 65 + '"', '"\\/"'),
]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Write a combined frame with some values replaced, added, left out, given twice, or in another order."""
    pairs = list(AGGREGATE.items())
    keys = st.sampled_from([*AGGREGATE, "X", "nq", "st", "new"])
    for key in draw(st.lists(keys, max_size=2)):
        value = draw(st.sampled_from(HOSTILE))
        pairs = draw(
            st.sampled_from(
                [
                    [(each, value if each == key else old) for each, old in pairs],
                    [*pairs, (key, value)],
                    [(key, value), *pairs],
                    [(each, old) for each, old in pairs if each != key],
                ]
            )
        )
    colon = draw(st.sampled_from([":", ": ", "\n:\t"]))
    trade = ",".join(f'"{key}"{colon}{value}' for key, value in pairs)
    stream = draw(st.sampled_from(["ftmusdt@aggTrade", "FTMUSDT@aggTrade", "x", "ftmusdt\\u0040aggTrade"]))
    tail = draw(st.sampled_from(["", "", "", " ", "x", ',"stream":"ftmusdt@aggTrade"']))
    closed = "}" + tail if tail in ("", " ", "x") else tail + "}"
    return f'{{"stream":"{stream}","data":{{{trade}}}{closed}'.encode()


def test_the_quick_way_says_the_same_of_every_hostile_value_in_every_place() -> None:
    venue = Binance(SPOT_EDITION)
    venue.parse(combined(SPOT_AGGREGATE))  # from now on it is quick about this symbol
    for key in (*AGGREGATE, "X", "nq", "st", "new"):
        for value in HOSTILE:
            trade = ",".join(f'"{each}":{old}' for each, old in (AGGREGATE | {key: value}).items())
            text = f'{{"stream":"ftmusdt@aggTrade","data":{{{trade}}}}}'.encode()
            assert repr(venue.parse(text)) == repr(venue.parse_with_care(text)), text


@settings(max_examples=300)
@given(text=frames())
def test_the_quick_way_says_what_the_careful_way_says(text: bytes) -> None:
    venue = Binance(SPOT_EDITION)
    venue.parse(combined(SPOT_AGGREGATE))  # from now on it is quick about this symbol
    assert repr(venue.parse(text)) == repr(venue.parse_with_care(text))


@settings(max_examples=200)
@given(text=st.decimals(0, 10**9, allow_nan=False).map(str), at=st.sampled_from("pq"))
def test_the_quick_way_reads_numbers_as_python_does(text: str, at: str) -> None:
    venue = Binance(SPOT_EDITION)
    for _ in range(2):
        parsed = venue.parse(combined({**SPOT_AGGREGATE, at: text}))
        assert all(float(text) in tick for tick in parsed.ticks)


def combined(trade: Mapping[str, Any]) -> bytes:
    return json.dumps({"stream": f"{trade['s'].lower()}@aggTrade", "data": trade}).encode()


def test_the_quick_way_knows_both_forms_of_futures_frames() -> None:
    old = {key: value for key, value in SPOT_AGGREGATE.items() if key != "M"}
    venue = Binance(FUTURES_EDITION)
    first = [venue.parse(combined(trade)) for trade in (old, {**old, "nq": "99.9", "st": 1}, {**old, "new": [1]})]
    again = [venue.parse(combined(trade)) for trade in (old, {**old, "nq": "99.9", "st": 1}, {**old, "new": [1]})]
    assert first == again == [first[0]] * 3
    assert first[0].ticks[0].venue == "binance-futures"


def test_what_is_remembered_of_symbols_is_bounded() -> None:
    venue = Binance(SPOT_EDITION)
    for number in range(5000):
        assert venue.parse(combined({**SPOT_AGGREGATE, "s": f"S{number}"})).ticks
    assert len(venue._names) <= 4096


# ---- what is asked for


def test_spot_streams_stand_in_the_address_in_lower_case() -> None:
    assert SPOT.socket_path(["BTCUSDT", "币安人生USDT"]) == (
        "/stream?streams=btcusdt@aggTrade/%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@aggTrade"
    )
    assert SPOT.opening(["BTCUSDT"]) == ()


def test_futures_streams_go_by_the_market_route() -> None:
    """Without it the exchange takes the subscription and never sends a trade."""
    assert FUTURES.socket_path(["BTCUSDT"]) == "/market/stream?streams=btcusdt@aggTrade"


def test_a_subscription_is_numbered() -> None:
    assert json.loads(SPOT.subscribe(["BTCUSDT", "ETHUSDT"], 3)) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@aggTrade", "ethusdt@aggTrade"],
        "id": 3,
    }
    assert json.loads(FUTURES.unsubscribe(["BTCUSDT"], 4))["method"] == "UNSUBSCRIBE"


@pytest.mark.parametrize(("venue", "path", "weight"), [(SPOT, "/api/v3/", 4), (FUTURES, "/fapi/v1/", 20)])
def test_trades_are_asked_for_by_id_and_never_by_time_as_well(venue: Binance, path: str, weight: int) -> None:
    asked = venue.trades_request("BTCUSDT", Span(5, 5000, 1_700_000_000_000))
    assert asked == Request(path + "aggTrades", {"symbol": "BTCUSDT", "limit": 1000, "fromId": 5}, weight)
    assert venue.trades_request("BTCUSDT", Span(5, 7, 0)).params["limit"] == 3
    assert venue.newest_request("BTCUSDT") == Request(path + "aggTrades", {"symbol": "BTCUSDT", "limit": 1}, weight)


@pytest.mark.parametrize(("minutes", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (2000, 5)])
def test_candles_of_futures_cost_by_their_number(minutes: int, weight: int) -> None:
    asked = FUTURES.candles_request("BTCUSDT", Timeframe(MINUTE), 0, minutes * MINUTE)
    assert (asked.weight, asked.params["limit"]) == (weight, min(minutes, 1000))
    assert SPOT.candles_request("BTCUSDT", Timeframe(MINUTE), 0, minutes * MINUTE).weight == 2


def test_candles_are_asked_for_by_their_starts_and_spot_has_seconds() -> None:
    asked = SPOT.candles_request("BTCUSDT", Timeframe(SECOND), 60_000, 120_000)
    params: dict[str, str | int] = {
        "symbol": "BTCUSDT",
        "interval": "1s",
        "startTime": 60_000,
        "endTime": 119_999,
        "limit": 60,
    }
    assert asked == Request("/api/v3/klines", params, 2)
    assert SPOT.candle_lengths == (Timeframe(SECOND), Timeframe(MINUTE))
    assert FUTURES.candle_lengths == (Timeframe(MINUTE),)


def test_rows_that_binance_blanked_are_left_out() -> None:
    row = {"a": 7, "p": "1.5", "q": "2", "f": 1, "l": 1, "T": 1_700_000_000_000, "m": False}
    blanked = {**row, "a": 8, "p": "0", "q": "0", "f": -1, "l": -1}
    page = SPOT.read_page("BTCUSDT", json.dumps([row, blanked, {**row, "a": 9, "q": "0"}]).encode())
    assert [tick.trade_id for tick in page.ticks] == [7]
    assert page.rejected == ("quantity is not a positive number",)
