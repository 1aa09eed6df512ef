"""Options that several commands have, and how a wrong one is told."""

import argparse
import math
import re
import sys
from typing import Any, NoReturn, get_args

from market import Timeframe, UnknownName, WrongUse
from pairscope.settings import moment_ms
from pairscope.uploads.upload import DELIMITERS, ENCODINGS, Dates, Decimal, Kind, Unit, UploadOptions

_ADDRESS = re.compile(r"://.*", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest choice, and no address: it may hold a password."""

    def error(self, message: str) -> NoReturn:
        if found := _CHOICE.search(message):
            known = [each.strip("'") for each in found[2].split(", ")]
            message = f"{found.string[: found.start()]}{UnknownName('choice', found[1], known)}"
        say(_ADDRESS.sub("://…", message))
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


def upload_options(parser: argparse.ArgumentParser) -> None:
    """Add what settles how a file is read where the file itself does not."""
    told = parser.add_argument_group("how files are read, where they do not say")
    told.add_argument("--delimiter", choices=DELIMITERS, metavar="CHARACTER", help="one of , ; | and the tab")
    told.add_argument("--encoding", choices=ENCODINGS, help="default: detected")
    told.add_argument("--decimal", choices=get_args(Decimal), help="the decimal mark")
    told.add_argument("--dates", choices=get_args(Dates), help="how 01/02/2026 is meant")
    told.add_argument("--unit", choices=get_args(Unit), help="of numeric times")
    told.add_argument("--zone", metavar="ZONE", help="an IANA name such as Europe/Berlin; default: UTC")
    told.add_argument("--kind", choices=get_args(Kind), help="what the file holds")
    told.add_argument("--file-symbol", metavar="A", help="the symbol, where the file names none")
    told.add_argument(
        "--file-venue", metavar="V", help='the venue, where the file names none; default: import; "import" drops theirs'
    )
    told.add_argument("--file-timeframe", type=timeframe, metavar="T", help="of bars whose times do not tell it")


def upload_options_of(options: argparse.Namespace) -> UploadOptions:
    """Return what was said about files."""
    said: dict[str, Any] = {name.removeprefix("file_"): value for name, value in _said_of_files(options).items()}
    return UploadOptions(**said)


def demand_no_upload_options(options: argparse.Namespace) -> None:
    """Refuse what says how files are read, where none are."""
    if said := [f"--{name.replace('_', '-')}" for name in _said_of_files(options)]:
        raise WrongUse(f"{said[0]} says how files are read, and goes with --input")


def _said_of_files(options: argparse.Namespace) -> dict[str, str]:
    names = ("delimiter", "encoding", "decimal", "dates", "unit", "zone", "kind", *_OF_FILES)
    given = {name: getattr(options, name) for name in names}
    return {name: str(value) for name, value in given.items() if value is not None}


_OF_FILES = ("file_symbol", "file_venue", "file_timeframe")
