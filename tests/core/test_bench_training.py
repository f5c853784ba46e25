"""The bench of training at its smallest: both loops learn from the same images, and ratios are by round."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import bench_training as bench
from tests.core.small_programs import network

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = bench.Subject("small", network, 8, 64, 32, grey=True)


def test_both_loops_take_turns_and_begin_with_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[tuple[str, float]] = []

    def spy(name: str, real):  # type: ignore[no-untyped-def]
        def run(model: torch.nn.Module, *given: object) -> float:
            began.append((name, float(model[0].weight.detach().sum())))  # type: ignore[index]
            return float(real(model, *given))

        return run

    monkeypatch.setattr(bench, "plain_epoch", spy("plain", bench.plain_epoch))
    monkeypatch.setattr(bench, "our_epoch", spy("ours", bench.our_epoch))
    monkeypatch.setattr(bench, "bfloat16_is_fast", lambda device: False)
    ways, layout = bench.ways_of(SMALL)
    took = bench.seconds_of(ways, 2)
    assert layout in ("contiguous", "channels-last") and list(took) == [bench.PLAIN, bench.OURS]
    assert [name for name, _ in began] == ["ours", "plain", "plain", "ours", "ours", "plain"]
    assert len({weight for _, weight in began}) == 1
    assert all(len(each) == 2 and min(each) > 0 for each in took.values())
    row = bench.row_of(SMALL, took, layout)
    assert len(row) == len(bench.HEAD) and row[0] == "small" and row[3] == row[5] == "–"


def test_the_plain_loop_learns() -> None:
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    bench.plain_epoch(model, SMALL.data()[0], SMALL.config)
    assert not any(map(torch.equal, before, model.parameters()))


def test_a_ratio_is_by_round_and_bold_where_the_aim_is_kept(tmp_path: Path) -> None:
    took = {
        bench.PLAIN: [4.0, 2.0, 5.0],
        bench.PLAIN_BF16: [2.0, 2.0, 2.0],
        bench.OURS: [4.0, 1.6, 4.0],
        bench.OURS_BF16: [2.5, 1.0, 4.0],
    }
    assert bench.ratio(took, bench.OURS) == (1.25, 1.0, 1.25)
    row = bench.row_of(bench.SUBJECTS[0], took, "channels-last")
    named = dict(zip(bench.HEAD, row))
    assert named["ours over plain, both float32"] == "**1.25**" and named["its range"] == "1.00 to 1.25"
    assert named["ours in bfloat16 over plain in float32"] == "1.60", "less than twice"
    assert named[bench.PLAIN] == f"{bench.SUBJECTS[0].images / 4:.0f}" and named["rounds"] == "3"
    path = tmp_path / "training.md"
    bench.written(path, [(bench.SUBJECTS[1].name, *row[1:]), row])
    bench.written(path, [(row[0], "contiguous", *row[2:])])
    found = bench.rows_in(path.read_text(encoding="utf-8"), bench.HEAD)
    assert list(found) == [bench.SUBJECTS[0].name, bench.SUBJECTS[1].name], "in the order of the networks"
    assert [each[1] for each in found.values()] == ["contiguous", "channels-last"]


@pytest.mark.parametrize("subject", bench.SUBJECTS, ids=lambda each: each.name)
def test_every_network_reads_its_images(subject: bench.Subject) -> None:
    train, few = subject.data()
    assert len(train) == subject.images and len(few) == 2
    model = subject.build().eval()
    with torch.no_grad():
        assert model(few.normalised(few.images)).shape == (2, 10)
