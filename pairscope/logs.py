"""The log: a rotating file, with levels, in which no secret is ever written."""

import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import gmtime, struct_time

from pairscope.settings import SettingsError

BYTES = 5 * 2**20
KEPT = 3
HIDDEN = "***"
LINE_BYTES = 400
"""What a line of the log takes, generously."""

_QUOTE = r"\\*[\"']"
_SECRETS = re.compile(
    # A name and its value: token=..., "api_key": "...", (b'X-Api-Key', b'...'); a quoted value up to its closing quote.
    r"(?P<name>(?:token|secret|password|passwd|api[-_]?key|signature|authorization)"
    rf"(?:(?:{_QUOTE})?\s*[=:]|{_QUOTE}\s*,)\s*(?:b(?=[\"']))?)"
    rf"(?:(?P<open>{_QUOTE})(?:(?!(?P=open)).)+|(?:(?:bearer|basic)\s+)?[^\s\"'&,;)}}\]>]+)"
    r"|(?P<bearer>bearer\s+)[^\s\"',;)]+"
    r"|(?P<user>://(?:[^/?\s:@]*:)?)[^/?\s@]+(?=@)"
    r"|(?P<bot>/bot)[0-9]+:[\w-]+"
    r"|(?P<hook>/webhooks/[0-9]+/|hooks\.slack\.com/\w+/)[\w/-]+",
    re.IGNORECASE,
)
"""What stands before a secret, by name, and the secret."""


class Redactor(logging.Formatter):
    """A formatter that writes UTC and blots out secrets, also in tracebacks."""

    @staticmethod
    def converter(seconds: float | None) -> struct_time:
        return gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def redacted(text: str) -> str:
    """Return `text` with every secret replaced by three stars."""
    return _SECRETS.sub(lambda found: "".join(filter(None, found.groups())) + HIDDEN, text)


class LogFile(RotatingFileHandler):
    """A log file that, when the disk does not take it, says so in one line.

    The library would print the record as it is, secrets included.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the library's name
        sys.stderr.write(f"pairscope: {self.baseFilename} cannot be written: {sys.exception()}\n")


def start_log(path: Path, level: str) -> LogFile:
    """Write the log of this process to `path`; `stop_log` ends it.

    Raises:
        SettingsError: when the file cannot be written.
    """
    try:
        handler = LogFile(path, maxBytes=BYTES, backupCount=KEPT, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise SettingsError(f"log_file: {path} cannot be written: {error.strerror or error}") from error
    handler.setFormatter(Redactor("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in TALKATIVE:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.propagate = True  # Streamlit keeps the words of websockets to its own terminal
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
            start = max(0, path.stat().st_size - LINE_BYTES * lines)
            file.seek(start)
            text = file.read(LINE_BYTES * lines).decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    whole = text.splitlines()[1 if start else 0 :]  # in the middle of a line, its rest tells nothing
    return tuple(whole[-lines:])
