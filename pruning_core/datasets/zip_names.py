"""The names in a zip whose writer did not say how their letters are stored.

A zip marks UTF-8 names with a flag; without it the format means code page 437, and in practice whatever the writer's
system used. The bytes alone never prove it, so what was assumed is said and can be changed.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # Info-ZIP's extra field: the name once more, in UTF-8
# Those of the systems that write such zips, those with many users first; 437 is what the format says.
CODE_PAGES = (
    "utf-8", "gb18030", "cp932", "cp949", "big5", "cp1251", "cp866", "cp1252", "cp850", "cp437", "cp1250", "cp852",
)  # fmt: skip
# First bytes of the common characters of a double-byte code page; rare ones come out where the guess is wrong.
COMMON = {"gb18030": (0xB0, 0xD7), "cp932": (0x82, 0x97), "cp949": (0xB0, 0xC8), "big5": (0xA4, 0xC6)}


def decoded(members: Sequence[zipfile.ZipInfo], code_page: str | None) -> tuple[list[str], str, bool]:
    """(names, what the unmarked ones were read as, whether that is sure); "" when every name says it or is ASCII.

    ``code_page``: one of ``candidates``, or None to guess. What cannot be read in it is read as code page 437.
    """
    names = [_stated(member) for member in members]
    unknown = [_bytes(member) for member, name in zip(members, names) if name is None]
    if not unknown:
        return [name or "" for name in names], "", True
    sure = code_page is None and _reads(unknown, "utf-8")
    chosen = code_page or ("utf-8" if sure else candidates(members)[0])
    chosen = chosen if _reads(unknown, chosen) else "cp437"
    filled = iter(unknown)
    read = [next(filled).decode(chosen) if name is None else name for name in names]
    return read, chosen, sure


def candidates(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Code pages in which all the unmarked names can be read, the likeliest first."""
    unknown = [_bytes(member) for member in members if _stated(member) is None]
    able = [page for page in CODE_PAGES if _reads(unknown, page)]
    parts = {part for raw in unknown for part in _parts(raw)}
    return sorted(able, key=lambda page: -_likely(parts, page))


def _stated(member: zipfile.ZipInfo) -> str | None:
    """The name where the zip says how it is written; None where it does not."""
    if member.flag_bits & UTF8_FLAG:
        return member.orig_filename
    raw = _bytes(member)
    if raw.isascii():
        return raw.decode("ascii")
    return _unicode_path(member.extra, raw)


def _bytes(member: zipfile.ZipInfo) -> bytes:
    return member.orig_filename.encode("cp437")  # as the library read it: every byte has a letter there


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and len(field) > 5 and struct.unpack("<I", field[1:5])[0] == zlib.crc32(raw):
            try:
                return field[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _reads(names: Sequence[bytes], code_page: str) -> bool:
    try:
        return all("\0" not in name.decode(code_page) for name in names)
    except UnicodeDecodeError:
        return False


def _parts(raw: bytes) -> list[bytes]:
    """The folders and the file of a path. A slash is no second byte in any of the code pages."""
    return [part for part in raw.split(b"/") if not part.isascii()]


def _likely(parts: set[bytes], code_page: str) -> float:
    """How much the names look like words in it, in [0, 2]."""
    if not parts:
        return 0.0
    if code_page == "utf-8":
        return 2.0
    return sum(_word(part, code_page) for part in parts) / len(parts)


def _word(raw: bytes, code_page: str) -> float:
    text = raw.decode(code_page, "replace")
    foreign = [letter for letter in text if not letter.isascii()]
    letters = sum(unicodedata.category(letter).startswith("L") for letter in foreign) / len(foreign)
    if code_page in COMMON:
        low, high = COMMON[code_page]
        codes = [letter.encode(code_page, "replace") for letter in foreign]
        common = sum(len(code) == 2 and low <= code[0] <= high for code in codes) / len(codes)
        joined = any(letter.isascii() and letter.isalpha() for letter in text)  # a rare sight: an accented Latin word
        return (letters + common) * (0.6 if joined else 1)
    # One byte a letter reads anything; a word is of one alphabet, and accents are the exception in a Latin one.
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in text)
    accents = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in foreign)
    mixed = 0 < latin < sum(letter.isalpha() for letter in text)
    return letters * (0.5 if mixed or accents > latin / 2 else 1.4)
