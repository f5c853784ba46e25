"""Exported programs (.pt2): honest ones run, and no text inside a hostile one is evaluated, compiled or unpickled."""

import io
import json
import pickle
import zipfile

import pytest
import torch

from pruning_core.errors import UserError
from pruning_core.zoo import import_model, load_model, torchvision_models
from pruning_core.zoo.exported_rules import JUDGES
from tests.core.upload_files import Attack, exported, images, network, rezipped, with_graph

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def program():
    model = network()
    return exported(model, images(model, 2)).getvalue()


def test_an_exported_program_needs_no_architecture_code(tmp_path, program):
    model = network()
    loaded = import_model(io.BytesIO(program), "digits.pt2", tmp_path)
    assert (loaded.num_classes, loaded.input_size, loaded.ref.architecture) == (10, (1, 8, 8), "exported")
    assert "train and eval mode" in loaded.notes[0]
    for again in (loaded, load_model(loaded.ref, tmp_path)):
        for count in (1, 5):
            x = images(model, count)
            with torch.no_grad():
                assert torch.equal(again.model(x), model(x))
        assert set(again.model.state_dict()) == set(model.state_dict())
    loaded.model.train()
    loaded.model.eval()
    assert not loaded.model.training


def test_an_exported_program_can_be_trained_and_copied(tmp_path, program):
    import copy

    loaded = import_model(io.BytesIO(program), "digits.pt2", tmp_path)
    twin = copy.deepcopy(loaded.model)
    loaded.model(torch.randn(4, 1, 8, 8)).logsumexp(1).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loaded.model.parameters())
    with torch.no_grad():
        loaded.model.get_parameter("linear.bias").add_(1)
        x = torch.randn(2, 1, 8, 8)
        assert torch.allclose(loaded.model(x) - twin(x), torch.ones(2, 10), atol=1e-5)


def test_a_program_for_one_batch_size_says_so(tmp_path):
    model = network()
    loaded = import_model(exported(model, images(model, 1), dynamic=False), "one.pt2", tmp_path)
    assert "exactly 1 image(s) at a time" in loaded.notes[1]
    with torch.no_grad():
        assert torch.equal(loaded.model(images(model, 1)), model(images(model, 1)))


@pytest.mark.parametrize("name", ["regnet_y_400mf"])
def test_programs_of_torchvision_networks(tmp_path, name):
    torch.manual_seed(0)
    model = torchvision_models.build(name, 5).eval()
    x = torch.randn(2, 3, 64, 64)
    loaded = import_model(exported(model, x), f"{name}.pt2", tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded.model(x), model(x))


def check_refused(file, root, sentence):
    with pytest.raises(UserError, match=sentence):
        import_model(file if hasattr(file, "read") else io.BytesIO(file), "model.pt2", root)
    assert not [path for path in root.rglob("*") if path.is_file()]


def nodes(graph):
    return graph["graph_module"]["graph"]["nodes"]


def specs(graph):
    return graph["graph_module"]["signature"]["input_specs"]


def code(marker):
    return f"__import__('os').mkdir('{marker}')"


def first_size(graph, marker):
    sizes = graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    sizes[0]["as_expr"]["expr_str"] = code(marker)


def parameter_name(graph, marker):
    specs(graph)[0]["parameter"]["parameter_name"] = f'conv1.x") or {code(marker)} or ("'


def guard(graph, marker):
    graph["guards_code"] = [code(marker)]


def stack_trace(graph, marker):
    nodes(graph)[0]["metadata"]["stack_trace"] = f'File "x", line 1\n{code(marker)}'


def node_name(graph, marker):
    nodes(graph)[0]["name"] = f"a = {code(marker)}; b"


def argument_name(graph, marker):
    graph["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [f"x={code(marker)}"]


def structure(graph, marker):
    graph["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(
        [1, {"type": "os.mkdir", "context": json.dumps(str(marker)), "children_spec": []}]
    )


def target(text):
    def edit(graph, marker):
        nodes(graph)[0]["target"] = text

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        first_size, parameter_name, node_name, argument_name, structure, target("torch.os.mkdir"), target("torch.load"),
        target("torch.hub.load"), target("torch.ops.aten.from_file.default"), target("torch.ops.aten._print.default"),
        target("torch.ops.higher_order.cond"), target("torch.ops.mine.evil.default"), target("_operator.methodcaller"),
        target("math.__loader__.load_module"), target("#mine:evil"), target("torch.ops.aten.set_.source_Storage"),
    ],
)  # fmt: skip
def test_no_text_of_the_graph_is_run(tmp_path, program, edit):
    marker = tmp_path / "created"
    file = with_graph(io.BytesIO(program), lambda graph: edit(graph, marker))
    check_refused(file, tmp_path, "which a network's graph does not need")
    assert not marker.exists()


@pytest.mark.parametrize("edit", [guard, stack_trace])
def test_text_that_running_does_not_need_is_left_out(tmp_path, program, edit):
    """torch executes guards; here the program loads without them."""
    marker = tmp_path / "created"
    file = with_graph(io.BytesIO(program), lambda graph: edit(graph, marker))
    loaded = import_model(file, "model.pt2", tmp_path)
    assert loaded.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert not marker.exists()


def with_member(program, member, data):
    """The archive with ``member`` replaced or added."""
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        folder = archive.namelist()[0].split("/")[0]
    file = rezipped(io.BytesIO(program), lambda name, old: None if name == f"{folder}/{member}" else old)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{folder}/{member}", data)
    file.seek(0)
    return file


