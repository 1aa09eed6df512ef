"""Long work, as a page shows it: how far it is, how long it will take, and a button that ends it."""

from typing import Any

import streamlit as st

from pairscope.jobs import Job, JobStatus, State
from pairscope.runtime import Runtime
from pairscope.views.live_part import live_part
from pairscope.views.notices import inert
from pairscope.views.numerals import length_text

REFRESH_SECONDS = 0.5
SHOWN = 5
"""So many that are over are listed."""

MARKS: dict[State, str] = {
    "done": ":green[:material/check:]",
    "failed": ":red[:material/close:]",
    "cancelled": ":gray[:material/block:]",
}


def show_jobs(runtime: Runtime) -> None:
    """Show what runs and waits, live; the page is run anew when something ends."""
    awaited = [job for job in runtime.jobs.listed() if not job.is_over]
    live_part(_show, run_every=REFRESH_SECONDS if awaited else None)(runtime, awaited)


def _show(runtime: Runtime, awaited: list[Job[Any]]) -> None:
    if any(job.is_over for job in awaited):
        st.rerun()
    for job in runtime.jobs.listed():
        if not job.is_over:
            _show_job(job)


def show_ended(runtime: Runtime) -> None:
    """Show what became of the last jobs."""
    if over := [job for job in runtime.jobs.listed() if job.is_over][:SHOWN]:
        with st.expander(inert(over_text(over[0].status)), icon=":material/history:", key="jobs that are over"):
            for job in over:
                st.markdown(f"{MARKS[job.state]} {inert(over_text(job.status))}{_result_text(job)}")


def _show_job(job: Job[Any]) -> None:
    status = job.status
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"job {job.number}"):
        st.progress(status.share, inert(status_text(status)))
        if not status.can_end:
            return
        st.button(
            "Cancel", key=f"cancel {job.number}", icon=":material/close:", on_click=job.cancel,
            disabled=status.is_ending, help="End it. An import that is cancelled stores nothing.",
        )  # fmt: skip


def _result_text(job: Job[Any]) -> str:
    return f" · {inert(job.result)}" if job.state == "done" and isinstance(job.result, str) else ""


def status_text(status: JobStatus) -> str:
    """Write how a job does: Import of a.csv · 40% · 120,000 of 300,000 rows · 12 s left."""
    if status.state == "waiting":
        return f"{status.title} · waits for its turn"
    left = "" if status.left_seconds is None else f"{length_text(1_000 * status.left_seconds)} left"
    parts = ("being cancelled" if status.is_ending else f"{status.share:.0%}", status.text, left)
    return " · ".join(filter(None, (status.title, *parts)))


def over_text(status: JobStatus) -> str:
    """Write what came of a job: Import of a.csv: failed after 3.1 s, the disk is full."""
    why = f": {status.text}" if status.state == "failed" else ""
    return f"{status.title}: {status.state} after {length_text(1_000 * status.seconds)}{why}"
