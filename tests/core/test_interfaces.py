"""Programs of several inputs, of whole numbers, and of open sizes: read, cut with a proof, and taken home."""

from __future__ import annotations

import dataclasses
import io

import onnx
import onnxruntime
import pytest
import torch
from interface_nets import EXAMPLES, NAMES, Decoder, PictureAndTable, Siamese, WideAndDeep, as_onnx, as_pt2, made
from task_nets import archive
from torch.utils._pytree import tree_leaves

from pruning_core.datasets import import_data, load_data
from pruning_core.errors import UserError
from pruning_core.export.as_brought import as_brought
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.program import export_pt2
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.measures import Accuracy
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import LoadedModel, import_model, load_model
from pruning_core.zoo.interface import Declared, Input, Interface, OpenSizes, Wanted
from pruning_core.zoo.meaning import measured_of
from pruning_core.zoo.programs.packing import Unpack, in_front, in_place, pack

pytestmark = pytest.mark.usefixtures("one_thread")
KNOWN = {WideAndDeep: (0, 40, 9), Decoder: (50,)}


def random_inputs(kind, number=3):
    generator = torch.Generator().manual_seed(1)
    known = KNOWN.get(kind, (0,) * len(EXAMPLES[kind]))
    return tuple(
        torch.randint(most, (number, *each.shape[1:]), generator=generator)
        if most
        else torch.randn(number, *each.shape[1:], generator=generator)
        for each, most in zip(EXAMPLES[kind], known)
    )


def brought(kind, form, root) -> LoadedModel:
    return import_model(as_onnx(kind) if form == "onnx" else as_pt2(kind), f"{kind.__name__}.{form}", root)


