"""What an address of the dashboard says: its keys, what each may hold, and what is wrong with another text.

A preset is what the address of the Pair page says, under a name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from market import WrongUse
from pairscope.numbers.costs import PRESETS

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h")
HEDGES = {"OLS": "ols", "Huber": "huber", "Theil-Sen": "theil_sen", "TLS": "tls", "Kalman": "kalman"}
FITS = {"past only": "past", "whole window": "whole"}
HISTORY = ("300", "600", "1800", "3600", "14400", "43200", "86400")
VENUES_OWN, OWN = "each venue's", "own"
REFRESH = {"0.5 s": 0.5, "1 s": 1.0, "2 s": 2.0, "5 s": 5.0}

LONGEST_SHOWN = 40
LONGEST_SYMBOL = 80

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Words:
    """One of some words; without a usual one, the page decides."""

    options: Sequence[str]
    usual: str | None = None

    @property
    def expected(self) -> str:
        """What may stand here."""
        return f"one of {', '.join(self.options)}"

    def read(self, text: str) -> str:
        """Return the word.

        Raises:
            ValueError: for any other text.
        """
        if text not in self.options:
            raise ValueError(text)
        return text


@dataclass(frozen=True, slots=True)
class Number:
    """A number within its bounds; without a usual one it may be left empty."""

    least: float
    most: float
    step: float
    usual: float | None
    whole: bool = False

    @property
    def expected(self) -> str:
        """What may stand here."""
        kind = "whole number" if self.whole else "number"
        return f"a {kind} from {self.least:,g} to {self.most:,g}" + (", or nothing" if self.usual is None else "")

    def read(self, text: str) -> float | None:
        """Return the number.

        Raises:
            ValueError: for a text that is none, or one that is out of bounds.
        """
        if not text and self.usual is None:
            return None
        number = float(text)
        if not self.least <= number <= self.most or (self.whole and number != math.floor(number)):
            raise ValueError(text)
        return int(number) if self.whole else number


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no."""

    usual: bool = False
    expected = "true or false"

    def read(self, text: str) -> bool:
        """Return whether it is on.

        Raises:
            ValueError: for a text that is neither.
        """
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a symbol; whether it is here is told when it is looked for."""

    usual: None = None
    expected = f"a symbol of at most {LONGEST_SYMBOL} letters"

    def read(self, text: str) -> str:
        """Return the name.

        Raises:
            ValueError: for what cannot be one.
        """
        if not 0 < len(text) <= LONGEST_SYMBOL:
            raise ValueError(text)
        return text


Field = Words | Number | Switch | Name

WINDOW = Number(10, 600, 5, 60, whole=True)
ENTRY, EXIT, STOP = Number(0.5, 5.0, 0.1, 2.0), Number(0.0, 3.0, 0.1, 0.5), Number(0.5, 100.0, 0.5, None)
TIME_STOP = Number(1, 100_000, 10, None, whole=True)
FILL = Number(0, 60, 1, 0, whole=True)
LEAST_VOLUME = Number(0.0, 1e12, 0.1, 0.0)
OWN_COSTS = Number(0.0, 1_000.0, 0.5, 5.0)

PAIR: dict[str, Field] = {
    "y": Name(),
    "x": Name(),
    "bars": Words(TIMEFRAMES),
    "window": WINDOW,
    "hedge": Words(tuple(HEDGES), "OLS"),
    "fit": Words(tuple(FITS), "past only"),
    "entry": ENTRY,
    "exit": EXIT,
    "stop": STOP,
    "timestop": TIME_STOP,
    "history": Words(HISTORY, "1800"),
    "log": Switch(),
    "intercept": Switch(usual=True),
    "fill": FILL,
    "volume": LEAST_VOLUME,
    "costs": Words((VENUES_OWN, *PRESETS, OWN), VENUES_OWN),
    "bp": OWN_COSTS,
    "rebased": Switch(),
}
"""What the address of the Pair page says, and a preset."""

EVERYWHERE: dict[str, Field] = {"refresh": Words(tuple(REFRESH), "1 s"), "paused": Switch()}
"""What the address of every page says, beside its time zone."""

EXPLORE: dict[str, Field] = {
    "explore": Words(("Lead and lag", "Residuals", "Hedge over time", "Tests"), "Lead and lag")
}
"""What the address of the Explore page says beside a pair: its section."""

FIELDS = PAIR | EVERYWHERE | EXPLORE


def complaints(asked: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with an address, in a sentence for each key that holds what it cannot."""
    found = {}
    for key, field in FIELDS.items():
        if key in asked:
            try:
                field.read(asked[key])
            except ValueError:
                found[key] = f"The address says {key}={shortened(asked[key])}; expected {field.expected}."
    return found


def shortened(text: str) -> str:
    """Write a foreign text in quotes, and not all of a long one."""
    return repr(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")


def values_of(name: str, texts: Mapping[str, object]) -> dict[str, Value]:
    """Return what a preset holds, as the controls take it; what it leaves out is as usual.

    Raises:
        WrongUse: for one that holds what it cannot, naming the preset and the key.
    """
    for key, text in texts.items():
        if key not in PAIR:
            raise WrongUse(
                f"the preset {shortened(name)} is broken: it holds {shortened(str(key))}, which is no setting"
            )
        try:
            if not isinstance(text, str):
                raise ValueError(text)  # noqa: TRY004  # the same sentence as for a text that is wrong
            PAIR[key].read(text)
        except ValueError as error:
            raise WrongUse(
                f"the preset {shortened(name)} is broken: {key} is {shortened(str(text))}; expected "
                f"{PAIR[key].expected}. Save it anew, or delete it"
            ) from error
    return {key: field.read(str(texts[key])) if key in texts else field.usual for key, field in PAIR.items()}


def texts_of(values: Mapping[str, Value]) -> dict[str, str]:
    """Write values as they stand in an address; what is empty is left out."""
    return {key: _text(value) for key, value in values.items() if key in PAIR and value is not None}


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
