"""README says what is so: its settings table, its commands, its links."""

import os
import re
import shlex
from pathlib import Path

import pytest

from market import WrongUse
from pairscope.cli import make_parser
from pairscope.settings import KEYS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- settings: [^>]*-->\n)(.*?)(<!-- end of settings -->)", re.DOTALL)
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def settings_table() -> str:
    """Return a row for each key; those that mean the same stand in one, so that the table stays short."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, key in KEYS.items():
        default = _shown(key.default)
        names.setdefault((default, key.metadata["meaning"]), []).append(f"`{name}`")
    rows = [f"| {' '.join(alike)} | `{default}` | {meaning} |" for (default, meaning), alike in names.items()]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _shown(value: object) -> str:
    if value == float("inf"):
        return "forever"
    return "none" if value in ((), "") else str(value)


def test_the_settings_table_is_that_of_the_program() -> None:
    """With WRITE_README=1 the table is written instead of compared."""
    text = README.read_text(encoding="utf-8")
    if os.environ.get("WRITE_README") == "1":
        text = BLOCK.sub(lambda found: found[1] + settings_table() + found[3], text)
        README.write_text(text, encoding="utf-8")
    found = BLOCK.search(text)
    assert found
    assert found[2] == settings_table()


def commands() -> list[str]:
    return re.findall(r"`python -m pairscope ([^`]+)`", README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", commands())
def test_every_command_in_readme_is_understood(command: str) -> None:
    try:
        make_parser().parse_args(shlex.split(command))
    except (SystemExit, WrongUse) as error:
        pytest.fail(f"README's command is refused: {error}")


def test_readme_shows_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert broken == []
