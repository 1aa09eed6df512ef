"""Options that several commands have, and how a wrong one is told."""

import argparse
import math
import re
import sys
from typing import NoReturn

from market import Timeframe, UnknownName, WrongUse
from pairscope.settings import moment_ms

_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest choice."""

    def error(self, message: str) -> NoReturn:
        if found := _CHOICE.search(message):
            known = [each.strip("'") for each in found[2].split(", ")]
            message = f"{found.string[: found.start()]}{UnknownName('choice', found[1], known)}"
        say(message)
        sys.exit(2)


def say(message: str) -> None:
    """Put one line on stderr."""
    print(f"pairscope: {' '.join(message.split())}", file=sys.stderr)


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def speed(text: str) -> float:
    return math.inf if text == "max" else positive(text)


def timeframe(text: str) -> Timeframe:
    try:
        return Timeframe.parse(text)
    except WrongUse as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def moment(text: str) -> int:
    try:
        return moment_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-21T08:30:00Z") from error


def no_options(parser: argparse.ArgumentParser) -> None:
    pass


def with_venue(symbol: str, venue: str | None) -> str:
    return symbol if venue is None or ":" in symbol else f"{venue}:{symbol}"
