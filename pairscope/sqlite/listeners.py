"""Who is told after each commit which instruments changed."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from market import Instrument

log = logging.getLogger(__name__)


class Change(NamedTuple):
    """An instrument that changed, from which time on, and the start of the newest second with a trade, -1 for none."""

    instrument: Instrument
    start_ms: int
    newest_ms: int


Callback = Callable[[Change], None]


@dataclass(slots=True, eq=False)
class _Listener:
    callback: Callback
    failed: bool = False


class Listeners:
    """Those who are told; one that fails is told on, and keeps nobody else from the news."""

    def __init__(self) -> None:
        self._listeners: tuple[_Listener, ...] = ()
        self._lock = threading.Lock()

    def add(self, callback: Callback) -> Callable[[], None]:
        """Tell `callback` of changes from now on; return what ends that."""
        listener = _Listener(callback)
        with self._lock:
            self._listeners += (listener,)
        return partial(self._remove, listener)

    def _remove(self, listener: _Listener) -> None:
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def tell(self, changes: Sequence[Change]) -> None:
        """Tell everybody of all changes of a commit."""
        for listener in self._listeners:
            for change in changes:
                try:
                    listener.callback(change)
                except Exception:  # what was committed stays so, whatever becomes of the news of it
                    if not listener.failed:
                        log.exception("somebody who is told of changes in the store fails; it is told on")
                    listener.failed = True
