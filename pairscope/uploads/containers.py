"""From what was uploaded to the files in it: plain, gzipped or zipped, told by content, capped while they stream."""

import gzip
import io
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, BinaryIO, Self

from market import WrongUse
from pairscope.uploads.upload import FileError, Limits, Source

HEAD = 65_536
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
}
_DIRECTORY_BYTES = 2**20
_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)


class Damaged(FileError):
    """The bytes of a file end or break before they should."""


class Capped:
    """A stream that refuses to give more bytes than allowed, and tells damage in one way."""

    def __init__(self, stream: Any, name: str, most: int) -> None:
        self._stream, self._name, self._most = stream, name, most
        # One piece at a time: a whole read would lose what it has when it comes to the damage.
        self._take = getattr(stream, "read1", stream.read)
        self._given = 0
        self._damage: Damaged | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes; what comes before damage is given, and the damage told at the next call."""
        parts: list[bytes] = []
        left = self._most + 1 if size < 0 else size
        while left > 0 and (part := self._piece(left, begun=bool(parts))):
            parts.append(part)
            left -= len(part)
            self._given += len(part)
            if self._given > self._most:
                raise FileError(f"{self._name} holds more than {self._most:,} bytes: split it into smaller files")
        return b"".join(parts)

    def _piece(self, size: int, *, begun: bool) -> bytes:
        try:
            if self._damage is None:
                piece: bytes = self._take(size)
                return piece
        except _DAMAGE as error:
            self._damage = Damaged(f"{self._name} is damaged: {error}")
        if begun or self._damage is None:
            return b""
        raise self._damage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Member:
    """One file to read; it can be opened as often as needed."""

    name: str
    container: str
    open: Callable[[], Capped]
    path: Path | None = None
    """Where it lies, if it lies on a disk as it is."""

    def head(self) -> bytes:
        """Return the first bytes.

        Raises:
            FileError: they cannot be read, there are none, or they are another archive.
        """
        with self.open() as stream:
            head = stream.read(HEAD)
        if not head:
            raise FileError(f"{self.name} is empty")
        if kind := next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None):
            wrapped = f"{kind} inside {self.container}" if self.container else kind
            raise FileError(f"{self.name} is {wrapped}, which is not opened: unpack it first")
        return head

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give the content as a file of its own, for readers that must jump in it."""
        if self.path is not None:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "upload")
            with self.open() as stream, path.open("wb") as copy:
                shutil.copyfileobj(stream, copy, 2**20)
            yield path


@contextmanager
def members_of(source: Source, name: str | None, limits: Limits) -> Iterator[tuple[list[Member], list[str]]]:
    """Give the files of a source: itself, what gzip holds, or each member of a zip archive; and what is no data there.

    Raises:
        WrongUse: there is no such file.
        FileError: an archive that cannot be opened, with too many members, encrypted, or too large.
    """
    with _reopening(source, limits) as reopen:
        label = name or name_of(source)
        try:
            with _opened(reopen) as stream:
                magic = stream.read(4)
        except OSError as error:
            raise FileError(f"cannot read {label}: {error}") from error
        if magic == b"PK\x03\x04":
            yield _zip_members(reopen, label, limits)
        elif magic[:2] == b"\x1f\x8b":
            inner = label.removesuffix(".gz")
            yield [Member(inner, "gzip", lambda: Capped(_Gunzipping(reopen()), inner, limits.uncompressed_bytes))], []
        else:
            path = Path(source) if isinstance(source, str | Path) else None
            yield [Member(label, "", lambda: Capped(reopen(), label, limits.uncompressed_bytes), path)], []


def name_of(source: Source) -> str:
    """Return what a source is called: its path, or the name that its stream has."""
    if isinstance(source, str | Path):
        return str(source)
    named = getattr(source, "name", None)
    return named if isinstance(named, str) else "the upload"


@contextmanager
def _reopening(source: Source, limits: Limits) -> Iterator[Callable[[], BinaryIO]]:
    """Give a function that opens the source from its beginning each time."""
    if isinstance(source, bytes):
        _demand_size(len(source), "the upload", limits)
        yield lambda: io.BytesIO(source)
    elif isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise WrongUse(f"{path} is not a file" if path.exists() else f"there is no file {path}")
        if _is_open_store(path.resolve()):
            # Opening and closing it in the process that owns it would drop the locks which keep it whole.
            raise WrongUse(f"{path} is a store of Pairscope's: name it with --store, or replay it")
        _demand_size(path.stat().st_size, str(path), limits)
        yield lambda: path.open("rb")
    elif source.seekable():
        yield lambda: _rewound(source)
    else:
        with tempfile.TemporaryFile() as copy:
            capped = Capped(source, name_of(source), limits.uncompressed_bytes)
            shutil.copyfileobj(capped, copy, 2**20)
            yield lambda: _rewound(copy)


