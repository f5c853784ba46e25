"""Files of weights whose parts lie about each other: directories, headers, lists of places, names, shapes."""

import io
import itertools
import json
import struct
import zipfile
import zlib

import pytest
import torch
from safetensors.torch import save

from pruning_core.errors import UserError
from pruning_core.zoo import import_model
from tests.core.hostile_pickles import name, program, storage, tensor, within
from tests.core.upload_files import network, rezipped, saved

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS, MEBIBYTES = 8, 200  # of a busy machine; most take milliseconds and nothing
WEIGHTS = network().state_dict()


@pytest.fixture(scope="module", autouse=True)
def _good_files_load_before_and_after(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    import_model(saved(WEIGHTS), "good.pth", root)  # and whatever is imported late is here now
    yield
    import_model(saved(WEIGHTS), "good.pth", root)


def refused(data, root, sentence, file="w.pth", seconds=SECONDS):
    assert len(data) <= 200_000, "a hostile file is small"
    with within(seconds, MEBIBYTES), pytest.raises(UserError, match=sentence) as caught:
        import_model(io.BytesIO(data), file, root)
    assert len(str(caught.value)) < 800 and str(caught.value).isprintable()
    assert not [path for path in root.glob("artifacts/**/*") if path.is_file()]


# -- zip ---------------------------------------------------------------------------------------------------------------


def declared(archive, member, size):
    """``archive`` with another size of ``member``, in its directory and before the member, and a sum that fits it."""
    data = bytearray(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        info = opened.getinfo(member)
        told = struct.pack("<III", zlib.crc32(opened.read(member)[:size]), info.compress_size, size)
    directory = data.rindex(member.encode()) - 46
    assert data[directory : directory + 4] == b"PK\x01\x02"
    data[directory + 16 : directory + 28] = told
    data[info.header_offset + 14 : info.header_offset + 26] = told
    return bytes(data)


def checkpoint(content, *numbers, compression=zipfile.ZIP_DEFLATED, **members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for key, each in enumerate(numbers):
            archive.writestr(f"archive/data/{key}", each)
        for inner, each in members.items():
            archive.writestr(f"archive/{inner}", each)
    return out.getvalue()


ONE = program({"conv1.weight": tensor((2, 2), (2, 1))})
LARGE = program({"conv1.weight": tensor((1 << 12, 1 << 12), (1 << 12, 1), of=storage(1 << 24))})
ZIPS = {
    "goes on after its end": lambda: declared(checkpoint(ONE, bytes(30 << 20)), "archive/data/0", 16),
    "ends before its end": lambda: declared(checkpoint(ONE, bytes(8)), "archive/data/0", 16),
    "promises four gibibytes": lambda: declared(checkpoint(ONE, bytes(8)), "archive/data/0", (1 << 32) - 2),
    "the pickle goes on": lambda: declared(checkpoint(ONE + bytes(30 << 20), bytes(16)), "archive/data.pkl", len(ONE)),
    "a pickle of zeros": lambda: checkpoint(bytes(30 << 20)),
    "a pickle of marks": lambda: checkpoint(b"\x80\x02" + b"(" * (30 << 20)),
    "numbers that are zeros": lambda: checkpoint(LARGE, bytes(64 << 20)),
    "numbers that are packed away": lambda: checkpoint(ONE, bytes(16), compression=zipfile.ZIP_BZIP2),
    "by a rare method": lambda: checkpoint(ONE, bytes(16), compression=zipfile.ZIP_LZMA),
    "without numbers": lambda: checkpoint(ONE),
    "with fewer": lambda: checkpoint(ONE, bytes(15)),
    "of the other end": lambda: checkpoint(ONE, bytes(16), byteorder=b"big"),
    "of no end": lambda: checkpoint(ONE, bytes(16), byteorder=b"\xff" * 100_000),
    "twice": lambda: checkpoint(ONE, bytes(16), **{"inner/data.pkl": ONE}),
    "a long name": lambda: checkpoint(ONE, bytes(16), **{"x" * 60_000: b""}) + b"",
    "elsewhere": lambda: checkpoint(ONE, bytes(16), **{"../../etc/passwd": b""}),
}
SENTENCES = (
    "damaged|zip bomb|unpacks to|lacks numbers|packed by a method|big-endian|holds 2 checkpoints|outside it|"
    "no known architecture|steps to be read|cut short|holds no state dict"
)


@pytest.mark.parametrize("kind", ZIPS)
def test_archives_that_lie(tmp_path, kind):
    refused(ZIPS[kind](), tmp_path, SENTENCES)


@pytest.mark.parametrize("length", [1, 16, 4096])
def test_no_more_is_unpacked_than_a_member_was_declared_to_have(tmp_path, length):
    """The member's sum is right for its first bytes, so nothing but the limit itself stops the reader."""
    data = declared(checkpoint(ONE, b"\0" * length + bytes(30 << 20)), "archive/data/0", length)
    with within(SECONDS, 20), pytest.raises(UserError):
        import_model(io.BytesIO(data), "w.pth", tmp_path)


# -- the format before torch 1.6 ---------------------------------------------------------------------------------------


def old(content, keys, *numbers):
    parts = [program(0x1950A86A20F9469CFC6C), program(1001), program({}), content, program(keys)]
    return b"".join(parts) + b"".join(numbers)


FLOATS = struct.pack("<Q", 4) + bytes(16)
OLD = {
    "no keys": old(ONE, []),
    "a number for keys": old(ONE, 5, FLOATS),
    "keys of numbers": old(ONE, [0], FLOATS),
    "keys of lists": old(ONE, [["0"]], FLOATS),
    "a key that is not used": old(ONE, ["0", "1"], FLOATS, FLOATS),
    "other lengths": old(ONE, ["0"], struct.pack("<Q", 1 << 40) + bytes(16)),
    "cut short": old(ONE, ["0"], FLOATS[:-1]),
    "a key twice": old(ONE, ["0", "0"], FLOATS),
    "eight exabytes": old(program({"a.weight": tensor((1 << 61,), (1,), of=storage(1 << 61))}), ["0"], FLOATS),
    "a million keys": old(ONE, program(["0"] * 200_000)[2:-1]),
    "no pickle after the third": old(b"", [])[:60],
}


@pytest.mark.parametrize("kind", OLD)
def test_old_files_that_lie(tmp_path, kind):
    data = OLD[kind]
    refused(data[:190_000], tmp_path, "damaged|cut short|never uses|claims|no state dict")


# -- safetensors -------------------------------------------------------------------------------------------------------


def safe(header, numbers=bytes(16), length=None):
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + numbers


def entry(shape=(2, 2), kind="F32", places=(0, 16)):
    return {"dtype": kind, "shape": list(shape), "data_offsets": list(places)}


HEADERS = {
    "longer than the file": safe({"a.weight": entry()}, length=1 << 40),
    "longer than anything": safe({"a.weight": entry()}, length=(1 << 64) - 1),
    "no JSON": safe(b'{"a.weight": '),
    "no text": safe(b"{\xff\xfe"),
    "not a table": safe(b'{"a": [1, 2]}'),
    "nested for ever": safe(b'{"a":' + b"[" * 150_000),
    "tables for ever": safe(b'{"a":' * 20_000),
    "a number of many digits": safe(
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 10_000 + b'], "data_offsets": [0, 16]}}'
    ),
    "overlapping": safe({"a.weight": entry(), "b.weight": entry(places=(8, 24))}, bytes(24)),
    "the same numbers": safe({f"{n}.weight": entry() for n in range(1000)}),
    "a gap": safe({"a.weight": entry(), "b.weight": entry(places=(20, 36))}, bytes(36)),
    "behind the end": safe({"a.weight": entry(places=(16, 32))}),
    "backwards": safe({"a.weight": entry(places=(16, 0))}),
    "negative": safe({"a.weight": entry(places=(-16, 0))}),
    "half": safe({"a.weight": entry(places=(0.0, 16.0))}),
    "text for places": safe({"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": "08"}}),
    "one place": safe({"a.weight": entry(places=(0,))}),
    "more than are there": safe({"a.weight": entry((1 << 20, 1 << 20))}),
    "fewer than are there": safe({"a.weight": entry((2,))}),
    "part of a number": safe({"a.weight": entry((3,), places=(0, 15))}, bytes(15)),
    "no shape": safe({"a.weight": {"dtype": "F32", "data_offsets": [0, 16]}}),
    "text for a shape": safe({"a.weight": entry("22")}),
    "a negative shape": safe({"a.weight": entry((-2, -2))}),
    "ten thousand dimensions": safe({"a.weight": entry((1,) * 10_000, places=(0, 4))}, bytes(4)),
    "none of many": safe({"a.weight": entry((0, 1 << 62), places=(0, 0))}, b""),
    "an overflow": safe({"a.weight": entry((1 << 32, 1 << 32))}),
    "an unknown type": safe({"a.weight": entry(kind="F3")}),
    "a long type": safe({"a.weight": entry(kind="F" * 100_000)}),
    "no type": safe({"a.weight": entry(kind=None)}),
    "no tensors": safe({"__metadata__": {"a": "b"}}, b""),
    "bytes left over": safe({"a.weight": entry()}, bytes(20)),
    "cut short": safe({"a.weight": entry()}, bytes(12)),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_lie(tmp_path, kind):
    sentence = (
        "damaged|cut short|too many|impossible shape|not known here|holds no state dict|no file that holds|claims"
    )
    refused(HEADERS[kind], tmp_path, sentence, "w.safetensors")


def test_an_honest_header_written_by_hand_passes_the_same_gate(tmp_path):
    good = save({key: each.contiguous() for key, each in WEIGHTS.items()})
    length = int.from_bytes(good[:8], "little")
    again = safe(json.loads(good[8 : 8 + length]), good[8 + length :])
    assert import_model(io.BytesIO(again), "w.safetensors", tmp_path).title.startswith("Small ResNet")


# -- names and shapes that builders believe ----------------------------------------------------------------------------


def shaped(**shapes):
    """A checkpoint of tensors of these shapes; those with no number cost nothing."""
    return saved({key.replace("__", "."): torch.zeros(shape) for key, shape in shapes.items()}).getvalue()


BELIEVED = {
    "a head without dimensions": {"conv1.weight": (4, 3, 3, 3), "linear.weight": ()},
    "widths of none": {"conv1.weight": (0, 3, 3, 3), "layer1.0.conv1.weight": (0, 0, 3, 3),
                       "layer1.0.conv2.weight": (0, 0, 3, 3), "linear.weight": (0, 0)},
    "half a million billion": {"conv1.weight": (0, 1 << 40, 3, 3), "layer1.0.conv1.weight": (1, 1, 1, 1),
                               "layer1.0.conv2.weight": (1 << 10, 0, 3, 3), "linear.weight": (1 << 40, 0)},
    "a block of many": {"conv1.weight": (4, 3, 3, 3), "layer1.999999999.conv1.weight": (4, 4, 3, 3),
                        "layer1.999999999.conv2.weight": (4, 4, 3, 3), "linear.weight": (4, 4)},
    "a number of many digits": {"conv1.weight": (4, 3, 3, 3), f"layer{'9' * 480}.0.conv1.weight": (4, 4, 3, 3),
                                "linear.weight": (4, 4)},
    "a vgg of odd shapes": {"features.0.weight": (4, 3, 3, 3), "features.1.running_mean": (4,),
                            "classifier.weight": (2,)},
    "a vgg without inputs": {"features.0.weight": (0, 0, 0, 0), "features.1.running_mean": (0,),
                             "classifier.weight": (1 << 30, 0)},
    "many stages": {"conv1.weight": (1, 1, 1, 1), "linear.weight": (2, 1),
                    **{f"layer{n}.0.conv{m}.weight": (1, 1, 1, 1) for n in range(1, 250) for m in (1, 2)}},
    "prefixes in prefixes": {f"{'.'.join(path)}.weight": (2, 2) for path in itertools.product("abc", repeat=4)},
}  # fmt: skip


@pytest.mark.parametrize("kind", BELIEVED)
def test_shapes_that_no_network_has(tmp_path, kind):
    content = {key: torch.zeros(shape) for key, shape in BELIEVED[kind].items()}
    refused(saved(content).getvalue(), tmp_path, "no known architecture|no state dict|impossible", seconds=20)


def test_a_thousand_sets_of_weights_are_not_all_compared(tmp_path):
    weight = torch.ones(4, 4)
    content = {f"set{n}": {"conv1.weight": weight, "linear.weight": weight, "n": n} for n in range(1000)}
    refused(saved(content).getvalue(), tmp_path, "no known architecture", seconds=20)


def test_more_than_fits_into_memory_is_said_before_it_is_read(tmp_path, monkeypatch):
    weights = {"a.weight": torch.zeros(64, 256), "b.weight": torch.zeros(64, 256).half()}
    monkeypatch.setattr("pruning_core.zoo.containers.free_memory", lambda: 200 * 2**10)
    refused(saved(weights).getvalue(), tmp_path, r"Reading 'w.pth' would take 0 MiB of memory, and 0 MiB are free")


def test_members_with_other_names_than_the_directory_says(tmp_path):
    data = checkpoint(ONE, bytes(16))
    refused(data.replace(b"archive/data.pkl", b"archive/data.pk2", 1), tmp_path, "damaged")


def test_a_renamed_storage_is_missed(tmp_path):
    two = saved({"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)})
    without = rezipped(two, lambda inner, data: None if inner.endswith("data/1") else data)
    refused(without.getvalue(), tmp_path, "lacks numbers that it refers to")


def test_the_classes_of_a_file_are_named_briefly(tmp_path):
    content = program({"a.weight": tensor((2, 2), (2, 1), of=storage(kind=name("torch", "X" * 250)))})
    refused(checkpoint(content, bytes(16)), tmp_path, "in an unknown way")
