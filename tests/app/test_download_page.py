"""The download page: every file, loaded by a fresh process, computes what the network on the desk computes."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.download import files
from pages.ui import state
from pages.ui.desk import remember
from pages.ui.ranking import ranking
from pages.whatif import how
from pages.whatif.plans import with_percent
from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import CRITERIA, L1Norm, TaylorGate
from pruning_core.datasets import DataRef
from pruning_core.export.document import read_document
from pruning_core.export.lineage import cut_of
from pruning_core.export.recipe import how_of
from pruning_core.graph import Plan
from pruning_core.storage.codec import dump
from pruning_core.studies.sensitivity import captured
from pruning_core.zoo import ModelRef, store_weights
from tests.app.pruned_desk import pruned_desk
from tests.app.test_finetune_page import healthy, one_thread, words  # noqa: F401 (one_thread is a fixture)
from tests.core.export_nets import elsewhere, same

ROOT = Path(__file__).parents[2]
ME = "me"
IMAGES = "torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(5))"
REBUILD = f"""
import json, sys, torch
from pathlib import Path
from pruning_core.export.rebuild import rebuild
from pruning_core.zoo import ModelRef, load_model
content = json.loads(Path(sys.argv[1]).read_text())
base = load_model(ModelRef.from_json(json.dumps(content["base"]["ref"]))).model
model = rebuild(base, content, Path(sys.argv[2]).read_bytes())
print(json.dumps(model({IMAGES}).tolist()))
"""
ALONE = f"""
import json, runpy, sys, torch
program, script, weights = sys.argv[1:]
print(json.dumps(torch.export.load(program).module()({IMAGES}).tolist()))
sys.argv = [script, "--weights", weights, "--out", "small.pt"]
runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture
def open_page(monkeypatch, one_thread):  # noqa: F811
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)

    def opened():
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=240).run()
        return healthy(app.switch_page("pages/download/page.py").run())

    yield opened
    state.jobs().close()


def wanted(ref):
    with torch.no_grad():
        return state.loaded(ref).model(torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(5)))


def test_an_unpruned_network_says_so_and_can_be_taken_as_it_is(open_page):
    app = open_page()
    assert "is not pruned" in words(app) and "no plan" in words(app)
    healthy(app.button(key="download.weights.make").click().run())
    assert "digits-resnet.safetensors" in words(app) and "kB" in words(app)
    assert not [each for each in app.button if each.key == "download.script.make"]


def test_each_file_computes_the_same_in_a_fresh_process(open_page, tmp_path):
    desk = pruned_desk(state.workspace(), ME)
    app = open_page()
    made = {}
    for kind in ("weights", "pt2", "script", "original"):
        healthy(app.button(key=f"download.{kind}.make").click().run())
        assert not app.error
    from pages.download.sections import _document, _shelf

    for (kind, _), stored in _shelf(str(state.workspace().root)).items():
        made[kind] = tmp_path / stored.name
        made[kind].write_bytes(state.workspace().artifacts.read(stored.digest))
        assert stored.name in words(app)
    content = _document(desk.model)
    plan = tmp_path / "plan.json"
    plan.write_bytes(files.plan(cut_of(state.loaded(desk.model), state.loaded), content).data)
    outputs = wanted(desk.model)
    assert same(elsewhere(["-c", REBUILD, str(plan), str(made["weights"])], tmp_path, path=ROOT), outputs)
    files_made = [str(made[kind]) for kind in ("pt2", "script", "original")]
    assert same(elsewhere(["-c", ALONE, *files_made], tmp_path).splitlines()[0], outputs), "without this project"
    small = torch.load(tmp_path / "small.pt", weights_only=True)
    assert {name: tensor.shape for name, tensor in small.items()} == {
        name: tensor.shape for name, tensor in state.loaded(desk.model).model.state_dict().items()
    }


def test_the_plan_carries_the_figures_and_where_they_are_from(open_page):
    desk = pruned_desk(state.workspace(), ME)
    open_page()
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 60).error is None
    app = open_page()
    shown = {metric.label: metric.value for metric in app.main.metric}
    assert "%" in shown["Top-1 accuracy"]
    from pages.download.sections import _document

    content = files.with_figures(_document(desk.model), [figure_of(desk)])
    (figure,) = json.loads(files.plan(cut_of(state.loaded(desk.model), state.loaded), content).data)["figures"]
    assert figure["source"] == "measured" and "450 images, CPU" in figure["about"]
    assert figure["before"] > figure["after"] and figure["interval"][0] < figure["after"] < figure["interval"][1]


def figure_of(desk):
    from pruning_core.measuring.measures import Accuracy
    from pruning_core.studies.measure import EvaluateRun

    pair = [state.jobs().find(EvaluateRun(ref, desk.data)).last(Accuracy) for ref in (desk.model.base, desk.model)]
    return files.accuracy_figure(*pair, "CPU, seed 0", "image")


