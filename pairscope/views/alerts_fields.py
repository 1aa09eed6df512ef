"""The controls of the form of a rule, and what is wrong beside the one that it is wrong with."""

from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from market import PairscopeError, WrongUse
from pairscope.addresses import HEDGES
from pairscope.alerts.expression import LONGEST, parse
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.notify import check_channel, privacy_note
from pairscope.alerts.rules import (
    EVERY,
    LEAST_BARS,
    LEAST_WINDOW,
    LONGEST_NOTE,
    MOST_BARS,
    MOST_WINDOW,
    TICK,
)
from pairscope.runtime import Runtime
from pairscope.settings import Settings
from pairscope.views.alerts_draft import ABSOLUTE_Z, BANDS, COMPARISONS, ONE, PICKED, TIMES, addresses_in
from pairscope.views.alerts_state import COMPARISON, HIGH, LOW, VALUE, control, follow_pick, follow_text
from pairscope.views.alerts_words import SEVERITIES
from pairscope.views.choices import label_of
from pairscope.views.clock import LOCAL, Clock, zone_names
from pairscope.views.notices import inert

GRAMMAR = (
    "Metrics: {metrics}; `abs(METRIC)`. Words: with `>`, `>=`, `<`, `<=`, `crosses`, `crosses above`, `crosses below`, "
    "`leaves LOW to HIGH`, `outside LOW to HIGH`, `inside LOW to HIGH`; join with `and`, `or` and parentheses. `stale` "
    "and `gap` stand for themselves. For example: `abs(z) > 2 and correlation > 0.5`."
)


def show_legs(names: list[str]) -> None:
    """Let the pair, or the symbol, and the bars be chosen."""
    state = st.session_state
    left, right, last = st.columns([4, 4, 3], gap="small")
    known = [*names, *(state[control(leg)] for leg in ("y", "x"))]
    symbols = list(dict.fromkeys(name for name in known if name not in (EVERY, ONE)))
    y = left.selectbox(
        "y", [*symbols, EVERY], key=control("y"), format_func=_leg_text,
        help="The leg that is bought in a long spread, the only symbol, or every pair of two recorded symbols.",
    )  # fmt: skip
    if y == EVERY:
        state[control("x")] = ONE
    right.selectbox(
        "x", [*symbols, ONE], key=control("x"), format_func=_leg_text, disabled=y == EVERY,
        help="Its hedge; without one the rule is about y alone.",
    )  # fmt: skip
    times = list(dict.fromkeys([*TIMES, str(state[control("timeframe")])]))
    last.selectbox(
        "Bars", times, key=control("timeframe"), accept_new_options=True,
        format_func=lambda name: "every trade" if name == TICK else name,
        help="The bars whose closes are judged, such as 1s, 5m or 1h; every trade, for a rule about a price alone.",
    )  # fmt: skip


def _leg_text(name: str) -> str:
    return {EVERY: "every pair", ONE: "none: one symbol"}.get(name) or label_of(name)


def value_label(value: str) -> str:
    """Write what a condition can be about as a list has it: absolute z-score, σ."""
    if value == ABSOLUTE_Z:
        return f"absolute {METRICS['z'].words}, σ"
    metric = METRICS[value]
    return f"{metric.words}, {metric.unit}" if metric.unit else metric.words


def show_condition() -> None:
    """Let a common condition be chosen, and any be written; either follows the other."""
    state = st.session_state
    what, how, low, high = st.columns([4, 3, 2, 2], gap="small")
    what.selectbox(
        "When", PICKED, key=control(VALUE), index=None, placeholder="as written below", format_func=value_label,
        on_change=follow_pick, help="A common condition; all others are written below.",
    )  # fmt: skip
    how.selectbox("compares", COMPARISONS, key=control(COMPARISON), on_change=follow_pick, help="How it is compared.")
    banded = state[control(COMPARISON)] in BANDS
    _show_level(low, "from" if banded else "threshold", LOW)
    if banded:
        _show_level(high, "to", HIGH)
    text = st.text_input(
        "Condition", key=control("when"), live=True, max_chars=LONGEST, on_change=follow_text,
        placeholder="abs(z) > 2 and correlation > 0.5", help=GRAMMAR.format(metrics=", ".join(map(_code, METRICS))),
    )  # fmt: skip
    with st.container(key="rule complaint"):  # always there, so that what is below stays as it is
        show_complaint(str(text or ""))


