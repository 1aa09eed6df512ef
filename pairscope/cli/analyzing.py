"""The command that analyses a pair, from the store or from files."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market import Bars, Instrument, UnknownName, WrongUse, iso
from pairscope.cli.options import (
    demand_no_upload_options,
    moment,
    timeframe,
    upload_options,
    upload_options_of,
    with_venue,
)
from pairscope.cli.reading import reading
from pairscope.commands import Outcome, as_options, demand_others, in_words_of_the_command, read_files, same_file
from pairscope.exports import MINUTE_BARS, Export, label_of, whole_bars
from pairscope.files import FileError, Upload, write_analysis
from pairscope.runtime import now_ms
from pairscope.settings import Settings
from store import store_path

if TYPE_CHECKING:
    from analytics import PairAnalysis

FOREVER = 2**62
LARGEST_REBATE_BP = -10.0
"""Nobody pays a maker more than this."""
METHODS = ("ols", "huber", "theil_sen", "tls", "kalman")


def analyze_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--y", required=True, metavar="A", help="the leg that is bought when the spread is low")
    parser.add_argument("--x", required=True, metavar="B", help="the leg that hedges it")
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--input", nargs="+", metavar="FILE", help="read these instead of the store")
    parser.add_argument("--start", type=moment, metavar="TIME", help="ISO-8601, UTC unless it says otherwise; included")
    parser.add_argument("--end", type=moment, metavar="TIME", help="not included")
    parser.add_argument("--out", metavar="FILE", help="write what varies in time there")
    parser.add_argument("--format", choices=("csv", "json", "parquet"), help="of that file; default: csv")
    pair_options(parser)
    upload_options(parser)


def pair_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how a pair is analysed."""
    parser.add_argument("--timeframe", type=timeframe, metavar="T", help="default: 1m; of files, that of their bars")
    parser.add_argument(
        "--window", type=int, default=60, metavar="N", help="bars that hedge and z-score know; default: 60"
    )
    parser.add_argument("--hedge", choices=METHODS, default="ols", help="default: ols")
    parser.add_argument("--fit", choices=("past", "whole"), default="past", help="whole uses the future; default: past")
    parser.add_argument("--log", action="store_true", help="logarithms of the prices")
    parser.add_argument("--no-intercept", action="store_true", help="spread y - beta x")
    parser.add_argument(
        "--fill", type=int, default=0, metavar="K", help="fill a missing bar from one at most K bars old"
    )
    parser.add_argument("--minimum-volume", type=float, default=0.0, metavar="V", help="leave out bars with less")
    parser.add_argument("--entry", type=float, default=2.0, metavar="Z", help="default: 2")
    parser.add_argument("--exit", type=float, default=0.5, metavar="Z", help="default: 0.5")
    parser.add_argument("--stop", type=float, metavar="Z", help="give a position up at this z-score")
    parser.add_argument("--time-stop", type=int, metavar="N", help="give a position up after N bars")
    parser.add_argument(
        "--costs", type=_costs, metavar="VENUE|FEE[,SLIPPAGE[,HALF-SPREAD]]",
        help="a venue's, or basis points a trade of a leg; default: each leg's venue",
    )  # fmt: skip


