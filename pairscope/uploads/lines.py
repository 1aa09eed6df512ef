"""Lines of text, a block of them at a time, whatever the encoding and the line ends."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pairscope.uploads.containers import Damaged, Member
from pairscope.uploads.upload import FileError, Limits, Rejected, Rejects

CHUNK_BYTES = 2**20
_UNDECODED = re.compile("[\udc80-\udcff]")
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines in a row; `first` is the number of the first one, from 1.

    Whether all are ASCII and whether any holds a quote is told for all at once, which spares a look at each.
    """

    first: int
    texts: list[str]
    ascii: bool
    quoted: bool


def encoding_of(head: bytes, file: str) -> str:
    """Tell UTF-8 and UTF-16 from each other and from what is no text.

    Raises:
        FileError: for what is no text.
    """
    if marked := next((name for bom, name in _BOMS.items() if head.startswith(bom)), None):
        return marked
    if b"\0" not in head:
        return "utf-8"
    for codec, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        zeros = head[place::2]
        if zeros.count(0) > 0.9 * len(zeros) and head.count(0) < 0.6 * len(head):
            return codec
    raise FileError(f"{file} is binary, not text: it is no table, no JSON, no Parquet file and no SQLite database")


def read_lines(member: Member, encoding: str, limits: Limits, rejects: Rejects) -> Iterator[Lines]:
    """Yield all lines. Bytes that are no UTF-8 come as surrogates (see `undecoded`); damage ends the file.

    Raises:
        FileError: a line is too long for one of text, or the bytes are not of the encoding.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)
    carry, number = "", 1
    with member.open() as stream:
        while True:
            try:
                chunk = stream.read(CHUNK_BYTES)
            except Damaged as damage:
                rejects.add(Rejected(member.name, number, "", "", f"the file is damaged from here on: {damage}"))
                return
            try:
                text = carry + decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                raise FileError(f"{member.name} is not {encoding} text: {error}") from error
            texts = text.split("\n")
            carry = texts.pop() if chunk else ""
            if max(map(len, texts), default=0) > limits.line or len(carry) > limits.line:
                raise FileError(f"{member.name} has a line of more than {limits.line:,} characters: it is no table")
            if texts:
                yield Lines(number, texts, text.isascii(), '"' in text)
                number += len(texts)
            if number > 2 * limits.rows:
                raise FileError(f"{member.name} has more than {2 * limits.rows:,} lines: split it into smaller files")
            if not chunk:
                return


def undecoded(text: str) -> bool:
    """Return whether a line holds bytes that are not of the encoding."""
    return not text.isascii() and _UNDECODED.search(text) is not None


_NAME = re.compile(r'"\s*:')
_TWICE = "\0twice"


def named_twice(text: str, names: int) -> list[int]:
    """Return which rows of a JSON array have two values of one name; of one object, [0] if it has.

    Fast parsers keep one of the two values and do not tell, so names are counted in the text first.

    Args:
        text: valid JSON.
        names: how many names the parser found in all rows.
    """
    if text.count('":') == names and not any(mark in text for mark in ('" ', '"\t', '"\n', '"\r')):
        return []
    if sum(1 for _ in _NAME.finditer(text)) <= names:
        return []
    try:
        read = json.loads(text, object_pairs_hook=_marked)
    except RecursionError:
        return [0]
    rows = read if isinstance(read, list) else [read]
    return [place for place, row in enumerate(rows) if isinstance(row, dict) and _TWICE in row]


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    return named if len(named) == len(pairs) else {_TWICE: None}
