"""The REST API: what it answers, and whom it does not."""

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from analytics import analyze_pair
from ingest import Ingestor
from market import DAY, MINUTE, Tick, WrongUse, iso
from pairscope.api import MAX_COMMAND_BYTES, READ_AT_MOST, api_routes
from pairscope.commands import plain
from pairscope.exports import Written
from pairscope.feeds.simulated import Simulated
from pairscope.jobs import Progress
from pairscope.runtime import Runtime, now_ms
from pairscope.settings import Settings
from pairscope.stores.alerts import commit_round
from store import SqliteReader, SqliteStore
from tests.alerts.decisions import fired
from tests.numbers.test_pair import prices

HERE = "http://127.0.0.1:8501"
DAYS = 30


@dataclass
class Desk:
    """An API over a store with one trade a day of one symbol."""

    app: Starlette
    store: SqliteStore
    held: list[Runtime]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=HERE) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, body: Any, *, token: str | None = None, **headers: str | bytes) -> tuple[int, Any]:
        secret = self.store.owner.token if token is None else token
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self.request(
            "POST", "/api/command", content=content, headers={"Authorization": f"Bearer {secret}", **headers}
        )
        return reply.status_code, strict(reply.text)

    def trades(self) -> int:
        return sum(each.ticks for each in self.store.check().symbols)


