"""Channels: which addresses are taken, what each kind is sent, and that no secret is told anywhere."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import WrongUse
from pairscope.alerts.channels import KINDS, limits_of, split
from pairscope.alerts.messages import Due, Message, alert_values, digest_of, message_of, ranges, shown, title_of
from pairscope.alerts.notify import Deliverer, check_channel, privacy_note, send_test, send_tests
from pairscope.settings import Secrets, Settings
from pairscope.stores.alerts import Decision, Waiting, delivery_counts, read_due
from store import SqliteReader, StoreError
from tests.alerts.sink import BRIEF, LINK, LONG, T0, Asked, Bench, Say, Sink, decision
from tests.faults.desk import wait_for

T = TypeVar("T")
CANARY = "Canary4711xOfNobody"
SECRETS = Secrets.of({"HOOK": "123", "TOKEN": CANARY, "A": "T1", "B": "B2", "BOT": f"42:{CANARY}", "MAIL": CANARY})
SETTINGS = replace(Settings(notify_allow=("127.0.0.1",)), secrets=SECRETS)


def kept(**changes: Any) -> Decision:
    new = decision(**changes)
    values = {name: getattr(new, name) for name in new.__dataclass_fields__}
    return Decision(**values, id=7, over_ms=None, acknowledged_ms=None, note="")


def due(key: int = 1, *, repeat: bool = False, **changes: Any) -> Due:
    found = replace(kept(**changes), id=key)
    return Due(Waiting(key, found, "json://h/", f"{key}-abc", "waiting", 0, T0), repeat)


def posted(address: str, message: Message | None = None, settings: Settings = SETTINGS) -> tuple[str, Any, Any]:
    parts = split(address)
    post = KINDS[parts.scheme].post(parts, settings, message or message_of(due(), f"{LINK}7"))
    return post.url, json.loads(post.content), post.headers


# ------------------------------------------------------------------------------------------------ addresses

TAKEN = [
    "json://127.0.0.1:9000/hook",
    "jsons://hooks.example/a/b?room=5",
    "json://me:{TOKEN}@hooks.example/",
    "json://{TOKEN}@hooks.example/{HOOK}/x",
    "json://hooks.example/?+Authorization=Bearer%20{TOKEN}&token={TOKEN}",
    "json://[::1]:9000/",
    "discord://{HOOK}/{TOKEN}",
    "discord://123456789012345678/{TOKEN}",
    "slack://{A}/{B}/{TOKEN}",
    "slack://{TOKEN}",
    "tgram://{BOT}/-100123",
    "tgram://{BOT}/@my_channel",
    "ntfy://my-topic",
    "ntfys://ntfy.example:8443/my-topic",
    "ntfy://me:{TOKEN}@ntfy.example/my-topic",
    "ntfy://{TOKEN}@ntfy.example/my-topic",
]


@pytest.mark.parametrize("address", TAKEN)
def test_an_address_is_taken_as_it_is(address: str) -> None:
    assert check_channel(address, SETTINGS) == address
    assert check_channel(f"  {address.replace('://', '://', 1)} ", SETTINGS) == address


def test_an_address_is_kept_with_its_kind_in_small_letters_and_its_secrets_in_capitals() -> None:
    assert check_channel(" DISCORD://{hook}/{Token}", SETTINGS) == "discord://{HOOK}/{TOKEN}"


IN_CLEAR = [
    f"json://me:{CANARY}@h.example/",
    f"json://{CANARY}@h.example/",
    "json://me:short@h.example/",
    "json://me:{TOKEN}extra@h.example/",
    "json://h.example/?token=abc",
    "json://h.example/?api_key=abc",
    "json://h.example/?Password=abc",
    "json://h.example/?sig=abc{TOKEN}",
    "json://h.example/?+Authorization=Bearer%20abc",
    "json://h.example/?+X-Auth-Token=abc",
    f"json://h.example/{CANARY}",
    f"json://h.example/?x={CANARY}",
    "json://h.example/hooks/123e4567-e89b-12d3-a456-426614174000",
    "discord://123/abcdef",
    f"discord://{{HOOK}}/{CANARY}",
    "slack://T1/B2/abc",
    "slack://{A}/{B}/abc{TOKEN}",
    "tgram://42:abc/123",
    f"tgram://42:{CANARY}/123",
    "ntfy://me:abc@ntfy.example/topic",
    "ntfy://tk_abc@ntfy.example/topic",
    f"mailto://me:{CANARY}@mail.example",
    f"xml://h.example/?secret={CANARY}",
]


@pytest.mark.parametrize("address", IN_CLEAR)
def test_a_secret_in_clear_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(WrongUse, match=r"stands in clear; write \{NAME\} there") as caught:
        check_channel(address, SETTINGS)
    assert CANARY not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "a channel is an address"),
        ("hello", "a channel is an address"),
        ("json://a b/", "a channel is an address"),
        ("json://a\n/", "a channel is an address"),
        ("json://h/" + "x" * 2_000, "at most 1,000 letters"),
        ("json://", "a channel is an address"),
        ("json:///path", "is written json://HOST"),
        ("json://h.example:99999/", "the port of this json:// address is none"),
        ("json://[::1/", "its host cannot be read"),
        ("json://h%41/", "is written json://HOST"),
        ("https://h.example/x", "write jsons://"),
        ("discord://{HOOK}", "is written discord://"),
        ("discord://{HOOK}/{TOKEN}/x", "is written discord://"),
        ("discord://{HOOK}/{TOKEN}?x=1", "is written discord://"),
        ("slack://{A}/{TOKEN}", "is written slack://"),
        ("tgram://{BOT}", "is written tgram://"),
        ("tgram://{BOT}/a/b", "is written tgram://"),
        ("ntfy://h/a/b", "is written ntfy://"),
        ("ntfy://bad.topic", "is written ntfy://"),
        ("json://h.example/?+Host=x", "no header that a channel may set"),
        ("json://h.example/?+A%0AB=x", "no header that a channel may set"),
        ("json://h.example/?+A=x%0Ay", "must be ASCII of one line"),
        ("json://h.example/{NOBODY}", "unknown secret 'NOBODY'"),
        ("json://h.example/{TOKN}", r"did you mean TOKEN\?"),
    ],
)
def test_nonsense_is_refused_with_the_reason(address: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        check_channel(address, SETTINGS)


@given(st.text(max_size=60), st.sampled_from(["json", "jsons", "discord", "slack", "tgram", "ntfy", "ntfys", ""]))
def test_no_text_breaks_the_check(text: str, scheme: str) -> None:
    address = f"{scheme}://{text}" if scheme else text.replace("://", "")
    try:
        taken = check_channel(address, SETTINGS)
    except WrongUse:
        return
    assert check_channel(taken, SETTINGS) == taken


@pytest.mark.parametrize(
    ("address", "allow", "asked"),
    [
        ("json://127.0.0.1:9000/hook", (), "127.0.0.1"),
        ("json://me:{TOKEN}@127.0.0.1/", ("192.168.0.0/16",), "192.168.0.0/16,127.0.0.1"),
        ("json://localhost/", ("127.0.0.1",), "127.0.0.1,localhost"),
        ("json://[::1]:9000/", (), "::1"),
        ("xml://192.168.1.5/x", (), "192.168.1.5"),
        ("ntfy://10.0.0.1/topic", (), "10.0.0.1"),
    ],
)
def test_a_private_place_is_noted_with_what_lets_it_be_reached(address: str, allow: Any, asked: str) -> None:
    note = privacy_note(address, Settings(notify_allow=allow))
    assert note.endswith(f" is private: start the process that records with PAIRSCOPE_NOTIFY_ALLOW={asked}")
    assert CANARY not in note
    assert privacy_note(address, Settings(notify_allow=tuple(asked.split(",")))) == ""


@pytest.mark.parametrize("address", [*TAKEN[1:5], "ntfy://localhost", "json://8.8.8.8/", "tgram://{BOT}/10"])
def test_a_public_place_and_a_name_need_no_note(address: str) -> None:
    assert privacy_note(address, Settings()) == ""


# ------------------------------------------------------------------------------------------------ what is sent


def test_a_program_is_told_all_of_it() -> None:
    url, body, headers = posted("json://me:{TOKEN}@h.example:9000/a b/{BOT}?room=5&+X-Key={TOKEN}".replace(" ", "%20"))
    assert url == f"http://h.example:9000/a%20b/42%3A{CANARY}?room=5"
    assert headers["X-Key"] == CANARY
    assert headers["Authorization"].startswith("Basic ")
    assert headers["Idempotency-Key"] == body["dedupe"] == "1-abc"
    assert set(body) == {
        *("version", "id", "dedupe", "repeat", "time", "bar", "rule_id", "rule", "pair", "y", "x", "timeframe"),
        *("outcome", "severity", "metric", "direction", "value", "threshold", "late", "late_seconds", "label"),
        *("link", "note", "title", "text"),
    }
    assert (body["version"], body["pair"], body["value"]) == (1, "ETHUSDT / BTCUSDT", 2.3123)
    assert (body["y"], body["x"]) == ("binance-spot:ETHUSDT", "binance-spot:BTCUSDT")
    assert body["time"] == "2026-11-21T08:33:20.000Z"
    assert body["title"] == "ETHUSDT / BTCUSDT: z-score above 2 (2.31)"


def test_symbols_with_a_slash_are_told_apart() -> None:
    found = alert_values(kept(target="kraken:ETH/USD/kraken:XBT/USD"))
    assert (found["y"], found["x"], found["pair"]) == ("kraken:ETH/USD", "kraken:XBT/USD", "ETH/USD / XBT/USD")
    assert alert_values(kept(target="kraken:ETH/USD"))["x"] == ""


def test_no_number_is_null_for_programs_and_a_dash_for_people() -> None:
    for nothing in (None, float("nan"), float("inf")):
        found = kept(value=nothing)
        assert alert_values(found)["value"] is None
        assert title_of(found).endswith("above 2 (–)")


def test_an_absolute_value_is_told_on_its_own_side_of_zero() -> None:
    assert title_of(kept(direction="below", value=-2.31)).endswith("z-score below -2 (-2.31)")
    assert title_of(kept(direction="below", value=-2.31, rule={"when": "z < 2"})).endswith("z-score below 2 (-2.31)")
    other = kept(metric="correlation", direction="below", value=-0.3, threshold=0.5, rule={"when": f"{MIXED} < 0.5"})
    assert title_of(other).endswith("correlation below 0.5 (-0.3)")


def test_people_are_told_what_is_not_as_usual() -> None:
    rule = {"when": "z > 2", "note": "look\nat it", "severity": "critical"}
    found = message_of(due(late=True, decided_ms=T0 + 42_000, label="SIMULATED", rule=rule, repeat=True), LINK)
    assert found.lines[0] == "bar 2026-11-21T08:32:20.000Z"
    assert found.lines[2:] == ("SIMULATED", "late by 42 s", "note: look at it", "may be a repetition")
    assert (found.severity, found.body["late_seconds"]) == ("critical", 42.0)
    assert "LIVE" not in message_of(due(), LINK).text


MIXED = "abs(z) > 2 and correlation"
HOSTILE = "<@everyone> *b* [x](http://evil.example) <!channel> & `c` <script>"


def hostile() -> Message:
    return message_of(due(target=f"v:{HOSTILE}", rule={"when": "price > 2", "note": HOSTILE}), LINK)


def test_foreign_text_is_inert_in_discord() -> None:
    url, body, _ = posted("discord://{HOOK}/{TOKEN}", hostile())
    assert url == f"https://discord.com/api/webhooks/123/{CANARY}"
    assert body["allowed_mentions"] == {"parse": []}
    assert r"\[x\]\(http://evil.example\)" in body["content"]
    assert r"\<\@everyone\>" in body["content"]
    assert body["content"].endswith(f"<{LINK}>")


def test_foreign_text_is_inert_in_slack() -> None:
    url, body, _ = posted("slack://{A}/{B}/{TOKEN}", hostile())
    assert url == f"https://hooks.slack.com/services/T1/B2/{CANARY}"
    assert "<" not in body["text"]
    assert "&lt;!channel&gt; &amp;" in body["text"]
    assert body["mrkdwn"] is False


def test_foreign_text_is_inert_in_telegram_and_ntfy() -> None:
    url, body, _ = posted("tgram://{BOT}/-100123", hostile())
    assert url == f"https://api.telegram.org/bot42:{CANARY}/sendMessage"
    assert "parse_mode" not in body
    assert body["chat_id"] == "-100123"
    url, body, headers = posted("ntfy://my-topic", hostile())
    assert (url, body["topic"], body["priority"], body["click"]) == ("https://ntfy.sh/", "my-topic", 4, LINK)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert not any("script" in value for value in headers.values())


def test_other_servers_stand_in_where_the_settings_say() -> None:
    here = "http://127.0.0.1:9"
    settings = replace(SETTINGS, discord_api=here, slack_api=here, telegram_api=here, ntfy_api=here)
    for address in ("discord://{HOOK}/{TOKEN}", "slack://{A}/{B}/{TOKEN}", "tgram://{BOT}/1", "ntfy://topic"):
        assert posted(address, settings=settings)[0].startswith(f"{here}/")
    assert posted("ntfys://{TOKEN}@own.example/topic", settings=settings)[0] == "https://own.example/"
    assert posted("ntfy://{TOKEN}@own.example/t")[2]["Authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("address", "place", "most"),
    [
        ("discord://{HOOK}/{TOKEN}", "content", 2_000),
        ("tgram://{BOT}/1", "text", 4_096),
        ("ntfy://topic", "message", 4_096),
        ("slack://{A}/{B}/{TOKEN}", "text", 40_000),
    ],
)
def test_the_largest_digest_fits_into_a_message(address: str, place: str, most: int) -> None:
    note = "*" * 500
    rule = {"when": "price > 2", "y": f"v:{note}"}
    many = [due(3 * key, rule=rule, rule_id=key, target=f"v:{note}") for key in range(1, 1_001)]
    message = digest_of(many, lambda found: f"{LINK}{found.id}")
    text = posted(address, message)[1][place]
    assert len(text.encode()) <= most
    assert "all: 3, 6, 9" in text.replace("\\", "")
    assert [each["id"] for each in posted("json://h/", message)[1]["alerts"]] == [each.decision.id for each in many]


def test_a_digest_names_itself_by_what_is_in_it() -> None:
    one, other = [due(1), due(2)], [due(1), due(3, repeat=True)]
    names = [digest_of(each, lambda found: LINK).dedupe for each in (one, one, other)]
    assert names[0] == names[1] != names[2]
    assert digest_of(other, lambda found: LINK).body["repeat"] is True


def test_numbers_are_written_as_people_read_them() -> None:
    assert [shown(each) for each in (None, 0.0, 2.0, -2.3123, 64_123.456, 0.04321, 1e-9, 100.0)] == [
        *("–", "0", "2", "-2.31", "64,123.46", "0.0432", "1e-09", "100"),
    ]
    assert ranges([3, 1, 2, 7, 9, 8, 11]) == "1-3, 7-9, 11"


def test_each_kind_has_the_pace_of_its_service() -> None:
    told = {scheme: [(each.count, each.seconds) for each in limits_of(f"{scheme}://x")] for scheme in (*KINDS, "xml")}
    assert told.pop("tgram") == [(1, 1.0), (20, 60.0)]
    assert told.pop("discord") == [(5, 2.0)]
    assert list(told.values()) == [[(60, 60.0)]] * len(told)


# ------------------------------------------------------------------------------------------------ the thread


def deliverer_of(bench: Bench, **options: Any) -> Deliverer:
    return Deliverer(bench.store, bench.settings, link=lambda found: LINK, clock=lambda: T0, **options)


def test_a_thread_delivers_as_soon_as_it_is_woken_and_ends_when_it_is_told(bench: Bench) -> None:
    looks: list[float] = []
    idle = threading.Event()

    async def wait(news: asyncio.Event, seconds: float) -> None:
        looks.append(seconds)
        idle.set()
        await news.wait()

    with Sink() as sink:
        deliverer = deliverer_of(bench, wait=wait)
        deliverer.start()
        assert idle.wait(20)
        bench.fire(f"json://127.0.0.1:{sink.port}/")
        deliverer.wake()
        sink.await_asked(1)
        reader = SqliteReader(bench.store.path)
        wait_until(lambda: delivery_counts(reader) == {"sent": 1})
        assert deliverer.status().waiting == 0
        assert [each.state for each in deliverer.status().channels] == ["ok"]
        deliverer.close()
    assert looks[0] == 5.0
    assert "alerts" not in [thread.name for thread in threading.enumerate()]
    deliverer.wake()
    deliverer.close()


def test_what_is_on_its_way_at_the_end_is_left_to_the_next_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairscope.alerts.notify.LAST_SECONDS", 0.05)
    with Sink(lambda asked: Say(how="hang")) as sink:
        bench.fire(f"json://127.0.0.1:{sink.port}/")
        deliverer = deliverer_of(bench)
        deliverer.start()
        sink.await_asked(1)
        deliverer.close()
        assert delivery_counts(bench.store) == {"sending": 1}
        sink.answers(200)
        again = deliverer_of(bench)
        again.start()
        assert sink.await_asked(2)[1].body["repeat"] is True
        again.close()


def test_a_store_that_fails_for_a_while_does_not_end_the_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = [StoreError(f"no such {CANARY}"), RuntimeError(CANARY)]

    def failing(*args: Any, **options: Any) -> list[Waiting]:
        if troubles:
            raise troubles.pop()
        return read_due(*args, **options)

    async def wait(news: asyncio.Event, seconds: float) -> None:
        if not troubles:
            await news.wait()

    monkeypatch.setattr("pairscope.alerts.outbox.read_due", failing)
    with Sink() as sink:
        bench.fire(f"json://127.0.0.1:{sink.port}/")
        deliverer = deliverer_of(bench, wait=wait)
        deliverer.start()
        wait_until(lambda: not troubles)
        deliverer.wake()
        sink.await_asked(1)
        deliverer.close()
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told == [
        "alerts are not delivered: RuntimeError: {TOKEN}",
        "alerts are not delivered: StoreError: no such {TOKEN}",
    ]


def wait_until(look: Callable[[], bool]) -> None:
    assert wait_for(lambda: look() or None)


# ------------------------------------------------------------------------------------------------ a test message


def test_a_test_message_is_sent_and_told_by_a_receipt() -> None:
    with Sink() as sink:
        receipt = send_test(f"json://127.0.0.1:{sink.port}/", SETTINGS, now=T0)
        assert (receipt.state, receipt.status, receipt.words) == ("sent", 200, "answered 200")
        assert sink.asked[0].body["test"] is True
        sink.answers(404)
        assert send_test(f"json://127.0.0.1:{sink.port}/", SETTINGS, now=T0).state == "failed"


def test_several_channels_are_tried_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def together(asked: Asked) -> Say:
        both.wait(20)
        return Say()

    with Sink(together) as sink:
        addresses = [f"json://127.0.0.1:{sink.port}/{name}" for name in "ab"]
        receipts = send_tests(addresses, SETTINGS, now=T0, patience=LONG)
    assert [(each.channel, each.state) for each in receipts] == [(address, "sent") for address in addresses]


# ------------------------------------------------------------------------------------------------ slow names


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A server of names that does not answer before the end of the test; the event tells that it was asked."""
    asked, ended = threading.Event(), threading.Event()

    def look_up(*place: object, **options: object) -> list[Any]:
        asked.set()
        ended.wait(60)
        raise OSError("no answer")

    monkeypatch.setattr("pairscope.alerts.sender.socket.getaddrinfo", look_up)
    yield asked
    ended.set()


