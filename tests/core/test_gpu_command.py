"""The one command for whoever has a GPU works: here on the processor, at its smallest."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_part_runs_and_is_written(tmp_path: Path) -> None:
    out = tmp_path / "gpu.md"
    code = gpu.main(["--device", "cpu", "--small", "--methods", "cut-train", "nm", "--out", str(out)])
    table = rows(out)
    assert {row[0] for row in table} == set(gpu.PARTS) and code == 0
    assert {row[4] for row in table} == {"yes"}, table
    methods = [row for row in table if row[0] == "methods"]
    assert len(methods) == 2 and all("of the test images" in row[3] for row in methods), methods
    (sparse,) = (row for row in table if row[0] == "sparse")
    assert sparse[2].startswith("no kernel here")


def test_a_part_that_fails_leaves_its_error_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(bench: gpu.Bench) -> object:
        raise RuntimeError("two devices | cpu and cuda:0\nmore")

    monkeypatch.setitem(gpu.PARTS, "slider", broken)
    out = tmp_path / "gpu.md"
    assert gpu.main(["--device", "cpu", "--small", "--only", "slider", "sparse", "--out", str(out)]) == 1
    failed, sparse = rows(out)
    assert failed[2] == "failed: RuntimeError: two devices / cpu and cuda:0" and failed[4] == "NO"
    assert sparse[0] == "sparse"
