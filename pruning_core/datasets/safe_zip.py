"""Opening a zip file that a stranger sent: everything is judged from its directory, nothing is unpacked to disk."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from pruning_core.errors import UserError, quoted

MAX_BYTES = 8 << 30  # unpacked
MAX_MEMBERS = 1_000_000
HARMLESS_BYTES = 64 << 20  # below this even a perfect bomb does no harm
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
END, END_BYTES = b"PK\x05\x06", 22  # how the last record of a zip begins, and its least size
LAST = END_BYTES + 0xFFFF  # bytes at the end in which that record lies, whatever the comment
LEAST_ENTRY = 46  # bytes that one member takes in the directory
MAX_RATIO = 50  # honest images and weights hardly shrink; a bomb shrinks a thousandfold


def open_zip(path: Path, name: str, max_bytes: int = MAX_BYTES) -> zipfile.ZipFile:
    """Open and judge the zip file at ``path``; ``name`` is what the user calls it.

    Raises UserError when it is damaged, encrypted, a bomb, or has members with unsafe names.
    """
    try:
        _check_directory(path, name)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{name!r} is not a readable zip file: it is damaged or cut short. Upload it again.") from error
    try:
        _judge(archive, path.stat().st_size, name, max_bytes)
    except BaseException:
        archive.close()
        raise
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | str, name: str) -> bytes:
    """The bytes of one member; never more than the directory promised. Raises UserError when it is damaged."""
    try:
        info = archive.getinfo(member) if isinstance(member, str) else member
        with archive.open(info) as opened:
            # Never all there is: a member may go on for gigabytes after the bytes that it was declared to have.
            data = opened.read(info.file_size)
        if len(data) != info.file_size:
            raise EOFError
        return data
    except Exception as error:  # zipfile raises eight kinds on damaged bytes, zlib one of its own
        inner = quoted(member if isinstance(member, str) else member.filename)
        raise UserError(f"{inner} in {name!r} cannot be unpacked: it is damaged. Make the file again.") from error


def _check_directory(path: Path, name: str) -> None:
    """Refuse a directory of more members than are read, before each of them becomes an object of half a kilobyte."""
    with path.open("rb") as file:
        file.seek(0, 2)
        stored = file.tell()
        file.seek(max(0, stored - LAST))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_BYTES:
        return  # the library says what is wrong
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    size = stored if size == 0xFFFFFFFF else size  # a very large archive says it elsewhere
    if MAX_MEMBERS < size // LEAST_ENTRY <= stored:
        raise UserError(f"{name!r} holds more than {MAX_MEMBERS:,} files, which are not read. Send fewer at a time.")


def _judge(archive: zipfile.ZipFile, stored: int, name: str, max_bytes: int) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{name!r} holds {len(members):,} files; at most {MAX_MEMBERS:,} are read.")
    if members and min(member.header_offset for member in members) != 0:
        # What was found is the directory of a zip inside this one, whose own is missing.
        raise UserError(f"{name!r} is not a readable zip file: it is damaged or cut short. Upload it again.")
    if sum(member.compress_size for member in members) > stored:
        raise UserError(
            f"{name!r} holds files that share their bytes with each other. Such a file is a zip bomb, so it was not "
            "opened."
        )
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise UserError(
            f"{name!r} unpacks to {total / 2**30:.1f} GiB; at most {max_bytes / 2**30:.1f} GiB are read. Send less at "
            "a time."
        )
    if total > HARMLESS_BYTES and total > MAX_RATIO * stored:
        raise UserError(
            f"{name!r} is {stored / 2**20:.1f} MiB and would unpack to {total / 2**20:.0f} MiB. Such a file is a zip "
            "bomb or empty padding, so it was not opened."
        )
    seen: set[str] = set()
    for member in members:
        _check_name(member, name)
        if member.compress_type not in METHODS:
            # Python's readers of the others unpack as much as they are given, whatever was asked for.
            raise UserError(
                f"{name!r} is packed by a method that is not read here (bzip2, LZMA or a rarer one). Pack it again as "
                "a usual zip file."
            )
        if member.flag_bits & 1:
            raise UserError(f"{name!r} is encrypted. Send it without a password.")
        if member.filename in seen:
            raise UserError(f"{name!r} holds {quoted(member.filename)} twice. Make the file again.")
        seen.add(member.filename)


def _check_name(member: zipfile.ZipInfo, name: str) -> None:
    # orig_filename: what the file says; filename was already tidied by the library.
    given = member.orig_filename.replace("\\", "/")
    if given.startswith("/") or given[1:2] == ":" or "\0" in given or ".." in given.split("/"):
        raise UserError(
            f"{name!r} holds a member called {quoted(member.orig_filename)}, which points outside it. It was not "
            "opened."
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{name!r} holds the link {quoted(member.filename)}. Send files, not links.")
