"""What is kept of alerts: rules, where each stands, what was decided, and what waits to be delivered.

A decision, the new state of its rule and its deliveries are one transaction: none is lost, and none is made twice.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any, Literal

from market import HOUR
from store import SqliteReader, SqliteStore

WORDS_SECONDS = 10.0
"""So long may be looked for words, which no index knows; a million decisions take about one second."""

LONGEST_PAUSE_MS = HOUR
"""No delivery is put off for longer: one that seems to be was put off by a clock that was ahead, and is due."""

NEVER = 2**63 - 1

DECISIONS_AT_ONCE = 5_000
"""So many old decisions are deleted in one transaction, so that recording goes on."""

RULES_STAMP = "SELECT count(*), total(id), coalesce(max(changed), 0), total(enabled) FROM alert_rules"
RULES = "SELECT id, json, enabled, created, changed FROM alert_rules ORDER BY id"
PUT_RULE = """
    INSERT INTO alert_rules (id, json, enabled, created, changed) VALUES (:id, :json, :on, :now, :now)
    ON CONFLICT (id) DO UPDATE SET json = excluded.json, enabled = excluded.enabled, changed = excluded.changed
    RETURNING id"""
STATES = "SELECT rule, target, through, json FROM alert_states"
PUT_STATE = """
    INSERT INTO alert_states (rule, target, through, json) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET through = excluded.through, json = excluded.json"""
PUT_OFF = "UPDATE alert_states SET json = json_set(json, '$.off', json('true')) WHERE rule = ?"
PUT_TEXT = "INSERT INTO alert_texts (json) VALUES (:rule) ON CONFLICT DO NOTHING"
PUT_DECISION = """
    INSERT INTO alerts (
        rule, target, outcome, reason, bar, trade, "end", decided, late, metric, direction, value, threshold,
        inputs, text, label, notify)
    VALUES (
        :rule_id, :target, :outcome, :reason, :bar_ms, :trade_id, :end_ms, :decided_ms, :late, :metric, :direction,
        :value, :threshold, :inputs, (SELECT key FROM alert_texts WHERE json = :rule), :label, :notify)
    ON CONFLICT DO NOTHING RETURNING id"""
PUT_DELIVERIES = "INSERT INTO deliveries (alert, channel) SELECT DISTINCT :alert, value FROM json_each(:notify)"
END_FIRED = """
    UPDATE alerts SET over = :time
    WHERE outcome = 'fired' AND rule = :rule AND target = :target AND over IS NULL AND "end" <= :time"""
END_HELD = """
    UPDATE alerts SET over = ?4 WHERE outcome = 'held' AND rule = ?1 AND target = ?2 AND bar = ?3 AND over IS NULL"""
END_RULE = "UPDATE alerts SET over = ?2 WHERE outcome IN ('fired', 'held') AND rule = ?1 AND over IS NULL"
_DECISION = """
    alerts.rule, target, outcome, reason, bar, trade, "end", decided, late, metric, direction, value, threshold,
    inputs, alert_texts.json, label, notify, alerts.id, over, acknowledged, note"""
DECISIONS = f"SELECT {_DECISION} FROM alerts JOIN alert_texts ON alert_texts.key = alerts.text"  # noqa: S608  # our names
NOT_OVER = DECISIONS.replace("FROM alerts", "FROM alerts INDEXED BY alerts_not_over")
ANY_TEXT = """
    instr(lower(target || char(10) || reason || char(10) || metric || char(10) || label || char(10) || note),
        lower(:text))
    OR alerts.text IN (SELECT key FROM alert_texts WHERE instr(lower(json), lower(:json)))"""
OF_SEVERITY = """
    alerts.text IN (
        SELECT key FROM alert_texts WHERE json_valid(json)
        AND json_extract(json, '$.severity') IN (SELECT value FROM json_each(:severities)))"""
COUNT_ACTIVE = "SELECT count(*) FROM alerts INDEXED BY alerts_not_over WHERE outcome = 'fired' AND over IS NULL"
COUNT_FIRED = "SELECT count(*) FROM alerts WHERE outcome = 'fired' AND id > ? AND id <= ?"
DECIDED_RULES = "SELECT DISTINCT rule FROM alerts INDEXED BY alerts_by_rule"
DECIDED_TARGETS = "SELECT DISTINCT target FROM alerts INDEXED BY alerts_by_target"
DELIVERY_STATES = "SELECT channel, state FROM deliveries WHERE alert = ?"
ACKNOWLEDGE = "UPDATE alerts SET acknowledged = coalesce(acknowledged, ?), note = coalesce(?, note) WHERE id = ?"
OLD_DECISIONS = """
    DELETE FROM alerts WHERE id IN (
        SELECT id FROM alerts INDEXED BY alerts_by_end
        WHERE "end" < ? AND outcome IN ('suppressed', 'held') ORDER BY "end" LIMIT ?)"""
DUE = f"""
    SELECT {_DECISION}, deliveries.key, channel, dedupe, state, attempts, next, first
    FROM deliveries INDEXED BY deliveries_due CROSS JOIN alerts ON alerts.id = deliveries.alert
        JOIN alert_texts ON alert_texts.key = alerts.text
    WHERE state IN ('waiting', 'sending') AND next BETWEEN ? AND ?
        AND channel NOT IN (SELECT value FROM json_each(?))
    ORDER BY next, deliveries.key LIMIT ?"""  # noqa: S608
NEXT_DUE = """
    SELECT min(next) FROM deliveries INDEXED BY deliveries_due
    WHERE state IN ('waiting', 'sending') AND channel NOT IN (SELECT value FROM json_each(?))"""
SENDING = """
    UPDATE deliveries
    SET state = 'sending', attempts = attempts + 1, next = ?1, first = min(coalesce(first, ?1), ?1) WHERE key = ?2"""
SET_STATE = "UPDATE deliveries SET state = ? WHERE key = ?"
SET_NEXT = "UPDATE deliveries SET next = ? WHERE key = ?"
PUT_RECEIPT = """
    INSERT INTO receipts (delivery, alert, channel, time, state, status, address, seconds, words, repeated)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
