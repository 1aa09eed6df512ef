"""The files that somebody handed to the page: on the disk while a session holds them, and read by a job."""

import io
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any, BinaryIO
from weakref import WeakValueDictionary, finalize

import numpy as np

from market import MINUTE, Instrument, WrongUse
from pairscope.commands import Outcome, Plan, frame_parser, plan_import
from pairscope.files import AmbiguousFile, FileError, Upload, UploadOptions, nearest_name, read_upload
from pairscope.jobs import Job, Jobs, Progress
from pairscope.pairs import PairRequest
from pairscope.views.pair_sight import Sight

MOST_FILES = 50
MEGA = 2**20
TRADES = "trades"
TEXT_PASSES, TEXT_SHARES = (0.0, 1.0, 2.0, 3.0), (0.0, 0.05, 0.35, 0.8)
"""A text is gone through for its encoding, for its marks, and for its rows; how much of the work each is, measured."""

COPY_PASSES, COPY_SHARES = (0.0, 1.0), (0.0, 0.1)
_COPIED = (b"PAR1", b"SQLi")


class Watched(io.FileIO):
    """A file under the name that its owner gave it, which tells how many bytes were read."""

    def __init__(self, path: Path, name: str, tell: Callable[[int], object]) -> None:
        super().__init__(path)
        self.name = name
        self._tell = tell

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and tell how much it was."""
        found = super().read(-1 if size is None else size)
        self._tell(len(found))
        return found


@dataclass(frozen=True, slots=True)
class Held:
    """What a reading has of one symbol."""

    name: str
    instrument: Instrument
    what: str
    """Trades, or bars of which length."""
    count: int
    start_ms: int
    end_ms: int


@dataclass(eq=False)
class Reading:
    """One reading of all files: its job, and what came of it."""

    files: tuple[str, ...]
    job: Job[str] = field(init=False)
    upload: Upload | None = None
    question: AmbiguousFile | None = None
    """What must be said before it can go on."""
    held: tuple[Held, ...] = ()
    imported: Job[Outcome] | None = None
    shown: tuple[PairRequest, Sight] | None = None
    """What was analysed last, for a page that is drawn again."""
    _planned: tuple[tuple[Instrument, ...], Plan | WrongUse] | None = None

    def plan(self, stored: tuple[Instrument, ...]) -> Plan:
        """Say what an import would store beside what is stored.

        Raises:
            WrongUse: when it cannot be imported.
        """
        assert self.upload is not None
        if self._planned is None or self._planned[0] != stored:
            try:
                self._planned = stored, plan_import(self.upload, stored)
            except WrongUse as error:
                self._planned = stored, error
        if isinstance(self._planned[1], WrongUse):
            raise self._planned[1]
        return self._planned[1]


class Basket:
    """The files of a session, what was said of them, and their newest reading.

    It is found again by its token, for a page that is loaded anew; when no session holds it any more, its files go.
    """

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_urlsafe(6)
        self.files: dict[str, Path] = {}
        self.said: dict[str, UploadOptions] = {}
        self.readings: list[Reading] = []
        self._folder = folder
        finalize(self, _leave, folder, self.readings)
        _baskets[self.token] = self

    @property
    def reading(self) -> Reading | None:
        """The newest reading."""
        return self.readings[-1] if self.readings else None

    def take(self, name: str, content: BinaryIO) -> None:
        """Take a file in; one of the same name is replaced.

        Raises:
            WrongUse: when there are too many.
            FileError: when the disk does not take it.
        """
        if name not in self.files and len(self.files) >= MOST_FILES:
            raise WrongUse(f"{name} was left out: at most {MOST_FILES} files are read at once; remove some")
        self.leave_out(name)
        place = self._folder / secrets.token_hex(4) / _safe(name)
        try:
            place.parent.mkdir()
            with place.open("xb") as copy:
                shutil.copyfileobj(content, copy, MEGA)
        except OSError as error:
            shutil.rmtree(place.parent, ignore_errors=True)
            raise FileError(f"{name} was not taken in: {error.strerror or error}") from error
        self.files[name] = place

    def leave_out(self, name: str) -> None:
        """Remove a file, and what was said of it."""
        self.said.pop(name, None)
        if place := self.files.pop(name, None):
            shutil.rmtree(place.parent, ignore_errors=True)

    def say(self, file: str, options: UploadOptions) -> None:
        """Keep what somebody says of a file."""
        self.said[self.name_of(file)] = options

    def said_of(self, file: str) -> UploadOptions:
        """Return what was said of a file."""
        return self.said.get(self.name_of(file), UploadOptions())

    def name_of(self, file: str) -> str:
        """Return which of the files a reader's name means: it may be of a member of an archive."""
        return nearest_name(self.files, file) or file

    def read(self, jobs: Jobs, now: int) -> None:
        """Begin to read all files anew."""
        for each in self.readings:
            each.job.cancel()
        self.readings.clear()
        if not self.files:
            return
        reading = Reading(tuple(self.files))
        files, said = dict(self.files), dict(self.said)
        title = f"Reading of {listed(reading.files)}"
        reading.job = jobs.start(title, lambda progress: _read(reading, files, said, now, progress))
        self.readings.append(reading)


