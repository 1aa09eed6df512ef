"""The command that writes trades, bars, an analysis or alerts to a file."""

import argparse
from dataclasses import replace

from market import Instrument, UnknownName, WrongUse
from pairscope.alerts.records import Asked
from pairscope.cli.alerting import reached_pages
from pairscope.cli.analyzing import analytics_asked, demand_span, pair_options, said_of_pairs
from pairscope.cli.options import moment, with_venue
from pairscope.cli.reading import reading
from pairscope.commands import Outcome, same_file
from pairscope.exports import export_alerts, label_of, write_export
from pairscope.runtime import now_ms
from pairscope.settings import Settings
from store import SqliteReader, store_path


def export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("ticks", "bars", "analytics", "alerts"))
    parser.add_argument(
        "--symbol",
        action="append",
        metavar="A",
        help="may be given again; of analytics: first y, then x; of alerts: none",
    )
    parser.add_argument("--venue", metavar="V", help="where a symbol does not carry its own")
    parser.add_argument("--start", type=moment, metavar="TIME", help="ISO-8601, UTC unless it says otherwise; included")
    parser.add_argument("--end", type=moment, metavar="TIME", help="not included")
    parser.add_argument("--format", choices=("csv", "json", "parquet"), default="csv")
    parser.add_argument("--out", required=True, metavar="FILE")
    pair_options(parser)


def export(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Write trades, bars, the analysis of a pair, or alerts to a file."""
    path = store_path(settings.store)
    if same_file(options.out, path):
        raise WrongUse(f"--out {options.out} is the store itself: name another file")
    demand_span(options)
    used = {"bars": {"--timeframe"}, "ticks": set(), "alerts": set()}.get(options.what)
    if used is not None and (idle := [name for name in said_of_pairs(options) if name not in used]):
        raise WrongUse(f"{idle[0]} has no effect on `export {options.what}`: leave it out")
    if options.what == "alerts":
        return _export_alerts(options, settings)
    if not options.symbol:
        raise WrongUse("the following arguments are required: --symbol")
    with reading(path, default_venue=settings.venue) as reader:
        names = _chosen(reader, options)
        if options.what == "analytics" and len(names) != 2:
            raise WrongUse(f"a pair has two legs: give --symbol twice, first y, then x, not {len(names)} times")
        label = label_of(reader, names)
        asked = replace(analytics_asked(names, options), what=options.what)
        rows = write_export(options.out, reader, asked, now=now_ms())
    note = "" if label == "LIVE" else f" ({label})"
    return Outcome(
        0, f"{rows:,} rows written to {options.out}{note}", {"rows": rows, "file": options.out, "label": label}
    )


def _export_alerts(options: argparse.Namespace, settings: Settings) -> Outcome:
    """Write what fired, the oldest first."""
    if idle := [name for name in ("symbol", "venue") if getattr(options, name)]:
        raise WrongUse(f"--{idle[0]} has no effect on `export alerts`: leave it out")
    asked = Asked(start=options.start, end=options.end)
    with reading(store_path(settings.store)) as reader:
        rows = export_alerts(options.out, reader, asked, options.format, base=reached_pages(settings))
    return Outcome(0, f"{rows:,} rows written to {options.out}", {"rows": rows, "file": options.out})


def _chosen(reader: SqliteReader, options: argparse.Namespace) -> list[Instrument]:
    venues = {each.venue for each in reader.instruments()}
    if options.venue not in (None, *venues):
        raise UnknownName("venue", options.venue, venues)
    return list(dict.fromkeys(reader.resolve(with_venue(each, options.venue)) for each in options.symbol))
