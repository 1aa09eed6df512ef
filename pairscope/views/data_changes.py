"""Changes of the store that a page begins: they run as jobs, where the store is owned, and what they did is said."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from market import PairscopeError
from pairscope.commands import Outcome
from pairscope.exports import Progress
from pairscope.runtime import Runtime
from pairscope.views.notices import inert

CHANGE_KEY = "change of the store"
"""Holds the number of the job that this session began last."""


def begin_change(runtime: Runtime, title: str, name: str, arguments: Mapping[str, object]) -> None:
    """Run a command as a job, and close the dialog that asked for it."""
    try:
        job = runtime.jobs.start(title, partial(perform_change, runtime, name, arguments))
    except PairscopeError as error:
        st.error(inert(str(error)))
        return
    st.session_state[CHANGE_KEY] = job.number
    st.rerun()


def perform_change(runtime: Runtime, name: str, arguments: Mapping[str, object], progress: Progress) -> Outcome:
    """Run a command, here or in the process that owns the store.

    Raises:
        PairscopeError: when it did not do what was asked.
    """
    progress.can_end = False
    progress.say(0.0, "at work; that cannot be interrupted")
    outcome = runtime.perform(name, arguments)
    if outcome.exit:
        raise PairscopeError(outcome.text)
    return outcome


def show_change(runtime: Runtime) -> None:
    """Say what the last change of this session did, until the next one."""
    job = runtime.jobs.find(st.session_state.get(CHANGE_KEY, 0))
    if job is None or not job.is_over:
        return
    if job.state == "done":
        st.success(inert(f"{job.title}: {job.result.text}."), icon=":material/check:")
    else:
        st.error(inert(f"{job.title}: {job.state}. {job.status.text}"), icon=":material/error:")
