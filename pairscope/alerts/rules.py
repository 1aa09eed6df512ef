"""What a rule is, and when it fires: pure, the same for the present, for a preview and for an explanation.

Its clock is that of the data: durations, cooldowns and quiet hours go by the ends of bars, so that what is judged late,
or again, gives the same.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

from market import EARLIEST_MS, Timeframe, UnknownName, WrongUse, iso
from pairscope.alerts.expression import Comparison, Condition, Found, first_true, parse
from pairscope.alerts.metrics import METRICS
from pairscope.alerts.quiet import LONGEST_SPAN, parse_quiet, parse_span, span_text, span_words
from pairscope.alerts.rearming import beyond, common_point, rearm_of
from pairscope.alerts.wording import describe_pair, legs_of, pair_words, predicate, readable, target_of

__all__ = [
    "EVERY", "METHODS", "SEVERITIES", "TICK", "Judge", "Outcome", "Rule", "RuleState", "Severity", "Verdict", "check",
    "describe_pair", "legs_of", "parse_span", "plain_value", "reach_of", "rearm_of", "rule_of", "sentence",
    "span_text", "span_words", "target_of", "values_of",
]  # fmt: skip

Severity = Literal["info", "warning", "critical"]

Outcome = Literal["fired", "suppressed", "held"]
"""`fired`: somebody is told; `suppressed`: the condition held, but the rule keeps still, and says why; `held`: the
condition held on data that are not whole, and is judged once they are."""

EVERY = "*"
"""Stands for every pair of two recorded symbols of one venue, where a rule names no pair of its own."""

TICK = "tick"
"""The timeframe of rules that are judged on every trade."""

LATEST_MS = 4_102_444_800_000
"""2100: anything later is microseconds taken for milliseconds, or worse."""

LARGEST = 10**15
"""No whole number of a rule is near it; a float still holds it exactly."""

LONGEST_SYMBOL = 80

Read = TypeVar("Read")

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
METHODS = ("ols", "huber", "theil_sen", "tls", "kalman")

USUAL_WINDOW = 60
LEAST_WINDOW, MOST_WINDOW = 5, 100_000
LEAST_BARS, MOST_BARS = 30, 100_000
MOST_CHANNELS = 20
LONGEST_NOTE = 500

WINDOWED = frozenset({"z", "spread", "correlation", "beta", "beta_drift", "volatility", "volatility_x"})
"""The metrics that know `window` bars."""

RECURSIVE = frozenset({"z", "spread", "beta", "beta_drift"})
"""The metrics that know `bars` bars when the method is Kalman's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What somebody wants to be told of.

    Args:
        y, x: the legs, as VENUE:SYMBOL; `x` is empty for a rule about one symbol, both are `*` for every pair.
        when: the condition, such as ``abs(z) > 2 and correlation > 0.5``.
        timeframe: of the bars that are judged; `tick` for a rule about prices alone.
        window: bars of the past that z, correlation and the like know.
        bars: bars that the tests know: half-life, cointegration, break.
        method, log, intercept, fill, minimum_volume: how the pair is analysed, as in `analyze_pair`.
        rearm: after it fired, the rule keeps still until this condition holds; empty: until `when` does not.
        duration_ms: so long the condition must hold without a break.
        cooldown_ms: so long it keeps still after it fired.
        quiet: hours of the day in which it keeps still, unless it is critical: ``22:00-07:00 Europe/Berlin``.
        expires_ms: from this time on it keeps still for ever; None: never.
        severity: how grave it is.
        notify: addresses of the channels that carry it; secrets stand in them as ``{NAME}``.
        note: why somebody wants to know, in words that go with each alert.
    """

    when: str
    y: str = EVERY
    x: str = EVERY
    timeframe: str = "1m"
    window: int = USUAL_WINDOW
    bars: int = 1_800
    method: str = "ols"
    log: bool = False
    intercept: bool = True
    fill: int = 0
    minimum_volume: float = 0.0
    rearm: str = ""
    duration_ms: int = 0
    cooldown_ms: int = 0
    quiet: str = ""
    expires_ms: int | None = None
    severity: Severity = "warning"
    notify: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleState:
    """Where a rule stands with one target.

    Args:
        armed: whether it may fire.
        since_ms: since when the condition has held without a break.
        fired_ms: when it fired last.
        told: why it was suppressed in this excursion, as already logged.
        before: the values of the row before, for rules with crossings.
    """

    armed: bool = True
    since_ms: int | None = None
    fired_ms: int | None = None
    told: str = ""
    before: Mapping[str, float] | None = None

    def broken(self) -> "RuleState":
        """Return the same after rows that could not be judged: a duration begins anew, no crossing spans them."""
        return replace(self, since_ms=None, before=None)

    def to_values(self) -> dict[str, object]:
        """Write it as plain values, as JSON has them: NaN becomes None, and what is infinite its name."""
        before = None
        if self.before is not None:
            before = {name: plain_value(value) for name, value in self.before.items()}
        return {
            "armed": self.armed, "since_ms": self.since_ms, "fired_ms": self.fired_ms, "told": self.told,
            "before": before,
        }  # fmt: skip

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "RuleState":
        """Read what `to_values` wrote; what is left out is as at the beginning."""
        before = values.get("before")
        if before is not None:
            before = {name: math.nan if value is None else float(value) for name, value in before.items()}
        return cls(
            armed=values.get("armed", True),
            since_ms=values.get("since_ms"),
            fired_ms=values.get("fired_ms"),
            told=values.get("told", ""),
            before=before,
        )


def plain_value(value: float) -> float | str | None:
    """Return a number as JSON has it: None for what is not one, and what is infinite by its name."""
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one row: `fired`, or `suppressed` and why."""

    outcome: Outcome
    reason: str
    found: Found