_baskets: "WeakValueDictionary[str, Basket]" = WeakValueDictionary()


def find_basket(token: str) -> Basket | None:
    """Return the basket of a token, while a session holds it."""
    return _baskets.get(token)


def listed(files: tuple[str, ...]) -> str:
    """Name one file, or say how many."""
    return files[0] if len(files) == 1 else f"{len(files)} files"


def _leave(folder: Path, readings: list[Reading]) -> None:
    for each in readings:
        each.job.cancel()
    shutil.rmtree(folder, ignore_errors=True)


def _safe(name: str) -> str:
    """Return a file's name as any disk takes it; the symbol may stand in it."""
    kept = "".join(each if each.isalnum() or each in "._- " else "_" for each in PurePath(name).name)
    return kept.encode("ascii", "replace").decode().replace("?", "_")[-100:].strip(". ") or "upload"


# ----------------------------------------------------------------------------------------------------- the reading


def _read(
    reading: Reading, files: Mapping[str, Path], said: Mapping[str, UploadOptions], now: int, progress: Progress
) -> str:
    work = _Work(files, progress)
    streams = [Watched(path, name, partial(work.note, name)) for name, path in files.items()]
    try:
        upload = read_upload(
            *streams,
            latest_ms=now + MINUTE,
            parse=frame_parser(None),
            own=said,
            parse_own=frame_parser,
        )
    except AmbiguousFile as question:
        reading.question = question
        return f"a question about {question.file}"
    finally:
        for stream in streams:
            stream.close()
    progress.say(1.0, "put together")
    reading.held = held_in(upload)
    reading.upload = upload
    return f"{upload.rows:,} rows, {len(reading.held):,} symbols"


class _Work:
    """How much of a reading is done, told by the bytes that were read."""

    def __init__(self, files: Mapping[str, Path], progress: Progress) -> None:
        self._progress = progress
        self._sizes = {name: path.stat().st_size for name, path in files.items()}
        self._copied = {name for name, path in files.items() if _is_copied(path)}
        self._read = dict.fromkeys(files, 0)

    def note(self, name: str, count: int) -> None:
        """Take in that so many bytes more of a file were read."""
        self._read[name] += count
        total = sum(self._sizes.values()) or 1
        share = sum(size * self._share(each) for each, size in self._sizes.items()) / total
        size = self._sizes[name]
        passes = min(self._read[name] / max(size, 1) / (1 if name in self._copied else TEXT_PASSES[-1]), 1.0)
        self._progress.say(share, f"{name}: {passes * size / MEGA:,.1f} of {size / MEGA:,.1f} MB read")

    def _share(self, name: str) -> float:
        passes = self._read[name] / max(self._sizes[name], 1)
        if name in self._copied:
            return float(np.interp(passes, COPY_PASSES, COPY_SHARES))
        return float(np.interp(passes, TEXT_PASSES, TEXT_SHARES))


def _is_copied(path: Path) -> bool:
    """Return whether a file is copied before it is read, piece by piece, by a library."""
    with path.open("rb") as stream:
        return stream.read(4) in _COPIED


def held_in(upload: Upload) -> tuple[Held, ...]:
    """Return what there is of each symbol, in the order in which the files have them."""
    found = [
        Held(name, bars.instrument, f"bars of {bars.timeframe}", len(bars), int(bars.time[0]),
             int(bars.time[-1]) + bars.timeframe.ms)
        for name, bars in upload.bars.items() if len(bars)
    ]  # fmt: skip
    ticks = upload.ticks
    if ticks is not None and len(ticks):
        codes, first, counts = np.unique(ticks.code, return_index=True, return_counts=True)
        last = len(ticks) - 1 - np.unique(ticks.code[::-1], return_index=True)[1]
        names = dict(zip(upload.instruments, upload.symbols, strict=True))
        for code, start, end, count in zip(*(each.tolist() for each in (codes, first, last, counts)), strict=True):
            each = ticks.instruments[code]
            found.append(Held(names[each], each, TRADES, count, int(ticks.time[start]), int(ticks.time[end])))
    return tuple(found)


def with_option(options: UploadOptions, name: str, value: str | None) -> UploadOptions:
    """Return options with one of them said, or not said any more.

    Raises:
        WrongUse: for what it cannot be.
    """
    said: dict[str, Any] = {name: value or None}
    return replace(options, **said)


def said_options(options: UploadOptions) -> dict[str, str]:
    """Return the options that somebody has said, as texts."""
    return {each.name: str(value) for each in fields(options) if (value := getattr(options, each.name)) is not None}