def test_two_removals_are_told_as_one_plan_for_the_original(open_page):
    desk = pruned_desk(state.workspace(), ME)
    network = captured(state.loaded(desk.model))
    second = Plan({group.key: (0, 2) for group in network.groups[:2]})
    twice = ModelRef("pruned", desk.model.name, base=desk.model, plan=second.to_json())
    cut = cut_of(state.loaded(twice), state.loaded)
    assert cut.steps == 1 and cut.base.ref == desk.model.base and not cut.tuned
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(cut.removal.model(x), state.loaded(twice).model(x), atol=1e-5)


@pytest.mark.parametrize("renewed", [False, True])
def test_new_statistics_are_no_training(open_page, renewed):
    desk = pruned_desk(state.workspace(), ME, renewed=renewed)
    said = words(open_page())
    assert ", cut" in said and "fine-tuned" not in said and "weights" not in said.partition("parameters,")[0]
    assert ("new batch-norm statistics" in said) == renewed == ("`--tuned`" in said)
    cut = cut_of(state.loaded(desk.model), state.loaded)
    assert (cut.tuned, cut.trained) == (renewed, False)


def test_later_units_are_counted_among_those_that_were_left():
    plan = Plan({"a": (0, 2)}).then(Plan({"a": (0, 1), "b": (1,)}), {"a": 6, "b": 2, "c": 3})
    assert dict(plan) == {"a": (0, 1, 2, 3), "b": (1,)}


def test_file_names_are_plain():
    assert files.stem(ModelRef("upload", "mein Netz (1).pt2", "0" * 64)) == "mein-netz-1"
    assert files.stem(ModelRef("upload", "../../x.pt", "0" * 64)) == "x"


@pytest.mark.parametrize("criterion", [L1Norm(), TaylorGate()])
def test_the_plan_says_how_it_was_made_and_is_read_back(open_page, criterion):
    desk = state.desk()
    network = state.network(desk.model)
    ranked = ranking(desk.model, network, criterion, desk.data)
    budget, limits = Budget("macs", fraction=0.6), Limits()
    found = allocate(Uniform(), Pool.of(network, ranked.values, limits, criterion.fair.by), budget)
    made = how.computed(desk, network, ranked, found.plan, Uniform(), limits, (budget,))
    kept = desk.with_plan(found.plan, dump(made))
    pruned = ModelRef("pruned", desk.model.name, base=desk.model, plan=found.plan.to_json())
    remember(state.workspace(), ME, kept.with_model(pruned, desk.data))
    app = open_page()
    assert f"ranked by {criterion.label}" in words(app) and "at most 60 % of the MACs" in words(app)
    from pages.download.sections import _document

    cut = cut_of(state.loaded(pruned), state.loaded)
    text = files.plan(cut, _document(pruned, kept.made_by(desk.model, found.plan))).data.decode()
    back = how_of(read_document(text), (DataRef, *CRITERIA))
    assert back == made and back.criterion == criterion and back.budgets == (budget,)
    assert back.ratios == {key: network.ratio(found.plan, key) for key in found.plan}
    sample = (desk.data, 128, 0) if criterion.needs_images else (None, None, 0)
    assert (back.data, back.images, back.seed) == sample


def test_a_plan_by_hand_names_the_criterion_only_where_it_chose_the_channels():
    desk = state.desk()
    network = state.network(desk.model)
    ranked = ranking(desk.model, network, L1Norm(), desk.data)
    (first, *_) = network.groups
    plan = with_percent(Plan(), first, 50, ranked.values[first.key])
    assert how.by_hand(desk, network, ranked, plan).criterion == L1Norm()
    kept = sorted(set(range(first.size)) - set(plan[first.key]))
    other = how.by_hand(desk, network, ranked, Plan({first.key: kept}))
    assert other.criterion is None and other.ratios == {first.key: len(kept) / first.size}


def test_a_network_of_the_same_shape_has_no_plan_to_take_home(open_page):
    desk = state.desk()
    weights = {name: value.clone() for name, value in state.loaded(desk.model).model.state_dict().items()}
    weights["conv1.weight"][:, :, 0] = 0
    zeros = ModelRef("pruned", desk.model.name, base=desk.model, plan=Plan().to_json(),
                     weights=store_weights(weights, state.workspace()))  # fmt: skip
    remember(state.workspace(), ME, desk.with_model(zeros, desk.data))
    page = open_page()
    said = words(page)
    assert "No channel was removed" in said and "the plan beside it" not in said and "1.00×" not in said
    keys = {each.key for each in page.button}
    assert {"download.weights.make", "download.pt2.make"} <= keys and "download.script.make" not in keys
    page.button(key="download.weights.make").click().run()
    healthy(page)
    assert "as before" in words(page)


def test_a_plan_of_a_program_elsewhere_belongs_to_the_weights_that_lie_beside_it():
    """Its document is made in another process, the file of its weights in this one."""
    far = SimpleNamespace(document=lambda build, made: {"plan": {}, "weights": None})
    base = SimpleNamespace(ref=ModelRef("upload", "a.pt2", "0" * 64, "exported"))
    found = files.document(SimpleNamespace(base=base), b"numbers", far=far)
    assert found["weights"] == {"sha256": hashlib.sha256(b"numbers").hexdigest(), "bytes": 7}
