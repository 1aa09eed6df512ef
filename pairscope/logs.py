"""The log: a rotating file, with levels, in which no secret is ever written."""

import logging
import re
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import gmtime, struct_time

from pairscope.settings import SettingsError

BYTES = 5 * 2**20
KEPT = 3
HIDDEN = "***"

_SECRETS = re.compile(
    r"(?i)(bearer\s+|(?:token|secret|password|passwd|api[-_]?key|signature)[\"']?\s*[=:]\s*[\"']?|/bot|/webhooks/[0-9]+/|://[^/\s:@]+:)"
    r"[^\s\"'&/@,;}]+"
)
"""What stands before a secret, and the secret: bearer tokens, key=value, bot and webhook addresses, user:password@."""


class Redactor(logging.Formatter):
    """A formatter that writes UTC and blots out secrets, also in tracebacks."""

    @staticmethod
    def converter(seconds: float | None) -> struct_time:
        return gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def redacted(text: str) -> str:
    """Return `text` with every secret replaced by three stars."""
    return _SECRETS.sub(rf"\1{HIDDEN}", text)


def start_log(path: Path, level: str) -> RotatingFileHandler:
    """Write the log of this process to `path`; the returned handler ends it when removed and closed.

    Raises:
        SettingsError: when the file cannot be written.
    """
    try:
        handler = RotatingFileHandler(path, maxBytes=BYTES, backupCount=KEPT, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"log_file: {path} cannot be written: {error.strerror or error}") from error
    handler.setFormatter(Redactor("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler


def stop_log(handler: logging.Handler) -> None:
    """End the log that `start_log` began."""
    logging.getLogger().removeHandler(handler)
    handler.close()


OURS = ("pairscope", "ingest", "store", "app")
TALKATIVE = ("httpx", "httpcore", "urllib3", "websockets")
"""Libraries that write whole addresses, secrets included, at INFO."""


def log_tail(path: Path, lines: int = 50) -> tuple[str, ...]:
    """Return the last lines of the log, oldest first; nothing when there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 400 * lines))
            return tuple(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ()
