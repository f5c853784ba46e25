"""Files that are damaged, of another kind, or meant to do harm. Nothing in them may run or fill the memory."""

import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from pruning_core.errors import UserError
from pruning_core.zoo import import_model
from pruning_core.zoo.pickles import read
from tests.core.upload_files import Attack, checkpoint_of_pickle, network, rezipped, saved, tensor_pickle

pytestmark = pytest.mark.usefixtures("one_thread")


def check_refused(file, name, root, sentence):
    """The sentence is shown, the file is not kept, and a good file still loads afterwards."""
    with pytest.raises(UserError, match=sentence):
        import_model(file if hasattr(file, "read") else io.BytesIO(file), name, root)
    assert not [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "model.pt2", "model.onnx", "weights.safetensors"])
def test_a_text_file_with_another_name(tmp_path, name):
    check_refused(
        "Hello,\nthese are not weights: é.\n".encode() * 30, name, tmp_path, "is a text file, whatever its name"
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02\x03" * 100, "no file that holds a network"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no file that holds a network"),
        (b"\x80\x04N.", "plain pickle, which would run code"),
        (b"\x80\x02N.", "plain pickle and no checkpoint"),
        (pickle.dumps({"a": 1}, protocol=2), "plain pickle and no checkpoint"),
        (b"\x80\x02" + b"\xff" * 50, "damaged or cut short"),
    ],
)
def test_other_kinds_of_bytes(tmp_path, data, sentence):
    check_refused(data, "weights.pt", tmp_path, sentence)


def test_other_kinds_of_archives(tmp_path):
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("cat/1.png", b"x")
    check_refused(plain, "weights.pt", tmp_path, "zip file without a network")
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    check_refused(tape, "weights.tar", tmp_path, "tar file, torch's oldest format")
    old = io.BytesIO()
    with zipfile.ZipFile(old, "w") as archive:
        archive.writestr("version", "8.0")
        archive.writestr("serialized_exported_program.json", "{}")
    check_refused(old, "model.pt2", tmp_path, "exported with a torch older than 2.8")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file(tmp_path, legacy, share):
    data = saved(network().state_dict(), _use_new_zipfile_serialization=not legacy).getvalue()
    check_refused(data[: int(len(data) * share)], "weights.pt", tmp_path, "damaged|cut short")


def test_a_truncated_safetensors_file(tmp_path):
    from safetensors.torch import save

    data = save({"a.weight": torch.ones(1000)})
    for length in (9, 60, len(data) - 1):
        check_refused(data[:length], "weights.safetensors", tmp_path, "damaged|no file that holds|text file")


def test_flipped_bytes_never_do_worse_than_a_sentence(tmp_path):
    data = saved(network().state_dict(), _use_new_zipfile_serialization=False).getvalue()
    generator = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        broken = bytearray(data)
        for at in generator.integers(0, 6000, 4):
            broken[at] = generator.integers(256)
        try:
            import_model(io.BytesIO(bytes(broken)), "w.pt", tmp_path)
            outcomes.add("loaded")
        except UserError:
            outcomes.add("refused")
    assert "refused" in outcomes and outcomes <= {"loaded", "refused"}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["alone", "beside", "inside"])
def test_a_malicious_pickle_does_not_run(tmp_path, legacy, place):
    marker = tmp_path / "created"
    attack, state = Attack(marker), network().state_dict()
    content = {"alone": attack, "beside": {"state_dict": state, "extra": attack}, "inside": {**state, "x": attack}}
    file = saved(content[place], _use_new_zipfile_serialization=not legacy)
    check_refused(file, "weights.pt", tmp_path, r"asks to call posix\.mkdir.*nothing in it ran")
    assert not marker.exists()


@pytest.mark.parametrize("where", ["first", "second", "third", "fifth"])
def test_a_malicious_pickle_in_any_part_of_the_old_format(tmp_path, where):
    """The old format is a row of pickles: each of them could be the trap."""
    marker = tmp_path / "created"
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}, {}, [])]
    parts[["first", "second", "third", "fourth", "fifth"].index(where)] = pickle.dumps(Attack(marker), protocol=2)
    check_refused(b"".join(parts), "weights.pt", tmp_path, "asks to call posix.mkdir")
    assert not marker.exists()


@pytest.mark.parametrize(
    "call",
    [
        "builtins\neval",
        "builtins\nexec",
        "os\nsystem",
        "subprocess\nPopen",
        "nt\nsystem",
        "torch\nload",
        "torch.hub\nload",
    ],
)
def test_no_function_is_called_whatever_it_is(tmp_path, call):
    data = b"\x80\x02c" + call.encode() + b"\n(X\x04\x00\x00\x00evil\x85R."
    check_refused(checkpoint_of_pickle(data), "weights.pt", tmp_path, f"{call.splitlines()[0]}.{call.splitlines()[1]}")


