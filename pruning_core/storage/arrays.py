"""Arrays by name as one stored file, which holds numbers and no objects."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from pruning_core.errors import UserError
from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.memory import must_fit

NAMES = ":names"  # the member with the names, as JSON in their order


def put_arrays(artifacts: Artifacts, arrays: Mapping[str, NDArray[Any]]) -> str:
    """The digest of the stored file."""
    # By number: a name may be an option of numpy's, or longer than a zip's directory can say.
    names = np.frombuffer(json.dumps(list(arrays)).encode(), np.uint8)
    numbered = {str(at): each for at, each in enumerate(arrays.values())}
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **numbered, **{NAMES: names})
    return artifacts.put(out.getvalue())


@contextmanager
def stored_arrays(artifacts: Artifacts, digest: str, otherwise: str) -> Iterator[dict[str, NDArray[Any]]]:
    """The arrays of a file, inside a ``with`` where the caller looks whether they are what it expects.

    Raises UserError when the file is gone or damaged, and UserError(``otherwise``) when it holds something else: it
    cannot be read, or the caller finds so (ValueError, KeyError). Versions before wrote one array without a name, which
    is ``""``, or arrays under their own names.
    """
    data = artifacts.read(digest)
    try:
        found = _named(np.load(io.BytesIO(data), allow_pickle=False))
    except UserError:
        raise
    except Exception as error:  # headers are text for a parser, members are packed: each raises what it likes
        raise UserError(otherwise) from error
    try:
        yield found
    except (ValueError, KeyError) as error:
        raise UserError(otherwise) from error


def _named(file: NpzFile | NDArray[Any]) -> dict[str, NDArray[Any]]:
    if not isinstance(file, NpzFile):
        return {"": file}
    assert file.zip is not None  # until it is closed
    packed = sum(each.file_size for each in file.zip.infolist())
    must_fit(packed, "A stored result", "Free some memory, or compute it again with fewer images.")
    members = {member: file[member] for member in file.files}
    if not all(isinstance(each, np.ndarray) for each in members.values()):
        raise ValueError("a member that is no array")
    if NAMES not in members:
        return members
    names = json.loads(members[NAMES].tobytes())
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("no names")
    return {name: members[str(at)] for at, name in enumerate(names)}
