"""ONNX files: converted to the same scores, or refused by name."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pruning_core.errors import UserError
from pruning_core.zoo import import_model, load_model, torchvision_models
from pruning_core.zoo.onnx_lowering import OPSET, lowered
from tests.core.upload_files import images, network

pytestmark = pytest.mark.usefixtures("one_thread")


def onnx_file(model, x, new=True, **options):
    """``model`` as torch's new or old exporter writes it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old exporter, which many files in the world come from
        if new:
            shapes = ({0: torch.export.Dim("batch")},)
            program = torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes=shapes, verbose=False, **options)
            file.write(program.model_proto.SerializeToString())
        else:
            names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
            torch.onnx.export(model, (x,), file, dynamo=False, **names, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize("new", [True, False], ids=["new exporter", "old exporter"])
@pytest.mark.parametrize("name", ["digits_resnet", "digits_vgg"])
def test_our_networks_come_back_with_the_same_scores(tmp_path, name, new):
    model = network(name)
    loaded = import_model(onnx_file(model, images(model, 2), new), "net.onnx", tmp_path)
    assert (loaded.num_classes, loaded.input_size, loaded.ref.architecture) == (10, (1, 8, 8), "onnx")
    assert dict(loaded.ref.options)["reference_difference"] < 1e-5
    assert "of ONNX Runtime's" in loaded.notes[0]
    for again in (loaded, load_model(loaded.ref, tmp_path)):
        assert again.notes == loaded.notes
        x = images(model, 5)
        with torch.no_grad():
            assert torch.allclose(again.model(x), model(x), atol=1e-5)
    loaded.model(images(model)).logsumexp(1).sum().backward()
    assert any(p.grad is not None for p in loaded.model.parameters())


@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0"])
def test_torchvision_networks_come_back_with_the_same_scores(tmp_path, name):
    torch.manual_seed(0)
    model = torchvision_models.build(name, 5)
    for _ in range(3):
        model(torch.randn(8, 3, 64, 64))  # running statistics that keep the signal alive
    model.eval()
    x = torch.randn(2, 3, 64, 64)
    loaded = import_model(onnx_file(model, x, new=False), "net.onnx", tmp_path)  # the new exporter takes long on it
    with torch.no_grad():
        assert (loaded.model(x) - model(x)).abs().max() < 1e-4 * model(x).abs().max()


def graph(nodes, opset, inputs=((None, 2, 4, 4),), weights=(), outputs=("y",)):
    """A serialised model around ``nodes``; shapes with None where the size is open."""
    values = [
        helper.make_tensor_value_info(f"x{i or ''}", TensorProto.FLOAT, ["batch" if n is None else n for n in shape])
        for i, shape in enumerate(inputs)
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "classes"]) for name in outputs]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights]
    made = helper.make_graph(nodes, "g", values, results, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def flat(name):
    return helper.make_node("Flatten", [name], ["y"])


AXES = ("axes", np.array([2, 3], np.int64))
LOWERED = {
    "mean over axes that are an input": ([helper.make_node("ReduceMean", ["x", "axes"], ["m"]), flat("m")], [AXES]),
    "maximum over axes that are an input": ([helper.make_node("ReduceMax", ["x", "axes"], ["m"]), flat("m")], [AXES]),
    "sum over axes": ([helper.make_node("ReduceSum", ["x", "axes"], ["m"]), flat("m")], [AXES]),
    "reshape that allows zeros": (
        [helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)],
        [("shape", np.array([-1, 32], np.int64))],
    ),
    "split into a number of parts": (
        [
            helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
            helper.make_node("Sub", ["a", "b"], ["c"]),
            flat("c"),
        ],
        [],
    ),
    "pooling without dilation": (
        [
            helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1]),
            flat("p"),
        ],
        [],
    ),
    "split into one part": (
        [
            helper.make_node("Split", ["x"], ["a"], axis=1, num_outputs=1),
            helper.make_node("Abs", ["a"], ["b"]),
            flat("b"),
        ],
        [],
    ),
    **{
        f"what ONNX defines by others: {op}": (
            [helper.make_node(op, ["x", "least"], ["m"]), helper.make_node("Cast", ["m"], ["n"], to=1), flat("n")],
            [("least", np.array(0.3, np.float32))],
        )
        for op in ("GreaterOrEqual", "LessOrEqual")
    },
    "what ONNX defines by others: Mish": ([helper.make_node("Mish", ["x"], ["m"]), flat("m")], []),
    "gelu": ([helper.make_node("Gelu", ["x"], ["g"]), flat("g")], []),
    "gelu by tanh": ([helper.make_node("Gelu", ["x"], ["g"], approximate="tanh"), flat("g")], []),
    **{
        f"{'upper' if upper else 'lower'} triangle from diagonal {by}": (
            [helper.make_node("Trilu", ["x", "by"], ["m"], upper=upper), flat("m")],
            [("by", np.array(by, np.int64))],
        )
        for upper in (0, 1)
        for by in (-1, 0, 2)
    },
    "sums up to a place": (
        [helper.make_node("CumSum", ["x", "along"], ["m"]), flat("m")],
        [("along", np.array(2, np.int64))],
    ),
    "weights through identity": (
        [
            helper.make_node("Identity", ["w"], ["v"]),
            helper.make_node("Mul", ["x", "v"], ["p"]),
            helper.make_node("Add", ["p", "w"], ["q"]),
            flat("q"),
        ],
        [("w", np.full((1, 2, 1, 1), 3, np.float32))],
    ),
}


