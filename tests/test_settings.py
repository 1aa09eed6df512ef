"""The settings: their sources, their rank, and the sentence for each mistake."""

import json
import math
import traceback
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path
from typing import Any

import pytest

from market import Instrument, WrongUse
from pairscope.settings import (
    ENVIRONMENT,
    KEYS,
    NETWORK_VENUES,
    Secrets,
    Settings,
    SettingsError,
    child_environment,
    load,
    moment_ms,
    read_settings,
)

BREAK_MS = 1_795_249_800_000

ADDRESSES = ("ws://127.0.0.1:9", "wss://[::1]")

SPOKEN: list[tuple[str, str, Any, Any]] = [
    ("store", "sqlite:///a b.db", "sqlite:///a b.db", "sqlite:///a b.db"),
    ("venue", "kraken", "kraken", "kraken"),
    ("symbols", " BTCUSDT, ETHUSDT,BTCUSDT,", ["BTCUSDT", "ETHUSDT"], ("BTCUSDT", "ETHUSDT")),
    ("binance_spot_ws", "ws://127.0.0.1:9/, wss://[::1]", ["ws://127.0.0.1:9", "wss://[::1]/"], ADDRESSES),
    ("binance_spot_rest", "https://a.example", ["https://a.example"], ("https://a.example",)),
    ("binance_futures_ws", "wss://a.example", ["wss://a.example"], ("wss://a.example",)),
    ("binance_futures_rest", "http://a.example:8080", ["http://a.example:8080"], ("http://a.example:8080",)),
    ("coinbase_ws", "wss://a.example", "wss://a.example/", ("wss://a.example",)),
    ("coinbase_rest", "https://a.example", "https://a.example,", ("https://a.example",)),
    ("kraken_ws", "wss://a.example", ["wss://a.example", "wss://a.example"], ("wss://a.example",)),
    ("kraken_rest", "https://a.example", ["https://a.example"], ("https://a.example",)),
    ("refill_trades", "5000", 5000, 5000),
    ("seed", " 42 ", 42, 42),
    ("breaks", "2026-11-21T08:30:00Z", ["2026-11-21T09:30:00+01:00"], (BREAK_MS,)),
    ("commit_ms", "50", 50, 50),
    ("commit_rows", "500", 500, 500),
    ("queue_rows", "5000", 5000, 5000),
    ("keep_ticks_days", "7", 7, 7.0),
    ("keep_seconds_days", "30.5", 30.5, 30.5),
    ("disk_warn", "0.9", 0.9, 0.9),
    ("notify_allow", "Sink.lan, 10.0.0.0/8,::1", ["sink.lan", "10.0.0.0/8", "::1"], ("sink.lan", "10.0.0.0/8", "::1")),
    ("discord_api", "http://127.0.0.1:9/", "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ("slack_api", "https://a.example", "https://a.example", "https://a.example"),
    ("telegram_api", "https://a.example", "https://a.example/", "https://a.example"),
    ("ntfy_api", "https://a.example:8443", "https://a.example:8443", "https://a.example:8443"),
    ("url", "https://a.example/desk/", "https://a.example/desk", "https://a.example/desk"),
    ("log_file", "desk.log", "desk.log", "desk.log"),
    ("log_level", "debug", "DEBUG", "DEBUG"),
]
"""Key, what the environment says, what TOML says, what comes of both."""

NEEDS = {"keep_seconds_days": {"keep_ticks_days": "1"}}
"""What must be set with a key, so that the two agree."""


OTHERS = {
    "venue": "coinbase",
    "log_level": "ERROR",
    "breaks": "2027-01-01",
    "disk_warn": "0.5",
    "notify_allow": "localhost",
    **dict.fromkeys(("discord_api", "slack_api", "telegram_api", "ntfy_api", "url"), "http://127.0.0.1:3000"),
    **{f"{venue.replace('-', '_')}_ws": "ws://127.0.0.1:3000" for venue in NETWORK_VENUES},
    **{f"{venue.replace('-', '_')}_rest": "http://127.0.0.1:3000" for venue in NETWORK_VENUES},
}
"""A second value of a key; "3000" does for the rest."""


def environ_of(key: str, text: str) -> dict[str, str]:
    return {"PAIRSCOPE_" + name.upper(): value for name, value in {**NEEDS.get(key, {}), key: text}.items()}


def refusal(*, config: dict[str, object] | None = None, environ: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(config or {}, environ or {}, flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- sources


def test_every_key_is_tried_here() -> None:
    assert [row[0] for row in SPOKEN] == list(KEYS)


@pytest.mark.parametrize(("key", "text", "toml", "value"), SPOKEN)
def test_each_key_is_read_from_the_environment(key: str, text: str, toml: object, value: object) -> None:
    assert getattr(read_settings({}, environ_of(key, text), {}), key) == value


@pytest.mark.parametrize(("key", "text", "toml", "value"), SPOKEN)
def test_each_key_is_read_from_toml(key: str, text: str, toml: object, value: object, tmp_path: Path) -> None:
    lines = [f"{name} = {number}" for name, number in NEEDS.get(key, {}).items()]
    (tmp_path / "pairscope.toml").write_text("\n".join([*lines, f"{key} = {json.dumps(toml)}"]), "utf-8")
    assert getattr(load(folder=tmp_path), key) == value


@pytest.mark.parametrize(("key", "text", "toml", "value"), SPOKEN)
def test_a_flag_beats_the_environment_which_beats_toml_which_beats_the_default(
    key: str, text: str, toml: object, value: object
) -> None:
    other = OTHERS.get(key, "3000")
    needs = {"PAIRSCOPE_KEEP_TICKS_DAYS": "0.1"} if key == "keep_seconds_days" else {}
    name = f"PAIRSCOPE_{key.upper()}"
    lower = read_settings({key: toml}, {**needs, name: other}, {})
    assert getattr(lower, key) == getattr(read_settings({}, {**needs, name: other}, {}), key) != value
    assert getattr(read_settings({}, {**needs, name: other}, {key: text}), key) == value
    assert getattr(read_settings({key: toml}, needs, {key: None}), key) == value
    assert getattr(Settings(), key) != value


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings({}, {}, {}) == Settings()
    assert (Settings().store, Settings().venue, Settings().symbols) == ("sqlite:///ticks.db", "binance-spot", ())


def test_the_demo_is_the_simulated_market_in_its_own_store_and_flags_still_win() -> None:
    environ = {"PAIRSCOPE_VENUE": "kraken", "PAIRSCOPE_STORE": "sqlite:///mine.db", "PAIRSCOPE_SYMBOLS": "XBT/USD"}
    demo = read_settings({"store": "sqlite:///toml.db"}, environ, {}, demo=True)
    assert (demo.venue, demo.store, demo.symbols) == ("simulated", "sqlite:///demo.db", ())
    assert read_settings({}, environ, {"store": "sqlite:///f.db"}, demo=True).store == "sqlite:///f.db"


def test_load_reads_this_process_s_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAIRSCOPE_SEED", "99")
    assert load(folder=tmp_path).seed == 99
    assert load({"seed": 3}, folder=tmp_path).seed == 3


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "pairscope.toml").write_bytes(b"\xef\xbb\xbfseed = 5\r\n")
    assert load(folder=tmp_path).seed == 5


def test_toml_may_write_times_in_its_own_way(tmp_path: Path) -> None:
    (tmp_path / "pairscope.toml").write_text("breaks = [2026-11-21T08:30:00Z, 2026-11-21]", "utf-8")
    assert load(folder=tmp_path).breaks == (moment_ms("2026-11-21"), BREAK_MS)


# ------------------------------------------------------------------------------------------------ mistakes


def test_an_unknown_key_is_named_with_the_nearest_one() -> None:
    said = refusal(config={"symbol": "BTCUSDT"})
    assert said.startswith(
        "unknown setting 'symbol' in pairscope.toml (did you mean symbols?); known: binance_futures_rest, "
    )
    assert refusal(config={"x": {"a": 1}}).startswith("unknown setting 'x' in pairscope.toml; known: ")
    assert refusal(sed=1).startswith("unknown setting '--sed' on the command line (did you mean seed?)")


@pytest.mark.parametrize("name", ["PAIRSCOPE_SYMBOL", "PAIRSCOPE_SIMBOLS", "PAIRSCOPE_symbols"])
def test_a_slip_in_the_environment_is_an_error(name: str) -> None:
    wanted = f"unknown setting '{name}' in the environment (did you mean PAIRSCOPE_SYMBOLS?)"
    assert refusal(environ={name: "BTCUSDT"}) == wanted


def test_what_is_not_nearly_ours_is_left_alone() -> None:
    others = {"PAIRSCOPE_PORT": "tcp://10.0.0.1:8501", "PAIRSCOPE_SERVICE_HOST": "10.0.0.1", "pairscope_seed": "x"}
    assert read_settings({}, {**others, "SEED": "x", "PAIRSCOPE_": "x"}, {}) == Settings()


WRONG: list[tuple[str, Any, str]] = [
    ("store", "", "text that is not empty"),
    ("store", 5, "text that is not empty"),
    ("venue", [], "text that is not empty"),
    ("symbols", 5, 'symbols separated by commas, such as "BTCUSDT,ETHUSDT"'),
    ("symbols", ["A", 5], "symbols separated by commas"),
    ("seed", -1, "a whole number from 0 to 4,294,967,295"),
    ("seed", 2**32, "a whole number from 0 to 4,294,967,295"),
    ("seed", True, "a whole number"),
    ("seed", 7.0, "a whole number"),
    ("seed", "7.0", "a whole number"),
    ("seed", "٧", "a whole number"),
    ("seed", "9" * 5_000, "a whole number"),
    ("commit_ms", 0, "a whole number from 1 to 10,000"),
    ("commit_rows", "many", "a whole number from 1 to 1,000,000"),
    ("queue_rows", 999, "a whole number from 1,000 to 10,000,000"),
    ("keep_ticks_days", 0, 'a number of days above 0, or "forever"'),
    ("keep_ticks_days", "nan", "a number of days above 0"),
    ("keep_ticks_days", -math.inf, "a number of days above 0"),
    ("keep_ticks_days", True, "a number of days above 0"),
    ("keep_seconds_days", 10**400, "a number of days above 0"),
    ("disk_warn", 1.5, "a number above 0, up to 1"),
    ("disk_warn", "80%", "a number above 0, up to 1"),
    ("disk_warn", [0.5], "a number above 0, up to 1"),
    ("breaks", "yesterday", 'times separated by commas, such as "2026-11-21T08:30:00Z"'),
    ("breaks", 1_795_249_800_000, "times separated by commas"),
    ("breaks", [1_795_249_800_000], "times separated by commas"),
    ("log_file", None, "text that is not empty"),
    ("notify_allow", 5, "names, addresses or networks separated by commas"),
    ("notify_allow", "http://a.example", "names, addresses or networks, without scheme, port or path"),
    ("notify_allow", "127.0.0.1:9000", "names, addresses or networks"),
    ("notify_allow", "10.0.0.0/33", "names, addresses or networks"),
    ("notify_allow", "300.0.0.1", "names, addresses or networks"),
    ("discord_api", "", "one address, https://HOST[:PORT]"),
    ("slack_api", "https://a.example,https://b.example", "one address, https://HOST[:PORT]"),
    ("telegram_api", "ftp://a.example", "http://HOST[:PORT] or https://HOST[:PORT]"),
    ("url", 5, "empty, or http://HOST[:PORT][/PATH]"),
    ("url", "desk.example", "empty, or http://HOST[:PORT][/PATH]"),
    ("url", "https://desk.example/?a=b", "empty, or http://HOST[:PORT][/PATH]"),
    ("refill_trades", 999, "a whole number from 1,000 to 1,000,000,000"),
    ("kraken_ws", 5, "ws://HOST[:PORT] or wss://HOST[:PORT], several separated by commas"),
    ("kraken_ws", "https://a.example", "ws://HOST[:PORT] or wss://HOST[:PORT]"),
    ("kraken_ws", "a.example:80", "ws://HOST[:PORT]"),
    ("kraken_ws", "ws://", "ws://HOST[:PORT]"),
    ("kraken_ws", "wss://a b", "ws://HOST[:PORT]"),
    ("kraken_ws", "wss://a.example/v2", "ws://HOST[:PORT] or wss://HOST[:PORT] without a path"),
    ("kraken_ws", "wss://a.example//", "ws://HOST[:PORT] or wss://HOST[:PORT] without a path"),
    ("kraken_ws", "wss://a.example/?x=1", "ws://HOST[:PORT] or wss://HOST[:PORT] without a query"),
    ("kraken_ws", "wss://a.example#x", "ws://HOST[:PORT] or wss://HOST[:PORT] without a query"),
    ("kraken_ws", "wss://me:word@a.example", "ws://HOST[:PORT] or wss://HOST[:PORT] without a user or password"),
    ("kraken_ws", "wss://a.example:99999", "ws://HOST[:PORT] or wss://HOST[:PORT] with a port from 1 to 65535"),
    ("kraken_ws", "wss://a.example,wss://b.example:x", "ws://HOST[:PORT] or wss://HOST[:PORT] with a port"),
    ("kraken_rest", "wss://a.example", "http://HOST[:PORT] or https://HOST[:PORT]"),
    ("kraken_rest", ["http://a.example", 5], "http://HOST[:PORT] or https://HOST[:PORT], several"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_value_is_told_with_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    said = refusal(config={key: value})
    assert said.startswith(f"{key} in pairscope.toml is ")
    assert f", but must be {allowed}" in said


@pytest.mark.parametrize(("key", "value", "allowed"), [row for row in WRONG if isinstance(row[1], str)])
def test_a_wrong_value_of_the_environment_is_told_by_its_name_there(key: str, value: str, allowed: str) -> None:
    said = refusal(environ={f"PAIRSCOPE_{key.upper()}": value})
    assert said.startswith(f"PAIRSCOPE_{key.upper()} in the environment is ")
    assert f", but must be {allowed}" in said


def test_a_password_in_an_address_is_told_nobody() -> None:
    said = refusal(environ={"PAIRSCOPE_KRAKEN_REST": "https://ok.example,https://me:hunter2@a.example"})
    assert "https://***@a.example" in said
    assert "hunter2" not in said


def test_an_unknown_venue_comes_with_the_nearest_one() -> None:
    near = "unknown venue 'binanc-spot' (did you mean binance-spot?); known: "
    assert refusal(config={"venue": "binanc-spot"}).startswith(f"venue in pairscope.toml: {near}")
    assert refusal(environ={"PAIRSCOPE_VENUE": "binanc-spot"}).startswith(f"PAIRSCOPE_VENUE in the environment: {near}")
    assert refusal(venue="binanc-spot").startswith(f"--venue on the command line: {near}")
    assert refusal(symbols="binanc-spot:BTCUSDT").startswith(f"symbols: {near}")
    assert refusal(log_level="WARN").startswith("--log-level on the command line: unknown log level 'WARN' (did you")


def test_a_venue_alone_is_no_symbol() -> None:
    assert refusal(symbols="kraken:") == "symbols: 'kraken:' names a venue, but no symbol"


def test_bars_cannot_go_before_the_trades_that_are_found_by_them() -> None:
    wanted = "keep_seconds_days is 3.0, but must be at least keep_ticks_days, which is forever"
    assert refusal(config={"keep_seconds_days": 3}).startswith(wanted)
    assert read_settings({"keep_ticks_days": 3, "keep_seconds_days": 3}, {}, {}).keep_ticks_days == 3


@pytest.mark.parametrize(
    ("content", "why"), [(b"seed = ", "is not valid TOML: "), (b"\xff\xfe\x00", "is not valid TOML: ")]
)
def test_a_file_that_is_no_toml_is_told_by_its_path(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "pairscope.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=why) as caught:
        load(folder=tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "pairscope.toml"))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "pairscope.toml").mkdir()
    with pytest.raises(SettingsError, match=r"pairscope\.toml cannot be read: "):
        load(folder=tmp_path)


@pytest.mark.parametrize("text", ["", "now", "08:30", "1700000000000", "2026-13-01", "2026-11-21T25:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moment_ms(text)


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    assert moment_ms("2026-11-21T08:30:00") == moment_ms("2026-11-21T08:30:00Z") == BREAK_MS
    assert moment_ms("2026-11-21T14:15:00.123+05:45") == BREAK_MS + 123
    assert moment_ms("1969-12-31T23:59:59.999Z") == -1


# -------------------------------------------------------------------------------------------- what comes of it


def test_settings_are_frozen_and_wrong_ones_are_wrong_use() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().seed = 3  # type: ignore[misc]
    assert issubclass(SettingsError, WrongUse)


def test_a_symbol_may_carry_its_venue_and_counts_once() -> None:
    settings = read_settings({}, {"PAIRSCOPE_SYMBOLS": "BTCUSDT,binance-futures:BTCUSDT,binance-spot:BTCUSDT"}, {})
    assert settings.instruments == (Instrument("binance-spot", "BTCUSDT"), Instrument("binance-futures", "BTCUSDT"))


def test_each_network_venue_has_its_addresses_and_the_others_keep_their_own() -> None:
    settings = read_settings({}, {"PAIRSCOPE_BINANCE_FUTURES_WS": "ws://127.0.0.1:1,ws://127.0.0.1:2"}, {})
    assert settings.sockets("binance-futures") == ("ws://127.0.0.1:1", "ws://127.0.0.1:2")
    assert settings.rests("binance-futures") == ()
    assert all(settings.sockets(venue) == () for venue in NETWORK_VENUES if venue != "binance-futures")


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        replace(
            Settings(), breaks=(BREAK_MS, BREAK_MS + 1), symbols=("A", "B"), keep_ticks_days=2.5, kraken_ws=ADDRESSES
        ),
    ],
)
def test_the_record_is_json_that_reads_back_the_same(settings: Settings) -> None:
    text = json.dumps(settings.to_record(), allow_nan=False)
    assert read_settings(json.loads(text), {}, {}) == settings


def test_each_key_says_what_it_means_and_has_a_name_in_the_environment() -> None:
    assert all(each.metadata["meaning"] for each in KEYS.values())
    assert {f"PAIRSCOPE_{key.upper()}": key for key in KEYS} == ENVIRONMENT


# ------------------------------------------------------------------------------------------------- secrets

CANARY = "canary-4711-of-nobody"


def test_a_secret_comes_from_the_environment_or_from_its_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secrets.toml").write_text(f'hook = "of the file"\nBot = "{CANARY}"\n[secrets]\nmail = "m"\n', "utf-8")
    monkeypatch.setenv("PAIRSCOPE_SECRET_HOOK", "of the environment")
    secrets = load(folder=tmp_path).secrets
    assert secrets.names == ("BOT", "HOOK", "MAIL")
    assert secrets.fill("a {HOOK} b {bot} {mail}") == f"a of the environment b {CANARY} m"


def test_a_secret_is_put_in_as_an_address_writes_it() -> None:
    secrets = Secrets.of({"A": "x/y z"})
    assert secrets.fill("/{A}", quoted="") == "/x%2Fy%20z"
    assert secrets.fill("/{A}", quoted="/") == "/x/y%20z"
    with pytest.raises(WrongUse, match=r"unknown secret 'AB'.*known: A"):
        secrets.fill("{AB}")


def test_whoever_prints_the_settings_sees_no_secret() -> None:
    settings = read_settings({}, {"PAIRSCOPE_SECRET_BOT": CANARY}, {})
    shown = f"{settings} {settings!r} {settings.secrets} {settings.secrets!r} {settings.to_record()} {asdict(settings)}"
    assert "BOT" in shown
    assert CANARY not in shown
    assert "secrets" not in settings.to_record()
    assert read_settings(settings.to_record(), {}, {}) == settings


def test_a_text_is_rid_of_secrets_however_they_are_written() -> None:
    secrets = Secrets.of({"A": CANARY, "B": f"{CANARY}/2 x", "C": "no"})
    said = secrets.hide(f"1 {CANARY} 2 {CANARY}/2 x 3 {CANARY}%2F2%20x no")
    assert said == "1 {A} 2 {B} 3 {B} no"


@pytest.mark.parametrize(
    "content",
    [
        f"hook = {CANARY}",
        f'hook = "{CANARY}',
        f'{CANARY} {CANARY} = "x"',
        f'hook = ["{CANARY}"]',
        f'"{CANARY} !" = "x"',
        f'hook = "{CANARY}\\n"',
        f'hook = "x"\nhook = "{CANARY}"',
    ],
)
def test_no_error_about_the_file_tells_what_stands_in_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.toml").write_text(content, "utf-8")
    with pytest.raises(SettingsError, match=r"secrets\.toml") as caught:
        load(folder=tmp_path)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told.replace(content, "")
    assert CANARY not in str(caught.value)


def test_a_secret_in_the_environment_that_is_none_is_told_by_its_name() -> None:
    assert refusal(environ={"PAIRSCOPE_SECRET_A": ""}).startswith("the secret A in the environment must be text")
    assert refusal(environ={"PAIRSCOPE_SECRET_1": "x"}).startswith("a secret in the environment must have a name")


def test_a_child_is_told_no_secret_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRSCOPE_SECRET_BOT", CANARY)
    monkeypatch.setenv("HTTPS_PROXY", "http://10.0.0.1")
    monkeypatch.setenv("KEPT", "1")
    told = child_environment()
    assert told["KEPT"] == "1"
    assert not [name for name in told if "PAIRSCOPE" in name or "PROXY" in name]
