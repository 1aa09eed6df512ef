"""docs/alerts.md says what is so: its conditions, its metrics, its commands, its addresses."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from market import WrongUse
from pairscope.alerts.expression import ALIASES, parse
from pairscope.alerts.messages import Due, digest_of, message_of, trial_message
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.notify import check_channel
from pairscope.alerts.rules import Rule, sentence
from pairscope.cli import make_parser
from pairscope.settings import Secrets, Settings
from pairscope.stores.alerts import Decision, Waiting
from tests.alerts.decisions import HOOK, NOW, fired

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


PROGRAMS = GUIDE[GUIDE.index("## What a program receives") : GUIDE.index("## Commands")]


def rows(after: str) -> list[str]:
    """Return the rows of the first table after a text."""
    table = re.search(r"\| --- .*\n((?:\|.*\n)+)", GUIDE[GUIDE.index(after) :])
    assert table
    return table[1].splitlines()


def told(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row.split(" | ", maxsplit=1)[0])


@pytest.mark.parametrize("text", [text for row in rows("## Conditions") for text in told(row)])
def test_each_condition_is_understood(text: str) -> None:
    assert sentence(Rule(when=text, y="import:A", x="import:B")).startswith("A / B")
    assert parse(text).judge({}, None)


def test_each_metric_stands_in_the_table_with_its_unit_and_its_other_names() -> None:
    table = {names[0]: (set(names[1:]), row.split("|")[2].strip()) for row in rows("| metric") if (names := told(row))}
    assert list(table) == list(METRICS)
    for name, (others, unit) in table.items():
        assert unit == METRICS[name].unit
        assert others == {alias for alias, meant in ALIASES.items() if meant == name}


def commands() -> list[str]:
    block = re.findall(r"^python -m pairscope (.+)$", GUIDE, re.MULTILINE)
    return [*block, *(text for row in rows("## Commands") for text in told(row))]


@pytest.mark.parametrize("command", commands())
def test_each_command_is_understood(command: str) -> None:
    try:
        make_parser().parse_args(shlex.split(command))
    except (SystemExit, WrongUse) as error:
        pytest.fail(f"the guide's command is refused: {error}")


def test_each_option_of_a_rule_is_one() -> None:
    options = {option for row in rows("## What a rule says") for option in re.findall(r"`(--[a-z-]+)`", row)}
    line = ["alerts", "add", *(each for option in sorted(options) for each in (option, *SAMPLES[option]))]
    assert make_parser().parse_args(line).command == "alerts"


SAMPLES: dict[str, tuple[str, ...]] = {
    "--when": ("z > 2",), "--y": ("A",), "--x": ("B",), "--all-pairs": (), "--timeframe": ("1m",), "--window": ("60",),
    "--bars": ("1800",), "--method": ("ols",), "--log": (), "--intercept": (), "--fill": ("0",),
    "--minimum-volume": ("0",), "--rearm": ("1.5",), "--duration": ("30s",), "--cooldown": ("5m",),
    "--quiet": ("22:00-07:00",), "--expires": ("never",), "--severity": ("info",), "--notify": ("ntfy://TOPIC",),
    "--note": ("n",),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["An alert", "A digest", "A test message"])
def test_each_field_that_a_program_receives_stands_in_the_guide_and_no_other(kind: str) -> None:
    new = fired()
    given = {each.name: getattr(new, each.name) for each in fields(new)}
    decision = Decision(**given, id=1, over_ms=None, acknowledged_ms=None, note="")
    due = Due(Waiting(1, decision, HOOK, "d", "waiting", 0, NOW), repeat=False)
    bodies = {
        "An alert": message_of(due, "").body,
        "A digest": digest_of([due], lambda _: "").body,
        "A test message": trial_message(NOW, "").body,
    }
    line = next(line for line in PROGRAMS.splitlines() if line.startswith(kind))
    table = [] if kind == "A test message" else rows(line)
    said = re.findall(r'`"?(\w+)', re.sub(r"\([^)]*\)", "", line)) if kind != "An alert" else []
    assert sorted([*said, *(name for row in table for name in told(row))]) == sorted(bodies[kind])


@pytest.mark.parametrize("address", [text for row in rows("## Channels") for text in told(row) if "…" not in text])
def test_each_address_is_one(address: str) -> None:
    secrets = Secrets.of(dict.fromkeys(re.findall(r"{(\w+)}", address), "a secret of several letters"))
    check_channel(address.replace("HOST:PORT", "HOST:80"), Settings(secrets=secrets))