@pytest.mark.parametrize(("kind", "form"), [(PictureAndTable, "onnx"), (Siamese, "pt2"), (WideAndDeep, "onnx")])
def test_from_a_file_to_a_smaller_one_with_the_same_inputs(kind, form, tmp_path):
    loaded = brought(kind, form, tmp_path)
    told = loaded.interface
    assert told is not None and [each.known for each in told.inputs] == list(KNOWN.get(kind, (0,) * len(told.inputs)))
    if form == "onnx":
        assert ([each.name for each in told.inputs], [each.name for each in told.outputs]) == NAMES[kind]

    given = random_inputs(kind)
    wanted = tree_leaves(made(kind)(*given))
    for again in (loaded, load_model(loaded.ref, tmp_path)):
        found = tree_leaves(again.model(pack(given)))
        assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(found, wanted, strict=True))

    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({group.key: tuple(range(max(1, group.size // 4))) for group in network.groups if group.exact})
    assert any(plan[key] for key in plan), "there is something to remove"
    removal = remove(loaded.model, network, plan)
    assert removal.proof.exact and removal.proof.max_rel < 1e-10

    cut = dataclasses.replace(loaded, model=removal.model)
    model, example, names = as_brought(cut)
    small = tree_leaves(removal.model(pack(given)))
    program = torch.export.load(io.BytesIO(export_pt2(model, example).data)).module()
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(tree_leaves(program(*given)), small))
    written = export_onnx(model, example, names)
    assert written.any_batch and written.max_rel < 1e-4
    session = onnxruntime.InferenceSession(written.data)
    called = NAMES[kind][0] if form == "onnx" or len(given) > 1 else ["images"]
    if form == "onnx":
        assert [each.name for each in session.get_outputs()] == NAMES[kind][1]
        assert [each.name for each in session.get_inputs()] == called
    feed = {each.name: x.numpy() for each, x in zip(session.get_inputs(), given)}
    assert all(abs(ours - theirs.detach().numpy()).max() < 1e-4 for ours, theirs in zip(session.run(None, feed), small))
    graph = onnx.load_from_string(written.data).graph
    if kind in (PictureAndTable, Siamese):
        assert not {"Split", "Where", "Mod"} & {node.op_type for node in graph.node}, "nothing of the packing is left"


@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_heads_that_share_keys_leave_together_and_widths_inside_are_exact(form, tmp_path):
    loaded = brought(Decoder, form, tmp_path)
    given = random_inputs(Decoder)
    assert loaded.interface.inputs[0].known == 50
    assert torch.allclose(loaded.model(pack(given)), made(Decoder)(*given), atol=1e-5)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    sizes = sorted((group.size, group.exact) for group in network.groups)
    assert sizes.count((2, True)) == 2, "two groups of heads in each of two layers"
    assert sizes.count((24, True)) == 2, "two hidden layers"
    removal = remove(loaded.model, network, Plan({group.key: (1,) for group in network.groups if group.exact}))
    assert removal.proof.exact and removal.proof.max_rel < 1e-10


def test_sizes_that_a_file_leaves_open_are_asked_for(tmp_path):
    file = as_onnx(PictureAndTable, {2: "height", 3: "width"})
    with pytest.raises(OpenSizes, match="leaves open: height, width") as asked:
        import_model(file, "open.onnx", tmp_path)
    assert asked.value.sizes == ("height", "width")
    loaded = import_model(file, "open.onnx", tmp_path, sizes={"height": 12, "width": 20})
    assert loaded.interface is not None and loaded.interface.inputs[0].shape == (3, 12, 20)
    assert load_model(loaded.ref, tmp_path).interface == loaded.interface
    picture, row = torch.randn(2, 3, 12, 20), torch.randn(2, 5)
    wanted = tree_leaves(made(PictureAndTable)(picture, row))
    found = tree_leaves(loaded.model(pack([picture, row])))
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(found, wanted, strict=True))


def test_another_output_is_measured_and_all_are_proven(tmp_path):
    first = brought(PictureAndTable, "pt2", tmp_path)
    assert (first.num_classes, first.interface.measured) == (4, 0)
    other = load_model(measured_of(first.ref, 1), tmp_path)
    assert (other.num_classes, other.interface.measured) == (2, 1)
    x = pack(random_inputs(PictureAndTable))
    (scores, box), (front, rest) = tree_leaves(first.model(x)), tree_leaves(other.model(x))
    assert torch.equal(front, box) and torch.equal(rest, scores)
    network = capture(other.model, torch.zeros(1, *other.input_size))
    removal = remove(other.model, network, Plan({network.groups[0].key: (0, 1)}))
    assert removal.proof.exact
    model, _, _ = as_brought(dataclasses.replace(other, model=removal.model))
    assert list(model(*random_inputs(PictureAndTable))) == ["scores", "box"], "as it came"
    with pytest.raises(UserError, match="no such output"):
        load_model(measured_of(first.ref, 7), tmp_path)


def test_arrays_go_to_the_inputs_of_their_names(tmp_path):
    root = Workspace(tmp_path)
    model = brought(WideAndDeep, "pt2", root)
    numbers, town, kind = random_inputs(WideAndDeep, 40)
    given = {"inputs/kind": kind.numpy(), "inputs/town": town.numpy(), "inputs/numbers": numbers.numpy()}
    wanted = made(WideAndDeep)(numbers, town, kind)
    data = import_data(archive(**given, labels=wanted.detach().numpy()), "people.npz", root)
    (*_, whole) = [each for each in EvaluateRun(model.ref, data).run(root) if isinstance(each, Accuracy)]
    assert (whole.measure, whole.complete) == ("r2", True)
    assert whole.top1 > 1 - 1e-9, "each of them right, so each number where it belongs"

    far = import_data(archive(**(given | {"inputs/town": town.numpy() + 40})), "far.npz", root)
    with pytest.raises(UserError, match="takes one whole number from 0 to 39"):
        fitted(load_data(far, root), far, model)
    lost = import_data(archive(**{"inputs/numbers": numbers.numpy(), "inputs/x": town.numpy()}), "lost.npz", root)
    with pytest.raises(UserError, match="nothing called town, kind"):
        fitted(load_data(lost, root), lost, model)


def test_whole_numbers_go_through_and_noise_stands_for_any():
    unpack = Unpack([Input("numbers", (2,)), Input("tokens", (3,), "int64", 50)])
    numbers, tokens = torch.randn(4, 2), torch.randint(50, (4, 3))
    found = unpack(pack([numbers, tokens]))
    assert torch.equal(found[0], numbers) and torch.equal(found[1], tokens)
    noise = unpack(torch.randn(500, 5))[1]
    assert noise.min() >= 0 and noise.max() < 50 and len(noise.unique()) == 50


def test_names_of_open_sizes():
    assert Declared("x", ("batch", 3, "", "")).open == ("", "height of x", "width of x")
    assert Declared("x", ("", "length")).open == ("length",)
    two = (Declared("a", ("n", "length")), Declared("b", ("n", "length")))
    assert Wanted({"length": 7}).closed(two, "f") == (Input("a", (7,)), Input("b", (7,)))
    with pytest.raises(OpenSizes):
        Wanted({"length": 0}).closed(two, "f")


@pytest.mark.parametrize("first", range(3))
def test_what_is_put_in_front_goes_back(first):
    assert in_place(in_front("abc", first), first) == list("abc")


def test_an_interface_of_one_image_is_no_packed_one():
    assert Interface((Input("x", (3, 8, 8)),)).size == (3, 8, 8)
    assert Interface((Input("x", (12,), "int64"),)).size == (12,)
