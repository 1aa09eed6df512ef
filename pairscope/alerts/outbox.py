"""Makes the deliveries that wait in the store: each at least once, none faster than its channel takes them.

Each channel goes its own way, one message at a time: marked as on its way, sent, marked as done. What was on its way
when a process ended may have arrived, and is sent again as a possible repetition. When many wait they go as one digest.
Time, chance and sending are handed in; a round starts what can be started, and says when to look again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from random import Random, SystemRandom
from typing import Literal

from market import PairscopeError
from pairscope.alerts.carrier import Carrier
from pairscope.alerts.channels import KINDS, limits_of, scheme_of
from pairscope.alerts.messages import Due, digest_of, message_of, title_of
from pairscope.alerts.pacing import GIVEN_UP_MS, Pace, backoff_seconds, verdict
from pairscope.alerts.sender import Answer
from pairscope.stores.alerts import (
    Decision,
    Delivery,
    Receipt,
    Waiting,
    delivery_counts,
    mark_done,
    mark_sending,
    next_due,
    read_decisions,
    read_due,
    read_receipts,
)
from store import SqliteStore

log = logging.getLogger("pairscope.alerts")

DIGEST_ABOVE = 5
"""When more than this many wait for one channel, they go as one message."""

AT_ONCE = 1_000
"""Deliveries that are read at a time: the largest digest."""

TROUBLE_SECONDS = 5.0
"""After the store has failed, or something unforeseen has happened."""

LEAST_WAIT = 0.05


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How a channel is; `words` says what went wrong last, `next_ms` when it is tried again."""

    channel: str
    state: Literal["ok", "waiting", "resting"]
    failures: int
    next_ms: int | None
    words: str


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """How delivering goes: the channels that were used in this process, and how many deliveries stand how."""

    channels: tuple[ChannelStatus, ...]
    waiting: int
    failed: int


class _Channel:
    def __init__(self, address: str) -> None:
        self.address, self.pace = address, Pace(limits_of(address))
        self.words = ""
        self.next_ms: int | None = None
        self.most = AT_ONCE
        """So many go into one digest: half of one that was refused, and more with each that is taken."""
        self.task: asyncio.Task[None] | None = None


def _refuses(answer: Answer) -> bool:
    """Tell whether a receiver is well, but does not take this message."""
    return answer.status is not None and verdict(answer.status) == "never"


