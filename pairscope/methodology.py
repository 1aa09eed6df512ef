"""The texts of docs/methodology.md: what each number is, for the page that shows it. The document is their one source.

An entry begins with ``### name``, the field's name in code; then come ``**title** (unit)``, the tooltip, and the lines
``Formula:``, ``Reference:`` and ``Caveat:``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from market import UnknownName

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "methodology.md"

_ENTRY = re.compile(
    r"^### (?P<name>\w+)\n+\*\*(?P<title>[^*\n]+)\*\*(?: \((?P<unit>[^\n]+)\))?\n+(?P<tooltip>[^\n]+)\n+(?P<rest>.*?)"
    r"(?=^#|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PART = re.compile(
    r"^(Formula|Reference|Caveat): (.*?)(?=^(?:Formula|Reference|Caveat): |\Z)", re.MULTILINE | re.DOTALL
)


SAME = {
    "beta_low": "low",
    "beta_high": "high",
    "beta_stderr": "stderr",
    "window_alpha": "window_beta",
    "missing_y": "missing",
    "missing_x": "missing",
    "filled_y": "filled",
    "filled_x": "filled",
    "ou_theta": "theta",
    "ou_mu": "mu",
    "ou_sigma": "sigma",
    "coint_statistic": "engle_granger",
    "coint_pvalue": "engle_granger",
    "coint_direction": "direction",
    "coint_reason": "engle_granger",
    "break_reason": "beta_break",
    "phillips_ouliaris_pvalue": "phillips_ouliaris",
    "johansen_trace": "trace",
    "johansen_rank": "johansen",
    "adf_y_pvalue": "adf",
    "adf_x_pvalue": "adf",
    "kpss_y_pvalue": "kpss",
    "kpss_x_pvalue": "kpss",
    "variance_ratio_pvalue": "variance_ratio",
    "ljung_box_pvalue": "ljung_box",
    "jarque_bera_pvalue": "jarque_bera",
    "break_pvalue": "beta_break",
    "break_time": "beta_break",
    "tested_end": "tested_bars",
}
"""Numbers of a pair's summary that another entry explains."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What there is to say of one number."""

    name: str
    title: str
    unit: str
    tooltip: str
    formula: str
    reference: str
    caveat: str


@cache
def entries() -> Mapping[str, Entry]:
    """Return every entry by its name."""
    return {found["name"]: _entry(found) for found in _ENTRY.finditer(DOCUMENT.read_text(encoding="utf-8"))}


def _entry(found: "re.Match[str]") -> Entry:
    parts = {name.lower(): text.strip() for name, text in _PART.findall(found["rest"])}
    return Entry(found["name"], found["title"], found["unit"] or "", found["tooltip"], **parts)


def tooltip(name: str) -> str:
    """Return what a trader reads who points at a number.

    Raises:
        UnknownName: for a number that the document does not explain.
    """
    try:
        return entries()[SAME.get(name, name)].tooltip
    except KeyError:
        raise UnknownName("number", name, entries()) from None
