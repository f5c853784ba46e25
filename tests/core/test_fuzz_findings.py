"""What fuzzing has found (`python -m benchmarks.fuzz`): each was something else than a sentence once."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_data import npy, picture, saved, zipped

from benchmarks.fuzz_mutate import mutate
from pruning_core.allocation.tables import read_table
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.export.document import FORMAT
from pruning_core.export.plan_file import read_plan_file
from pruning_core.storage.arrays import stored_arrays
from pruning_core.storage.artifacts import Artifacts
from tests.core.allocation_nets import residual_network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layername,0.25\na1\n", "holds no layer"),
        ('{"a1": {}}', "holds no layer"),
        ('layername,0.5\n"' + "x" * 200_000, "no table with commas"),
    ],
    ids=["a line without numbers", "a layer without numbers", "a word without end"],
)
def test_a_table_that_says_nothing(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_table(text, residual_network(), 0.9)


@pytest.mark.parametrize(
    ("version", "data", "said"),
    [("a" * 5000, "null", "later version"), ("1", '{"$": "DataRef", "source": "digits", "code_page": [null]}', "")],
    ids=["a version without end", "a code page that is a list"],
)
def test_a_plan_whose_heading_is_of_other_types(version: str, data: str, said: str) -> None:
    number = version if version.isdigit() else f'"{version}"'
    text = f'{{"format": "{FORMAT}", "version": {number}, "plan": {{}}, "base": {{"ref": {{}}}}, "data": {data}}}'
    if not said:
        assert read_plan_file(text, DIGITS).shared is None, "the plan is read; what it was made on is not believed"
        return
    with pytest.raises(UserError, match=said) as caught:
        read_plan_file(text, DIGITS)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "header",
    ["{'descr': ('<f8', 'shape': (2,)}", "{'descr': [\n['<f8'", "{'descr': '<f8', 'shape': " + "(" * 300, "  {\n {\n}"],
    ids=["a bracket too many", "a line that goes on", "brackets without end", "lines of unlike depth"],
)
def test_a_stored_result_whose_heading_is_no_sentence_of_pythons(tmp_path: Path, header: str) -> None:
    """NumPy reads headings with Python's own tokenizer, which has errors of its own."""
    artifacts = Artifacts(tmp_path)
    names = np.frombuffer(b'["conv1"]', np.uint8)
    digest = artifacts.put(zipped({"0.npy": npy(header, bytes(16)), ":names.npy": saved(x=names)["x.npy"]}))
    with pytest.raises(UserError, match="Measure them again"), stored_arrays(artifacts, digest, "Measure them again"):
        pass


@pytest.mark.parametrize("names", [b'{"conv1": 0}', b"7", b"[[1]]", b"[null]"])
def test_a_stored_result_whose_names_are_none(tmp_path: Path, names: bytes) -> None:
    artifacts, content = Artifacts(tmp_path), saved(x=np.ones(2), y=np.frombuffer(names, np.uint8))
    digest = artifacts.put(zipped({"0.npy": content["x.npy"], ":names.npy": content["y.npy"]}))
    with pytest.raises(UserError, match="Measure them again"), stored_arrays(artifacts, digest, "Measure them again"):
        pass


def test_a_plan_that_is_nested_without_end() -> None:
    with pytest.raises(UserError, match="no JSON"):
        read_plan_file('{"a":' * 100_000, DIGITS)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_changed_files_stay_nearly_right_and_can_be_made_again() -> None:
    """What is changed at random behind a checksum must have a right one, else only the first check is tried."""
    archive = zipped({"a/1.png": picture(), "b/2.png": picture(), "notes.json": b'{"a": [1, 2]}'})
    changed = [mutate(archive, random.Random(seed), [archive]) for seed in range(200)]
    assert changed == [mutate(archive, random.Random(seed), [archive]) for seed in range(200)]
    assert len(set(changed)) > 150 and archive not in changed[:1]
    whole = 0
    for each in changed:
        with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(each)) as opened:
            whole += opened.testzip() is None
    assert whole > 100
