"""Looks at one address with Apprise, or sends one message by it, in a process of its own: a question in, an answer out.

Apprise connects by many libraries, wherever an address says. Here, the interpreter itself refuses every connection to
what the guard does not admit; nothing of the desk is in this process but the guard and the secrets of this address.
"""

import json
import socket
import sys
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, unquote

from pairscope.alerts.guard import Guard, Refused

_DELIMITERS = str.maketrans(dict.fromkeys("/:@?&=,+", " "))
_REACHING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"})


class Fence:
    """Refuses, in this process, whatever reaches a place that the guard does not admit.

    Args:
        allowed: names, addresses and networks that may be reached although they are private.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        self._guard = Guard(allowed)
        self._by_name: set[str] = set()
        self.refused = ""

    def close(self) -> None:
        """Begin to refuse; nothing in this process can undo it."""
        lookup = socket.getaddrinfo

        def noticing(host: Any, *args: Any, **options: Any) -> Any:
            found = lookup(host, *args, **options)
            name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
            if self._guard.admits_name(name):
                self._by_name.update(str(each[4][0]) for each in found)
            return found

        socket.getaddrinfo = noticing
        sys.addaudithook(self._hear)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if event in _REACHING:
            self._judge(details[1] if len(details) > 1 else None)
        elif event in _STARTING:
            raise self._refuse("another program is not started")

    def _judge(self, place: Any) -> None:
        if place is None:  # a datagram over a socket that was connected before
            return
        text = place[0] if isinstance(place, tuple) and place else None
        if isinstance(text, str) and (text in self._by_name or self._guard.admits(text)):
            return
        shown = text if isinstance(text, str) else "a place of this machine"
        raise self._refuse(f"{shown} is not public: only what notify_allow names may be reached there")

    def _refuse(self, why: str) -> Refused:
        self.refused = self.refused or why
        return Refused(why)


def answer_to(asked: Mapping[str, Any]) -> dict[str, object]:
    """Do what was asked; the answer is plain values."""
    from apprise import Apprise

    if asked.get("do") == "check":
        return _checked(Apprise, str(asked["address"]), asked.get("secrets") or {}, asked.get("allow") or ())
    fence = Fence(asked.get("allow") or ())
    fence.close()
    service = _service(Apprise, asked["address"])
    if service is None or service.redirects:
        return {"failed": "Apprise cannot read this address"}
    accepted = service.notify(body=asked["text"], title=asked["title"], notify_type=asked["type"])
    if accepted:
        return {"accepted": True}
    return {"refused": fence.refused} if fence.refused else {"accepted": False}


def _checked(apprise: Any, address: str, secrets: Mapping[str, str], allowed: Collection[str]) -> dict[str, object]:
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager
    known = sorted(manager().schemas())
    if address.partition("://")[0] not in known:
        return {"schemas": known}
    Fence(allowed).close()
    service = _service(apprise, _filled(address, secrets))
    if service is None:
        return {"failed": "it is not written so"}
    if service.redirects:
        return {"failed": "redirections are not followed; leave redirect= out"}
    if in_clear(address, secrets, service.url(privacy=False), service.url(privacy=True)):
        return {"clear": True}
    return {"accepted": True}


def _service(apprise: Any, address: str) -> Any:
    from apprise import AppriseAsset

    return apprise.instantiate(address, asset=AppriseAsset(http_redirects=False))


def in_clear(address: str, secrets: Mapping[str, str], plain: str, private: str) -> bool:
    """Tell whether an address spells out a part that Apprise hides in its private form."""
    hidden = {piece.lower() for piece in _pieces(plain)} - {piece.lower() for piece in _pieces(private)}
    for piece in address.translate(_DELIMITERS).split():
        whole = any(piece == f"{{{name}}}" for name in secrets)
        if not whole and unquote(_filled(piece, secrets)).lower() in hidden:
            return True
    return False


def _pieces(text: str) -> set[str]:
    return {unquote(piece) for piece in text.translate(_DELIMITERS).split()}


def _filled(text: str, secrets: Mapping[str, str]) -> str:
    for name, value in secrets.items():
        text = text.replace(f"{{{name}}}", quote(value, safe=""))
    return text


def main() -> None:
    """Read one question, write one answer. Nothing else is written: whatever it is, it may tell a secret."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        answer = answer_to(json.loads(sys.stdin.read()))
    except Exception as error:
        answer = {"failed": f"Apprise failed with {type(error).__name__}"}
    out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
