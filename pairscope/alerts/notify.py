"""Carries what fired to people: the one face of delivering.

check_channel  whether an address can be a channel, before it is kept
privacy_note   what to do, where it names a private place that is not reached
Deliverer      makes the deliveries that wait in the store, in a thread of its own
send_tests     tells over channels that they work; send_test: over one

channels.py    what addresses may say, and what each kind of channel is sent
messages.py    what is said about an alert
outbox.py      which delivery goes when; pacing.py: how fast, how soon again, and when not at all
carrier.py     sender.py, guard.py, apprise_worker.py: sending, to nobody who must not be reached
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from market import WrongUse, did_you_mean
from pairscope.alerts.carrier import Carrier, Delivering
from pairscope.alerts.channels import (
    KINDS,
    canonical,
    names_no_host,
    refuse_plain_secrets,
    refuse_unknown_secrets,
    scheme_of,
    split,
)
from pairscope.alerts.guard import Guard
from pairscope.alerts.messages import trial_message
from pairscope.alerts.outbox import TROUBLE_SECONDS, ChannelStatus, DeliveryStatus, Outbox
from pairscope.alerts.sender import PATIENCE, Answer, Patience, Resolve, ask_worker, resolve
from pairscope.settings import PLACEHOLDER
from pairscope.stores.alerts import Decision, Receipt
from store import SqliteStore

__all__ = ["ChannelStatus", "Deliverer", "DeliveryStatus", "check_channel", "privacy_note", "send_test", "send_tests"]

log = logging.getLogger(__name__)
T = TypeVar("T")
Wait = Callable[[asyncio.Event, float], Awaitable[None]]

LONGEST_LOOK = 5.0
"""Seconds after which the store is looked at in any case."""

LAST_SECONDS = 1.0
"""What is on its way when a process ends is given so long; what stays is sent again by the next one."""


def check_channel(address: str, settings: Delivering) -> str:
    """Return an address as it is kept.

    Raises:
        WrongUse: for an unknown kind, a secret in clear, the name of a secret that is not there, and nonsense.
    """
    text = canonical(address)
    scheme, parts = scheme_of(text), split(text)
    if scheme in ("http", "https"):
        raise WrongUse(f"a channel is not written {scheme}://; write {'jsons' if scheme == 'https' else 'json'}://")
    refuse_plain_secrets(parts)
    refuse_unknown_secrets(text, settings.secrets)
    if scheme in KINDS:
        KINDS[scheme].check(parts)
        return text
    said = _apart(lambda: ask_worker(
        {"do": "check", "address": text, "secrets": _used(text, settings), "allow": settings.notify_allow}
    ))  # fmt: skip
    if said.get("accepted") is not True:
        raise _refusal(scheme, said)
    return text


def privacy_note(address: str, settings: Delivering) -> str:
    """Return what to do so that a private place which an address names is reached; empty where there is none.

    Args:
        address: as `check_channel` returned it.
        settings: what private places may be reached.
    """
    parts = split(address)
    host = "" if names_no_host(parts) else parts.hostname or ""
    if not Guard(settings.notify_allow).refuses_literally(host):
        return ""
    allowed = ",".join([*settings.notify_allow, host])
    return f"{host} is private: start the process that records with PAIRSCOPE_NOTIFY_ALLOW={allowed}"


def _used(address: str, settings: Delivering) -> dict[str, str]:
    """Return the secrets that an address names, for the process that looks at it."""
    return {name: settings.secrets.fill(f"{{{name}}}") for name in PLACEHOLDER.findall(address)}


def _refusal(scheme: str, said: Any) -> WrongUse:
    if said.get("clear"):
        return WrongUse(
            f"a secret of this {scheme}:// address stands in clear; write {{NAME}} there, and keep the secret in"
            " PAIRSCOPE_SECRET_NAME or in secrets.toml"
        )
    if known := said.get("schemas"):
        near = did_you_mean(scheme, sorted({*KINDS, *map(str, known)}))
        return WrongUse(f"unknown kind of channel {scheme!r}{near}; our own: {', '.join(KINDS)}; all others by Apprise")
    return WrongUse(f"Apprise cannot take this {scheme}:// address: {said.get('failed', 'it is not written so')}")


def send_test(
    address: str,
    settings: Delivering,
    *,
    now: int,
    link: str = "",
    patience: Patience = PATIENCE,
    resolve: Resolve = resolve,
) -> Receipt:
    """Tell over one channel that it works, and return what came of it; the arguments are those of `send_tests`."""
    [receipt] = send_tests([address], settings, now=now, link=link, patience=patience, resolve=resolve)
    return receipt


def send_tests(
    addresses: Sequence[str],
    settings: Delivering,
    *,
    now: int,
    link: str = "",
    patience: Patience = PATIENCE,
    resolve: Resolve = resolve,
) -> list[Receipt]:
    """Tell over several channels at the same time that they work, and return what came of each.

    Args:
        addresses: as `check_channel` returned them.
        settings: secrets, services, and what private places may be reached.
        now: this machine's time in epoch milliseconds.
        link: the address of this desk.
        patience: how long to wait for each.
        resolve: finds the addresses of a name.
    """
    carrier, message = Carrier(settings, patience=patience, resolve=resolve), trial_message(now, link)

    async def carry() -> list[Answer]:
        return await asyncio.gather(*(carrier.carry(address, message, now=now) for address in addresses))

    return [_trial_receipt(address, answer, now) for address, answer in zip(addresses, _apart(carry), strict=True)]


def _trial_receipt(address: str, answer: Answer, now: int) -> Receipt:
    return Receipt(
        delivery=0,
        decision_id=0,
        channel=address,
        time_ms=now,
        state="sent" if answer.outcome == "sent" else "failed",
        status=answer.status,
        address=answer.address,
        seconds=answer.seconds,
        words=answer.words,
        repeated=False,
    )


def _apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do asynchronous work in a thread of its own: the caller may have an event loop already."""
    with ThreadPoolExecutor(1, thread_name_prefix="alerts-once") as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event, or for so many seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