class Judge:
    """A rule ready to judge rows; it keeps nothing between them.

    Attributes:
        values: the rule in plain values.
        metrics: the numbers it reads, for firing and for re-arming.
        moments: whether it needs the values of the row before.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule, self.values = rule, values_of(rule)
        self.when = parse(rule.when)
        self.rearm = rearm_of(self.when, rule.rearm)
        self.metrics = self.when.metrics | (self.rearm.metrics if self.rearm else frozenset())
        self.moments = self.when.moments or (self.rearm is not None and self.rearm.moments)
        self._quiet = parse_quiet(rule.quiet) if rule.quiet and rule.severity != "critical" else None
        self._holds = self.when.truth
        self._rests = self.rearm.truth if self.rearm else None
        self._every_row = self.when.moments and self.rearm is None

    def met(self, now: Mapping[str, float], before: Mapping[str, float] | None) -> Found | None:
        """Return what makes the bare condition true, wherever the rule stands; None when it is false or unknown."""
        found = self.when.judge(now, before)
        return found if isinstance(found, Found) else None

    def step(self, state: RuleState, end_ms: int, now: Mapping[str, float]) -> tuple[RuleState, Verdict | None]:
        """Judge the next row.

        Args:
            state: where the rule stood before; the very same object comes back when nothing changes.
            end_ms: when the row was over.
            now: the metrics at the row.
        """
        before = state.before
        if self.moments:
            state = RuleState(state.armed, state.since_ms, state.fired_ms, state.told, self._kept(now))
        if self._every_row and (state.told or not state.armed):
            state = RuleState(True, state.since_ms, state.fired_ms, "", state.before)
        holds = self._holds(now, before)
        if not state.armed:
            rests = self._rested(holds, now, before)
            return (RuleState(True, None, state.fired_ms, "", state.before) if rests else state), None
        if holds:
            return self._held(state, end_ms, now, before)
        if state.since_ms is None and not state.told:
            return state, None
        told = "" if state.told and self._rested(holds, now, before) else state.told
        if state.since_ms is None and told == state.told:
            return state, None
        return RuleState(True, None, state.fired_ms, told, state.before), None

    def _kept(self, now: Mapping[str, float]) -> dict[str, float]:
        return {name: float(now.get(name, math.nan)) for name in self.metrics}

    def _rested(self, holds: bool | None, now: Mapping[str, float], before: Mapping[str, float] | None) -> bool:
        """Return whether an excursion ends on this row."""
        return holds is False if self._rests is None else bool(self._rests(now, before))

    def _held(
        self, state: RuleState, end_ms: int, now: Mapping[str, float], before: Mapping[str, float] | None
    ) -> tuple[RuleState, Verdict | None]:
        since = end_ms if state.since_ms is None else state.since_ms
        if end_ms - since < self.rule.duration_ms:
            waiting = RuleState(True, since, state.fired_ms, state.told, state.before)
            return (state if since == state.since_ms else waiting), None
        reason = self._obstacle(state, end_ms)
        if not reason:
            fired = RuleState(False, None, end_ms, "", state.before)
            return fired, Verdict("fired", "", first_true(self.when.node, now, before))
        if since == state.since_ms and reason == state.told:
            return state, None
        kept = RuleState(True, since, state.fired_ms, reason, state.before)
        if reason == state.told:
            return kept, None
        return kept, Verdict("suppressed", reason, first_true(self.when.node, now, before))

    def _obstacle(self, state: RuleState, end_ms: int) -> str:
        """Return why the rule must keep still now, or an empty text."""
        rule = self.rule
        if rule.expires_ms is not None and end_ms >= rule.expires_ms:
            return f"expired at {iso(rule.expires_ms)}"
        if state.fired_ms is not None and end_ms < state.fired_ms + rule.cooldown_ms:
            return f"cooldown until {iso(state.fired_ms + rule.cooldown_ms)}"
        if self._quiet is not None and (until := self._quiet.until(end_ms)) is not None:
            return f"quiet hours until {iso(until)}"
        return ""


def check(rule: Rule, *, keep_ms: float = math.inf) -> Rule:
    """Return the rule with its texts written in the one way that is theirs, if it makes sense.

    Args:
        rule: what somebody asks for.
        keep_ms: so long the store keeps what it records.

    Raises:
        WrongUse: naming the field, what it was and what was expected.
    """
    _check_numbers(rule)
    y, x = _symbol("y", rule.y), _symbol("x", rule.x)
    _check_legs(y, x)
    when = _said("when", lambda: parse(rule.when))
    rearm = _said("rearm", lambda: rearm_of(when, rule.rearm))
    quiet = _said("quiet", lambda: parse_quiet(rule.quiet).text) if rule.quiet.strip() else ""
    checked = replace(
        rule, y=y, x=x, when=when.text, rearm=rearm.text if rearm else "", quiet=quiet, timeframe=_timeframe(rule),
        notify=tuple(dict.fromkeys(each.strip() for each in rule.notify)), note=rule.note.strip(),
        fill=int(rule.fill), minimum_volume=float(rule.minimum_volume),
    )  # fmt: skip
    metrics = when.metrics | (rearm.metrics if rearm else frozenset())
    _check_metrics(checked, when, metrics)
    _check_rearm(when, rearm, rule.rearm)
    _check_reach(checked, metrics, keep_ms)
    return checked


def reach_of(rule: Rule, metrics: frozenset[str]) -> tuple[str, int]:
    """Return which field says how many bars these metrics know, and how many; nothing for those that know one."""
    heavy = any(METRICS[name].source == "tests" for name in metrics)
    if heavy or (rule.method == "kalman" and metrics & RECURSIVE):
        return "bars", rule.bars
    if not metrics & WINDOWED:
        return "", 0
    return "window", 2 * rule.window if "beta_drift" in metrics else rule.window


def _said(name: str, read: Callable[[], Read]) -> Read:
    """Return what was read; what is wrong with it is told with the name of the field."""
    try:
        return read()
    except WrongUse as error:
        raise WrongUse(f"{name}: {error}") from error


def _check_numbers(rule: Rule) -> None:
    for name, least, most in (
        ("window", LEAST_WINDOW, MOST_WINDOW),
        ("bars", LEAST_BARS, MOST_BARS),
        ("fill", 0, MOST_WINDOW),
        ("duration_ms", 0, LONGEST_SPAN),
        ("cooldown_ms", 0, LONGEST_SPAN),
    ):
        value = getattr(rule, name)
        if not least <= value <= most:
            what = f"{span_words(least)} to {span_words(most)}" if name.endswith("_ms") else f"{least:,} to {most:,}"
            raise WrongUse(f"{name} is {value:,}; expected {what}")
    if not 0 <= rule.minimum_volume < math.inf:
        raise WrongUse(f"minimum_volume is {rule.minimum_volume}; expected a number from 0 on")
    if rule.expires_ms is not None and not EARLIEST_MS <= rule.expires_ms <= LATEST_MS:
        raise WrongUse(f"expires_ms is {rule.expires_ms}; expected a time in epoch milliseconds, from 1990 to 2100")
    if rule.method not in METHODS:
        raise UnknownName("method", rule.method, METHODS)
    if rule.severity not in SEVERITIES:
        raise UnknownName("severity", rule.severity, SEVERITIES)
    if len(rule.note) > LONGEST_NOTE:
        raise WrongUse(f"note has {len(rule.note):,} characters; expected at most {LONGEST_NOTE}")
    if len(rule.notify) > MOST_CHANNELS or not all(each.strip() for each in rule.notify):
        raise WrongUse(f"notify names {len(rule.notify)} channels; expected at most {MOST_CHANNELS}, none empty")


def _symbol(name: str, text: str) -> str:
    symbol = text.strip()
    if len(symbol) > LONGEST_SYMBOL or not symbol.isprintable():
        raise WrongUse(f"{name} is {symbol!r:.40}; expected a symbol of at most {LONGEST_SYMBOL} letters")
    return symbol


def _check_legs(y: str, x: str) -> None:
    if not y:
        raise WrongUse("y is empty; expected a symbol, or * in both legs for every pair")
    if (y == EVERY) != (x == EVERY):
        raise WrongUse(f"y is {y!r} and x is {x!r}; expected * in both legs, for every pair, or in none")
    if y == x != EVERY:
        raise WrongUse(f"y and x are both {y}; expected two symbols, or an empty x for a rule about one")


def _timeframe(rule: Rule) -> str:
    if rule.timeframe.strip().lower() == TICK:
        return TICK
    return _said("timeframe", lambda: str(Timeframe.parse(rule.timeframe.strip())))


def _check_metrics(rule: Rule, when: Condition, metrics: frozenset[str]) -> None:
    feed = sorted(name for name in metrics if METRICS[name].source == "feed")
    if feed and len(feed) < len(metrics):
        others = ", ".join(sorted(metrics - set(feed)))
        raise WrongUse(f"{' and '.join(feed)} is of the present and {others} of bars; expected two rules, one for each")
    if not rule.x and (both := sorted(name for name in metrics if METRICS[name].legs == 2)):
        raise WrongUse(f"x is empty, and {', '.join(both)} needs two legs; expected a symbol for x")
    for name, value in (("fill", rule.fill), ("minimum_volume", rule.minimum_volume)):
        if value and not rule.x:
            raise WrongUse(f"{name} is {value:g}, and it says how two legs are joined; expected 0, or a symbol for x")
    if rule.timeframe == TICK and (rule.x or metrics != {"price"}):
        raise WrongUse("timeframe is tick, for the price of one symbol alone; expected 1s, 1m or another bar")
    if when.moments and rule.duration_ms:
        raise WrongUse(
            f"duration_ms is {rule.duration_ms:,}, and a crossing lasts one row; expected 0, or a condition "
            f"that lasts, such as abs(z) > 2"
        )


def _check_rearm(when: Condition, rearm: Condition | None, written: str) -> None:
    """Refuse what would arm the rule again while its condition still holds: it would fire on every other row."""
    if rearm is None or not rearm.metrics <= when.metrics:
        return
    only = when.node
    if isinstance(only, Comparison) and (flaw := beyond(only, rearm.node)):
        raise WrongUse(f"rearm is {written.strip()}, beyond the threshold of {when.text}; expected {flaw}")
    point = common_point(when, rearm)
    if point is not None:
        values = ", ".join(f"{name} at {readable(value)}" for name, value in point.items())
        raise WrongUse(
            f"rearm is {written.strip()}, and with {values} it holds while {when.text} does: the rule would fire again "
            f"and again; expected a condition that ends it"
        )


def _check_reach(rule: Rule, metrics: frozenset[str], keep_ms: float) -> None:
    name, known = reach_of(rule, metrics)
    if name == "bars" and rule.bars <= rule.window:
        raise WrongUse(f"bars is {rule.bars:,}; expected more than the window, {rule.window:,}")
    if not name or rule.timeframe == TICK:
        return
    reach = known * Timeframe.parse(rule.timeframe).ms
    if reach > keep_ms:
        raise WrongUse(
            f"{name} is {getattr(rule, name):,}; {known:,} bars of {rule.timeframe} are {span_words(reach)}, longer "
            f"than the {span_words(int(keep_ms))} that are kept; expected a shorter {name}"
        )


def rule_of(values: Mapping[str, object]) -> Rule:
    """Read what `values_of` wrote, or somebody: plain values by the names of the fields.

    Raises:
        WrongUse: for a field that does not exist, one of another type, and no condition. `check` looks at the rest.
    """
    known = {each.name: each for each in fields(Rule)}
    for name in values:
        if name not in known:
            raise UnknownName("field of a rule", str(name), known)
    if "when" not in values:
        raise WrongUse("when is missing; expected a condition such as 'abs(z) > 2'")
    return Rule(**{name: _typed(name, value) for name, value in values.items()})


def values_of(rule: Rule) -> dict[str, object]:
    """Write a rule as plain values, as JSON has them."""
    return {**asdict(rule), "notify": list(rule.notify)}


_EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("when", "y", "x", "timeframe", "method", "rearm", "quiet", "severity", "note"), "a text"),
    **dict.fromkeys(("window", "bars", "fill", "duration_ms", "cooldown_ms"), "a whole number"),
    **dict.fromkeys(("log", "intercept"), "true or false"),
    "minimum_volume": "a number",
    "expires_ms": "a whole number or null",
    "notify": "a list of addresses",
}


def _typed(name: str, value: object) -> Any:
    expected = _EXPECTED[name]
    if expected == "a text" and isinstance(value, str):
        return value
    if expected == "true or false" and isinstance(value, bool):
        return value
    if expected == "a list of addresses" and isinstance(value, list | tuple) and all(isinstance(e, str) for e in value):
        return tuple(value)
    if name == "expires_ms" and value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and "number" in expected:
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            raise WrongUse(f"{name} has more than {len(str(LARGEST)) - 1} digits; expected {expected}")
        if name == "minimum_volume":
            return float(value)
        if float(value).is_integer():
            return int(value)
    if name == "notify":  # may hold a secret in clear
        raise WrongUse(f"notify is {type(value).__name__}; expected {expected}")
    raise WrongUse(f"{name} is {value!r:.60}; expected {expected}")


def sentence(rule: Rule) -> str:
    """Say a whole rule in plain words, its symbols without their venue."""
    when = parse(rule.when)
    said = f"{pair_words(rule.y, rule.x)}{_bars_words(rule, when)}: {when.sentence()}"
    if rule.duration_ms:
        said += f" for {span_words(rule.duration_ms)}"
    rearm = rearm_of(when, rule.rearm)
    parts = [_again_words(when, rearm)] if rearm else []
    if rule.cooldown_ms:
        parts.append(f"{span_words(rule.cooldown_ms)} apart at least")
    said += f"; {', '.join(parts)}" if parts else ""
    if rule.quiet:
        said += "; also in quiet hours, as it is critical" if rule.severity == "critical" else f"; quiet {rule.quiet}"
    return said + (f"; until {iso(rule.expires_ms)}." if rule.expires_ms is not None else ".")


def _bars_words(rule: Rule, when: Condition) -> str:
    if all(METRICS[name].source == "feed" for name in when.metrics):
        return ""
    if rule.timeframe == TICK:
        return ", every trade"
    said = f", {rule.timeframe} bars"
    if rule.window != USUAL_WINDOW and when.metrics & WINDOWED:
        said += f", window {rule.window:,}"
    return said


def _again_words(when: Condition, rearm: Condition) -> str:
    """Say when it fires again; where both are about one number, that is not named twice."""
    first, then = list(when.comparisons()), list(rearm.comparisons())
    same = len(first) == len(then) == 1 and (first[0].metric, first[0].absolute) == (then[0].metric, then[0].absolute)
    return f"again after it {predicate(then[0], past=True)}" if same else f"again after {rearm.sentence(past=True)}"