RECEIPTS = """
    SELECT delivery, alert, channel, time, state, status, address, seconds, words, repeated
    FROM receipts WHERE alert = ? ORDER BY key"""
COUNTS = "SELECT state, count(*) FROM deliveries GROUP BY state"

Delivery = Literal["waiting", "sending", "sent", "failed", "digested"]
"""`sending`: on its way, or its process was killed then, and nobody knows; `failed`: given up, and the last receipt
says why; `digested`: told of in the message of another one."""


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as it is kept: its fields as plain values, and what is not its own."""

    id: int
    values: Mapping[str, Any]
    on: bool
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class StoredState:
    """Where a rule stands with one target: its last row judged, and the rest as plain values."""

    rule_id: int
    target: str
    through_ms: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """What was decided of one row."""

    rule_id: int
    target: str
    """`VENUE:Y/VENUE:X`, or `VENUE:Y` alone."""
    outcome: Literal["fired", "suppressed", "held"]
    reason: str
    bar_ms: int
    """Start of the bar, or time of the trade."""
    trade_id: int = 0
    end_ms: int
    """When the row was over: the time of the alert."""
    decided_ms: int
    late: bool
    metric: str
    direction: str
    value: float | None
    threshold: float | None
    inputs: Mapping[str, Any]
    """The values that the condition saw, and where the rule stood before."""
    rule: Mapping[str, Any]
    """The rule as it was."""
    label: str
    """LIVE, SIMULATED, REPLAY or FILE."""
    notify: tuple[str, ...] = ()
    """The channels that carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(NewDecision):
    """A decision as it is kept."""

    id: int
    over_ms: int | None
    """When the rule was armed again, for what fired; when it was judged, for what was held."""
    acknowledged_ms: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """One delivery of one decision over one channel."""

    key: int
    decision: Decision
    channel: str
    dedupe: str
    """Names this delivery in all its messages, so that a receiver can know a repetition."""
    state: Delivery
    attempts: int
    next_ms: int
    """Not before, by this machine's clock, as all times of deliveries; 0: at once."""
    first_ms: int | None = None
    """When the first attempt began."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one attempt to deliver."""

    delivery: int
    decision_id: int
    channel: str
    time_ms: int
    state: Delivery
    """Of the delivery, after this attempt."""
    status: int | None
    """What the receiver answered; None when it did not."""
    address: str
    """Where the message went, as resolved; empty when it went nowhere."""
    seconds: float
    words: str
    repeated: bool
    """Whether an earlier attempt may have arrived already."""