class Deliverer:
    """Makes the deliveries of a store in a thread of its own.

    Args:
        store: where they wait.
        settings: secrets, services, and what private places may be reached.
        link: the address of a page that shows an alert.
        clock: this machine's time in epoch milliseconds.
        monotonic: tells seconds.
        wait: waits for an event, so many seconds at most.
        resolve: finds the addresses of a name.
        patience: how long to wait for a receiver.
        chance: spreads attempts in time.
    """

    def __init__(
        self,
        store: SqliteStore,
        settings: Delivering,
        *,
        link: Callable[[Decision], str],
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        wait: Wait = wait_for,
        resolve: Resolve = resolve,
        patience: Patience = PATIENCE,
        chance: Random | None = None,
    ) -> None:
        self._carrier = Carrier(settings, patience=patience, resolve=resolve, monotonic=monotonic)
        self._outbox = Outbox(
            store, self._carrier, link=link, clock=clock, monotonic=monotonic, chance=chance, on_progress=self._stir
        )
        self._wait = wait
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once for what is to be delivered; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has just been closed
                loop.call_soon_threadsafe(self._stir)

    def busy(self) -> bool:
        """Tell whether a message is on its way, or due for a channel that does not rest."""
        return self._thread.is_alive() and self._outbox.busy()

    def close(self) -> None:
        """End; what is on its way is given a moment."""
        self._closing = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(2 * LAST_SECONDS)

    def status(self) -> DeliveryStatus:
        """Return how delivering goes."""
        return self._outbox.status()

    def _stir(self) -> None:
        self._news.set()

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._closing:
            self._news.clear()
            await self._wait(self._news, await self._round())
        await self._outbox.settle(LAST_SECONDS)

    async def _round(self) -> float:
        try:
            seconds = await self._outbox.round()
        except Exception as error:  # delivering must outlive whatever happens to the store for a while
            log.error("alerts are not delivered: %s", self._carrier.hidden(f"{type(error).__name__}: {error}"))  # noqa: TRY400  # a trace may tell secrets
            return TROUBLE_SECONDS
        return LONGEST_LOOK if seconds is None else min(seconds, LONGEST_LOOK)
