"""Every test of a command begins in an empty folder and with no settings."""

import os
from pathlib import Path

import pytest

from pairscope.cli import main
from tests.cli.calling import Call, Said


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins in an empty folder and with no settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PAIRSCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process."""

    def run(*arguments: object, store: Path | None = None) -> Said:
        capsys.readouterr()
        place = [] if store is None else ["--store", f"sqlite:///{store}"]
        try:
            code = main([*map(str, arguments), *place])
        except SystemExit as end:  # argparse's way
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return run