def read_rules(reader: SqliteReader) -> dict[int, StoredRule]:
    """Return all rules by their numbers."""
    with reader.snapshot() as db:
        rows = db.execute(RULES).fetchall()
    return {key: StoredRule(key, _values(text), bool(on), created, changed) for key, text, on, created, changed in rows}


def put_rule(
    store: SqliteStore,
    values: Mapping[str, Any],
    *,
    id: int | None = None,  # noqa: A002
    on: bool = True,
    now: int,
) -> Future[int]:
    """Keep a rule, in place of the one with this number, or under a new one that is never used again.

    Where one stood that is put off is marked, so that it begins anew when it is put on, and its alerts are over.

    Args:
        store: where.
        values: its fields, as plain values.
        id: the number of the rule that it replaces; None for a new one.
        on: whether it is judged.
        now: the time, in epoch milliseconds.
    """
    row = {"id": id, "json": _text(values), "on": on, "now": now}

    def work(db: sqlite3.Connection) -> int:
        if not on:
            db.execute(PUT_OFF, (id,))
            db.execute(END_RULE, (id, now))
        return int(db.execute(PUT_RULE, row).fetchone()[0])

    return store.write(work)


def remove_rule(store: SqliteStore, id: int, *, now: int | None = None) -> Future[bool]:  # noqa: A002
    """Remove a rule and where it stands; the future tells whether there was one.

    Its decisions stay; with `now` those that are not over are from then on.
    """

    def work(db: sqlite3.Connection) -> bool:
        db.execute("DELETE FROM alert_states WHERE rule = ?", (id,))
        if now is not None:
            db.execute(END_RULE, (id, now))
        return db.execute("DELETE FROM alert_rules WHERE id = ?", (id,)).rowcount > 0

    return store.write(work)


def rules_stamp(reader: SqliteReader) -> tuple[int, ...]:
    """Return what is another one after the rules were changed, without reading them all."""
    with reader.snapshot() as db:
        return tuple(db.execute(RULES_STAMP).fetchone())


def read_states(reader: SqliteReader) -> dict[tuple[int, str], StoredState]:
    """Return where the rules stand, by rule and target."""
    with reader.snapshot() as db:
        rows = db.execute(STATES).fetchall()
    return {(rule, target): StoredState(rule, target, through, _values(text)) for rule, target, through, text in rows}


def commit_round(
    store: SqliteStore,
    decisions: Sequence[NewDecision],
    states: Sequence[StoredState],
    *,
    over: Sequence[tuple[int, str, int]] = (),
    gone: Sequence[tuple[int, str]] = (),
    judged: Sequence[tuple[int, str, int, int]] = (),
) -> Future[list[int | None]]:
    """Keep what a round of judging came to, all of it or nothing, without waiting for the batch.

    Args:
        store: where.
        decisions: each with a delivery for each of its channels, if it fired; one that was there already is left as
            it is, and no new delivery is made of it.
        states: where the rules stand now.
        over: (rule, target, time): what of it fired up to this time, and is not over, is over from then on.
        gone: (rule, target) of the states to forget, before the new ones are put.
        judged: (rule, target, bar, time): what of this bar was held was judged at this time.

    Returns:
        The number of each decision, None for one that was there.
    """

    rows = [_new_row(each) for each in decisions]
    stands = [(each.rule_id, each.target, each.through_ms, _text(each.values)) for each in states]
    ends = [{"rule": rule, "target": target, "time": time} for rule, target, time in sorted(over, key=itemgetter(2))]
    forgotten, late = tuple(gone), tuple(judged)

    def work(db: sqlite3.Connection) -> list[int | None]:
        made = [_insert(db, row) for row in rows]
        db.executemany("DELETE FROM alert_states WHERE rule = ? AND target = ?", forgotten)
        db.executemany(PUT_STATE, stands)
        db.executemany(END_FIRED, ends)
        db.executemany(END_HELD, late)
        return made

    return store.write_now(work, rows=max(1, len(rows) + len(stands)))


def _new_row(new: NewDecision) -> dict[str, Any]:
    row = {field.name: getattr(new, field.name) for field in fields(NewDecision)}
    row |= {"reason": _clean(new.reason), "inputs": _text(new.inputs), "rule": _text(new.rule)}
    return row | {"notify": json.dumps(new.notify)}