class Outbox:
    """The deliveries of one store; all of it belongs to one event loop, but for `busy` and `status`.

    Args:
        store: where they wait.
        carrier: sends.
        link: the address of a page that shows an alert.
        clock: this machine's time in epoch milliseconds.
        monotonic: tells seconds.
        chance: spreads attempts in time.
        on_progress: is called when a channel is free again.
    """

    def __init__(
        self,
        store: SqliteStore,
        carrier: Carrier,
        *,
        link: Callable[[Decision], str],
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        chance: Random | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._carrier, self._link = store, carrier, link
        self._clock, self._monotonic = clock, monotonic
        self._chance: Random = chance or SystemRandom()
        self._on_progress = on_progress
        self._channels: dict[str, _Channel] = {}
        newest = read_decisions(store, limit=1)
        self._told = newest[0].id if newest else 0

    # ---- looking

    async def round(self) -> float | None:
        """Start what can be started; return in how many seconds to look again, None: when something happens."""
        self._tell_log()
        while self._start_some():
            pass
        return self.next_look()

    def _tell_log(self) -> None:
        """Write what fired since the last look to the log, one line each."""
        while fired := read_decisions(self._store, outcome="fired", after_id=self._told, limit=500):
            for decision in fired:
                late = ", late" if decision.late else ""
                log.warning("alert %d (rule %d): %s%s", decision.id, decision.rule_id, title_of(decision), late)
            self._told = fired[-1].id

    def _start_some(self) -> bool:
        """Start one message for each channel that has something due and can take it."""
        due = read_due(self._store, self._clock(), AT_ONCE, skip=self._held())
        due.sort(key=attrgetter("channel"))
        for address, rows in groupby(due, key=attrgetter("channel")):
            channel = self._channels.setdefault(address, _Channel(address))
            channel.task = asyncio.get_running_loop().create_task(self._deliver(channel, list(rows)))
        return bool(due)

    def _held(self) -> list[str]:
        """Return the channels that send now, or that nothing may be sent to now."""
        now = self._monotonic()
        return [each.address for each in self._channels.values() if each.task or each.pace.wait(now) > 0]

    def next_look(self) -> float | None:
        """Return in how many seconds to look again, None: when something happens."""
        now = self._monotonic()
        waits = [each.pace.wait(now) for each in self._channels.values() if not each.task]
        looks = [wait for wait in waits if wait > 0]
        due = next_due(self._store, skip=self._held())
        if due is not None:
            looks.append((due - self._clock()) / 1000)
        return max(LEAST_WAIT, min(looks)) if looks else None

    # ---- delivering

    async def _deliver(self, channel: _Channel, rows: list[Waiting]) -> None:
        """Send one message over a channel: a digest of all that wait, or the oldest of a few."""
        try:
            many = min(len(rows), channel.most)
            whole = many > DIGEST_ABOVE and not channel.pace.probing
            await self._send(channel, rows[: many if whole else 1])
        except PairscopeError as error:  # the store does not take it now: it stays as it is, and comes again
            self._trouble(channel, self._carrier.hidden(str(error)))
        except Exception as error:  # the others must go on, whatever is wrong with this one; its words may tell secrets
            self._trouble(channel, f"unforeseen: {type(error).__name__}")
        finally:
            channel.task = None
            self._on_progress()

    def _trouble(self, channel: _Channel, words: str) -> None:
        channel.words = words
        channel.pace.hold(self._monotonic(), TROUBLE_SECONDS)
        log.error("delivering over %s failed: %s", channel.address, words)

    async def _send(self, channel: _Channel, rows: list[Waiting]) -> None:
        dues = [Due(row, self._may_have_arrived(row)) for row in rows]
        digest = len(dues) > 1
        message = digest_of(dues, self._link) if digest else message_of(dues[0], self._link(dues[0].decision))
        await asyncio.wrap_future(mark_sending(self._store, [row.key for row in rows], now=self._clock()))
        answer = await self._carrier.carry(channel.address, message, now=self._clock())
        if digest and answer.outcome == "never" and 400 <= (answer.status or 0) < 500:  # smaller ones, or each alone
            channel.most = len(dues) // 2
            answer = replace(answer, outcome="again", words=f"{answer.words} to a digest of {len(dues):,}")
        elif answer.outcome == "sent":
            channel.most = min(channel.most + len(dues), AT_ONCE)
        receipts, next_ms = self._judge(channel, dues, answer, digest=digest)
        await asyncio.wrap_future(mark_done(self._store, receipts, next_ms=next_ms))

    def _may_have_arrived(self, row: Waiting) -> bool:
        """Tell whether an earlier attempt reached the receiver without a word that it refused."""
        if row.state == "sending":
            return True
        if not row.attempts:
            return False
        if scheme_of(row.channel) not in KINDS:  # Apprise does not tell how far it came
            return True
        earlier = [each for each in read_receipts(self._store, row.decision.id) if each.delivery == row.key]
        return any(each.address and (each.status is None or each.status >= 500 or each.status == 408)
                   for each in earlier)  # fmt: skip

    def _judge(
        self, channel: _Channel, dues: Sequence[Due], answer: Answer, *, digest: bool
    ) -> tuple[list[Receipt], dict[int, int]]:
        """Return a receipt for each delivery, and when those that failed come again."""
        now = self._clock()
        self._note_pace(channel, answer)
        receipts, next_ms = [], {}
        attempts = max(due.waiting.attempts for due in dues) + 1
        pause = 0.0 if _refuses(answer) else max(backoff_seconds(attempts, self._chance), answer.retry_after or 0.0)
        for due in dues:
            state, words = self._state(due, answer, now, digest=digest)
            if state == "waiting":
                next_ms[due.waiting.key] = now + int(pause * 1000)
            elif state == "failed":
                log.error("alert %d was not delivered over %s: %s", due.decision.id, channel.address, words)
            receipts.append(self._receipt(due, answer, now, state, words))
        channel.words = "" if answer.outcome == "sent" else receipts[-1].words
        channel.next_ms = min(next_ms.values(), default=None)
        return receipts, next_ms

    def _note_pace(self, channel: _Channel, answer: Answer) -> None:
        pace, now = channel.pace, self._monotonic()
        pace.sent(now)
        if answer.outcome in ("sent", "never") or _refuses(answer):
            pace.succeeded()  # the channel is well, whatever it thinks of this message
        elif answer.status == 429:
            pace.hold(now, answer.retry_after or backoff_seconds(1, self._chance))
        else:
            pace.failed(now, gone=answer.outcome == "gone")
            pace.hold(now, answer.retry_after or 0.0)

    def _state(self, due: Due, answer: Answer, now: int, *, digest: bool) -> tuple[Delivery, str]:
        if answer.outcome == "sent":
            return ("digested" if digest else "sent"), answer.words
        if answer.outcome == "never":
            return "failed", answer.words
        if now - (due.waiting.first_ms or now) >= GIVEN_UP_MS:
            return "failed", f"{answer.words}; given up after 24 h"
        return "waiting", answer.words

    def _receipt(self, due: Due, answer: Answer, now: int, state: Delivery, words: str) -> Receipt:
        return Receipt(
            delivery=due.waiting.key,
            decision_id=due.decision.id,
            channel=due.waiting.channel,
            time_ms=now,
            state=state,
            status=answer.status,
            address=answer.address,
            seconds=answer.seconds,
            words=words,
            repeated=due.repeat,
        )

    # ---- from outside

    async def settle(self, seconds: float | None = None) -> None:
        """Wait until nothing is on its way; after so many seconds, stop waiting and leave it there."""
        tasks = [each.task for each in self._channels.values() if each.task]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def busy(self) -> bool:
        """Tell whether anything is on its way, or due for a channel that does not rest; from any thread."""
        channels, now = list(self._channels.values()), self._monotonic()
        if any(each.task for each in channels):
            return True
        resting = [each.address for each in channels if each.pace.rest(now) > 0]
        return bool(read_due(self._store, self._clock(), 1, skip=resting))

    def status(self) -> DeliveryStatus:
        """Return how delivering goes; from any thread."""
        counts = delivery_counts(self._store)
        channels = tuple(self._channel_status(each) for each in list(self._channels.values()))
        waiting = counts.get("waiting", 0) + counts.get("sending", 0)
        return DeliveryStatus(channels, waiting, counts.get("failed", 0))

    def _channel_status(self, channel: _Channel) -> ChannelStatus:
        now = self._monotonic()
        rest, wait, failures = channel.pace.rest(now), channel.pace.wait(now), channel.pace.failures
        state: Literal["ok", "waiting", "resting"] = "resting" if rest else "waiting" if failures else "ok"
        next_ms = self._clock() + int(wait * 1000) if wait else channel.next_ms
        return ChannelStatus(channel.address, state, failures, next_ms, channel.words)
