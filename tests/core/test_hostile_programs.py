"""Files that hold a whole network (.pt2, ONNX), written by hand to do harm: a sentence each, or a network that runs.

Each is read in a process apart, which counts what that takes. One that ends the process is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pruning_core.zoo import import_model
from tests.core import hostile_keras, hostile_onnx, hostile_programs
from tests.core.bounded import Came, Shared

SECONDS, BYTES = 10.0, 1500 << 20
SMALL = 16_000  # bytes; only names and graphs that are themselves the harm are longer
LONG = {"a name of a million letters", "an operator of a million letters", "a hundred thousand operators",
        "nineteen thousand operators", "a name of a million brackets", "many outputs"}  # fmt: skip

PROGRAMS: dict[str, Callable[[], bytes]] = {
    **{f"calls {name or 'nothing'}": lambda name=name: hostile_programs.one(name, self="x")  # type: ignore[misc]
       for name in hostile_programs.STRANGE},
    **{name: lambda name=name: hostile_programs.one(hostile_programs.WRONG[name][0], **hostile_programs.WRONG[name][1])  # type: ignore[misc]
       for name in hostile_programs.WRONG},
    **hostile_programs.SHAPED,
}  # fmt: skip


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared()
    folder = tmp_path_factory.mktemp("good")
    for name, data in (
        ("good.pt2", hostile_programs.honest()),
        ("good.onnx", hostile_onnx.flat(hostile_onnx.t("Relu", "x"))),
        ("good.keras", hostile_keras.file(hostile_keras.HONEST)),
    ):
        (folder / name).write_bytes(data)
        assert not shared(opened, str(folder / name), str(folder / "kept")).sentence, (
            "and what is imported late is here"
        )
    yield shared
    for name in ("good.pt2", "good.onnx", "good.keras"):
        assert not shared(opened, str(folder / name), str(folder / "kept")).sentence, "good files load afterwards too"
    shared.close()


def opened(path: str, folder: str) -> None:
    import_model(Path(path), Path(path).name, Path(folder))


def tried(child: Shared, tmp_path: Path, data: bytes, suffix: str, name: str) -> Came:
    assert len(data) < (1 << 20 if suffix == ".keras" else SMALL) or name in LONG, len(data)
    path = tmp_path / f"hostile{suffix}"
    path.write_bytes(data)
    came = child(opened, str(path), str(tmp_path / "kept"), patience=3 * SECONDS)
    assert came.seconds < SECONDS and came.bytes < BYTES, came
    assert len(came.sentence) < 800 and (not came.sentence or came.sentence.isprintable()), came.sentence
    if came.sentence:
        assert not [each for each in (tmp_path / "kept").glob("artifacts/**/*") if each.is_file()], "nothing is kept"
    return came


@pytest.mark.parametrize("name", [each for each in PROGRAMS if each.startswith("calls ")])
def test_what_is_no_operator_of_a_network_is_not_called(child, tmp_path, name):
    assert tried(child, tmp_path, PROGRAMS[name](), ".pt2", name).sentence


@pytest.mark.parametrize("name", [each for each in PROGRAMS if not each.startswith("calls ")])
def test_a_program_that_would_do_harm(child, tmp_path, name):
    came = tried(child, tmp_path, PROGRAMS[name](), ".pt2", name)
    assert came.sentence or name in HARMLESS


@pytest.mark.parametrize("name", hostile_onnx.FILES)
def test_an_onnx_file_that_would_do_harm(child, tmp_path, name):
    came = tried(child, tmp_path, hostile_onnx.FILES[name](), ".onnx", name)
    assert came.sentence or name in HARMLESS


@pytest.mark.parametrize("name", hostile_keras.FILES)
def test_a_file_of_keras_that_would_do_harm(child, tmp_path, name):
    came = tried(child, tmp_path, hostile_keras.FILES[name](), ".keras", name)
    assert bool(came.sentence) == (name not in hostile_keras.HARMLESS)


HARMLESS = {  # they load, and are what they look like
    "an argument too many", "a name of a million letters", "a text of ten million digits", "the first opset",
}  # fmt: skip


def test_a_file_that_ends_the_process_is_named_and_the_next_has_a_new_one():
    shared = Shared()
    with pytest.raises(AssertionError, match="the process ended: 3"):
        shared(os._exit, 3)
    with pytest.raises(AssertionError, match="does not come to an end"):
        shared(_forever, patience=0.5)
    assert not shared(str).sentence
    assert shared(bytearray, 64 << 20).bytes > 60 << 20 > shared(str).bytes, "what a call takes is counted by itself"
    with pytest.raises(AssertionError, match="MemoryError"):
        shared(bytearray, 8 << 30)
    shared.close()


def _forever() -> None:
    while True:
        pass