@pytest.mark.parametrize("what", LOWERED)
def test_newer_operators_are_written_down_in_opset_17(tmp_path, what):
    """Against ONNX's own reference implementation, before and after."""
    nodes, weights = LOWERED[what]
    model = graph(nodes, opset=20, weights=weights)
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    (want,) = ReferenceEvaluator(model).run(None, {"x": x})
    older = lowered(model)
    assert older.opset_import[0].version == OPSET and model.opset_import[0].version == 20
    onnx.checker.check_model(older)
    (middle,) = ReferenceEvaluator(older).run(None, {older.graph.input[0].name: x})
    np.testing.assert_allclose(middle, want, rtol=1e-5, atol=1e-6)
    loaded = import_model(io.BytesIO(model.SerializeToString()), "net.onnx", tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(loaded.model(torch.from_numpy(x)).numpy(), want, rtol=1e-4, atol=1e-5)


def test_a_wrong_conversion_is_not_kept(tmp_path, monkeypatch):
    """onnx2torch could be wrong where nobody looks, so each conversion is compared with the reference."""
    import onnx2torch

    class Wrong(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1) * 1.01

    model = graph([flat("x")], 17)
    monkeypatch.setattr(onnx2torch, "convert", lambda proto: torch.fx.symbolic_trace(Wrong()))
    check_refused(model, tmp_path, "differs from ONNX Runtime's by 1.0e-02")


def check_refused(model, root, sentence):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(UserError, match=sentence):
        import_model(io.BytesIO(data), "net.onnx", root)
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_operators_that_cannot_be_converted_are_named(tmp_path):
    def one(op, opset=20, **attributes):
        return graph([helper.make_node(op, ["x"], ["m"], **attributes), flat("m")], opset)

    check_refused(one("BitwiseNot"), tmp_path, "operator BitwiseNot is too new.*torch.export.save")
    check_refused(one("Evil", domain="com.mine"), tmp_path, "operator com.mine.Evil is not ONNX's own")
    check_refused(one("LpNormalization"), tmp_path, "LpNormalization")
    pool = {"kernel_shape": [2, 2], "dilations": [2, 2]}
    check_refused(one("AveragePool", **pool), tmp_path, "AveragePool is used in a way that is too new")
    body = helper.make_graph([], "body", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)])
    branch = helper.make_node("If", ["x"], ["m"], then_branch=body, else_branch=body)
    check_refused(graph([branch, flat("m")], 17), tmp_path, "operator If holds a graph of its own")


def test_weights_in_another_file_are_not_followed(tmp_path):
    secret = tmp_path.parent / "secret.bin"
    secret.write_bytes(bytes(8))
    model = graph([helper.make_node("Mul", ["x", "w"], ["p"]), flat("p")], 17, weights=[("w", np.ones(2, np.float32))])
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("length", "8")):
        tensor.external_data.add(key=key, value=value)
    check_refused(model, tmp_path, "keeps its weights in another file")


def test_names_never_become_code(tmp_path):
    """Names of nodes become names of modules, and those are compiled into a forward function."""
    marker = tmp_path / "created"
    code = f"\"); __import__('os').mkdir('{marker}'); (\""
    node = helper.make_node("Relu", ["x"], [f"m{code}"], name=code)
    model = graph([node, helper.make_node("Flatten", [f"m{code}"], [f"y{code}"], name=f"{code}.x")], 17)
    model.graph.output[0].name = f"y{code}"
    loaded = import_model(io.BytesIO(model.SerializeToString()), "net.onnx", tmp_path)
    assert loaded.model(torch.ones(2, 2, 4, 4)).shape == (2, 32)
    assert not marker.exists() and "mkdir('" not in loaded.model.code


def test_a_network_that_gives_pictures_is_taken_and_is_no_classifier(tmp_path):
    model = graph([helper.make_node("Relu", ["x"], ["y"])], 17).SerializeToString()
    loaded = import_model(io.BytesIO(model), "net.onnx", tmp_path)
    assert not loaded.outputs.meaning.of_classes and loaded.outputs.places
    assert torch.equal(loaded.model(-torch.ones(2, 2, 4, 4)), torch.zeros(2, 2, 4, 4))


def test_damaged_or_unsuitable_files(tmp_path):
    good = graph([flat("x")], 17).SerializeToString()
    check_refused(good[:-9], tmp_path, "damaged or cannot be converted")
    check_refused(b"\x08\x08" + b"\xff" * 90, tmp_path, "damaged or cannot be converted")
    check_refused(graph([flat("x")], 17, inputs=((),)), tmp_path, "one number for a whole batch")
    two = [helper.make_node("Add", ["x", "x1"], ["m"]), flat("m")]
    check_refused(graph(two, 17, inputs=((3, 2, 4, 4), (1, 2, 4, 4))), tmp_path, "not of as many examples each")
    check_refused(graph([], 17, inputs=()), tmp_path, "takes no input")
    nan = [("w", np.array([np.nan], np.float32))]
    check_refused(
        graph([helper.make_node("Mul", ["x", "w"], ["m"]), flat("m")], 17, weights=nan), tmp_path, "not finite"
    )
