"""What this session keeps of the form of a rule: which rule it is, and what each control holds."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pairscope.views.alerts_draft import BANDS, COMPARISONS, Pick, pick_of

EDITED_KEY, GIVEN_KEY, DRAFT_KEY, REFUSED_KEY, SAVED_KEY = (
    "rule edited", "rule given", "rule draft", "rule refused", "rule saved",
)  # fmt: skip
"""The number of the rule that is written, the rule that the controls showed at first and the clock by which they do,
what they held last, why it was not saved, and that it was."""

NEW = 0
FIELDS = (
    "y", "x", "timeframe", "window", "bars", "method", "log", "intercept", "fill", "minimum_volume", "when", "rearm",
    "duration", "cooldown", "quiet from", "quiet to", "quiet zone", "expires", "severity", "notify", "note",
)  # fmt: skip
VALUE, COMPARISON, LOW, HIGH = "pick value", "pick comparison", "pick low", "pick high"
PICK = (VALUE, COMPARISON, LOW, HIGH)
TEXT_KEY, PICKED_KEY = "rule text known", "rule pick known"
"""What either was when it was last set or followed: a callback may come without a change."""

TURN_KEYS = {"when": "rule text turn", **dict.fromkeys(PICK, "rule pick turn")}
"""How often the words of a condition, and its choices, were set by each other. Their controls are new ones then: a
refresh under way may still tell what the browser had in the old ones, which must not undo it."""


def control(name: str) -> str:
    """Return the key of the control of a field, as it is now."""
    return f"rule {name} {st.session_state.get(TURN_KEYS[name], 0)}" if name in TURN_KEYS else f"rule {name}"


def _turn(name: str) -> None:
    key = TURN_KEYS[name]
    st.session_state[key] = st.session_state.get(key, 0) + 1


def put_into_controls(draft: Mapping[str, Any]) -> None:
    """Set every control."""
    _turn("when")
    for name in FIELDS:
        st.session_state[control(name)] = draft[name]
    st.session_state[DRAFT_KEY], st.session_state[TEXT_KEY] = dict(draft), str(draft["when"])
    set_pick(pick_of(str(draft["when"])))


def read_controls() -> dict[str, Any]:
    """Return what every control holds; of one that is not shown, what it held last."""
    state = st.session_state
    before = state[DRAFT_KEY]
    return {name: state.get(control(name), before[name]) for name in FIELDS}


def set_pick(pick: Pick | None) -> None:
    """Set the controls of a common condition; any other leaves them empty."""
    _turn(VALUE)
    values = (pick.value, pick.comparison, pick.low, pick.high) if pick else (None, next(iter(COMPARISONS)), None, None)
    for name, value in zip(PICK, values, strict=True):
        st.session_state[control(name)] = value
    st.session_state[PICKED_KEY] = _picked()


def _picked() -> tuple[Any, ...]:
    """Return what the controls of a common condition hold; the end of a band only where there is a band."""
    value, comparison, low, high = (st.session_state.get(control(name)) for name in PICK)
    return value, comparison, low, high if comparison in BANDS else None


def follow_text() -> None:
    """Let the choices follow what was written."""
    text = str(st.session_state[control("when")] or "")
    if text != st.session_state.get(TEXT_KEY):
        st.session_state[TEXT_KEY] = text
        set_pick(pick_of(text))


def follow_pick() -> None:
    """Write the condition that was chosen, as soon as it is whole."""
    state, picked = st.session_state, _picked()
    value, comparison, low, high = picked
    if picked == state.get(PICKED_KEY):
        return
    state[PICKED_KEY] = picked
    if value is not None and low is not None and (high is not None or comparison not in BANDS):
        _turn("when")
        state[TEXT_KEY] = state[control("when")] = Pick(value, comparison, low, high).text
