"""Copies the data directory into a folder, also while a server works on it; a second time only what is new.

python -m tools.backup FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pruning_core.errors import UserError
from pruning_core.storage.draft import PART
from pruning_core.storage.place import default_root

DATABASE = "prunescope.sqlite"
OF_LIVING = ("servers", "children", "cache")  # folders that mean nothing without their process, or are made again


def backup(source: Path, target: Path) -> int:
    """How many files were copied. The database goes first: what it names is there already, and stays.

    Raises UserError where ``target`` lies inside ``source``.
    """
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError("The backup would lie inside what it copies. Choose a folder outside the data directory.")
    target.mkdir(parents=True, exist_ok=True)
    draft = target / f"{PART}{DATABASE}"
    draft.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(source / DATABASE)) as here,
        contextlib.closing(sqlite3.connect(draft)) as there,
    ):
        here.backup(there)
    os.replace(draft, target / DATABASE)
    return 1 + sum(_copied(path, target / path.relative_to(source)) for path in _files(source))


def _files(source: Path) -> Iterator[Path]:
    for path in source.rglob("*"):
        ours = path.relative_to(source).parts
        if path.is_file() and ours[0] not in OF_LIVING and not ours[-1].startswith((PART, DATABASE)):
            yield path


def _copied(path: Path, to: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # cleaned away meanwhile
        now = path.stat()
        if to.is_file() and (to.stat().st_size, to.stat().st_mtime) == (now.st_size, now.st_mtime):
            return False
        to.parent.mkdir(parents=True, exist_ok=True)
        draft = to.with_name(f"{PART}{to.name}")
        shutil.copy2(path, draft)
        os.replace(draft, to)
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    source = default_root()
    if not (source / DATABASE).is_file():
        raise SystemExit(f"There is no data directory at {source}. Set PRUNESCOPE_DATA to the one that is meant.")
    try:
        print(f"{backup(source, parser.parse_args().folder):,} files copied")
    except UserError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
