"""Compare with networks that are no classifiers, and with any measure of one that is."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from torch import nn

from pages.compare import judging, measured, sections, tree
from pages.ui import state
from pages.ui.desk import Desk, remember
from pruning_core.datasets import import_data
from pruning_core.graph import Plan
from pruning_core.runs.view import State
from pruning_core.studies.prune import PruneRun
from pruning_core.zoo import import_model
from tests.app.page_under_test import text_of
from tests.app.test_compare_page import desk as of_classes  # noqa: F401 (a fixture)
from tests.app.test_compare_page import shown
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)
from tests.app.test_show_page import galleries
from tests.core.task_nets import Enlarger, Painter, archive, exported, made, pictures

ME = "me"


@pytest.fixture(autouse=True)
def me(monkeypatch, one_thread):  # noqa: F811
    monkeypatch.setattr(state, "owner", lambda: ME)
    yield
    state.jobs().close()


def cut(model, data, unit: str, units=4) -> Desk:
    """A desk with the whole network, of which half a layer was cut."""
    run = PruneRun(model, data, Plan({unit: range(units)}).to_json(), device="cpu")
    assert state.jobs().wait(state.jobs().submit(run, ME), 100).state is State.DONE
    desk = Desk(model, data)
    remember(state.workspace(), ME, desk)
    return desk


def of_pictures(kind, unit: str, **arrays) -> Desk:
    root = state.workspace()
    model = import_model(exported(made(kind)), "it.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=pictures(60), **arrays), "them.npz", root)
    return cut(model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3), unit)


def of_a_table() -> Desk:
    """Rows of four numbers and one to be told from them."""
    root = state.workspace()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    file = io.BytesIO()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 4),), dynamic_shapes=(batch,)), file)
    file.seek(0)
    model = import_model(file, "prices.pt2", root, input_size=(4,)).ref
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(80, 4)).astype(np.float32)
    labels = (rows.sum(1, keepdims=True) + 0.1 * dice.normal(size=(80, 1))).astype(np.float32)
    data = import_data(archive(inputs=rows, labels=labels), "prices.npz", root)
    return cut(model, data, state.network(model).groups[0].key)


def compared(monkeypatch, desk, key: str = ""):
    """The page when all is measured, the whole network pinned and the cut one beside it."""
    session = {sections.PINNED: 0, sections.OTHER: 1, **({judging.KEY: key} if key else {})}
    page = shown(monkeypatch, desk=desk, **session)
    (nodes,) = tree.families(desk).values()
    data = dataclasses.replace(desk.data, split="test", measure=key or desk.data.measure)
    return page, measured.rows(nodes, data, desk.model)[:2]


def large() -> np.ndarray:
    """What the network itself makes of them, so that a cut loses."""
    with torch.no_grad():
        drawn = made(Enlarger)(torch.from_numpy(pictures(60)).permute(0, 3, 1, 2) / 255)
    return drawn.clamp(0, 1).numpy()


def test_enlarged_pictures_by_their_noise(monkeypatch):
    desk = of_pictures(Enlarger, "first", labels=large())
    page, (one, two) = compared(monkeypatch, desk)
    said = text_of(page)
    assert page.selectbox(key=judging.KEY).options[:3] == ["PSNR", "SSIM", "Mean absolute error"]
    assert "another answer" not in said and "Nothing can be told class by class: Accuracy cannot be" in said
    lost = one.marks.rows[:, 0] - two.marks.rows[:, 0]
    assert f"{int((lost > 0).sum())} of {len(lost)} examples score worse" in said
    (gallery,) = galleries(page)
    worst = int(lost.argmax())
    assert gallery.index("<figure") < gallery.index(f"test image {worst}") < gallery.index("</figure>")
    assert f"pinned: {one.marks.rows[worst, 0]:.1f}" in gallery and gallery.count("<figure>") == min(
        24, (lost > 0).sum()
    )
    (frame,) = [each.value for each in page.dataframe if "change" in each.value.columns]
    assert frame["accuracy"][1].count("dB") == 1 and frame["change"][1].count("dB") >= 1


def test_painted_pixels_by_their_overlap(monkeypatch):
    masks = np.random.default_rng(0).integers(0, 4, (60, 16, 16)).astype(np.uint8)
    page, (one, two) = compared(monkeypatch, of_pictures(Painter, "down.0", labels=masks))
    assert one.accuracy.measure == "miou" and two.change is not None
    assert "examples score worse" in text_of(page) and "Classes and groups" in [each.label for each in page.tabs]


def test_rows_of_a_table_by_their_error(monkeypatch):
    desk = of_a_table()
    page, (one, two) = compared(monkeypatch, desk)
    assert one.accuracy.measure == "r2" and two.change is not None
    assert "R² is a value of many examples together" in text_of(page)
    page, (one, two) = compared(monkeypatch, desk, "mae")
    (frame,) = [each.value for each in page.dataframe if "Target" in each.value.columns]
    lost = two.marks.rows[:, 0] - one.marks.rows[:, 0]
    assert frame["Example"][0] == int(lost.argmax()) and len(frame) == min(24, int((lost > 0).sum()))
    listed = "\n".join(["kind", *(["odd", "even"] * (len(lost) // 2))])
    page.file_uploader(key="compare.groups.file").set_value(("mine.csv", listed.encode(), "text/csv")).run()
    assert not page.exception and not page.error
    assert page.selectbox(key="compare.groups.column").value == "kind"


def test_pictures_without_labels_by_agreement(monkeypatch):
    page, (one, two) = compared(monkeypatch, of_pictures(Painter, "down.0"), "place_agreement")
    assert one.accuracy.top1 == 1.0 > two.accuracy.top1
    assert "Agreement of places" in text_of(page) and galleries(page)


def test_a_classifier_by_another_measure(of_classes, monkeypatch):  # noqa: F811
    page = shown(monkeypatch, **{sections.PINNED: 0, sections.OTHER: 1, judging.KEY: "divergence"})
    said = text_of(page)
    assert "choose Top-1 accuracy above" in said and "of 450 examples score worse" in said
    assert "Divergence of scores" in said
    page.selectbox(key=judging.KEY).set_value("top1").run()
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 200).state is State.DONE
    page.run()
    assert "test images get another answer" in text_of(page)