def _code(text: str) -> str:
    return f"`{text}`"


def _show_level(place: st.delta_generator.DeltaGenerator, label: str, name: str) -> None:
    place.number_input(
        label, key=control(name), value=None, format="%g", on_change=follow_pick, placeholder="a number",
        help="In the unit of what is compared.",
    )  # fmt: skip


def show_complaint(text: str) -> None:
    """Say what is wrong with a condition, below it."""
    if not text.strip():
        st.markdown(":orange[Say when: choose above, or write it here.]")
        return
    try:
        parse(text)
    except WrongUse as error:
        st.markdown(f":red[{inert(str(error))}]")


def show_limits() -> None:
    """Let be chosen when it is armed again, how long it must hold, and how long it keeps still."""
    rearm, duration, cooldown = st.columns([4, 3, 3], gap="small")
    rearm.text_input(
        "Armed again at", key=control("rearm"), live=True, max_chars=LONGEST, placeholder="when it does not hold",
        help="After it fired the rule keeps still until this holds: a number means the same comparison with it, such "
        "as 1.5 for `abs(z) > 2`; or a whole condition. Empty: until the condition does not hold.",
    )  # fmt: skip
    duration.number_input(
        "Holds for, s", min_value=0.0, step=1.0, format="%g", key=control("duration"),
        help="So long the condition must hold without a break before it fires.",
    )  # fmt: skip
    cooldown.number_input(
        "Cooldown, s", min_value=0.0, step=10.0, format="%g", key=control("cooldown"),
        help="So long it keeps still after it fired, whatever happens.",
    )  # fmt: skip


def show_severity() -> None:
    """Let be chosen how grave it is, and why somebody wants to know."""
    left, right = st.columns([5, 6], gap="small")
    left.segmented_control(
        "Severity", SEVERITIES, required=True, key=control("severity"),
        help="\n".join(f"- **{name}**: {look.meaning}" for name, look in SEVERITIES.items()),
    )  # fmt: skip
    right.text_input(
        "Note", key=control("note"), live=True, max_chars=LONGEST_NOTE, placeholder="why you want to know",
        help="Goes with each alert.",
    )  # fmt: skip


def show_analysis() -> None:
    """Let the window and the analysis of the pair be chosen."""
    with st.expander("Window and analysis", icon=":material/tune:"):
        window, bars = st.columns(2, gap="small")
        window.number_input(
            "Window, bars", min_value=LEAST_WINDOW, max_value=MOST_WINDOW, step=5, key=control("window"),
            help="Bars of the past that z-score, spread, correlation, hedge ratio and volatility know.",
        )  # fmt: skip
        bars.number_input(
            "Tests, bars", min_value=LEAST_BARS, max_value=MOST_BARS, step=100, key=control("bars"),
            help="Bars that half-life, cointegration and break are tested on.",
        )  # fmt: skip
        st.segmented_control(
            "Hedge ratio", HEDGES, required=True, key=control("method"), help="How y is hedged with x."
        )
        with st.container(horizontal=True):
            st.toggle("Log prices", key=control("log"), help="Analyse the logarithms of the prices.")
            st.toggle("Intercept", key=control("intercept"), help="Without one the spread is y - β x.")
        fill, volume = st.columns(2, gap="small")
        fill.number_input(
            "Fill missing bars", min_value=0, max_value=MOST_WINDOW, key=control("fill"),
            help="A leg without a trade takes its last close, if that is at most so many bars old.",
        )  # fmt: skip
        volume.number_input(
            "Minimum volume of a bar", min_value=0.0, format="%g", key=control("minimum_volume"),
            help="Bars in which either leg traded less, in its own units, are left out.",
        )  # fmt: skip


EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2100, 1, 2)  # noqa: DTZ001  # on the wall


def show_quiet(clock: Clock) -> None:
    """Let be chosen when the rule keeps still, and when it ends."""
    with st.expander("Quiet hours and expiry", icon=":material/bedtime:"):
        begins, ends, zone = st.columns([3, 3, 4], gap="small")
        begins.time_input(
            "Quiet from", key=control("quiet from"), value=None, step=900,
            help="Between these times of day it keeps still, unless it is critical. Both empty: never.",
        )  # fmt: skip
        ends.time_input("until", key=control("quiet to"), value=None, step=900, help="May lie on the next day.")
        zones = [each for each in zone_names() if each != LOCAL]
        own = str(st.session_state[control("quiet zone")])  # may be one that the list leaves out
        zone.selectbox(
            "Zone of quiet hours", [*zones, *({own} - {*zones})], key=control("quiet zone"),
            help="Whose clock these times are of, summer time included.",
        )  # fmt: skip
        st.datetime_input(
            f"Expires, {clock.name}", key=control("expires"), value=None, min_value=EARLIEST, max_value=LATEST,
            step=300, format="YYYY-MM-DD", help="From then on it keeps still for ever. Empty: never.",
        )  # fmt: skip


CHANNELS = (
    "Apprise addresses, one a line: `json://HOST/PATH`, `discord://…`, `slack://…`, `ntfy://TOPIC`, `tgram://…`, "
    "`mailto://…` and a hundred more. A private address must be allowed by name in PAIRSCOPE_NOTIFY_ALLOW."
)


def show_channels(runtime: Runtime) -> None:
    """Let the channels be named; secrets stand in them by name."""
    text = st.text_area(
        "Channels, one a line", key=control("notify"), height=84,
        placeholder="discord://{DISCORD_ID}/{DISCORD_TOKEN}", help=CHANNELS,
    )  # fmt: skip
    found = checked_channels(runtime, addresses_in(text))
    if found.notes:
        st.markdown(f":orange[{inert('. '.join(found.notes))}.]")
    st.caption(inert(secrets_text(secret_names(runtime))))


@dataclass(frozen=True, slots=True)
class CheckedChannels:
    """Channels as they were written and would be kept, what is wrong with them, and what is to be known of them."""

    written: tuple[str, ...]
    channels: tuple[str, ...] = ()
    wrong: str = ""
    notes: tuple[str, ...] = ()


CHANNELS_KEY = "rule channels checked"


def checked_channels(runtime: Runtime, written: tuple[str, ...]) -> CheckedChannels:
    """Look at channels when they have changed, for some take half a second."""
    found: CheckedChannels | None = st.session_state.get(CHANNELS_KEY)
    if found is None or found.written != written:
        found = st.session_state[CHANNELS_KEY] = _check_channels(written, runtime.settings)
    return found


def _check_channels(written: tuple[str, ...], settings: Settings) -> CheckedChannels:
    try:
        channels = tuple(dict.fromkeys(check_channel(each, settings) for each in written))
    except PairscopeError as error:
        return CheckedChannels(written, wrong=str(error))
    notes = dict.fromkeys(note for each in channels if (note := privacy_note(each, settings)))
    return CheckedChannels(written, channels, notes=tuple(notes))


def secret_names(runtime: Runtime) -> list[str]:
    """Return the names of the secrets that this process knows."""
    return sorted(runtime.settings.secrets.names)


def secrets_text(names: list[str]) -> str:
    """Say how an address names a secret, and which there are; none is ever shown."""
    known = f"Known here: {', '.join(f'{{{name}}}' for name in names)}." if names else "None is known here yet."
    return (
        "A secret is written as {NAME} and never shown: NAME is PAIRSCOPE_SECRET_NAME in the environment, or a line of "
        f"secrets.toml. {known}"
    )