def in_time(work: Callable[[], T], seconds: float = 20.0) -> T:
    """Return what comes of `work`, which must not wait for the names of this test."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, "it hangs"
    return done[0]


def test_a_server_of_names_that_hangs_does_not_hold_up_a_test_message(slow_names: threading.Event) -> None:
    receipt = in_time(lambda: send_test("json://slow.example/", SETTINGS, now=T0, patience=BRIEF))
    assert (receipt.state, receipt.words) == ("failed", "no connection in time")
    assert slow_names.is_set()


def test_a_server_of_names_that_hangs_does_not_hold_up_the_end(bench: Bench, slow_names: threading.Event) -> None:
    bench.fire("json://slow.example/")
    deliverer = deliverer_of(bench)
    deliverer.start()
    assert slow_names.wait(20)
    in_time(deliverer.close)
    assert "alerts" not in [thread.name for thread in threading.enumerate()]
    assert delivery_counts(bench.store) == {"sending": 1}


# ------------------------------------------------------------------------------------------------ secrets that are gone


def test_a_secret_that_is_gone_is_told_by_its_name() -> None:
    receipt = send_test("json://127.0.0.1/{GONE}", SETTINGS, now=T0)
    assert (receipt.state, receipt.words.split(";")[0]) == ("failed", "not sent: unknown secret 'GONE'")


# ------------------------------------------------------------------------------------------------ secrets


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "a.db", secrets=Secrets.of({"TOKEN": CANARY, "HOST": f"{CANARY.lower()}.invalid"}))
    yield bench
    bench.close()


def test_no_secret_is_told_whatever_goes_wrong(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every error path with the canary in path, query, header and password; then all that is told is searched."""
    caplog.set_level("DEBUG")
    bench.outbox = bench.make(patience=BRIEF)
    says = [Say(200), Say(302, {"Location": f"http://x/{CANARY}"}), Say(400, body=CANARY.encode()), Say(401), Say(500)]
    says += [Say(429, {"Retry-After": CANARY}), *(Say(how=how) for how in ("hang", "drip", "cut", "close", "torn"))]
    said = []
    for say in says:
        with Sink(lambda asked, say=say: say) as sink:  # type: ignore[misc]
            place = f"127.0.0.1:{sink.port}"
            many = f"json://me:{{TOKEN}}@{place}/{{TOKEN}}?token={{TOKEN}}&+X-Key=Bearer%20{{TOKEN}}"
            bench.fire(check_channel(many, bench.settings))
            said.append(repr(send_test(many, bench.settings, now=T0, patience=BRIEF)))
            bench.round()
    for address in ("json://{HOST}/x", "json://127.0.0.1:1/{TOKEN}", "json://{TOKEN}@10.0.0.1/", "ntfy://{TOKEN}"):
        bench.fire(check_channel(address, bench.settings))
    bench.settings = replace(bench.settings, ntfy_api="http://10.0.0.1")
    bench.outbox = bench.make()
    bench.drive(100)
    said.append(repr(bench.outbox.status()) + repr(bench.settings) + repr(bench.outbox.__dict__))
    bench.store.close()
    told = [*said, caplog.text, *capfd.readouterr(), json.dumps(bench.settings.to_record())]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(bench.settings.secrets.fill("{TOKEN}")) == len(CANARY)
    assert sum(CANARY.lower() in text.lower() for text in told) == 0
    assert sum(CANARY.lower().encode() in content.lower() for content in files) == 0


def test_a_host_that_is_a_secret_is_refused_by_its_name(bench: Bench) -> None:
    async def private(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    receipt = send_test("json://{HOST}/x", bench.settings, now=T0, resolve=private)
    assert receipt.words.startswith("not sent: {HOST} is at 10.0.0.1, which is not public")


def test_the_secret_does_arrive_where_it_belongs(bench: Bench) -> None:
    with Sink() as sink:
        bench.fire(check_channel(f"json://127.0.0.1:{sink.port}/{{TOKEN}}", bench.settings))
        bench.drive()
        assert sink.asked[0].path == f"/{CANARY}"
