"""The log: no secret is in it, it does not grow for ever, and a page may show its end."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pairscope.logs import BYTES, KEPT, LINE_BYTES, LogFile, log_tail, redacted, start_log, stop_log
from pairscope.settings import SettingsError

CANARY = "cAnArY-7_x"

SECRETS = [
    f"Authorization: Bearer {CANARY}",
    f"Authorization: Basic {CANARY}==",
    f"bearer {CANARY},",
    f"GET /api/x?token={CANARY}&page=1",
    f"access_token = {CANARY}",
    f"api-key: {CANARY}; next",
    f"X-MBX-APIKEY: {CANARY}",
    f"signature={CANARY} HTTP/1.1",
    f"secret=ab/{CANARY}+ef==",
    f"password=p@{CANARY}",
    f'{{"api_key": "{CANARY}", "a": 1}}',
    f"{{'password': 'with spaces, \"quotes\"; and {CANARY}'}}",
    rf'"{{\"client_secret\": \"{CANARY}\"}}"',
    f"Headers([(b'x-api-key', b'{CANARY}'), (b'host', b'x')])",
    f"Owner(pid=1, address='http://127.0.0.1:1', token='{CANARY}')",
    f"https://user:{CANARY}@proxy.example:8080/path",
    f"https://{CANARY}@sentry.example/5",
    f"https://api.telegram.org/bot123456789:{CANARY}/sendMessage",
    f"https://discord.com/api/webhooks/1234/{CANARY}",
    f"https://hooks.slack.com/services/T0/B0/{CANARY}",
    f"https://hooks.slack.com/workflows/T0/{CANARY} failed",
]

ORDINARY = [
    "recording LIVE into sqlite:///x.db",
    "binance-spot:BTCUSDT at 61837.63, 0.02, id 3735683259",
    "Tick(venue='binance-spot', symbol='BTCUSDT', trade_id=1, time_ms=2, price=3.5, qty=1.0, side='buy')",
    "listening on http://127.0.0.1:8501/api/health",
    "wss://stream.binance.com:9443/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade",
    "2026-11-21T08:30:00.123Z 12:30:05 3 tokens: 5",
    "this needs the token of the store's lock file",
    "ids 5 to 9 of simulated:ZECUSDT: the venue has no such trades",
    "/bottom/bot/x.csv, someone@example.com",
    "ratio 3:4, key=BTCUSDT, PAIRSCOPE_SYMBOLS=BTCUSDT,ETHUSDT",
]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """A log that has begun."""
    handler = start_log(tmp_path / "desk.log", "DEBUG")
    yield tmp_path / "desk.log"
    stop_log(handler)


log = logging.getLogger("pairscope.test")


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_blotted_out(text: str) -> None:
    assert CANARY not in redacted(text)
    assert "***" in redacted(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert redacted(f"GET /x?token={CANARY}&page=1") == "GET /x?token=***&page=1"
    assert redacted(f'{{"api_key": "{CANARY}", "a": 1}}') == '{"api_key": "***", "a": 1}'
    assert redacted(f"https://user:{CANARY}@proxy:80/p") == "https://user:***@proxy:80/p"
    assert redacted(f"/bot1:{CANARY}/sendMessage") == "/bot***/sendMessage"


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_reaches_the_file_in_a_message_an_argument_or_a_traceback(text: str, log_file: Path) -> None:
    log.error(text.replace("%", "%%"))
    log.error("arguments: %s %r", text, {"url": text})
    try:
        raise OSError(text) from ValueError(text)
    except OSError:
        log.exception("it failed")
    written = log_file.read_text("utf-8")
    assert CANARY not in written
    assert "Traceback" in written
    assert "OSError" in written


def test_a_line_says_when_in_utc_how_grave_and_who(log_file: Path) -> None:
    log.warning("hello")
    [line] = log_tail(log_file)
    stamp, level, rest = line.split(" ", 2)
    assert (stamp[10], stamp[-1], level, rest) == ("T", "Z", "WARNING", "pairscope.test: hello")


@pytest.fixture
def kept_by_streamlit() -> None:
    """The logger of websockets as Streamlit's server leaves it."""
    logging.getLogger("websockets").propagate = False


@pytest.mark.usefixtures("kept_by_streamlit")
def test_libraries_that_tell_whole_addresses_tell_only_what_is_wrong(log_file: Path) -> None:
    for name in ("httpx", "httpcore.connection", "urllib3", "websockets.client"):
        logging.getLogger(name).info("GET https://x")
        logging.getLogger(name).warning("retry")
    assert [line.rpartition(" ")[2] for line in log_tail(log_file)] == ["retry"] * 4


def test_the_log_is_rotated_and_only_a_few_old_ones_are_kept(tmp_path: Path) -> None:
    handler = start_log(tmp_path / "desk.log", "INFO")
    assert (handler.maxBytes, handler.backupCount) == (BYTES, KEPT)
    handler.maxBytes = 1_000
    for _ in range((KEPT + 3) * 6):
        log.info("x" * 200)
    stop_log(handler)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["desk.log", *(f"desk.log.{number}" for number in range(1, KEPT + 1))]
    assert all(path.stat().st_size <= 1_000 for path in tmp_path.iterdir())


def test_a_log_that_was_ended_gets_no_more(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    stop_log(start_log(tmp_path / "desk.log", "INFO"))
    log.error("too late")
    assert log_tail(tmp_path / "desk.log") == ()
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("place", ["missing/desk.log", "", "file/desk.log"])
def test_a_log_that_cannot_be_written_is_told_by_its_setting(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"^log_file: .* cannot be written: "):
        start_log(tmp_path / place, "INFO")


def test_when_the_disk_does_not_take_a_line_no_secret_goes_to_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = LogFile(tmp_path / "desk.log")
    handler.setFormatter(logging.Formatter("%(message)d"))  # it fails, as a full disk does
    handler.handle(logging.makeLogRecord({"msg": "token=%s", "args": (CANARY,)}))
    handler.close()
    said = capsys.readouterr().err
    assert CANARY not in said
    assert said.count("\n") == 1
    assert "cannot be written" in said


def test_text_that_no_encoding_has_is_written_all_the_same(tmp_path: Path) -> None:
    handler = start_log(tmp_path / "desk.log", "INFO")
    handler.handle(logging.makeLogRecord({"msg": "half a character: \ud800"}))  # a logger would tell pytest, too
    stop_log(handler)
    assert log_tail(tmp_path / "desk.log")[0].endswith(r"half a character: \ud800")


# ----------------------------------------------------------------------------------------------------- tail


def test_the_tail_of_no_log_is_empty(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none.log") == ()


def test_the_tail_is_the_last_lines_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "desk.log"
    path.write_text("".join(f"line {number}\n" for number in range(200_000)), "utf-8")
    assert log_tail(path, 3) == ("line 199997", "line 199998", "line 199999")
    assert len(log_tail(path)) == 50


def test_the_tail_never_begins_within_a_line_and_never_reads_all(tmp_path: Path) -> None:
    path = tmp_path / "desk.log"
    path.write_text("\n".join(f"{number}:" + "é" * LINE_BYTES for number in range(5_000)), "utf-8")
    lines = log_tail(path, 10)
    assert 0 < len(lines) <= 10
    assert all(
        line == f"{number}:" + "é" * LINE_BYTES for line, number in zip(lines[::-1], range(4_999, 0, -1), strict=False)
    )


def test_the_tail_of_a_binary_file_is_text(tmp_path: Path) -> None:
    path = tmp_path / "desk.log"
    path.write_bytes(bytes(range(256)) * 500)
    assert all(isinstance(line, str) for line in log_tail(path))