def analyze(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Analyse a pair: hedge ratio, spread, z-score, tests, edge after costs, and a verdict with its reasons."""
    _demand_sense(options, settings)
    legs = _legs_of_files(options, settings) if options.input else _legs_of_store(options, settings)
    found = analysis_of(legs.y, legs.x, options, late=None if options.input else now_ms())
    values: dict[str, object] = {**found.to_record(), "label": legs.label, "notes": legs.notes}
    head = f"{found.y} against {found.x}, {found.summary.n:,} bars of {found.summary.timeframe}: {found.verdict.word}"
    lines = [*legs.notes, head, *map(_reason_line, found.verdict.reasons)]
    if options.out:
        rows = write_analysis(options.out, found, options.format or "csv", label=legs.label)
        lines.append(f"{rows:,} rows written to {options.out}")
        values |= {"file": options.out, "rows": rows}
    if found.verdict.word == "not enough data":
        return Outcome(1, found.verdict.sentence, values)
    return Outcome(0, "\n".join(lines), values)


def _demand_sense(options: argparse.Namespace, settings: Settings) -> None:
    """Refuse options that contradict each other, would have no effect, or would destroy what is read."""
    demand_span(options)
    if options.format and not options.out:
        raise WrongUse("--format is of the file that --out names: give --out FILE too")
    if not options.input:
        demand_no_upload_options(options)
    for file in (*(options.input or ()), store_path(settings.store)) if options.out else ():
        if same_file(options.out, file):
            what = "an input" if options.input and file in options.input else "the store itself"
            raise WrongUse(f"--out {options.out} is {what}: name another file")


def demand_span(options: argparse.Namespace) -> None:
    """Refuse a time span that ends before it begins."""
    if None not in (options.start, options.end) and options.start >= options.end:
        raise WrongUse("--start must be before --end")


def said_of_pairs(options: argparse.Namespace) -> list[str]:
    """Return the options of `pair_options` that are not as they are by default."""
    parser = argparse.ArgumentParser(add_help=False)
    pair_options(parser)
    plain = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in plain.items() if getattr(options, name) != value]


class Legs(NamedTuple):
    """What is analysed, where it comes from, and what was understood of it."""

    y: Bars
    x: Bars
    label: str
    notes: Sequence[str] = ()


def _legs_of_files(options: argparse.Namespace, settings: Settings) -> Legs:
    with in_words_of_the_command():
        demand_others(options.input, store_path(settings.store))
        upload = read_files(options.input, upload_options_of(options), now_ms())
        if upload.nothing:
            raise FileError(upload.nothing)
        y, x = (_leg_of_files(upload, name, options) for name in (options.y, options.x))
    apart = y.time[0] > x.time[-1] or x.time[0] > y.time[-1]
    if apart or (not options.fill and not np.intersect1d(y.time, x.time).size):
        raise FileError(f"the legs share no time: {_reach(y)}, {_reach(x)}")
    notes = [as_options(note) for note in upload.report]
    label = upload.label(y.instrument, x.instrument)
    return Legs(y, x, label, notes if label == "FILE" else [f"{label} trades", *notes])


def _leg_of_files(upload: Upload, name: str, options: argparse.Namespace) -> Bars:
    venues = {each.venue for each in upload.instruments}
    if options.venue not in (None, *venues):
        raise UnknownName("venue", options.venue, venues)
    whole = upload.leg(with_venue(name, options.venue), options.timeframe)
    part = whole.between(options.start or 0, FOREVER if options.end is None else options.end)
    if len(whole) and not len(part):
        raise FileError(f"there is nothing between --start and --end: {_reach(whole)}")
    return part


def _reach(bars: Bars) -> str:
    if not len(bars):
        return f"{bars.instrument} has no bar"
    return f"{bars.instrument} is from {iso(int(bars.time[0]))} to {iso(int(bars.time[-1]))}"


def _legs_of_store(options: argparse.Namespace, settings: Settings) -> Legs:
    with reading(store_path(settings.store), default_venue=settings.venue) as reader:
        names = [reader.resolve(with_venue(each, options.venue)) for each in (options.y, options.x)]
        label = label_of(reader, names)
        asked = analytics_asked(names, options)
        y, x = (whole_bars(reader, name, asked, now=now_ms()) for name in names)
    return Legs(y, x, label, [] if label == "LIVE" else [f"{label} trades"])


def analytics_asked(names: Sequence[Instrument], options: argparse.Namespace) -> Export:
    """Return what the options of a pair ask of the store."""
    return Export(
        what="analytics",
        instruments=tuple(names),
        start=options.start,
        end=options.end,
        timeframe=options.timeframe or MINUTE_BARS,
        file_format=options.format or "csv",
        options=arguments_of(options),
    )


def analysis_of(y: Bars, x: Bars, options: argparse.Namespace, *, late: int | None) -> "PairAnalysis":
    """Analyse two legs as the options say."""
    from analytics import analyze_pair  # a second of imports, which no other command needs

    return analyze_pair(y, x, now_ms=late, **arguments_of(options))


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `analyze_pair` takes beside the legs and the time."""
    same = ("window", "fit", "log", "fill", "minimum_volume", "entry", "exit", "stop", "time_stop", "costs")
    return {name: getattr(options, name) for name in same} | {
        "method": options.hedge,
        "intercept": not options.no_intercept,
    }


def _reason_line(reason: Any) -> str:
    mark = {True: "+", False: "-", None: "?"}[reason.ok]
    return f"  {mark} {reason.text}"


def _costs(text: str) -> Any:
    """Read a preset's name, or basis points: fee, slippage, half the spread."""
    from analytics import PRESETS, Costs

    if text in PRESETS:
        return text
    try:
        costs = Costs(*(float(each) for each in text.split(",")))
    except (ValueError, TypeError, WrongUse) as error:
        known = ", ".join(PRESETS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a venue ({known}) nor basis points such as 10,1,0.5"
        ) from error
    if costs.fee_bp < LARGEST_REBATE_BP:
        raise argparse.ArgumentTypeError(f"{text!r} has a fee below {LARGEST_REBATE_BP:g} bp, which no venue pays")
    return costs