def strict(text: str) -> Any:
    """Read JSON as the standard has it, without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = SqliteStore(tmp_path / "x.db", clock=now_ms, commit_ms=1, address=HERE)
    now = now_ms()
    ticks = [Tick("simulated", "BTCUSDT", day, now - (DAYS - day) * DAY, 100.0, 1.0, None) for day in range(DAYS)]
    store.append(ticks).result()
    ingestor = Ingestor([Simulated(clock=now_ms, symbols=["BTCUSDT"])], store, clock=now_ms)
    runtime = Runtime(Settings(), store=store, reader=store, ingestor=ingestor)
    held = [runtime]

    def current() -> Runtime:
        if not held:
            raise WrongUse("the process is just starting")
        return held[0]

    yield Desk(Starlette(routes=api_routes(current)), store, held)
    runtime.close()


def test_health_is_json_without_nan(desk: Desk) -> None:
    reply = desk.get("/api/health")
    health = strict(reply.text)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert {"version", "role", "feed", "store", "warnings"} <= set(health)
    assert health["role"] == "owner"
    assert health["feed"]["symbols"][0]["instrument"] == "simulated:BTCUSDT"
    assert health["feed"]["symbols"][0]["last_price"] is None


def test_symbols_tell_the_newest_trade_of_each(desk: Desk) -> None:
    [symbol] = strict(desk.get("/api/symbols").text)
    assert (symbol["venue"], symbol["symbol"], symbol["price"]) == ("simulated", "BTCUSDT", 100.0)
    assert symbol["time"].endswith("Z")


def test_a_recorded_symbol_tells_how_its_recording_does_and_a_stored_one_that_it_does_not(desk: Desk) -> None:
    [symbol] = strict(desk.get("/api/symbols").text)
    assert (symbol["state"], symbol["age_seconds"], symbol["lag_ms"]) == ("waiting", None, None)
    desk.store.append([Tick("kraken", "BTC/USD", 1, now_ms(), 100.0, 1.0, None)]).result()
    states = {each["symbol"]: each["state"] for each in strict(desk.get("/api/symbols").text)}
    assert states == {"BTCUSDT": "waiting", "BTC/USD": "stored"}


def test_a_recorded_symbol_without_a_trade_is_told_with_its_state_and_no_price(desk: Desk) -> None:
    feed = Simulated(clock=now_ms, symbols=["ETHUSDT"])
    desk.held[0].ingestor = Ingestor([feed], desk.store, clock=now_ms)
    awaited, stored = strict(desk.get("/api/symbols").text)
    assert (awaited["symbol"], awaited["state"], awaited["message"]) == ("ETHUSDT", "waiting", "")
    assert (awaited["time"], awaited["price"]) == (None, None)
    assert (stored["symbol"], stored["state"]) == ("BTCUSDT", "stored")


def test_the_listing_finds_symbols_of_a_venue_by_part_of_their_name(desk: Desk) -> None:
    found = strict(desk.get("/api/listing?venue=simulated&search=usd").text)
    assert {"venue": "simulated", "symbol": "BTCUSDT", "status": ""} in found
    assert strict(desk.get("/api/listing?venue=simulated&search=eth").text) == [
        {"venue": "simulated", "symbol": "ETHUSDT", "status": ""}
    ]
    assert strict(desk.get("/api/listing?venue=simulated&search=none").text) == []


def test_a_venue_that_there_is_not_is_told_with_the_nearest(desk: Desk) -> None:
    reply = desk.get("/api/listing?venue=krakn")
    assert (reply.status_code, strict(reply.text)["error"].split(";")[0]) == (
        400,
        "unknown venue 'krakn' (did you mean kraken?)",
    )


def test_a_venue_that_does_not_answer_is_said_so(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    desk.held[0].settings = replace(Settings(), kraken_rest=(nobody,))
    reply = desk.get("/api/listing?venue=kraken")
    assert reply.status_code == 503
    assert "kraken" in strict(reply.text)["error"]


def test_no_secret_is_told(desk: Desk) -> None:
    for path in ("/api/health", "/api/symbols", "/api/listing?venue=simulated", "/api/command", "/api/none"):
        assert desk.store.owner.token not in desk.get(path).text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/command", 405),
        ("POST", "/api/health", 405),
        ("DELETE", "/api/symbols", 405),
        ("POST", "/api/listing", 405),
        ("GET", "/api/none", 404),
        ("GET", "/api/health/x", 404),
        ("GET", "/", 404),
    ],
)
def test_elsewhere_is_nothing(desk: Desk, method: str, path: str, status: int) -> None:
    reply = desk.request(method, path)
    assert reply.status_code == status
    if path != "/":
        assert path in strict(reply.text)["error"]


def test_a_process_that_is_just_starting_says_so(desk: Desk) -> None:
    desk.held.clear()
    for path in ("/api/health", "/api/symbols"):
        reply = desk.get(path)
        assert (reply.status_code, strict(reply.text)) == (503, {"error": "the process is just starting"})
    assert desk.post({"command": "prune", "arguments": {}})[0] == 503


# ------------------------------------------------------------------------------------------------ commands


def test_a_command_with_the_token_is_run(desk: Desk) -> None:
    asked = {"command": "prune", "arguments": {"ticks_days": 10}}
    status, outcome = desk.post(asked)
    assert (status, outcome["exit"], outcome["values"]) == (200, 0, {"deleted": 20})
    assert desk.trades() == 10


def test_a_command_that_is_wrong_use_answers_with_its_exit_code(desk: Desk) -> None:
    status, outcome = desk.post({"command": "delete", "arguments": {"symbol": "BTCUSTD"}})
    assert (status, outcome["exit"]) == (200, 2)
    assert "did you mean BTCUSDT?" in outcome["text"]
    status, outcome = desk.post({"command": "symbols add", "arguments": {"symbols": ["simulated:ETHUSDT"]}})
    assert (status, outcome["exit"], outcome["text"]) == (200, 2, "nothing is being recorded")  # it has not begun
    status, outcome = desk.post({"command": "ingest", "arguments": {}})
    assert (status, outcome["exit"]) == (200, 2)


@pytest.mark.parametrize("token", ["", "wrong", "x" * 10_000])
def test_without_the_token_nothing_is_run(desk: Desk, token: str) -> None:
    status, said = desk.post({"command": "prune", "arguments": {"ticks_days": 1}}, token=token)
    assert (status, said) == (401, {"error": "this needs the token of the store's lock file"})
    assert desk.request("POST", "/api/command", content=b"{}").status_code == 401
    assert desk.trades() == DAYS


@pytest.mark.parametrize("scheme", ["Basic {}", "bearer {}", "{}", "Bearer  {}", "Bearer\t{}", "Bearer {}é"])
def test_the_token_counts_only_as_it_is_meant(desk: Desk, scheme: str) -> None:
    header = scheme.format(desk.store.owner.token).encode()
    status, _ = desk.post({"command": "prune", "arguments": {"ticks_days": 1}}, Authorization=header)
    assert (status, desk.trades()) == (401, DAYS)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "", "[", "0.0.0.0:8501"]
)
def test_a_page_whose_name_was_made_to_lead_here_runs_nothing(desk: Desk, host: str) -> None:
    status, said = desk.post({"command": "prune", "arguments": {"ticks_days": 1}}, Host=host)
    assert (status, said) == (403, {"error": "commands are taken on the loopback address only"})
    assert desk.trades() == DAYS


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9", "localhost:8501", "[::1]:8501", "[::1]"])
def test_the_names_of_this_machine_are_known(desk: Desk, host: str) -> None:
    assert desk.post({"command": "prune", "arguments": {"ticks_days": 99}}, Host=host)[0] == 200


BAD_BODIES = [
    *(b"", b"x", b"[]", b"5", b"null", b'"prune"', b"\xff\xfe", b"[" * 50_000, b'{"command": "prune"}'),
    *(b'{"arguments": {}}', b'{"command": null, "arguments": {}}', b'{"command": ["prune"], "arguments": {}}'),
    *(b'{"command": "prune", "arguments": []}', b'{"command": "prune", "arguments": [["ticks_days", 1]]}'),
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:40])
def test_a_body_that_is_no_command_is_told_what_one_is(desk: Desk, body: bytes) -> None:
    status, said = desk.post(body)
    assert status == 400
    assert said["error"].startswith('expected {"command": NAME, "arguments": {...}}')
    assert desk.trades() == DAYS


@pytest.mark.parametrize("size", [MAX_COMMAND_BYTES + 1, READ_AT_MOST * 2])
def test_a_body_that_is_too_large_is_refused(desk: Desk, size: int) -> None:
    whole = json.dumps({"command": "prune", "arguments": {"ticks_days": 1}}).encode()
    status, said = desk.post(whole + b" " * size)
    assert status == 400
    assert "of 65,536 bytes at most" in said["error"]
    assert desk.trades() == DAYS


def test_a_viewer_takes_no_commands(desk: Desk) -> None:
    reader = SqliteReader(desk.store.path)
    desk.held[0] = Runtime(Settings(), store=None, reader=reader, ingestor=None)
    assert desk.post({"command": "prune", "arguments": {"ticks_days": 1}})[0] == 401
    assert strict(desk.get("/api/health").text)["role"] == "viewer"
    reader.close()


# ------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("place", "status"),
    [("/files", 200), ("/desk/files", 200), ("/a/desk/files", 200), ("/abcfiles", 404), ("/desk/abcfiles", 404)],
)
def test_a_file_is_fetched_from_its_folder_alone_at_whatever_base_path(desk: Desk, place: str, status: int) -> None:
    runtime = desk.held[0]
    path = runtime.jobs.folder() / "x.csv"
    path.write_text("1\n")
    runtime.shelf.fill(lambda progress: Written(path, 1, 2, "LIVE"), Progress())
    assert desk.get(f"{place}/{path.parent.name}/x.csv").status_code == status


# --------------------------------------------------------------------------------------------- plain values


def test_settings_become_what_json_can_say() -> None:
    settings = plain(replace(Settings(), symbols=("A",)))
    assert (settings["symbols"], settings["keep_ticks_days"]) == (["A"], None)
    assert json.dumps(settings, allow_nan=False)


# ------------------------------------------------------------------------------------------------ the pair


def hours_of_two_legs(desk: Desk) -> None:
    """Store one trade a minute of two legs, the last one a few minutes ago."""
    begin = (now_ms() // 60_000 - 200) * 60_000
    legs = zip(("ETHUSDT", "BTCUSDT"), prices(198), strict=True)
    desk.store.append(
        [
            Tick("kraken", symbol, minute + 1, begin + 60_000 * minute, float(price), 1.0, "buy")
            for symbol, leg in legs
            for minute, price in enumerate(leg)
        ]
    ).result()


PAIR = "/api/analytics/pair?symbol_a=ETHUSDT&symbol_b=kraken:BTCUSDT"


def test_a_pair_is_told_as_python_tells_it(desk: Desk) -> None:
    hours_of_two_legs(desk)
    told = strict(desk.get(f"{PAIR}&timeframe=1m&window=30&entry_z=1.5&bars=500").text)
    start, end = 0, 2**50
    now, names = now_ms(), ("kraken:ETHUSDT", "kraken:BTCUSDT")
    y, x = (desk.store.bars(symbol, "1m", start, end, now=now) for symbol in names)
    wanted = analyze_pair(y, x, window=30, entry=1.5)
    for name in ("beta", "zscore", "coint_pvalue", "half_life", "gross_bp", "n"):
        assert told[name] == plain(getattr(wanted.summary, name))
    assert told["verdict"] == wanted.verdict.word
    assert told["label"] == "LIVE"


@pytest.mark.parametrize("text", ["True", "true", "TRUE", "1"])
def test_true_is_true_however_it_is_written(desk: Desk, text: str) -> None:
    hours_of_two_legs(desk)
    found = [strict(desk.get(f"{PAIR}&intercept={text}&log={text}").text), strict(desk.get(f"{PAIR}&log=True").text)]
    assert found[0]["beta"] == found[1]["beta"]
    assert (found[0]["intercept"], found[0]["log"]) == (True, True)
    assert strict(desk.get(f"{PAIR}&intercept=False").text)["intercept"] is False


def test_a_pair_with_a_leg_of_a_file_is_not_called_live(desk: Desk) -> None:
    hours_of_two_legs(desk)
    ended = now_ms() - 10 * DAY
    ticks = [Tick("import", "AUSDT", n, ended + n * 30_000, 50 + n % 7, 1.0, None) for n in range(200)]
    desk.store.append(ticks).result()
    told = strict(desk.get(PAIR.replace("BTCUSDT", "AUSDT").replace("kraken", "import")).text)
    assert told["label"] == "FILE"


def test_a_pair_of_files_is_told_as_of_their_end(desk: Desk) -> None:
    ended = now_ms() - 10 * DAY
    for symbol, price in (("AUSDT", 50.0), ("BUSDT", 80.0)):
        ticks = [Tick("import", symbol, n, ended + n * 30_000, price + n % 7, 1.0, None) for n in range(400)]
        desk.store.append(ticks).result()
    told = strict(desk.get("/api/analytics/pair?symbol_a=import:AUSDT&symbol_b=import:BUSDT&bars=100").text)
    assert told["n"] == 100
    assert told["end"] <= iso(ended + 400 * 30_000 + MINUTE)


def test_a_pair_of_too_few_bars_is_told_with_its_verdict(desk: Desk) -> None:
    hours_of_two_legs(desk)
    told = strict(desk.get(f"{PAIR}&bars=20").text)
    assert told["verdict"] == "not enough data"
    assert told["zscore"] is None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("&windw=5", "did you mean window"),
        ("&window=x", "expected a number"),
        ("&intercept=yes", "intercept is 'yes'; expected true or false"),
        ("&log=", "expected true or false"),
        ("&method=olz", "did you mean ols"),
        ("&timeframe=1M", "unknown timeframe"),
        ("&exit_z=9", "exit is 9"),
        ("&costs=krakn", "did you mean kraken"),
        *((f"&{name}={99_999_999_999_999_999_999_999}", f"{name} is") for name in ("fill", "time_stop", "window")),
        *((f"&bars={bars}", "bars is") for bars in (0, -5, -(10**20), "1" * 30)),
        *(("&fill=-1", "fill is"), ("&time_stop=0", "time_stop is"), ("&window=0", "window is")),
        *((f"&{name}=nan", words) for name, words in (("entry_z", "entry"), ("minimum_volume", "minimum_volume is"))),
    ],
)
def test_what_makes_no_sense_of_a_pair_is_refused(desk: Desk, more: str, words: str) -> None:
    hours_of_two_legs(desk)
    reply = desk.get(PAIR + more)
    assert reply.status_code == 400
    assert words in strict(reply.text)["error"]


def test_a_leg_that_is_not_stored_is_refused(desk: Desk) -> None:
    hours_of_two_legs(desk)
    reply = desk.get("/api/analytics/pair?symbol_a=ETHUSD&symbol_b=BTCUSDT")
    assert reply.status_code == 400
    assert "did you mean" in strict(reply.text)["error"]


# ----------------------------------------------------------------------------------------------------- alerts


@pytest.fixture
def decided(desk: Desk) -> list[int]:
    """Two alerts, and one decision to keep still, in the store of the desk."""
    many = [fired(), fired(rule_id=2, target="simulated:BTCUSDT"), fired(outcome="suppressed", reason="expired")]
    return [key for key in commit_round(desk.store, many, ()).result() if key is not None]


def test_alerts_are_told_the_newest_first(desk: Desk, decided: list[int]) -> None:
    rows = strict(desk.get("/api/alerts").text)
    assert [row["id"] for row in rows] == decided[1::-1]
    assert (rows[1]["state"], rows[1]["pair"], rows[1]["value"]) == ("active", "ETHUSDT / BTCUSDT", 2.3)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("all=true", [2, 1, 0]), ("rule=2", [1]), ("limit=1", [1]), ("end=2001-01-01", []), ("pair=BTCUSDT", [1]),
     ("start=2001-01-01T00:00:00Z", [1, 0]), ("text=simulated:BTCUSDT", [1, 0])],
)  # fmt: skip
def test_alerts_are_chosen_by_what_is_asked(desk: Desk, decided: list[int], query: str, wanted: list[int]) -> None:
    rows = strict(desk.get(f"/api/alerts?{query}").text)
    assert [row["id"] for row in rows] == [decided[place] for place in wanted]


@pytest.mark.parametrize(
    ("query", "words"),
    [("ruel=1", "did you mean rule?"), ("limit=0", "limit is '0'"), ("start=soon", "expected a time"),
     ("all=perhaps", "true or false"), ("pair=BTCUSD", "did you mean BTCUSDT?")],
)  # fmt: skip
def test_a_wrong_question_about_alerts_is_told(desk: Desk, query: str, words: str) -> None:
    reply = desk.get(f"/api/alerts?{query}")
    assert reply.status_code == 400
    assert words in strict(reply.text)["error"]


def test_a_rule_that_is_handed_over_is_kept_and_told(desk: Desk) -> None:
    rule = {"when": "price > 3", "y": "BTCUSDT"}
    status, outcome = desk.post({"command": "alerts add", "arguments": rule})
    assert (status, outcome["exit"], set(outcome)) == (200, 0, {"exit", "text", "values"})
    [told] = strict(desk.get("/api/alerts/rules").text)
    assert (told["id"], told["on"], told["values"]["y"]) == (outcome["values"]["id"], True, "simulated:BTCUSDT")
    assert told["sentence"] == outcome["values"]["sentence"]
