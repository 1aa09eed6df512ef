"""Carries a message to a channel of any kind, and answers in words that hold no secret."""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from market import WrongUse
from pairscope.alerts.channels import KINDS, Services, refuse_unknown_secrets, scheme_of, split
from pairscope.alerts.guard import Guard
from pairscope.alerts.messages import Message
from pairscope.alerts.sender import PATIENCE, Answer, Patience, Resolve, post, resolve, send_by_apprise


class Delivering(Services, Protocol):
    """What delivering needs to know of the settings."""

    @property
    def notify_allow(self) -> tuple[str, ...]: ...


class Carrier:
    """Puts the secrets in, sends, and takes them out of what is told.

    Args:
        settings: secrets, services, and what private places may be reached.
        patience: how long to wait for a receiver.
        resolve: finds the addresses of a name.
        monotonic: tells seconds.
        tls: whom to trust; by default, whom this machine trusts.
    """

    def __init__(
        self,
        settings: Delivering,
        *,
        patience: Patience = PATIENCE,
        resolve: Resolve = resolve,
        monotonic: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings, self._guard = settings, Guard(settings.notify_allow)
        self._patience, self._resolve, self._monotonic, self._tls = patience, resolve, monotonic, tls

    async def carry(self, channel: str, message: Message, *, now: int) -> Answer:
        """Send `message` over `channel`; whatever comes of it is an answer.

        Args:
            channel: an address that was checked when it was entered.
            message: what to say.
            now: this machine's time in epoch milliseconds.
        """
        try:
            answer = await self._sent(channel, message, now)
        except WrongUse as error:  # a secret that is gone, or one that makes the address none
            answer = Answer("again", f"not sent: {error}")
        return replace(answer, words=self.hidden(answer.words))

    def hidden(self, text: str) -> str:
        """Return `text` without secrets."""
        return self._settings.secrets.hide(text)

    async def _sent(self, channel: str, message: Message, now: int) -> Answer:
        kind = KINDS.get(scheme_of(channel))
        if kind is None:
            refuse_unknown_secrets(channel, self._settings.secrets)
            filled = self._settings.secrets.fill(channel, quoted="")
            lines = [*message.lines, *([message.link] if message.link else [])]
            return await send_by_apprise(
                filled, title=message.title, text="\n".join(lines), severity=message.severity, guard=self._guard
            )
        return await post(
            kind.post(split(channel), self._settings, message),
            guard=self._guard,
            now=now,
            patience=self._patience,
            resolve=self._resolve,
            monotonic=self._monotonic,
            tls=self._tls,
        )
