"""What a visitor sends: copied to disk in chunks, so that the browser's widget can let go of its memory at once."""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from pages.ui import state
from pages.ui.language import said
from pages.ui.literal import literal
from pruning_core.errors import UserError, clip

CHUNK = 1 << 20  # bytes
FORGOTTEN_S = 24 * 3600  # a file that nobody came back for
FOLDER = "inbox.folder"


@dataclass(frozen=True)
class Sent:
    """A file on disk and what the visitor calls it; not judged yet. ``turn``: which one of this visitor's it is."""

    path: Path
    name: str
    size: int
    turn: int = 0


def receive(label: str, slot: str, *, help: str, together: bool = False) -> Sent | None:
    """The file chooser of `slot`, and what it last brought; the file is kept until `drop`.

    ``together``: several files that belong to each other may be sent; they are kept as one zip.
    """
    turn, refused = f"inbox.{slot}.turn", f"inbox.{slot}.refused"
    key = f"inbox.{slot}.{st.session_state.get(turn, 0)}"
    given = st.file_uploader(label, key=key, help=help, accept_multiple_files=together)
    files: list[UploadedFile] = given if isinstance(given, list) else [given] if given is not None else []
    if files:
        drop(slot)
        # Another key is another widget: the old one and the bytes it holds are dropped with this run.
        st.session_state[turn] = st.session_state.get(turn, 0) + 1
        try:
            size = sum(file.size for file in files)
            state.jobs().rules.admit_file(size, state.jobs().ledger.used(state.owner()))
            path = _folder() / slot
            try:
                with path.open("wb") as out:
                    _copy(files, out)
            except OSError:  # on a full disk the half of a file is in the way
                path.unlink(missing_ok=True)
                raise
            # The turn tells two files of one name and size apart: what was said of the first is not said of the second.
            st.session_state[f"inbox.{slot}"] = Sent(path, _called(files), path.stat().st_size, st.session_state[turn])
        except UserError as error:
            st.session_state[refused] = str(error)
        st.rerun()
    if sentence := st.session_state.pop(refused, ""):
        st.error(literal(said(sentence)), icon=":material/error:")
    return waiting(slot)


def _copy(files: Sequence[UploadedFile], out: BinaryIO) -> None:
    """One as it is, several into a zip."""
    if len(files) == 1:
        shutil.copyfileobj(files[0], out, CHUNK)
        return
    with zipfile.ZipFile(out, "w") as archive:
        for file in files:
            with archive.open(zipfile.ZipInfo(file.name), "w", force_zip64=True) as inside:
                shutil.copyfileobj(file, inside, CHUNK)


def _called(files: Sequence[UploadedFile]) -> str:
    return files[0].name if len(files) == 1 else f"{len(files)} files.zip"


def keep(sent: Sent, *digests: str) -> None:
    """Write down whose the stored files are that were made of it."""
    for digest in filter(None, digests):
        state.jobs().ledger.sent(state.owner(), digest, clip(sent.name))


def waiting(slot: str) -> Sent | None:
    sent = st.session_state.get(f"inbox.{slot}")
    return sent if isinstance(sent, Sent) and sent.path.is_file() else None


def drop(slot: str) -> None:
    """Forget the file."""
    sent = st.session_state.pop(f"inbox.{slot}", None)
    if isinstance(sent, Sent):
        sent.path.unlink(missing_ok=True)


def _folder() -> Path:
    """One per session, which takes it along when it ends; those that a killed server left are removed after a day."""
    root = state.workspace().root / "inbox"
    root.mkdir(exist_ok=True)
    for old in root.iterdir():
        if time.time() - old.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = st.session_state.get(FOLDER)
    if not isinstance(folder, TemporaryDirectory) or not Path(folder.name).is_dir():
        folder = st.session_state[FOLDER] = TemporaryDirectory(dir=root, ignore_cleanup_errors=True)
    return Path(folder.name)
