"""Import of a reading into the store: first what it would do, then a job that does it, and what came of it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from market import PairscopeError, WrongUse
from pairscope.commands import Outcome, Plan, carry_out
from pairscope.files import FileError, UploadOptions
from pairscope.handover import hand_over
from pairscope.jobs import Progress
from pairscope.runtime import Runtime
from pairscope.views.clock import Clock
from pairscope.views.data_upload_files import TRADES, Basket, Held, Reading, listed, said_options
from pairscope.views.data_upload_options import page_words
from pairscope.views.notices import inert
from store import Owner, Store, StoreError

HAND_OVER_SECONDS = 3600.0


def show_import(runtime: Runtime, basket: Basket, reading: Reading, clock: Clock) -> None:
    """Show what an import would store, and the button that does it."""
    assert reading.upload is not None
    job = reading.imported
    if job is not None and job.state == "done":
        _show_outcome(job.result)
        return
    try:
        plan = reading.plan(runtime.reader.instruments())
    except WrongUse as error:
        st.error(f"It cannot be imported: {inert(page_words(str(error)))}.", icon=":material/block:")
        return
    _show_plan(plan, reading.held, clock)
    if job is not None and not job.is_over:
        st.caption("It is being imported; above is how far it is.")
        return
    if job is not None:
        why = "the import was cancelled" if job.state == "cancelled" else job.status.text
        st.warning(inert(page_words(f"Nothing was stored: {why}.")), icon=":material/block:")
    st.button(
        f"Import {plan.rows:,} rows", icon=":material/download_2:", type="primary", disabled=not plan.rows,
        key="import", on_click=partial(_begin, runtime, basket, reading, plan),
        help="All of it is stored or nothing; what is there already is stored once.",
    )  # fmt: skip


def _show_plan(plan: Plan, held: Sequence[Held], clock: Clock) -> None:
    if not plan.rows:
        st.info("There is nothing in it that the store can keep; it can be analysed all the same.")
    else:
        st.dataframe(
            plan_rows(plan, held, clock), hide_index=True, key="plan", placeholder="–", height="content",
            column_config={
                "symbol": st.column_config.TextColumn(help="As it is called in the store."),
                "rows": st.column_config.NumberColumn(format="localized", help="Rows that are not in the file twice."),
            },
        )  # fmt: skip
    for note in plan.notes:
        st.caption(f":orange[:material/info:] {inert(page_words(note))}")


def plan_rows(plan: Plan, held: Sequence[Held], clock: Clock) -> list[dict[str, Any]]:
    """Return what would be stored of each symbol."""
    found = [
        (str(bars.instrument), f"candles of {bars.timeframe}", len(bars), int(bars.time[0]), int(bars.time[-1]))
        for bars in plan.candles if len(bars)
    ]  # fmt: skip
    found += [
        (str(each.instrument), each.what, each.count, each.start_ms, each.end_ms)
        for each in held
        if each.what == TRADES
    ]
    names = ("symbol", "stored as", "rows", f"from, {clock.name}", f"to, {clock.name}")
    return [dict(zip(names, (*rest, clock.text(start), clock.text(end)), strict=True)) for *rest, start, end in found]


def _show_outcome(outcome: Outcome) -> None:
    if outcome.exit:
        st.error(f"Nothing was stored: {inert(page_words(outcome.text))}.", icon=":material/block:")
        return
    st.success(f"{inert(outcome.text.splitlines()[-1])}.", icon=":material/check:")
    for why in left_out(outcome):
        st.caption(f":orange[:material/info:] {inert(page_words(why))}")
    st.caption(
        "The other pages show the symbols now; those that are not being recorded, up to their last trade. "
        "To import it once more stores nothing twice."
    )


def left_out(outcome: Outcome) -> list[str]:
    """Return what an import left out beside single rows, such as rows that contradict what is stored."""
    rejected = outcome.values["rejected"]
    assert isinstance(rejected, Sequence)
    return [str(each["why"]) for each in rejected if not each["line"]]


def _begin(runtime: Runtime, basket: Basket, reading: Reading, plan: Plan) -> None:
    title = f"Import of {listed(reading.files)}"
    store = runtime.store
    if store is not None:
        reading.imported = runtime.jobs.start(title, partial(store_plan, plan, store))
        return
    files = {str(path): name for name, path in basket.files.items()}
    reading.imported = runtime.jobs.start(
        title, partial(hand_files_over, runtime.reader.owner, files, [basket.said_of(name) for name in basket.files])
    )


def store_plan(plan: Plan, store: Store, progress: Progress) -> Outcome:
    """Store what was planned, and say how many rows are gone through."""

    def told(rows: int) -> None:
        progress.say(rows / max(plan.rows, 1), f"{rows:,} of {plan.rows:,} rows")

    told(0)
    return carry_out(plan, store, on_rows=told)


def hand_files_over(
    owner: Owner | None, files: Mapping[str, str], said: Sequence[UploadOptions], progress: Progress
) -> Outcome:
    """Let the process that owns the store import files, by path, and name them as their owner does.

    Raises:
        StoreError: when it does not answer.
        WrongUse: when nobody owns the store, or the files are read in different ways.
    """
    if owner is None:
        raise WrongUse("the process that recorded has ended, and this one only views: restart this app to import")
    if len(set(said)) > 1:
        raise WrongUse("files that are read in different ways are handed over one at a time: remove the others")
    progress.can_end = False
    progress.say(0.0, f"process {owner.pid}, which records, does it; it cannot be cancelled")
    try:
        asked = {"files": list(files), "options": said_options(said[0])}
        outcome = hand_over(owner, "import", asked, seconds=HAND_OVER_SECONDS)
    except StoreError as error:
        raise StoreError(with_names(str(error), files)) from error
    if outcome.exit:
        raise _error(outcome.exit)(with_names(outcome.text, files))
    return outcome


def _error(code: int) -> type[PairscopeError]:
    return WrongUse if code == 2 else FileError


def with_names(text: str, files: Mapping[str, str]) -> str:
    """Write the names of files for their paths."""
    for path, name in files.items():
        text = text.replace(path, name)
    return text