def with_entries(program, kind, change):
    """The archive with the list of its ``kind`` ("weights" or "constants") changed in place."""
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(f"model_{kind}_config.json"))
        config = json.loads(archive.read(member))
    change(config["config"])
    return with_member(program, member.partition("/")[2], json.dumps(config)).getvalue()


def pickled_weight(entries):
    next(iter(entries.values()))["use_pickle"] = True


def opaque_constant(entries):
    entries["c"] = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}


def script_constant(entries):
    entries["c"] = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}


@pytest.mark.parametrize(
    ("kind", "member", "change"),
    [
        ("weights", "data/weights/weight_0", pickled_weight),
        ("constants", "data/constants/opaque_obj_0", opaque_constant),
        ("constants", "data/constants/custom_obj_0", script_constant),
    ],
)
def test_pickled_parts_are_refused_and_do_not_run(tmp_path, program, kind, member, change):
    marker = tmp_path / "created"
    data = with_entries(program, kind, change)
    file = with_member(data, member, pickle.dumps(Attack(marker)))
    check_refused(file, tmp_path, "holds pickled objects")
    assert not marker.exists()


def test_a_pickled_example_is_left_out(tmp_path, program):
    marker = tmp_path / "created"
    file = with_member(program, "data/sample_inputs/model.pt", pickle.dumps(Attack(marker), protocol=2))
    loaded = import_model(file, "model.pt2", tmp_path)
    assert loaded.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert not marker.exists()


def test_weights_in_the_old_pickled_place_are_not_read(tmp_path, program):
    marker = tmp_path / "created"
    file = with_member(program, "data/weights/model.pt", pickle.dumps(Attack(marker), protocol=2))
    assert import_model(file, "model.pt2", tmp_path).num_classes == 10
    assert not marker.exists()


@pytest.mark.parametrize(
    ("member", "data", "sentence"),
    [
        ("data/aotinductor/model/model.so", b"\x7fELF", "compiled code"),
        ("models/other.json", b"{}", "several programs"),
        ("models/model.json", b"{}", "has no graph"),
        ("models/model.json", b"[1", "damaged"),
        ("models/model.json", b"[" * 100_000, "damaged"),
        ("data/weights/model_weights_config.json", b"{}", "list of weights cannot be read"),
        ("data/weights/model_weights_config.json", b'{"config": {"a": 1}}', "list of weights cannot be read"),
        ("data/weights/weight_0", b"", "claims more numbers"),
    ],
)
def test_damaged_and_foreign_parts_are_refused(tmp_path, program, member, data, sentence):
    check_refused(with_member(program, member, data), tmp_path, sentence)


def huge(meta):
    meta["sizes"], meta["strides"] = [{"as_int": 10**6}, {"as_int": 10**6}], [{"as_int": 0}, {"as_int": 0}]


def behind(meta):
    meta["storage_offset"] = {"as_int": 10**6}


def negative(meta):
    meta["sizes"] = [{"as_int": -1} for _ in meta["sizes"]]


@pytest.mark.parametrize("edit", [huge, behind, negative])
def test_a_tensor_that_claims_more_than_is_stored(tmp_path, program, edit):
    data = with_entries(program, "weights", lambda entries: edit(entries["linear.weight"]["tensor_meta"]))
    check_refused(data, tmp_path, "claims more numbers than the file stores")


def test_a_truncated_program(tmp_path, program):
    for share in (0.1, 0.5, 0.99):
        check_refused(program[: int(len(program) * share)], tmp_path, "damaged or cut short")


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (lambda x: {"logits": {"deep": x.flatten(1)}}, "a dictionary .* instead of a tensor"),
        (lambda x: x.flatten(1).long(), "decided already"),
        (lambda x: x.sum(0), "not one row or map for each image"),
    ],
)
def test_programs_whose_outputs_nobody_can_judge(tmp_path, forward, sentence):
    class Odd(torch.nn.Module):
        def forward(self, x):
            return forward(x * 2)

    check_refused(exported(Odd(), torch.zeros(2, 1, 4, 4)), tmp_path, sentence)


def test_a_program_with_broken_weights_or_an_input_that_is_no_tensor(tmp_path):
    class Times(torch.nn.Module):
        def forward(self, x, n):
            return (x * n).flatten(1)

    file = io.BytesIO()
    torch.export.save(torch.export.export(Times(), (torch.zeros(2, 1, 4, 4), 3)), file)
    check_refused(file, tmp_path, "takes something that is no tensor")
    model = network()
    model.linear.bias.data[0] = float("nan")
    check_refused(exported(model, images(model, 2)), tmp_path, "'linear.bias' in 'model.pt2' has 1 weights")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Add(Mul(Integer(2), Symbol('s0')), Integer(1))", True),
        ("Pow(Symbol('s0', integer=True), Integer(2))", True),
        ("FloorDiv(s0, 2) + 1", True),
        ("Pow(Integer(9), Pow(Integer(9), Integer(9)))", False),
        ("9**9**9**9", False),
        ("Integer(99999999999999999999)", False),
        ("s0.__class__", False),
        ("Symbol('x').__class__", False),
        ("exec('1')", False),
        ("lambda: 1", False),
        ("(lambda s0: s0)(1)", False),
        ("open", False),
    ],
)
def test_size_expressions_are_sums_and_products_of_symbols(text, allowed):
    assert bool(JUDGES["expr_str"](text)) is allowed
