"""What an exchange's refusals mean, on both of its sides: how long to keep away, and what a person can do."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from pairscope.recording.clock import http_date_ms

LONGEST_RETRY_S = 7 * 86_400
"""A longer Retry-After is cut to this; bans are of three days at most."""

LONGEST_TEXT = 200
"""So much of what an exchange says is shown."""

Side = Literal["WS", "REST"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means: this address rests for `pause_s`, and if that is `binding` all of them do."""

    message: str
    pause_s: float = 0.0
    refused: bool = False
    """By an exchange that does not want us, or that we do not trust."""
    binding: bool = False
    """The exchange asked for it, or has banned this network."""


_ANSWERS = {  # by status, or else by its first digit
    2: Verdict("there is no such server; correct {setting}", 30.0),
    3: Verdict("it wants us elsewhere, and we do not follow; set {setting} to the new address", 60.0, True),
    4: Verdict("it does not take this path or request; update Pairscope, or correct {setting}", 30.0, True),
    5: Verdict("it has trouble of its own; look at its status page if this lasts"),
    403: Verdict("its firewall keeps this network out; leave the VPN or shared host, or set {setting}", 60.0, True),
    418: Verdict("this network is banned for too many requests; stop what else makes them", 120.0, True, True),
    429: Verdict("too many requests came from this network; stop what else makes them", 60.0, True, True),
    451: Verdict("it does not serve this place; set {setting} to an address that does", 300.0, True),
}


def verdict(status: int, headers: Mapping[str, str], *, venue: str, side: Side, now_ms: int | None = None) -> Verdict:
    """Say what an answer means that is not the one hoped for.

    Args:
        status: of HTTP.
        headers: with their names in lower case.
        venue: its name, for the message.
        side: which of its servers answered.
        now_ms: our time, for a Retry-After that is a date in an answer that does not bear its own.
    """
    found = _ANSWERS.get(status) or _ANSWERS.get(status // 100, _ANSWERS[2])
    words = found.message.format(setting=setting_of(venue, side))
    found = replace(found, message=f"{venue} answered {status}: {words}")
    if side == "REST" and status // 100 == 4 and status not in _ANSWERS:
        found = replace(found, pause_s=0.0)  # it is about one path of many: the others may be fine
    asked = retry_after(headers, now_ms)
    return found if asked is None else replace(found, pause_s=asked, binding=True)


def retry_after(headers: Mapping[str, str], now_ms: int | None = None) -> float | None:
    """Read how many seconds an answer asks us to wait: a number, or a date that is compared to the answer's own."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:12]), LONGEST_RETRY_S))
    until, answered = http_date_ms(text), answered_ms(headers, now_ms)
    if until is None or answered is None:
        return None
    return min(max((until - answered) / 1000, 0.0), LONGEST_RETRY_S)


def answered_ms(headers: Mapping[str, str], now_ms: int | None) -> int | None:
    """Return when an answer was written: what it says itself is better than our clock."""
    date = http_date_ms(headers.get("date", ""))
    return now_ms if date is None else date


def setting_of(venue: str, side: Side) -> str:
    """Return the name of the setting that has a venue's addresses."""
    # Raw trades come from the server of the others.
    return f"PAIRSCOPE_{venue.removesuffix('-raw').upper().replace('-', '_')}_{side}"


def printable(said: object) -> str:
    """Return what an exchange or an error says, fit for a line on a page or in a log."""
    nothing = type(said).__name__ if isinstance(said, BaseException) else ""
    words = getattr(said, "strerror", None) or str(said) or nothing
    return "".join(letter if letter.isprintable() else " " for letter in words[:LONGEST_TEXT])


def is_loopback(address: str) -> bool:
    """Tell whether an address is of this machine, which no proxy of the network reaches."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
