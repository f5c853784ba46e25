"""Exported programs and ONNX files compute the same where this project is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.export.onnx_file import Names, export_onnx
from pruning_core.export.program import export_pt2
from pruning_core.export.traced import difference, trace
from pruning_core.graph.removing.agreement import largest_difference
from pruning_core.zoo.exported import read_exported
from tests.core.export_nets import Attention, Branches, Residual, Written, cut, elsewhere, same


def images(count: int) -> Tensor:
    return torch.sin(torch.arange(count * 64.0)).reshape(count, 1, 8, 8)


RUN_PT2 = """
import json, sys, torch
try:
    import pruning_core
    sys.exit("this project is here")
except ModuleNotFoundError:
    pass
found = {}
for name in sys.argv[1:]:
    model = torch.export.load(name + ".pt2").module()
    found[name] = [model(torch.sin(torch.arange(n * 64.0)).reshape(n, 1, 8, 8)).tolist() for n in (1, 3)]
print(json.dumps(found))
"""


def test_every_form_of_removal_runs_in_a_fresh_process_without_this_project(tmp_path):
    cases = {build.__name__: cut(build) for build in (Written, Attention, Branches)}
    assert {case.removal.form for case in cases.values()} == {"module", "program"}
    for name, case in cases.items():
        made = export_pt2(case.removal.model, torch.zeros(1, 1, 8, 8))
        assert made.any_batch, made.notes
        assert made.max_rel < 1e-5
        assert made.checked == (1, 2, 5)
        (tmp_path / f"{name}.pt2").write_bytes(made.data)
    printed = json.loads(elsewhere(["-c", RUN_PT2, *cases], tmp_path))
    for name, case in cases.items():
        for found, count in zip(printed[name], (1, 3)):
            with torch.no_grad():
                assert same(found, case.removal.model(images(count))), name


def test_an_exported_program_can_be_uploaded_again(tmp_path):
    case = cut(Residual)
    file = tmp_path / "pruned.pt2"
    file.write_bytes(export_pt2(case.removal.model, torch.zeros(1, 1, 8, 8)).data)
    again = read_exported(file, "pruned.pt2")
    assert again.interface.size == (1, 8, 8)
    assert again.batch_size is None
    with torch.no_grad():
        assert same(again.model(images(3)), case.removal.model(images(3)))


def test_exporting_leaves_the_network_as_it_was():
    model = cut(Residual).removal.model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_pt2(model, torch.zeros(1, 1, 8, 8))
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_image_of_the_user_goes_into_the_file():
    example = torch.full((1, 1, 8, 8), 0.123456789)
    marked = example.numpy().tobytes()
    assert marked not in export_pt2(Residual(), example).data


class Pairs(nn.Module):
    """It only takes two images at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 64)[:, :3]


def test_a_fixed_batch_is_kept_and_said():
    made = export_pt2(Pairs(), torch.zeros(2, 1, 8, 8))
    assert not made.any_batch
    assert made.checked == (2,)
    assert made.notes == (
        "It takes exactly 2 images at a time: the network could not be followed for any number of them.",
    )


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)


def test_a_network_that_cannot_be_exported_is_a_sentence():
    for export in (export_pt2, export_onnx):
        with pytest.raises(UserError, match="cannot be written as an exported program"):
            export(Deciding(), torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("build", [Residual, Written])
def test_onnx_computes_the_same_for_any_batch(build):
    import onnx
    import onnxruntime

    case = cut(build)
    made = export_onnx(case.removal.model, torch.zeros(1, 1, 8, 8))
    assert made.any_batch
    assert made.max_rel < 1e-5
    proto = onnx.load_from_string(made.data)
    onnx.checker.check_model(proto)
    (read,) = proto.graph.input
    assert read.name == "images"
    assert [d.dim_param or d.dim_value for d in read.type.tensor_type.shape.dim] == ["batch", 1, 8, 8]
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    session = onnxruntime.InferenceSession(made.data, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images(4).numpy()})
    with torch.no_grad():
        assert same(found, case.removal.model(images(4)))


def test_onnx_says_what_it_has_no_counterpart_for():
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvals(x[:, 0]).abs()

    with pytest.raises(UserError, match="cannot be written as ONNX"):
        export_onnx(Odd(), torch.zeros(1, 1, 8, 8))


def test_an_output_that_is_not_a_number_is_never_close():
    """Python's max passes over what is not a number when it does not come first."""
    fine, broken = [torch.ones(2), torch.ones(2)], [torch.ones(2), torch.tensor([1.0, torch.nan])]
    assert largest_difference(fine, fine) == 0
    assert math.isnan(largest_difference(fine, broken)) and math.isnan(largest_difference(broken, fine))

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) / (len(x) != 2)  # right but for batches of two

    traced = trace(nn.Flatten(), images(2))
    assert difference(traced, nn.Flatten()) == 0
    with pytest.raises(UserError, match="differs"):
        difference(traced, Broken())


class Pair(nn.Module):
    """Two inputs, one of whole numbers, and two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.image = nn.Embedding(7, 4), nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, picture: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        seen, read = self.image(picture).mean((2, 3)), self.words(tokens).mean(1)
        return {"similarity": (seen * read).sum(1), "joined": torch.cat((seen, read), 1)}


@pytest.mark.parametrize("names", [Names(), Names(("left", "right"), ("score", "both")), Names(("one",), ("one",))])
def test_onnx_keeps_names_of_several_inputs_and_outputs(names):
    import onnx
    import onnxruntime

    torch.manual_seed(0)
    model = Pair().eval()
    made = export_onnx(model, (torch.zeros(1, 1, 8, 8), torch.full((1, 5), 6)), names)
    assert made.any_batch and made.max_rel < 1e-5
    graph = onnx.load_from_string(made.data).graph
    whole = len(names.inputs) == 2
    wanted = names.inputs if whole else ("picture", "tokens")
    assert tuple(each.name for each in graph.input) == wanted
    assert tuple(each.name for each in graph.output) == (names.outputs if whole else ("similarity", "joined"))
    assert {each.type.tensor_type.shape.dim[0].dim_param for each in (*graph.input, *graph.output)} == {"batch"}
    picture, tokens = images(3), torch.randint(7, (3, 5))
    session = onnxruntime.InferenceSession(made.data, providers=["CPUExecutionProvider"])
    found = session.run(None, dict(zip(wanted, (picture.numpy(), tokens.numpy()))))
    with torch.no_grad():
        for got, wanted in zip(found, model(picture, tokens).values(), strict=True):
            assert same(got, wanted)


def test_an_exported_program_of_several_inputs_runs():
    model = Pair().eval()
    made = export_pt2(model, (torch.zeros(1, 1, 8, 8), torch.full((1, 5), 6)))
    assert made.any_batch and made.max_rel == 0


class OneAtATime(nn.Module):
    """Cannot be followed for any number of images."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * len(x.tolist())


@pytest.mark.parametrize("export", [export_pt2, export_onnx])
@pytest.mark.parametrize("made", [lambda: cut(Residual).removal.model, OneAtATime], ids=["any batch", "one image"])
def test_a_file_names_no_folder_and_no_line_of_code_of_where_it_was_written(export, made):
    data = export(made(), torch.zeros(1, 1, 8, 8)).data
    places = [str(Path(__file__).parent), str(Path(torch.__file__).parent), "x.flatten(1).sum(1)", ".py"]
    assert not [each for each in places if each.encode() in data]