def _is_open_store(path: Path) -> bool:
    """Return whether the lock of an owner lies beside a file; that of another program says something else."""
    try:
        with path.with_name(f"{path.name}.lock").open("rb") as lock:
            told = json.loads(lock.read(4096))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and {"pid", "address", "token"} <= told.keys()


def _demand_size(size: int, name: str, limits: Limits) -> None:
    if size > limits.uncompressed_bytes:
        raise FileError(f"{name} is of {size:,} bytes, more than {limits.uncompressed_bytes:,}: split it")


def _rewound(stream: Any) -> BinaryIO:
    stream.seek(0)
    return io.BufferedReader(_Kept(stream))


class _Kept(io.RawIOBase):
    """A stream of somebody else's, which stays open when the reader is closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _opened(reopen: Callable[[], BinaryIO]) -> Iterator[BinaryIO]:
    stream = reopen()
    try:
        yield stream
    finally:
        stream.close()


class _Gunzipping(gzip.GzipFile):
    """A gzip reader that closes the file below it too."""

    def __init__(self, below: BinaryIO) -> None:
        super().__init__(fileobj=below, mode="rb")
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


_NO_DATA = re.compile(
    r"(?:readme|licen[cs]e|changelog|copying|notice)(?:[._-].*)?|\..*|thumbs\.db|"
    r".*\.(?:md|rst|pdf|html?|url|checksum|md5|sha[0-9]*|sig|asc|png|jpe?g|ini|log)",
    re.IGNORECASE,
)
"""Names of what lies beside data in archives."""


def _zip_members(reopen: Callable[[], BinaryIO], label: str, limits: Limits) -> tuple[list[Member], list[str]]:
    try:
        with _opened(reopen) as stream:
            _demand_small_directory(stream, label)
            with zipfile.ZipFile(stream) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except _DAMAGE as error:
        raise FileError(f"{label} is a damaged zip archive: {error}") from error
    entries = [entry for entry in entries if not entry.filename.startswith("__MACOSX/")]
    others = [entry.filename for entry in entries if _NO_DATA.fullmatch(PurePath(entry.filename).name)]
    entries = [entry for entry in entries if entry.filename not in others]
    if not entries:
        raise FileError(f"{label} is a zip archive without a file in it")
    if len(entries) > limits.members:
        raise FileError(f"{label} holds {len(entries):,} files, more than {limits.members:,}")
    if any(entry.flag_bits & 1 for entry in entries):
        raise FileError(f"{label} is encrypted: unpack it first")
    if sum(entry.file_size for entry in entries) > limits.uncompressed_bytes:
        raise FileError(f"{label} unpacks to more than {limits.uncompressed_bytes:,} bytes: split it")
    return [_zip_member(reopen, label, entry, limits) for entry in entries], [f"{label}/{name}" for name in others]


def _demand_small_directory(stream: BinaryIO, label: str) -> None:
    """Refuse a zip whose table of contents alone would fill the memory."""
    stream.seek(0, io.SEEK_END)
    stream.seek(max(0, stream.tell() - HEAD - 22))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > _DIRECTORY_BYTES:
        raise FileError(f"{label} has a table of contents of more than {_DIRECTORY_BYTES:,} bytes")
    stream.seek(0)


def _zip_member(reopen: Callable[[], BinaryIO], label: str, entry: zipfile.ZipInfo, limits: Limits) -> Member:
    name = f"{label}/{entry.filename}"

    def open_member() -> Capped:
        try:
            below = reopen()
            return Capped(_Unzipping(below, entry), name, limits.uncompressed_bytes)
        except _DAMAGE as error:
            raise FileError(f"{name} cannot be unpacked: {error}") from error

    return Member(name, "zip", open_member)


class _Unzipping:
    """A member of a zip archive, with the archive and the file below it."""

    def __init__(self, below: BinaryIO, entry: zipfile.ZipInfo) -> None:
        self._below = below
        self._archive = zipfile.ZipFile(below)
        self._member: Any = self._archive.open(entry)

    def read(self, size: int) -> bytes:
        piece: bytes = self._member.read1(size)
        return piece

    def close(self) -> None:
        self._member.close()
        self._archive.close()
        self._below.close()
