"""Calling a command in this process or in one of its own, and what it said."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    """What a command gave."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The last line of the output, which has no NaN."""
        return json.loads(self.out.splitlines()[-1], parse_constant=refuse_constant)

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("pairscope: ")
        return self.err.removeprefix("pairscope: ").rstrip("\n")


def refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


Call = Callable[..., Said]


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings, and with warnings as errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAIRSCOPE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **more}


def start(
    *arguments: object, cwd: Path, stdin: int = subprocess.DEVNULL, **environment: str
) -> "subprocess.Popen[str]":
    """Begin a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pairscope", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object, cwd: Path, said: str | None = None) -> Said:
    """Run a command as a process of its own, to its end."""
    process = start(*arguments, cwd=cwd, stdin=subprocess.DEVNULL if said is None else subprocess.PIPE)
    return ended(process, said)


def ended(process: "subprocess.Popen[str]", said: str | None = None, seconds: float = 30) -> Said:
    try:
        out, err = process.communicate(said, timeout=seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return Said(process.returncode, out, err)