def _insert(db: sqlite3.Connection, row: dict[str, Any]) -> int | None:
    db.execute(PUT_TEXT, row)
    made = db.execute(PUT_DECISION, row).fetchone()
    if made is None:
        return None
    if row["outcome"] == "fired":
        db.execute(PUT_DELIVERIES, {"alert": made[0], "notify": row["notify"]})
    return int(made[0])


def read_decisions(
    reader: SqliteReader,
    *,
    outcome: str | None = None,
    rule_id: int | None = None,
    target: str | None = None,
    start: int | None = None,
    end: int | None = None,
    active: bool | None = None,
    text: str = "",
    severities: Collection[str] = (),
    after_id: int | None = None,
    limit: int = 200,
) -> list[Decision]:
    """Return decisions, the newest first.

    Args:
        reader: of the store.
        outcome, rule_id, target: only those of it.
        start, end: only those whose row was over in ``[start, end)``, in epoch milliseconds.
        active: True: only those that are not over: of what fired, unless another outcome is asked for; False: only
            the others.
        text: only those in whose words, or those of their rule, this stands.
        severities: only those as grave as this; empty: all.
        after_id: only those made after this one, and the oldest first.
        limit: so many at most.
    """
    wanted = {
        "alerts.outcome = :outcome": outcome,
        "alerts.rule = :rule": rule_id,
        "alerts.target = :target": target,
        'alerts."end" >= :start': start,
        'alerts."end" < :end': end,
        "alerts.id > :after": after_id,
        f"({ANY_TEXT})": text or None,
        OF_SEVERITY: severities or None,
    }
    conditions = [words for words, value in wanted.items() if value is not None]
    if active:
        conditions += ["over IS NULL"] if outcome else ["over IS NULL", "alerts.outcome = 'fired'"]
    elif active is not None:
        conditions += ["over IS NOT NULL"] if outcome else ["NOT (over IS NULL AND alerts.outcome = 'fired')"]
    order = "alerts.id" if after_id is not None else "alerts.id DESC"
    names = {"outcome": outcome, "rule": rule_id, "target": target, "start": start, "end": end, "after": after_id}
    words = {"text": _clean(text), "json": json.dumps(text)[1:-1], "limit": limit}
    words["severities"] = json.dumps(list(severities))
    query = (
        f"{NOT_OVER if active else DECISIONS} WHERE {' AND '.join(conditions or ['1'])} ORDER BY {order} LIMIT :limit"
    )
    with reader.snapshot(deadline=WORDS_SECONDS if text or severities else None) as db:
        return [_decision(row) for row in db.execute(query, names | words)]


def read_decision(reader: SqliteReader, id: int) -> Decision | None:  # noqa: A002
    """Return one decision, None when there is none with this number."""
    with reader.snapshot() as db:
        row = db.execute(f"{DECISIONS} WHERE alerts.id = ?", (id,)).fetchone()
    return None if row is None else _decision(row)


def count_active(reader: SqliteReader) -> int:
    """Return how many alerts fired and are not over."""
    with reader.snapshot() as db:
        return int(db.execute(COUNT_ACTIVE).fetchone()[0])


def count_fired(reader: SqliteReader, after_id: int, last_id: int) -> int:
    """Return how many alerts fired after one, up to another."""
    with reader.snapshot() as db:
        return int(db.execute(COUNT_FIRED, (after_id, last_id)).fetchone()[0])


def decided_rules(reader: SqliteReader) -> list[int]:
    """Return the numbers of all rules of which there are decisions, also of those that were removed."""
    with reader.snapshot() as db:
        return [rule for (rule,) in db.execute(DECIDED_RULES)]


def decided_targets(reader: SqliteReader) -> list[str]:
    """Return all pairs and symbols of which there are decisions."""
    with reader.snapshot() as db:
        return [target for (target,) in db.execute(DECIDED_TARGETS)]


def read_delivery_states(reader: SqliteReader, decision_id: int) -> dict[str, str]:
    """Return where the deliveries of a decision stand, by channel."""
    with reader.snapshot() as db:
        return dict(db.execute(DELIVERY_STATES, (decision_id,)).fetchall())


def acknowledge(store: SqliteStore, id: int, *, note: str | None, now: int) -> Future[bool]:  # noqa: A002
    """Note that somebody has seen it, at the first time, and what they say to it (None leaves what was said)."""
    words = None if note is None else _clean(note)
    return store.write(lambda db: db.execute(ACKNOWLEDGE, (now, words, id)).rowcount > 0)


