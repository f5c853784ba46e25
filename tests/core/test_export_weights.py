"""Weights and plan go home together, and come back as the same network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.uniform import Uniform
from pruning_core.errors import UserError
from pruning_core.export.document import Base, Figure, How, plan_document, plan_of, read_document, to_json
from pruning_core.export.ranges import as_ranges
from pruning_core.export.rebuild import rebuild
from pruning_core.export.weights import fingerprint, read_weights, sha256, weights_bytes
from pruning_core.graph import Plan
from tests.core.allocation_nets import Residual
from tests.core.export_nets import NETS, Attention, Tied, cut, elsewhere, same

ROOT = Path(__file__).resolve().parents[2]


def positions_of(text: str) -> list[int]:
    """As another tool would read what a document lists: both ends included."""
    runs = (run.split("-") for run in text.split(",") if run)
    return [at for run in runs for at in range(int(run[0]), int(run[-1]) + 1)]


@given(st.sets(st.integers(0, 300)))
def test_ranges_come_back(positions):
    assert positions_of(as_ranges(sorted(positions))) == sorted(positions)


def test_ranges_are_short():
    assert as_ranges([0, 1, 2, 3, 5, 8, 9]) == "0-3,5,8-9"
    assert as_ranges([]) == ""


@pytest.mark.parametrize("build", NETS)
def test_weights_come_back_bit_for_bit(build):
    model = cut(build).removal.model
    state, again = model.state_dict(), read_weights(weights_bytes(model))
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)
    assert fingerprint(again) == fingerprint(state)


def test_shared_weights_are_stored_once():
    model = cut(Tied).removal.model
    assert model.again.weight is model.middle.weight
    once = len(weights_bytes(model))
    model.again.weight = torch.nn.Parameter(model.middle.weight.detach().clone())
    assert len(weights_bytes(model)) > once


@pytest.mark.parametrize("damaged", [b"", b"text, not tensors", b"\x08" + bytes(7) + b"not json"])
def test_damaged_weights_are_a_sentence(damaged):
    with pytest.raises(UserError, match="no safetensors file"):
        read_weights(damaged)
    with pytest.raises(UserError, match="no safetensors file"):
        read_weights(weights_bytes(Residual())[:-20])


def test_a_fingerprint_sees_every_change():
    state = Residual().state_dict()
    marks = {fingerprint(state)}
    for change in (
        {"stem.bias": state["stem.bias"] + 1e-7},
        {"stem.bias": state["stem.bias"].double()},
        {"stem.bias": state["stem.bias"][None]},
    ):
        marks.add(fingerprint({**state, **change}))
    renamed = {("other" if name == "stem.bias" else name): tensor for name, tensor in state.items()}
    assert len(marks | {fingerprint(renamed)}) == 5


def document_of(case, weights=b"", **more):
    base = Base("a network", '{"$": "ModelRef", "source": "demo"}', "Residual()", case.model.state_dict())
    return plan_document(base, case.network, case.plan, case.removal, weights=weights, **more)


def test_a_document_says_what_was_cut_and_what_it_is_worth():
    case = cut(Residual)
    weights = weights_bytes(case.removal.model)
    how = How(allocation=Uniform(0.4), limits=Limits(multiple=4), budgets=(Budget("macs", 0.5),), images=100, seed=3)
    figures = [Figure("top-1 accuracy", "share", 0.97, 0.96, "measured", "450 test images, CPU", (0.94, 0.98))]
    document = json.loads(to_json(document_of(case, weights, how=how, figures=figures)))
    assert plan_of(document) == case.plan
    assert document["cost"]["before"]["macs"] == case.network.cost().macs
    assert document["cost"]["after"]["parameters"] == sum(p.numel() for p in case.removal.model.parameters())
    assert document["cost"]["source"] == "derived"
    assert document["weights"] == {"sha256": sha256(weights), "bytes": len(weights)}
    assert document["proof"]["max_rel"] == case.removal.proof.max_rel
    assert document["figures"][0]["about"] == "450 test images, CPU"
    assert document["how"]["allocation"] == {"$": "Uniform", "ratio": 0.4}
    assert document["base"]["ref"]["source"] == "demo"
    assert document["base"]["fingerprint"] == fingerprint(case.model.state_dict())
    assert document["base"]["fingerprint"] != fingerprint(case.removal.model.state_dict())


@pytest.mark.parametrize("build", NETS)
def test_the_kept_positions_alone_make_the_pruned_weights(build):
    """Another tool needs no groups: it slices what the document lists."""
    case = cut(build)
    small = case.removal.model.state_dict()
    kept = document_of(case)["kept"]
    for name, tensor in case.model.state_dict().items():
        for dim, text in kept.get(name, {}).items():
            tensor = tensor.index_select(int(dim), torch.tensor(positions_of(text)))
        assert torch.equal(tensor, small[name])


@pytest.mark.parametrize("build", NETS)
def test_a_download_is_rebuilt_on_a_fresh_network(build):
    case = cut(build)
    with torch.no_grad():
        for p in case.removal.model.parameters():
            p.add_(0.01)  # as if fine-tuned
    weights = weights_bytes(case.removal.model)
    document = read_document(to_json(document_of(case, weights)))
    again = rebuild(build(), document, weights)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(x), case.removal.model(x))
    assert not again.training


def test_parts_that_do_not_belong_together_are_refused():
    case = cut(Residual)
    weights = weights_bytes(case.removal.model)
    document = document_of(case, weights)
    with pytest.raises(UserError, match="not the ones"):
        rebuild(Residual(), document, weights_bytes(Residual()))
    with pytest.raises(UserError):
        rebuild(Attention(), document, weights)
    other = weights_bytes(Attention())
    with pytest.raises(UserError, match="do not fit"):
        rebuild(Residual(), {**document, "weights": {"sha256": sha256(other)}}, other)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not json", "no JSON"),
        ("[]", "not a file of the format"),
        ('{"format": "something"}', "not a file of the format"),
        ('{"format": "prunescope.plan", "version": 99}', "later version"),
    ],
)
def test_a_text_that_is_no_plan_is_a_sentence(text, sentence):
    with pytest.raises(UserError, match=sentence):
        read_document(text)
    with pytest.raises(UserError, match="not a pruning plan"):
        plan_of({})


FRESH = """
import json, sys, torch
from pruning_core.export.document import read_document
from pruning_core.export.rebuild import rebuild
from pruning_core.zoo.load import load_model
from pruning_core.zoo.ref import ModelRef
document = read_document(open("plan.json").read())
model = load_model(ModelRef.from_json(json.dumps(document["base"]["ref"]))).model
small = rebuild(model, document, open("weights.safetensors", "rb").read())
x = torch.sin(torch.arange(3 * 64.0)).reshape(3, 1, 8, 8)
print(json.dumps(small(x).tolist()))
"""


def test_a_demo_download_is_rebuilt_in_a_fresh_process(tmp_path):
    from pruning_core.graph import capture, remove
    from pruning_core.zoo.load import load_model
    from pruning_core.zoo.ref import ModelRef

    ref = ModelRef("demo", "digits_resnet", weights="demo")
    model = load_model(ref).model
    network = capture(model, torch.zeros(1, 1, 8, 8))
    plan = Plan({group.key: range(group.size // 3) for group in network.groups})
    removal = remove(model, network, plan)
    weights = weights_bytes(removal.model)
    base = Base("ResNet on digits", ref.to_json(), "the demo digits_resnet", model.state_dict())
    (tmp_path / "weights.safetensors").write_bytes(weights)
    (tmp_path / "plan.json").write_text(to_json(plan_document(base, network, plan, removal, weights=weights)))
    printed = elsewhere(["-c", FRESH], tmp_path, path=ROOT)
    with torch.no_grad():
        wanted = removal.model(torch.sin(torch.arange(3 * 64.0)).reshape(3, 1, 8, 8))
    assert same(printed, wanted)
