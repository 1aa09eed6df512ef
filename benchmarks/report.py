"""What a benchmark prints: the machine, and a Markdown table of what was measured and what was to be reached."""

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """The same thing measured several times."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    def __format__(self, spec: str) -> str:
        low, middle, high = (format(value, spec) for value in (min(self.values), self.median, max(self.values)))
        return f"{middle} [{low} to {high}]"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; without a limit it informs only."""

    what: str
    measured: str
    value: float = 0.0
    sense: Literal["at least", "at most", ""] = ""
    limit: float = 0.0
    unit: str = ""

    @property
    def met(self) -> bool:
        """Tell whether the value keeps to its limit."""
        if self.sense == "at least":
            return self.value >= self.limit
        return not self.sense or self.value <= self.limit

    def __str__(self) -> str:
        target = f"{self.sense} {self.limit:g}{self.unit}" if self.sense else ""
        verdict = ("met" if self.met else "**missed**") if self.sense else ""
        return f"| {self.what} | {self.measured} | {target} | {verdict} |"


def markdown(lines: Sequence[Line]) -> str:
    """Return the machine and the table."""
    head = ["| what | measured, median [range] | target | |", "| --- | --- | --- | --- |"]
    return "\n".join([machine(), "", *head, *map(str, lines)])


def machine() -> str:
    """Describe what the figures depend on."""
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, {versions}"


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in facts.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_mb() -> float:
    """Return the most memory that this process ever held, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
    # Not ru_maxrss: on Linux a started process inherits there what the one that started it held.
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def available_mb() -> float:
    """Return the memory that a process could still get, in MB; where the system does not tell, all there could be."""
    try:
        facts = Path("/proc/meminfo").read_text()
    except OSError:
        return float("inf")
    (line,) = (line for line in facts.splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024 / 1e6
