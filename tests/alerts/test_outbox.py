"""Deliveries: each at least once, none too fast, and what goes wrong is told and tried again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from pairscope.stores.alerts import Receipt, delivery_counts, mark_sending, read_due, read_receipts
from tests.alerts.sink import BRIEF, LINK, LONG, T0, Bench, Say, Sink, ids_of

HOUR = 3_600.0


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "a.db")
    yield bench
    bench.close()


def hook(sink: Sink, path: str = "/hook") -> str:
    return f"json://127.0.0.1:{sink.port}{path}"


def only_receipt(bench: Bench, key: int) -> Receipt:
    [receipt] = read_receipts(bench.store, key)
    return receipt


# ------------------------------------------------------------------------------------------------ what is taken


@pytest.mark.parametrize("status", [200, 204])
def test_what_is_taken_is_sent_once_with_a_receipt(bench: Bench, sink: Sink, status: int) -> None:
    sink.answers(Say(status))
    [key] = bench.fire(hook(sink))
    bench.drive()
    bench.drive()
    [asked] = sink.asked
    receipt = only_receipt(bench, key)
    assert (receipt.state, receipt.status, receipt.repeated) == ("sent", status, False)
    assert receipt.address == f"127.0.0.1:{sink.port}"
    assert (asked.method, asked.path) == ("POST", "/hook")
    assert asked.headers["idempotency-key"] == asked.body["dedupe"]
    assert asked.body["id"] == key
    assert asked.body["link"] == f"{LINK}{key}"
    assert delivery_counts(bench.store) == {"sent": 1}


def test_each_channel_of_an_alert_gets_it_under_a_name_of_its_own(bench: Bench, sink: Sink) -> None:
    bench.fire(hook(sink, "/a"), hook(sink, "/b"))
    bench.drive()
    assert sorted(asked.path for asked in sink.asked) == ["/a", "/b"]
    assert len({asked.body["dedupe"] for asked in sink.asked}) == 2


def test_what_fired_stands_in_the_log_once_whether_or_not_somebody_is_told(
    bench: Bench, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    told, silent = bench.fire(hook(sink)) + bench.fire()
    bench.fire(outcome="suppressed", reason="cooldown")
    bench.drive()
    bench.round()
    lines = [record.getMessage() for record in caplog.records if record.name == "pairscope.alerts"]
    pair = "ETHUSDT / BTCUSDT: z-score above 2 (2.31)"
    assert lines == [f"alert {told} (rule 1): {pair}", f"alert {silent} (rule 1): {pair}"]


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("status", "words"), [(400, "answered 400"), (413, "answered 413"), (302, "a redirection")])
def test_a_message_that_is_refused_fails_at_once_and_the_channel_goes_on(
    bench: Bench, sink: Sink, status: int, words: str
) -> None:
    sink.answers(Say(status, {"Location": "http://169.254.169.254/"}), 200)
    [first] = bench.fire(hook(sink))
    bench.drive()
    [second] = bench.fire(hook(sink))
    bench.drive(1)
    assert (only_receipt(bench, first).state, only_receipt(bench, first).status) == ("failed", status)
    assert words in only_receipt(bench, first).words
    assert only_receipt(bench, second).state == "sent"
    assert len(sink.asked) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_channel_that_is_not_there_rests_and_no_alert_is_lost_by_trying_it(
    bench: Bench, sink: Sink, status: int
) -> None:
    sink.answers(*[status] * 4, 200)
    [first] = bench.fire(hook(sink))
    bench.round()
    [second] = bench.fire(hook(sink))
    bench.drive(29)
    [channel] = bench.outbox.status().channels
    assert only_receipt(bench, first).state == "waiting"
    assert (channel.state, bench.outbox.status().waiting, len(sink.asked)) == ("resting", 2, 1)
    assert "not there" in channel.words
    bench.drive(2 * HOUR)
    assert {read_receipts(bench.store, key)[-1].state for key in (first, second)} == {"sent"}
    assert ([asked.body["repeat"] for asked in sink.asked], len(sink.asked)) == ([False] * 6, 6)
    assert bench.outbox.status().channels[0].state == "ok"


def test_what_goes_to_a_channel_that_stays_away_is_given_up_after_a_day(bench: Bench, sink: Sink) -> None:
    sink.answers(404)
    [key] = bench.fire(hook(sink))
    bench.drive(30 * HOUR)
    receipts = read_receipts(bench.store, key)
    assert receipts[-1].words.endswith("given up after 24 h")
    assert 24 * HOUR <= (receipts[-1].time_ms - T0) / 1000 <= 24.5 * HOUR


def test_a_private_address_that_nobody_allowed_is_refused_and_never_asked(tmp_path: Path, sink: Sink) -> None:
    bench = Bench(tmp_path / "b.db", notify_allow=())
    [key] = bench.fire(hook(sink))
    bench.drive()
    receipt = only_receipt(bench, key)
    assert (receipt.state, receipt.status, receipt.address) == ("failed", None, "")
    assert "127.0.0.1 is at 127.0.0.1, which is not public" in receipt.words
    assert sink.asked == []
    bench.close()


# ------------------------------------------------------------------------------------------------ what is tried again


@pytest.mark.parametrize(
    ("say", "status", "words"),
    [
        (Say(408), 408, "answered 408"),
        (Say(425), 425, "answered 425"),
        (Say(429), 429, "answered 429"),
        (Say(500), 500, "answered 500"),
        (Say(503), 503, "answered 503"),
        (Say(how="hang"), None, "no answer within 0.5 s"),
        (Say(how="drip"), None, "no answer within 0.5 s"),
        (Say(how="close"), None, "closed before the answer"),
        (Say(how="cut"), None, "closed before the answer"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(bench: Bench, sink: Sink, say: Say, status: int | None, words: str) -> None:
    sink.answers(say, 200)
    [key] = bench.fire(hook(sink))
    bench.outbox = bench.make(patience=BRIEF if say.how in ("hang", "drip") else LONG)
    bench.round()
    assert len(sink.asked) == 1
    bench.outbox = bench.make()
    bench.drive(60)
    first, second = read_receipts(bench.store, key)
    assert (first.state, first.status, second.state) == ("waiting", status, "sent")
    assert words in first.words
    assert 1.6 <= (second.time_ms - first.time_ms) / 1000 <= 2.5
    uncertain = status in (None, 408, 500, 503)
    assert (second.repeated, sink.asked[1].body["repeat"]) == (uncertain, uncertain)
    assert sink.asked[0].body["dedupe"] == sink.asked[1].body["dedupe"]


@pytest.mark.parametrize("how", ["crawl", "torn"])
def test_an_answer_counts_from_its_head_on(bench: Bench, sink: Sink, how: str) -> None:
    sink.answers(Say(200, body=b"x" * 1_000, how=how))
    bench.outbox = bench.make(patience=BRIEF)
    [key] = bench.fire(hook(sink))
    bench.drive()
    assert (only_receipt(bench, key).state, len(sink.asked)) == ("sent", 1)


def test_of_a_huge_answer_a_piece_is_read(bench: Bench, sink: Sink) -> None:
    sink.answers(Say(200, {"Content-Length": str(10**12)}, b"x" * 2**21))
    [key] = bench.fire(hook(sink))
    bench.drive()
    assert only_receipt(bench, key).state == "sent"


def test_nobody_there_is_told_and_tried_again(bench: Bench) -> None:
    with Sink() as gone:
        address = hook(gone)
    [key] = bench.fire(address)
    bench.round()
    receipt = only_receipt(bench, key)
    assert (receipt.state, receipt.address, receipt.words) == ("waiting", "", "no connection: it was refused")


def wait_of(bench: Bench, sink: Sink, say: Say) -> float:
    """Return the seconds until the second attempt."""
    sink.answers(say, 200)
    [key] = bench.fire(hook(sink))
    bench.drive(3 * HOUR)
    first, second = read_receipts(bench.store, key)
    return (second.time_ms - first.time_ms) / 1000


def test_a_receiver_s_own_wait_is_kept(bench: Bench, sink: Sink) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=T0, seconds=90)
    assert 120 <= wait_of(bench, sink, Say(429, {"Retry-After": "120"})) < 121
    bench.now, bench.seconds = T0, bench.seconds + HOUR
    assert 88 <= wait_of(bench, sink, Say(503, {"Retry-After": format_datetime(moment, usegmt=True)})) < 92
    assert 7 <= wait_of(bench, sink, Say(429, body=b'{"ok":false,"parameters":{"retry_after":7}}')) < 8


@pytest.mark.parametrize("nonsense", ["", "soon", "-5", "1e9", "99999999999999", "Wed, 99 Foo 2026"])
def test_nonsense_about_waiting_is_no_wait(bench: Bench, sink: Sink, nonsense: str) -> None:
    assert wait_of(bench, sink, Say(429, {"Retry-After": nonsense})) < 3


def test_nobody_makes_us_wait_for_more_than_an_hour(bench: Bench, sink: Sink) -> None:
    assert HOUR <= wait_of(bench, sink, Say(429, {"Retry-After": "86400"})) < HOUR + 1


def test_a_delivery_is_given_up_after_a_day(bench: Bench, sink: Sink) -> None:
    sink.answers(500)
    [key] = bench.fire(hook(sink))
    bench.drive(30 * HOUR)
    receipts = read_receipts(bench.store, key)
    assert [each.state for each in receipts[:-1]] == ["waiting"] * (len(receipts) - 1)
    assert receipts[-1].state == "failed"
    assert receipts[-1].words == "answered 500; given up after 24 h"
    assert 24 * HOUR <= (receipts[-1].time_ms - T0) / 1000 <= 24.5 * HOUR
    assert 90 <= len(sink.asked) <= 140
    assert bench.outbox.status().failed == 1


# ------------------------------------------------------------------------------------------------ the channel's pace


def test_after_five_failures_a_channel_is_left_alone_and_then_only_tried(bench: Bench, sink: Sink) -> None:
    sink.answers(500)
    bench.fire(hook(sink), count=5)
    while len(sink.asked) < 5:
        bench.round()
        bench.pass_time(0.1)
    begun = bench.seconds
    assert bench.outbox.status().channels[0].state == "resting"
    bench.drive(29 - 0.1)
    assert len(sink.asked) == 5
    bench.drive(2)
    assert len(sink.asked) == 6
    bench.drive(58)
    assert (len(sink.asked), bench.seconds - begun > 85) == (6, True)
    sink.answers(200)
    bench.drive(60)
    assert delivery_counts(bench.store) == {"sent": 5}


def test_a_channel_that_was_unwell_is_tried_with_one_message_before_a_digest(bench: Bench, sink: Sink) -> None:
    sink.answers(404, 200)
    bench.fire(hook(sink))
    bench.round()
    many = bench.fire(hook(sink), count=8)
    bench.drive()
    assert [asked.body.get("count", 1) for asked in sink.asked] == [1, 1, 8]
    assert sorted(ids_of(asked.body for asked in sink.asked[1:])) == [1, *many]


def test_a_channel_that_hangs_holds_up_only_itself(bench: Bench, sink: Sink) -> None:
    with Sink(lambda asked: Say(how="hang")) as hanging:
        bench.outbox = bench.make(patience=BRIEF)
        bench.fire(hook(hanging), count=3)
        [key] = bench.fire(hook(sink))
        bench.round()
        assert only_receipt(bench, key).state == "sent"
        assert bench.outbox.status().waiting == 3


def test_few_go_one_by_one_and_many_as_one(bench: Bench, sink: Sink) -> None:
    few = bench.fire(hook(sink), count=5)
    bench.drive()
    assert [asked.body["id"] for asked in sink.asked] == few
    sink.asked.clear()
    many = bench.fire(hook(sink), count=30)
    bench.drive()
    [asked] = sink.asked
    assert ids_of([asked.body]) == many
    assert (asked.body["count"], len(asked.body["newest"]), asked.body["newest"][0]["id"]) == (30, 20, many[-1])
    assert asked.body["rules"][0]["count"] == 30
    assert f"all: {many[0]}-{many[-1]}" in asked.body["text"]
    assert {only_receipt(bench, key).state for key in many} == {"digested"}


def test_a_digest_that_fails_comes_again_whole(bench: Bench, sink: Sink) -> None:
    sink.answers(503, 200)
    many = bench.fire(hook(sink), count=8)
    bench.drive()
    delivered = ids_of(asked.body for asked in sink.asked[1:])
    assert sorted(delivered) == many
    assert all(read_receipts(bench.store, key)[-1].state in ("sent", "digested") for key in many)


def test_a_digest_that_is_too_large_is_told_in_smaller_ones(bench: Bench, sink: Sink) -> None:
    sink.script = lambda asked: Say(413 if asked.body.get("count", 1) > 20 else 200)
    many = bench.fire(hook(sink), count=60)
    bench.drive()
    sizes = [asked.body.get("count", 1) for asked in sink.asked]
    assert (sizes[0], sizes[1]) == (60, 30)
    assert sorted(ids_of(asked.body for asked in sink.asked if asked.body.get("count", 1) <= 20)) == many
    assert read_receipts(bench.store, many[0])[0].words == "answered 413 to a digest of 60"
    assert delivery_counts(bench.store).get("failed") is None


def test_after_a_digest_was_too_large_they_grow_again(bench: Bench, sink: Sink) -> None:
    sink.script = lambda asked: Say(413 if asked.body.get("count", 1) > 20 else 200)
    bench.fire(hook(sink), count=24)
    bench.drive()
    sink.asked.clear()
    sink.answers(200)
    bench.fire(hook(sink), count=200)
    bench.drive()
    sizes = [asked.body["count"] for asked in sink.asked]
    assert (sum(sizes), sizes) == (200, [36, 72, 92])


def test_a_receiver_that_takes_no_digest_at_all_is_told_of_each_alone_without_delay(bench: Bench, sink: Sink) -> None:
    sink.script = lambda asked: Say(400 if asked.body.get("count") else 200)
    many, begun = bench.fire(hook(sink), count=40), bench.seconds
    bench.drive()
    assert sorted(ids_of(asked.body for asked in sink.asked if not asked.body.get("count"))) == many
    assert (delivery_counts(bench.store), len(sink.asked) < 70) == ({"sent": 40}, True)
    assert bench.seconds - begun < 61


def test_what_is_refused_in_a_digest_fails_each_alone(bench: Bench, sink: Sink) -> None:
    sink.answers(400)
    many = bench.fire(hook(sink), count=8)
    bench.drive()
    assert delivery_counts(bench.store) == {"failed": 8}
    assert {read_receipts(bench.store, key)[-1].words for key in many} == {"answered 400"}


@pytest.mark.parametrize(("count", "least"), [(60, 0), (62, 60)])
def test_a_channel_gets_at_most_sixty_a_minute(bench: Bench, sink: Sink, count: int, least: int) -> None:
    begun = bench.seconds
    for _ in range(count):
        bench.fire(hook(sink))
        bench.drive()
    assert len(sink.asked) == count
    assert bench.outbox.status().channels[0].state == "ok"
    assert least <= bench.seconds - begun < least + 1


# ------------------------------------------------------------------------------------------------ after a restart


def test_what_was_on_its_way_is_sent_again_and_said_to_be_a_repetition(bench: Bench, sink: Sink) -> None:
    [key] = bench.fire(hook(sink))
    [row] = read_due(bench.store, bench.now)
    mark_sending(bench.store, [row.key], now=bench.now).result(30)
    bench.outbox = bench.make()
    bench.drive()
    [asked] = sink.asked
    assert asked.body["repeat"] is True
    assert "may be a repetition" in asked.body["text"]
    assert only_receipt(bench, key).repeated


def test_what_waited_while_nothing_ran_gets_one_more_attempt(bench: Bench, sink: Sink) -> None:
    sink.answers(500)
    [key] = bench.fire(hook(sink))
    bench.round()
    bench.pass_time(50 * HOUR)
    bench.outbox = bench.make()
    bench.drive()
    assert (len(sink.asked), read_receipts(bench.store, key)[-1].state) == (2, "failed")


# ------------------------------------------------------------------------------------------------ two clocks

DAY_MS = 24 * 3_600_000
APART = [hours * 3_600_000 for hours in (-24, -1, 1, 24)]


@pytest.mark.parametrize("apart", APART)
def test_a_venue_whose_clock_is_another_one_puts_nothing_off_and_gives_nothing_up(
    bench: Bench, sink: Sink, apart: int
) -> None:
    sink.answers(500, 200)
    [key] = bench.fire(hook(sink), decided_ms=T0 + apart, end_ms=T0 + apart)
    bench.round()
    assert only_receipt(bench, key).state == "waiting"
    bench.drive(3)
    assert [each.state for each in read_receipts(bench.store, key)] == ["waiting", "sent"]


@pytest.mark.parametrize("apart", APART)
def test_a_clock_of_this_machine_that_is_set_holds_up_no_delivery(bench: Bench, sink: Sink, apart: int) -> None:
    sink.answers(500, 500, 200)
    [key] = bench.fire(hook(sink))
    bench.round()
    bench.now += apart // 2
    bench.drive(HOUR + 60)
    assert read_receipts(bench.store, key)[-1].state == "sent"


def test_a_delivery_tried_by_a_clock_that_was_ahead_is_given_up_a_day_after_it_was_set(
    bench: Bench, sink: Sink
) -> None:
    sink.answers(500)
    [key] = bench.fire(hook(sink))
    bench.now += 30 * DAY_MS
    bench.round()
    bench.now -= 30 * DAY_MS
    bench.drive(30 * HOUR)
    receipts = read_receipts(bench.store, key)
    assert receipts[-1].state == "failed"
    assert (receipts[-1].time_ms - T0) / 1000 <= 24.5 * HOUR


def test_the_log_does_not_repeat_what_fired_before_a_restart(
    bench: Bench, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fire()
    bench.outbox = bench.make()
    bench.round()
    assert [record for record in caplog.records if record.name == "pairscope.alerts"] == []
