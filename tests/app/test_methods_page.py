"""The methods page: every method with its phases before it runs, one run to its end, several beside each other."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from streamlit.testing.v1 import AppTest

from pages.download import files
from pages.methods import charts, choose, frames
from pages.ui import numbers, standing, state
from pages.ui.desk import recall
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.base import Outcome
from pruning_core.methods.registry import METHODS
from pruning_core.methods.scratch import ScratchB
from pruning_core.runs.events import Artifact
from pruning_core.runs.view import State
from pruning_core.studies.treated import PhaseDone, Treated
from pruning_core.training.watch import Watch, Watched
from pruning_core.zoo import load_model

ROOT = Path(__file__).parents[2]
ME = "me"


@pytest.fixture
def page(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    yield healthy(app.switch_page("pages/methods/page.py").run())
    state.jobs().close()
    torch.set_num_threads(before)


def healthy(app):
    assert not app.exception, [each.stack_trace for each in app.exception]
    return app


def words(app):
    return " ".join(each.value for each in (*app.markdown, *app.caption, *app.warning, *app.error, *app.success))


def chosen(app, key):
    return healthy(app.selectbox(key="methods.method").set_value(key).run())


def short(app):
    app.number_input(key="methods.epochs").set_value(2)
    return healthy(app.run())


DOES = {
    Outcome.SMALLER: "remove channels", Outcome.SPARSE: "set weights to zero",
    Outcome.REGROUPED: "make convolutions grouped", Outcome.SHALLOWER: "take whole blocks out",
    Outcome.DYNAMIC: "put gates",
}  # fmt: skip


def test_every_method_shows_its_card_and_its_phases_before_it_runs(page):
    healthy(page.slider(key="methods.share").set_value(65).run())  # what the one block that can leave allows
    for method in METHODS:
        chosen(page, method.card.key)
        assert method.card.idea in words(page) and method.card.fails in words(page)
        (timeline,) = (each.value for each in page.markdown if each.value.startswith("What will be done:"))
        lines = timeline.splitlines()[1:]
        assert [line.split(". ")[0] for line in lines] == [str(1 + i) for i in range(len(lines))]
        epochs = [int(found) for line in lines for found in re.findall(r", (\d+) epoch", line)]
        done = DOES[method.outcome]
        assert sum(epochs) > 6 if method is ScratchB else sum(epochs) == 6
        assert done in timeline and f"ends in **{method.outcome}**" in words(page)
        assert not page.button(key="methods.start").disabled


def test_what_the_paper_sets_stands_beside_what_is_set_here(page):
    chosen(page, "netslim")
    page.select_slider(key="methods.NetworkSlimming.strength").set_value(0.1)
    page.number_input(key="methods.epochs").set_value(3)
    healthy(page.run())
    (table,) = (each.value for each in page.main.dataframe if "paper" in each.value)
    rows = {row.setting: (row.paper, row.here) for row in table.itertuples()}
    assert rows["Penalty on scales"] == ("1e-4 (VGG), 1e-5 (ResNet, DenseNet)", "0.1")
    assert rows["Epochs in all"] == ("160 with the penalty, 160 after the cut", "3")
    chosen(page, "sfp")
    (table,) = (each.value for each in page.main.dataframe if "paper" in each.value)
    assert dict(zip(table["setting"], table["here"]))["Rising number"] == "off"


def test_a_budget_that_blocks_cannot_reach_is_refused_before_the_run(page):
    chosen(page, "layerprune")
    assert "Without its 1 removable block this network still has 61 % of its MACs" in words(page)
    assert page.button(key="methods.start").disabled
    several = page.multiselect(key="methods.several")
    assert "LayerPrune" in words(page) and "LayerPrune" not in several.options and "AutoSlim" in several.options
    healthy(page.slider(key="methods.share").set_value(65).run())
    assert "LayerPrune" in page.multiselect(key="methods.several").options
    assert "removable block" not in words(page) and not page.button(key="methods.start").disabled


def test_methods_are_narrowed_by_what_they_end_in(page):
    assert set(choose.ENDS.values()) == {method.outcome for method in METHODS}
    for word, outcome in choose.ENDS.items():
        healthy(page.pills(key="methods.outcome").set_value(word).run())
        options = page.selectbox(key="methods.method").options
        assert len(options) == sum(method.outcome is outcome for method in METHODS)
        assert f"It ends in **{outcome}**" in words(page)


def test_a_method_runs_to_its_end_and_its_network_can_be_kept(page):
    short(chosen(page, "netslim"))
    healthy(page.button(key="methods.start").click().run())
    view = state.jobs().wait(page.session_state["methods.job"], 240)
    assert view.state is State.DONE, view.error
    end = view.last(Treated)
    healthy(page.run())
    rows = page.main.dataframe[-1].value
    assert list(rows["macs"]) == [f"{event.macs:,}" for event in view.all(PhaseDone)]
    figures = {each.label: each.value for each in page.metric}
    assert figures["Accuracy"].startswith(f"{100 * end.after.accuracy.top1:.1f}") and "Latency" in figures
    assert ("inside the noise" in words(page)) == (end.drop.within_noise and end.drop.drop != 0)
    assert "training images seen" in words(page)
    healthy(page.button(key="methods.keep").click().run())
    assert f"-badge[{standing.Made.METHOD}]" in " ".join(each.value for each in page.sidebar.markdown)
    assert recall(state.workspace(), ME).model == end.model and "is on the desk" in words(page)
    assert page.main.dataframe[-1].value["macs"].iloc[-1] == f"{end.after.cost.macs:,}", "its run stays in view"


def test_several_stand_beside_each_other(page):
    short(page)
    page.multiselect(key="methods.several").set_value(["cut-train", "sfp"]).run()
    assert "5 runs; how long one takes is known after the first" in words(page)
    healthy(page.button(key="methods.queue").click().run())
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 240).state is State.DONE
    healthy(page.run())
    (matrix,) = (each.value for each in page.main.dataframe if "method" in each.value)
    assert (matrix["after"] != "–").all() and set(matrix["state"]) == {"done"}
    assert sorted(matrix["method"]) == ["Cut by chance, then train"] * 3 + ["Cut, then train", "Soft filter pruning"]
    assert "The grey band is what cuts by chance reached" in words(page) and "All of them have run." in words(page)
    page.number_input(key="methods.epochs").set_value(20).run()
    assert re.search(r"5 runs, about [\d.]+\W(s|min)", words(page))


def test_the_band_is_from_the_worst_to_the_best_cut_by_chance():
    def accuracy(top1):
        return Accuracy(top1, 1.0, 0.1, 100, top1 - 0.05, top1 + 0.04, 100, "x", 0.1)

    named = (("first", False, 0.7), ("chance", True, 0.5), ("chance", True, 0.6), ("second", False, 0.8))
    points = [charts.Point(name, lucky, accuracy(top1)) for name, lucky, top1 in named]
    figure = charts.beside(points)
    (dots,) = figure.data
    assert list(dots.y) == ["second", "first"] and list(dots.x) == [0.8, 0.7]
    assert list(dots.error_x.arrayminus) == pytest.approx([0.05, 0.05])
    band, mean = figure.layout.shapes
    assert (band.x0, band.x1) == (0.5, 0.6) and mean.x0 == pytest.approx(0.55)
    assert re.search("cuts by chance reached 50.0.% to 60.0.%", figure.layout.meta["alt"])
    assert not charts.beside(points[:1]).layout.shapes


def test_too_few_epochs_are_said_beside_the_timeline(page):
    chosen(page, "netslim")
    page.number_input(key="methods.epochs").set_value(1)
    healthy(page.run())
    assert "at least 2 epochs" in words(page)
    assert page.button(key="methods.start").disabled


def test_a_watch_is_a_line_or_a_histogram_with_its_unit():
    line = frames.Seen(Watch("z", "Zeros", "share"), "first", (0, 1), (Watched("z", (0.0,)), Watched("z", (0.25,))))
    figure = charts.watch(line)
    assert list(figure.data[0].y) == [0.0, 0.25] and "0.25 at epoch 1" in figure.layout.meta["alt"]
    counts = (Watched("s", (1.0, 2.0), 0.0, 1.0), Watched("s", (3.0, 0.0), 0.0, 0.5))
    figure = charts.watch(frames.Seen(Watch("s", "Scales", "absolute value"), "first", (0, 2), counts))
    assert [list(bar.x) for bar in figure.data] == [[0.25, 0.75], [0.125, 0.375]]
    assert figure.layout.xaxis.title.text == "Scales (absolute value)" and figure.data[1].name == "epoch 2"


def test_a_network_with_zeros_is_told_as_one_and_keeps_them_when_it_is_tuned(page):
    short(chosen(page, "mag"))
    healthy(page.button(key="methods.start").click().run())
    view = state.jobs().wait(page.session_state["methods.job"], 240)
    assert view.state is State.DONE, view.error
    end = view.last(Treated)
    healthy(page.run())
    assert any("Fewer products are not less time" in each.value for each in page.info)
    figures = {each.label: each.value for each in page.metric}
    assert figures["Weights not zero"] == numbers.percent(1 - end.after.sparsity.zeros / end.after.sparsity.weights)
    healthy(page.button(key="methods.keep").click().run())
    assert standing.made(end.model) is standing.Made.MASKED
    healthy(page.switch_page("pages/download/page.py").run())
    healthy(page.button(key="download.masks.make").click().run())
    built = files.masks(load_model(end.model, state.workspace()), state.network(end.model))
    masks = safetensors.torch.load(built.data)
    sparsity = end.after.sparsity
    assert sum(int((~mask).sum()) for mask in masks.values()) == sparsity.zeros and len(masks) > 5
    healthy(page.switch_page("pages/finetune/page.py").run())
    assert page.toggle(key="finetune.zeros").value and "lost weights" in words(page)
    page.number_input(key="finetune.epochs").set_value(1)
    page.toggle(key="finetune.control").set_value(False)
    healthy(page.button(key="finetune.start").click().run())
    view = state.jobs().wait(page.session_state["finetune.job"], 240)
    assert view.state is State.DONE, view.error
    (weights,) = view.all(Artifact)
    tuned = load_model(replace(end.model, weights=weights.digest), state.workspace()).model
    before = load_model(end.model, state.workspace()).model
    after = dict(tuned.named_parameters())
    for name, value in before.named_parameters():
        if value.dim() > 1:
            assert torch.equal(value == 0, after[name] == 0)
