"""The commands: `python -m pairscope COMMAND --help`.

Exit code 0: done (a verdict "no" is an answer); 1: the data cannot give an answer; 2: wrong use. 1 and 2 put one line
on stderr, also with --json.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence

from market import PairscopeError, WrongUse
from pairscope import __version__
from pairscope.cli.alerting import alerts, alerts_options
from pairscope.cli.analyzing import analyze, analyze_options
from pairscope.cli.changing import (
    delete,
    delete_options,
    import_files,
    import_options,
    prune,
    prune_options,
    record,
    record_options,
    status,
    symbols,
    symbols_options,
)
from pairscope.cli.exporting import export, export_options
from pairscope.cli.options import Parser, no_options, say
from pairscope.cli.reading import backup, backup_options, check
from pairscope.cli.recording import ingest, ingest_options, replay, replay_options
from pairscope.commands import Outcome, plain
from pairscope.settings import Settings, load

STOPPED = 130
"""The exit code that shells give to what Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        settings = load({key: getattr(options, key) for key in options.settings})
        outcome: Outcome = options.run(options, settings)
    except WrongUse as error:
        outcome = Outcome(2, str(error), {})
    except PairscopeError as error:
        outcome = Outcome(1, str(error), {})
    except KeyboardInterrupt:
        outcome = Outcome(STOPPED, "stopped", {})
    return report(outcome, as_json=options.json)


def report(outcome: Outcome, *, as_json: bool) -> int:
    """Print what a command gave, and return its exit code."""
    try:
        if as_json and (outcome.values or outcome.rows is not None):
            print(json.dumps(plain(outcome.values if outcome.rows is None else outcome.rows)), flush=True)
        elif not outcome.exit:
            print(outcome.text, flush=True)
    except BrokenPipeError:  # as in `... | head -1`; the interpreter would try once more at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if outcome.exit:
        say(outcome.text)
    return outcome.exit


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="pairscope", description="A real-time pair-trading desk.")
    parser.add_argument("--version", action="version", version=f"pairscope {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (run, add_options) in COMMANDS.items():
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__, allow_abbrev=False)
        command.add_argument("--store", metavar="URL", help="sqlite:///FILE; default: the settings' store")
        command.add_argument("--json", action="store_true", help="print the answer as JSON")
        command.set_defaults(run=run, settings=("store",))
        add_options(command)
    return parser


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace, Settings], Outcome], Callable[[argparse.ArgumentParser], None]]]
COMMANDS = {
    "ingest": (ingest, ingest_options),
    "check": (check, no_options),
    "import": (import_files, import_options),
    "analyze": (analyze, analyze_options),
    "export": (export, export_options),
    "alerts": (alerts, alerts_options),
    "replay": (replay, replay_options),
    "backup": (backup, backup_options),
    "prune": (prune, prune_options),
    "delete": (delete, delete_options),
    "status": (status, no_options),
    "symbols": (symbols, symbols_options),
    "record": (record, record_options),
}