def test_functions_named_on_the_stack_or_by_number_are_refused(tmp_path):
    stacked = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."
    check_refused(checkpoint_of_pickle(stacked), "weights.pt", tmp_path, "os.system")
    numbered = b"\x80\x02\x82\x01)R."
    check_refused(checkpoint_of_pickle(numbered), "weights.pt", tmp_path, "extension 1|damaged")


def test_a_whole_module_is_refused_with_the_way_out(tmp_path):
    for legacy in (False, True):
        file = saved(network(), _use_new_zipfile_serialization=not legacy)
        check_refused(file, "model.pt", tmp_path, r"(?s)pickled module or object|asks to call pruning_core")
    file = saved(torch.nn.Linear(2, 2))
    check_refused(file, "model.pt", tmp_path, r"pickled module .*torch.nn.*Linear.*model.state_dict.*torch.export.save")


def test_torchscript_is_refused_with_the_way_out(tmp_path):
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 1, 8, 8)), file)
    check_refused(file, "model.pt", tmp_path, r"TorchScript file.*torch.save\(model.state_dict.*torch.export.save")


def test_a_zip_bomb_inside_a_checkpoint(tmp_path):
    def inflate(name, data):
        return bytes(100 << 20) if name.endswith("data/0") else data

    bomb = rezipped(saved(network().state_dict()), inflate, zipfile.ZIP_DEFLATED)
    assert len(bomb.getvalue()) < 1 << 20
    check_refused(bomb, "weights.pt", tmp_path, "zip bomb")


@pytest.mark.parametrize(
    ("size", "stride", "items", "offset"),
    [
        ((10**5, 10**5), (0, 0), 1, 0),
        ((10**10,), (0,), 10, 0),
        ((3, 3), (1, 1), 5, 0),
        ((4,), (1,), 4, 1),
        ((4,), (2,), 4, 0),
        ((2, 2), (10**9, 1), 4, 0),
        ((-1, -1), (1, 1), 4, 0),
        ((4,), (-1,), 4, 3),
        ((4,), (1, 1), 4, 0),
    ],
)
def test_a_tensor_that_claims_more_than_is_stored(tmp_path, size, stride, items, offset):
    data = tensor_pickle(size, stride, items, offset)
    file = checkpoint_of_pickle(data, {"0": bytes(4 * items)})
    check_refused(file, "weights.pt", tmp_path, "claims .* numbers where the file stores|impossible shape")


def test_a_storage_that_is_larger_than_its_record(tmp_path):
    """Trusting the number would read what lies behind the record in memory."""
    data = tensor_pickle((1000,), (1,), 1000)
    check_refused(checkpoint_of_pickle(data, {"0": bytes(400)}), "weights.pt", tmp_path, "lacks numbers")
    check_refused(checkpoint_of_pickle(data), "weights.pt", tmp_path, "lacks numbers")
    huge = tensor_pickle((10**12,), (1,), 10**12)
    check_refused(checkpoint_of_pickle(huge, {"0": bytes(400)}), "weights.pt", tmp_path, "lacks numbers")


def test_an_honest_hand_written_checkpoint_passes_the_same_gate():
    held, storages = read(io.BytesIO(tensor_pickle((2, 3), (3, 1), 6)))
    assert held["conv1.weight"].size == (2, 3) and storages["0"].items == 6


def test_many_tensors_over_few_numbers(tmp_path):
    base = torch.zeros(20_000)
    state = {f"layer{i}.weight": base.view(100, 200).t() for i in range(2000)}
    check_refused(saved(state), "weights.pt", tmp_path, "share so few numbers")


def test_a_memo_index_does_not_allocate(tmp_path):
    data = b"\x80\x02Nr\xff\xff\xff\x7f."  # LONG_BINPUT 2^31 - 1
    check_refused(checkpoint_of_pickle(data), "weights.pt", tmp_path, "holds no state dict")


@pytest.mark.parametrize(
    "content", [{}, [], {"epoch": 3}, torch.ones(3), {"history": {"loss": [1.0]}}, {"a": {"b": {"c": torch.ones(2)}}}]
)
def test_files_without_weights(tmp_path, content):
    check_refused(saved(content), "weights.pt", tmp_path, "holds no state dict")


def test_an_upload_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pruning_core.zoo.kinds.MAX_FILE_BYTES", 1000)
    check_refused(saved(network().state_dict()), "weights.pt", tmp_path, "at most .* are read")


def test_several_or_foreign_parts_in_a_checkpoint(tmp_path):
    file = saved(network().state_dict())
    twice = io.BytesIO(file.getvalue())
    with zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02}.")
    check_refused(twice, "weights.pt", tmp_path, "holds 2 checkpoints")
    outside = io.BytesIO(file.getvalue())
    with zipfile.ZipFile(outside, "a") as archive:
        archive.writestr("../../evil.py", b"x")
    check_refused(outside, "weights.pt", tmp_path, "points outside")
    big = rezipped(file, lambda name, data: b"big" if name.endswith("byteorder") else data)
    check_refused(big, "weights.pt", tmp_path, "big-endian")
