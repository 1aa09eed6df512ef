"""What a reading found: each symbol, its first rows, what was understood, and every row that was left out."""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import streamlit as st

from pairscope.files import Rejected, Upload, write_rejected
from pairscope.views.clock import Clock
from pairscope.views.data_upload_files import Held
from pairscope.views.data_upload_options import page_words
from pairscope.views.notices import inert

PREVIEW_ROWS = 9
REPORT_LINES = 60
AMOUNTS = frozenset({"price", "quantity", "id", "open", "high", "low", "close", "volume"})


def show_content(upload: Upload, held: Sequence[Held], clock: Clock) -> None:
    """Show the symbols that were found, what was understood, and the first rows of one symbol."""
    left, right = st.columns(2, gap="small")
    with left:
        st.markdown("**Found**")
        _table(
            [held_row(each, clock) for each in held],
            {
                "symbol": "As the file names it.",
                "venue": "Where the trades were made; import where the file does not say.",
                "what": "Trades, or bars and how long each is.",
                "rows": "How many of them were read.",
                f"from, {clock.name}": "The first trade, or the begin of the first bar.",
                f"to, {clock.name}": "The last trade, or the end of the last bar.",
            },
            key="found",
        )
        show_report(upload)
    with right:
        names = [each.name for each in held]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown("**First rows** of", width="content")
            name = st.selectbox("Symbol", names, key="previewed", label_visibility="collapsed")
        _table(first_rows(upload, name or names[0], clock), {}, key="preview")


def held_row(held: Held, clock: Clock) -> dict[str, Any]:
    """Return a symbol as a row of the table."""
    return {
        "symbol": held.instrument.symbol,
        "venue": held.instrument.venue,
        "what": held.what,
        "rows": held.count,
        f"from, {clock.name}": clock.text(held.start_ms),
        f"to, {clock.name}": clock.text(held.end_ms),
    }


def first_rows(upload: Upload, name: str, clock: Clock, rows: int = PREVIEW_ROWS) -> list[dict[str, Any]]:
    """Return the first trades or bars of a symbol; NaN is left empty."""
    time = f"time, {clock.name}"
    if name in upload.bars:
        columns = upload.bars[name][:rows].columns()
        shown = ("open", "high", "low", "close", "volume")
        return [
            {time: clock.text(at), **{each: _exact(columns[each][row]) for each in shown}}
            for row, at in enumerate(columns["time"].tolist())
        ]
    assert upload.ticks is not None
    instrument = dict(zip(upload.symbols, upload.instruments, strict=True))[name]
    ticks = upload.ticks.of(instrument)[:rows]
    return [
        {
            time: f"{clock.text(each.time_ms)}.{each.time_ms % 1000:03d}",
            "price": _exact(each.price),
            "quantity": _exact(each.qty),
            "side": each.side or "–",
            "id": str(each.trade_id),
        }
        for each in ticks
    ]


def _exact(value: float) -> str:
    """Write a number with all figures that a file is likely to have; a dash when it is not known."""
    return "–" if math.isnan(value) else f"{value:,.12g}"


def show_report(upload: Upload) -> None:
    """Say what was understood, sentence by sentence."""
    told = report_lines(upload)
    st.markdown("**What was understood**")
    with st.container(gap="xsmall"):
        for line in told[:REPORT_LINES]:
            st.caption(inert(line))
        if len(told) > REPORT_LINES:
            st.caption(f"And {len(told) - REPORT_LINES:,} lines more.")


def report_lines(upload: Upload) -> list[str]:
    """Return what is said of a reading, but for the rows that were left out, which have a table of their own."""
    told = [sentence for reading in upload.files for sentence in reading.sentences()] + list(upload.notes)
    if upload.out_of_order:
        told.append(f"{upload.out_of_order:,} rows were out of time order and were sorted.")
    if upload.duplicates:
        told.append(f"{upload.duplicates:,} rows repeat another row and were left out.")
    return [page_words(each) for each in told]


def show_rejected(upload: Upload) -> None:
    """Show the rows that were left out, and why; all rules are counted, the first rows shown one by one."""
    count = sum(upload.rejected_counts.values())
    if not count:
        st.caption(":green[:material/check:] No row was rejected.")
        return
    if upload.mostly_rejected:
        st.error("More than half of the rows were rejected: this is hardly the kind of file it was taken for.")
    with st.expander(f"Rejected: {count:,}", icon=":material/rule:", expanded=True):
        left, right = st.columns([2, 3], gap="small")
        with left:
            _table(
                rule_rows(upload.rejected_counts),
                {"rule": "The first rule that a row breaks.", "rows": "How many rows or cells break it."},
                key="rules",
            )
            st.download_button(
                "Rejected rows, CSV", lambda: rejected_csv(upload.rejected), "rejected.csv", "text/csv",
                icon=":material/download:", on_click="ignore", key="rejected csv",
                help=f"File, line, column, value and rule of the first {len(upload.rejected):,}.",
            )  # fmt: skip
        with right:
            rows = [each._asdict() | {"line": each.line or None} for each in upload.rejected]
            _table(rows, {"line": "Lines count from 1; rows do where a file has no lines."}, key="rejected")
            if count > len(rows):
                st.caption(f"The first {len(rows):,} of {count:,}; all are counted.")


def rule_rows(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return how often each rule was broken, the most often broken first."""
    return [{"rule": rule, "rows": rows} for rule, rows in sorted(counts.items(), key=lambda each: -each[1])]


def rejected_csv(rejected: Sequence[Rejected]) -> bytes:
    """Write rejected rows as CSV."""
    stream = BytesIO()
    write_rejected(stream, rejected)
    return stream.getvalue()


def _table(rows: list[dict[str, Any]], meanings: Mapping[str, str], *, key: str) -> None:
    """Show rows as a table in which text is text and numbers stand to the right."""
    column = st.column_config
    columns = {
        name: column.NumberColumn(help=meanings.get(name), format="localized")
        if any(isinstance(row[name], int) for row in rows)
        else column.TextColumn(help=meanings.get(name), alignment="right" if name in AMOUNTS else "left")
        for name in (rows[0] if rows else ())
    }
    st.dataframe(rows, hide_index=True, key=key, column_config=columns, placeholder="–")
