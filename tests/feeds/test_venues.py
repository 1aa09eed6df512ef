"""The contract of a venue, run over every one: what it says is read back, and nothing that it says can hurt."""

import http.client
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import EARLIEST_MS, MAX_ID, MINUTE, Tick
from pairscope.cli import make_parser
from pairscope.recording.reading import LATEST_MS
from pairscope.recording.venue import Parsed, Request, Span
from tests.exchange.faults import parse_scripts
from tests.exchange.running import running_exchange
from tests.exchange.server import Exchange
from tests.feeds.venue_samples import SAMPLES, Sample, a_tick, assert_documented, at

ROOT = Path(__file__).resolve().parents[2]

every_venue = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.venue.name))
few = settings(max_examples=60)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1", "nan", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def some_ticks(draw: st.DrawFn) -> Tick:
    """Any sound trade; prices and quantities have eight decimals, and the venue's name is put in later."""
    amounts = st.integers(1, 10**14).map(lambda units: units / 10**8)
    return Tick(
        "",
        "",
        draw(st.integers(0, MAX_ID)),
        draw(st.integers(EARLIEST_MS, LATEST_MS - 1)),
        draw(amounts),
        draw(amounts),
        draw(st.sampled_from(["buy", "sell"])),
    )


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value within a JSON value, itself included."""
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*here, key))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Return a JSON value with another one at a place."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


# ---- the stream


@every_venue
@few
@given(tick=some_ticks())
def test_a_trade_is_read_as_it_was_written(sample: Sample, tick: Tick) -> None:
    told = at(sample, tick)
    assert sample.venue.parse(sample.frame(told)) == Parsed(ticks=(told,))


@every_venue
def test_frames_without_trades_are_ignored_by_their_type(sample: Sample) -> None:
    parsed = {text: sample.venue.parse(text.encode()) for text in sample.quiet}
    assert parsed == {text: Parsed(ignored=kind) for text, kind in sample.quiet.items()}


@every_venue
def test_an_error_is_shown_in_the_venues_words(sample: Sample) -> None:
    text, note = sample.error
    assert sample.venue.parse(text.encode()) == Parsed(ignored="error", note=note)


@every_venue
@few
@given(noise=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_noise_has_a_documented_outcome(sample: Sample, noise: bytes) -> None:
    assert_documented(sample.venue.parse(noise))


@every_venue
@settings(max_examples=150)
@given(data=st.data())
def test_any_change_of_a_real_frame_has_a_documented_outcome(sample: Sample, data: st.DataObject) -> None:
    texts = [sample.frame(a_tick(sample)).decode(), sample.error[0], *sample.quiet]
    message = json.loads(data.draw(st.sampled_from(texts)))
    hostile = changed(message, data.draw(st.sampled_from(list(places(message)))), data.draw(JSON))
    assert_documented(sample.venue.parse(json.dumps(hostile).encode()))


@every_venue
@few
@given(data=st.data())
def test_a_frame_that_was_damaged_on_the_way_has_a_documented_outcome(sample: Sample, data: st.DataObject) -> None:
    frame = bytearray(sample.frame(a_tick(sample)))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert_documented(sample.venue.parse(bytes(frame[: data.draw(st.integers(1, len(frame)))])))


@every_venue
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 900 + "]" * 900,
        '{"error":' + "[" * 900 + "]" * 900 + "}",
        "9" * 5_000,
        '{"e":NaN}',
        '{"e":1e999}',
        '"\\ud800"',
        "",
        " ",
        "\x00",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_parsers_stumble_over_is_survived(sample: Sample, text: str) -> None:
    assert_documented(sample.venue.parse(text.encode()))


@every_venue
@pytest.mark.parametrize("new", ["true", '"7"', "7.0", "null", "[7]", "-1", str(2**63), "9" * 5_000, "7e0"])
def test_an_id_that_is_no_whole_number_is_no_trade(sample: Sample, new: str) -> None:
    frame = sample.frame(a_tick(sample, trade_id=777777)).replace(b":777777", b":" + new.encode())
    parsed = sample.venue.parse(frame)
    assert (parsed.ticks, len(parsed.rejected)) == ((), 1)


@every_venue
@pytest.mark.parametrize(
    "new", ['"nan"', '"1_0"', '" 1 "', '"１"', '"1e999"', "NaN", "1e999", '"-1"', '"0"', "true", '""']
)
def test_a_price_that_is_no_positive_number_is_no_trade(sample: Sample, new: str) -> None:
    frame = sample.frame(a_tick(sample)).decode().replace('"61837.63000000"', new).replace("61837.63000000", new)
    parsed = sample.venue.parse(frame.encode())
    assert (parsed.ticks, len(parsed.rejected)) == ((), 1)


@every_venue
def test_of_two_values_for_one_key_the_last_counts(sample: Sample) -> None:
    frame = sample.frame(a_tick(sample, trade_id=777777))
    key = frame[: frame.index(b":777777")].rpartition(b",")[2]
    twice = frame.replace(b":777777", b':"x",' + key + b":777777")
    assert sample.venue.parse(twice) == sample.venue.parse(frame)


@every_venue
def test_messages_name_the_symbols_and_are_told_apart(sample: Sample) -> None:
    venue, symbols = sample.venue, (sample.symbol, "NEW")
    for write in (venue.subscribe, venue.unsubscribe):
        assert all(symbol.lower() in orjson.dumps(json.loads(write(symbols, 2))).decode().lower() for symbol in symbols)
    assert venue.subscribe(symbols, 2) != venue.unsubscribe(symbols, 2)
    opened = venue.socket_path(symbols) + "".join(venue.opening(symbols))
    assert all(symbol.lower() in opened.lower() for symbol in symbols)
    assert venue.socket_path(symbols).startswith("/")


@every_venue
def test_the_address_of_a_connection_is_ascii(sample: Sample) -> None:
    path = sample.venue.socket_path(["币安人生USDT", "A B"])
    assert path.isascii()
    assert " " not in path


# ---- what a venue says of itself


@every_venue
def test_addresses_are_scheme_host_and_port(sample: Sample) -> None:
    for addresses, scheme in ((sample.venue.sockets, "wss"), (sample.venue.rests, "https")):
        assert addresses
        for address in map(urlsplit, addresses):
            assert address == (scheme, address.netloc, "", "", "")


@every_venue
def test_limits_leave_room_to_work(sample: Sample) -> None:
    venue = sample.venue
    requests = [
        venue.trades_request(sample.symbol, Span(1, 1000, 0)),
        venue.newest_request(sample.symbol),
        venue.candles_request(sample.symbol, venue.candle_lengths[-1], 0, 1000 * MINUTE),
        venue.listing_request(),
        venue.time_request(),
    ]
    for request in requests:
        assert request.path.startswith("/")
        assert 1 <= request.weight <= 0.45 * venue.budget.weight
        assert all(type(value) in (str, int) for value in request.params.values())
    assert venue.most_symbols >= 50
    assert venue.page_size >= 100
    assert 3600 <= venue.lifetime_s < 24 * 3600


# ---- the archive


@every_venue
@few
@given(ticks=st.lists(some_ticks(), max_size=4))
def test_a_page_is_read_as_it_was_written(sample: Sample, ticks: list[Tick]) -> None:
    told = [at(sample, tick) for tick in ticks]
    page = sample.venue.read_page(sample.symbol, sample.page(told))
    assert sorted(page.ticks) == sorted(told)
    assert page.rejected == ()


@every_venue
def test_a_bad_row_does_not_spoil_the_page(sample: Sample) -> None:
    good, bad = a_tick(sample, 1), a_tick(sample, 2)._replace(price=0.0)
    page = sample.venue.read_page(sample.symbol, sample.page([good, bad]))
    assert page[:2] == ((good,), ("price is not a positive number",))


@every_venue
def test_candles_are_read_in_time_order(sample: Sample) -> None:
    bars = sample.venue.read_candles(sample.candles.encode())
    assert repr(bars) == repr(list(sample.bars))  # as text, because NaN is not equal to itself


@every_venue
def test_the_listing_says_what_trades(sample: Sample) -> None:
    assert sample.venue.read_listing(sample.listing.encode()) == sample.listed


@every_venue
def test_the_clock_is_read(sample: Sample) -> None:
    assert sample.venue.read_time(sample.clock.encode()) == sample.clock_ms


@every_venue
def test_a_refusal_is_told_in_the_venues_words(sample: Sample) -> None:
    assert sample.venue.read_error(sample.refusal.encode()) == sample.refused
    for body in (b"", b"<html>Forbidden</html>", b"[]", b"{}", b"null", b'{"error":[],"msg":null}', b"[" * 100_000):
        assert sample.venue.read_error(body) == ""


def readers(sample: Sample) -> list[tuple[Callable[[bytes], object], bytes]]:
    venue = sample.venue
    return [
        (lambda body: venue.read_page(sample.symbol, body), sample.page([a_tick(sample)])),
        (venue.read_candles, sample.candles.encode()),
        (venue.read_listing, sample.listing.encode()),
        (venue.read_time, sample.clock.encode()),
    ]


@every_venue
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"5", b'"x"', b"[" * 100_000, b"\xff", b'{"a":1}'])
def test_a_body_that_was_not_asked_for_is_a_value_error(sample: Sample, body: bytes) -> None:
    for read, _ in readers(sample):
        with pytest.raises(ValueError, match=r"^.{5,}"):
            read(body)


@every_venue
@settings(max_examples=150)
@given(data=st.data())
def test_any_change_of_a_body_is_read_or_a_value_error(sample: Sample, data: st.DataObject) -> None:
    read, body = data.draw(st.sampled_from(readers(sample)))
    value = json.loads(body)
    hostile = changed(value, data.draw(st.sampled_from(list(places(value)))), data.draw(JSON))
    with suppress(ValueError):
        read(json.dumps(hostile).encode())


# ---- against the test exchange: the words are understood on the other side


def get(exchange: Exchange, request: Request) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", exchange.port, timeout=10)
    try:
        connection.request("GET", f"{request.path}?{urlencode(request.params)}")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, body
    return body


def ledger_ticks(sample: Sample, exchange: Exchange, first_id: int, last_id: int) -> list[Tick]:
    return [
        Tick(
            sample.venue.name,
            sample.symbol,
            trade.trade_id,
            trade.time_ms,
            float(trade.price),
            float(trade.qty),
            "sell" if trade.buyer_is_maker else "buy",
        )
        for trade in exchange.ledger[sample.symbol].trades(first_id, last_id)
    ]


@every_venue
def test_an_exchange_understands_the_requests(sample: Sample) -> None:
    venue = sample.venue
    with running_exchange(venue.name, [sample.symbol]) as exchange:
        made = exchange.make(sample.symbol, 3000, since_ms=exchange.now_ms() - 30 * MINUTE)
        first, last = made[500], made[1499]
        start = ledger_ticks(sample, exchange, first, first)[0].time_ms
        page = venue.read_page(
            sample.symbol, get(exchange, venue.trades_request(sample.symbol, Span(first, last, start)))
        )
        newest = venue.read_page(sample.symbol, get(exchange, venue.newest_request(sample.symbol)))
        length, now = venue.candle_lengths[-1], exchange.now_ms()
        end = length.floor(now)
        bars = venue.read_candles(get(exchange, venue.candles_request(sample.symbol, length, end - 20 * MINUTE, end)))
        listed = venue.read_listing(get(exchange, venue.listing_request()))
        clock = venue.read_time(get(exchange, venue.time_request()))
        told = ledger_ticks(sample, exchange, made[0], made[-1])
    wanted = [tick for tick in told if first <= tick.trade_id <= last]
    assert set(wanted) >= {tick for tick in page.ticks if tick.trade_id <= last}
    assert len({tick.trade_id for tick in page.ticks} & set(range(first, last + 1))) >= 990
    assert newest.ticks == (told[-1],)
    assert {end - 20 * MINUTE, end - MINUTE} <= {bar.time_ms for bar in bars}
    assert listed[sample.symbol] == ""
    assert abs(clock - now) < 5_000


# ---- docs/adding-an-exchange.md is true


def guide() -> str:
    return (ROOT / "docs" / "adding-an-exchange.md").read_text(encoding="utf-8")


def test_the_commands_of_the_guide_are_understood() -> None:
    commands = re.findall(r"^\.venv/bin/python -m (\S+) (.*)$", guide(), re.MULTILINE)
    assert [module for module, _ in commands] == ["tests.exchange", "pairscope", "pairscope"]
    for module, rest in commands:
        words = shlex.split(rest)
        if module == "pairscope":
            make_parser().parse_args(words)
        else:
            assert parse_scripts(words[words.index("--faults") + 1])


def test_the_names_in_the_guide_exist() -> None:
    """A reader that was renamed, or a table that moved, would send a newcomer astray."""
    told = set(re.findall(r"`([a-z_0-9]+)`", guide())) | set(re.findall(r"`([A-Z][A-Za-z_]+)`", guide()))
    places = ["pairscope/recording/venue.py", "pairscope/recording/reading.py", "pairscope/runtime.py",
              "pairscope/settings.py", "tests/exchange/running.py", "tests/feeds/venue_samples.py",
              "pairscope/feeds/kraken.py", "pairscope/cli/recording.py"]  # fmt: skip
    code = "\n".join((ROOT / place).read_text(encoding="utf-8") for place in places)
    assert {name for name in told if not re.search(rf"\b{name}\b", code)} == set()