def prune_decisions(store: SqliteStore, before_ms: int) -> Future[int]:
    """Delete the oldest decisions to keep still from before a time; return how many went.

    At most DECISIONS_AT_ONCE go at a time; what fired stays.
    """
    return store.write(lambda db: db.execute(OLD_DECISIONS, (before_ms, DECISIONS_AT_ONCE)).rowcount)


def read_due(reader: SqliteReader, now: int, limit: int = 200, *, skip: Collection[str] = ()) -> list[Waiting]:
    """Return the deliveries to be made now, also those that may be on their way, the longest due first.

    Args:
        reader: of the store.
        now: in epoch milliseconds.
        limit: so many at most.
        skip: channels whose deliveries are left out.
    """
    with reader.snapshot() as db:
        spans = ((0, now), (now + LONGEST_PAUSE_MS + 1, NEVER))
        rows = [row for span in spans for row in db.execute(DUE, (*span, json.dumps(list(skip)), limit))]
    return [Waiting(row[-7], _decision(row[:-7]), *row[-6:]) for row in rows[:limit]]


def next_due(reader: SqliteReader, *, skip: Collection[str] = ()) -> int | None:
    """Return when the next delivery is to be made, but for the channels of `skip`; None when none waits."""
    with reader.snapshot() as db:
        due: int | None = db.execute(NEXT_DUE, (json.dumps(list(skip)),)).fetchone()[0]
    return due


def mark_sending(store: SqliteStore, keys: Sequence[int], *, now: int) -> Future[None]:
    """Note, before it is done, that an attempt to make these deliveries begins."""

    def work(db: sqlite3.Connection) -> None:
        db.executemany(SENDING, [(now, key) for key in keys])

    return store.write_now(work, rows=max(1, len(keys)))


def mark_done(
    store: SqliteStore, receipts: Sequence[Receipt], *, next_ms: Mapping[int, int] | None = None
) -> Future[None]:
    """Keep what came of attempts, and the states of their deliveries.

    Args:
        store: where.
        receipts: one for each attempt.
        next_ms: by delivery, also of one without an attempt: not before this time again.
    """
    times = [(time, key) for key, time in (next_ms or {}).items()]

    def work(db: sqlite3.Connection) -> None:
        db.executemany(SET_STATE, [(each.state, each.delivery) for each in receipts])
        db.executemany(SET_NEXT, times)
        db.executemany(PUT_RECEIPT, [_receipt_row(each) for each in receipts])

    return store.write_now(work, rows=max(1, len(receipts) + len(times)))


def _receipt_row(one: Receipt) -> tuple[object, ...]:
    attempt = (one.delivery, one.decision_id, one.channel, one.time_ms, one.state, one.status)
    return (*attempt, _clean(one.address), one.seconds, _clean(one.words), one.repeated)


def read_receipts(reader: SqliteReader, decision_id: int) -> list[Receipt]:
    """Return what came of the attempts to deliver a decision, the oldest first."""
    with reader.snapshot() as db:
        rows = db.execute(RECEIPTS, (decision_id,)).fetchall()
    return [Receipt(*(*row[:-1], bool(row[-1]))) for row in rows]


def delivery_counts(reader: SqliteReader) -> dict[str, int]:
    """Return how many deliveries there are in each state."""
    with reader.snapshot() as db:
        return dict(db.execute(COUNTS).fetchall())


def _decision(row: tuple[Any, ...]) -> Decision:
    (rule_id, target, outcome, reason, bar, trade, end, decided, late, metric, direction, value, threshold) = row[:13]
    inputs, rule, label, notify, key, over, acknowledged, note = row[13:]
    return Decision(
        rule_id=rule_id, target=target, outcome=outcome, reason=reason, bar_ms=bar, trade_id=trade, end_ms=end,
        decided_ms=decided, late=bool(late), metric=metric, direction=direction, value=value, threshold=threshold,
        inputs=_values(inputs), rule=_values(rule), label=label, notify=tuple(json.loads(notify)),
        id=key, over_ms=over, acknowledged_ms=acknowledged, note=note,
    )  # fmt: skip


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), default=dict)


def _values(text: str) -> Mapping[str, Any]:
    """Return what was written; what is none of ours any more is told by a key that nobody knows."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {text[:20]: None}


def _clean(text: str) -> str:
    """Return text without the halves of characters that no database takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
