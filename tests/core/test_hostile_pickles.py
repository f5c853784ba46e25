"""Pickles written by hand to do harm: none runs or changes anything, each ends soon and in a sentence."""

import argparse
import collections
import datetime
import io
import pathlib
import struct
import zipfile

import numpy as np
import pytest
import torch

from pruning_core.errors import UserError
from pruning_core.zoo import import_model
from pruning_core.zoo.pickles import read
from tests.core.hostile_pickles import (
    BUILD,
    DUP,
    MARK,
    REDUCE,
    call,
    name,
    number,
    program,
    storage,
    tensor,
    text,
    value,
    within,
)  # fmt: skip
from tests.core.upload_files import network, saved

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS, MEBIBYTES = 8, 200  # of a busy machine; most take milliseconds and nothing
REAL = (
    collections.Counter, collections.OrderedDict, collections.defaultdict, np.ndarray, torch.Tensor, torch.nn.Parameter,
    torch.Size, argparse.Namespace, pathlib.PurePosixPath, datetime.datetime, dict,
)  # fmt: skip


def packed(data, storages=(), compression=zipfile.ZIP_DEFLATED):
    """A checkpoint around ``data``; compressed, so that a file of few kB can hold a pickle of many."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in dict(storages).items():
            archive.writestr(f"archive/data/{key}", content)
    return out


def old(*parts):
    """The format before torch 1.6: a row of pickles."""
    given = [program(number(0x1950A86A20F9469CFC6C)), program(1001), program({}), *parts]
    return io.BytesIO(b"".join(given) + program([]) * (5 - len(given)))


@pytest.fixture(scope="module", autouse=True)
def _good_files_load_before_and_after(tmp_path_factory):
    good = saved({"state_dict": network().state_dict(), "curve": np.arange(3)})
    root = tmp_path_factory.mktemp("good")
    import_model(good, "good.pth", root)  # and whatever is imported late is here now
    yield
    import_model(good, "good.pth", root)


@pytest.fixture(autouse=True)
def _nothing_real_changes():
    before = [dict(vars(each)) for each in REAL]
    yield
    assert [dict(vars(each)) for each in REAL] == before
    assert collections.Counter("aab") == {"a": 2, "b": 1}


def refused(file, root, sentence, seconds=SECONDS, mebibytes=MEBIBYTES):
    assert len(file.getvalue()) <= 100_000, "a hostile file is small"
    with within(seconds, mebibytes), pytest.raises(UserError, match=sentence) as caught:
        import_model(file, "w.pth", root)
    assert len(str(caught.value)) < 800 and str(caught.value).isprintable()
    assert not [path for path in root.glob("artifacts/**/*") if path.is_file()]


NOTHING = "holds no state dict"
NESTED = b")" + (DUP + b"\x86") * 250  # a tuple of itself twice, and so on: 2^250 leaves

KEYS = {
    "nested tuple": b"}" + NESTED + value(1) + b"s",
    "nested tuples in one": b"}" + MARK + (NESTED + value(1)) * 20 + b"u",
    "nested in a set": b"\x80\x04\x8f" + MARK + NESTED + b"\x90",
    "nested in a frozen set": b"\x80\x04" + MARK + NESTED + b"\x91",
    "nested for a Counter": name("collections", "Counter") + MARK + value([NESTED]) + b"t" + REDUCE,
    "pairs for an OrderedDict": call("collections", "OrderedDict", [[NESTED, 1]]),
    "huge numbers": b"}" + number(1 << 400_000) + b"q\x00" + value(1) + b"s" + (b"h\x00" + value(1) + b"s") * 20_000,
    "numbers of one hash": b"}" + MARK + b"".join(number(n * ((1 << 61) - 1)) + b"N" for n in range(3000)) + b"u",
    "a long text": b"}" + text("k" * 4_000_000) + b"q\x00" + tensor((2, 2), (2, 1)) + b"s" + (b"h\x00Ns") * 20_000,
    "what cannot be one": b"}" + MARK + value([]) + value(1) + value({}) + value(1) + value(None) + value(1) + b"u",
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_that_cost_more_than_they_weigh(tmp_path, kind):
    refused(packed(program(KEYS[kind]), {"0": bytes(16)}), tmp_path, NOTHING)


def test_a_pickle_of_545_bytes_with_a_nested_key_is_read_at_once():
    data = program(b"}" + b")" + (DUP + b"\x86") * 250 + value(1) + b"s")
    assert len(data) < 545
    with within(1, 5):
        held, _ = read(io.BytesIO(data))
    assert held == {}, "an entry under a key that is neither text nor number is left out"


CHANGES = {
    # What Python's own machine does to a class when it is told a state.
    "a class's state": [name("collections", "Counter"), {"update": None, "__init__": None}, BUILD],
    "a class's slots": [name("collections", "Counter"), (None, {"update": 1}), BUILD],
    "a class's base": [name("collections", "OrderedDict"), {"__init__": 1, "move_to_end": 1}, BUILD],
    "a namespace": [name("argparse", "Namespace"), {"__init__": None}, BUILD],
    "a type of numpy's": [name("numpy", "ndarray"), {"x": 1}, BUILD],
    "a parameter": [name("torch.nn.parameter", "Parameter"), {"data": 1, "__new__": None}, BUILD],
    "a path": [name("pathlib", "PurePosixPath"), {"__fspath__": None}, BUILD],
    "a time": [name("datetime", "datetime"), {"now": None}, BUILD],
    "an item of a class": [name("collections", "Counter"), "a", 1, b"s"],
    "an element of a class": [name("collections", "OrderedDict"), 1, b"a"],
    "elements of a module": [name("sys", "modules"), MARK, "os", None, b"u"],
    "an attribute by a call": [call("builtins", "setattr", name("collections", "Counter"), "update", None)],
    "an attribute, deleted": [call("builtins", "delattr", name("collections", "Counter"), "update")],
    "the table of a class": [
        call("builtins", "getattr", name("collections", "Counter"), "__dict__"),
        "update",
        1,
        b"s",
    ],
    "the classes below": [call("builtins", "getattr", name("builtins", "object"), "__subclasses__"), (), REDUCE],
    "a new class": [call("builtins", "type", "X", (name("collections", "Counter"),), {"a": 1}), (), REDUCE],
    "a dictionary of an own kind": [name("collections", "Counter"), (), b"\x81", {"update": 1}, BUILD],
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
def test_no_real_class_is_changed(tmp_path, kind, beside):
    if not beside:
        refused(packed(program(*CHANGES[kind])), tmp_path, f"{NOTHING}|asks to call|pickled module")
        return
    content = {"first": b"".join(map(value, CHANGES[kind])), "state": {"scale": tensor((4,), (1,))}}
    refused(packed(program(content), {"0": bytes(16)}), tmp_path, NOTHING)


MKDIR = "was_run_by_a_test"
CALLS = {
    "os": (call("os", "system", f"mkdir {MKDIR}"), "os.system"),
    "posix": (call("posix", "system", f"mkdir {MKDIR}"), "posix.system"),
    "eval": (call("builtins", "eval", f"__import__('os').mkdir('{MKDIR}')"), "builtins.eval"),
    "exec of Python 2": (call("__builtin__", "execfile", "/etc/passwd"), "__builtin__.execfile"),
    "an instance": (MARK + text(f"mkdir {MKDIR}") + b"ios\nsystem\n", "os.system"),
    "an object": (MARK + name("os", "system") + text(f"mkdir {MKDIR}") + b"o", "os.system"),
    "new": (name("subprocess", "Popen") + value((["mkdir", MKDIR],)) + b"\x81", "subprocess.Popen"),
    "new with names": (name("subprocess", "Popen") + value(()) + value({"args": "x"}) + b"\x92", "subprocess.Popen"),
    "from the stack": (text("os") + text("system") + b"\x93" + value(("id",)) + REDUCE, "os.system"),
    "by a number": (b"\x82\x01)R", "extension 1"),
    "by a larger number": (b"\x84\xff\xff\xff\x7f)R", "extension 2147483647"),
    "a partial": (call("functools", "partial", name("torch", "load"), "x") + value(()) + REDUCE, "functools.partial"),
    "an attribute": (call("operator", "attrgetter", "system"), "operator.attrgetter"),
    "a method": (call("operator", "methodcaller", "unlink"), "operator.methodcaller"),
    "code": (call("types", "CodeType", 0, 0), "types.CodeType"),
    "a pickle in a pickle": (call("pickle", "loads", "cos\nsystem\n"), "pickle.loads"),
    "a checkpoint in a checkpoint": (call("torch.storage", "_load_from_bytes", "x"), "_load_from_bytes"),
    "numpy's own pickles": (call("numpy", "load", "x.npy", None, True), "numpy.load"),
    "a script": (call("torch.jit._serialization", "load", "x.pt"), "torch.jit"),
    "a name that goes on": (call("os.path", "os.system", "id"), "os.path.os.system"),
    "reconstruction": (call("copyreg", "_reconstructor", name("os", "DirEntry"), None, None), "os.DirEntry"),
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("way", ["zip", "legacy"])
def test_nothing_is_called(tmp_path, kind, way, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, told = CALLS[kind]
    file = packed(program(code)) if way == "zip" else old(program(code))
    refused(file, tmp_path, told.replace(".", r"\."))
    assert not (tmp_path / MKDIR).exists()


FLOATS = name("torch", "FloatStorage")
NUMBERS = {
    "a list": value(["storage", FLOATS, "0", "cpu", 4]) + b"Q",
    "another kind": value(("module", "x", "0", "cpu", 4)) + b"Q",
    "no type": value(("storage", "FloatStorage", "0", "cpu", 4)) + b"Q",
    "an unknown type": storage(kind=name("torch", "QUInt4x2Storage")),
    "another's type": storage(kind=name("os.path", "FloatStorage")),
    "a number for a key": value(("storage", FLOATS, 0, "cpu", 4)) + b"Q",
    "fewer than none": storage(-1),
    "more than can be": storage(1 << 63),
    "a number of a million digits": storage(1 << 3_000_000),
    "part of a text": value(("storage", FLOATS, "0", "cpu", "4")) + b"Q",
    "a view": storage(rest=(("0", 1, 2),)),
    "too long": storage(rest=(None, None)),
    "by text": b"Pstorage 0\n",
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_referred_to_in_one_way(tmp_path, kind):
    content = {"conv1.weight": tensor((2, 2), (2, 1), of=NUMBERS[kind])}
    refused(packed(program(content), {"0": bytes(16)}), tmp_path, "in an unknown way|damaged")


def test_one_block_of_numbers_has_one_size(tmp_path):
    content = {"a.weight": tensor((2, 2), (2, 1)), "b.weight": tensor((2, 2), (2, 1), of=storage(5))}
    refused(packed(program(content), {"0": bytes(20)}), tmp_path, "two sizes")


WIDE = 1 << 40
SHAPES = {
    "ten billion of one": ((10**10,), (0,), 0),
    "of one, in many dimensions": ((1000,) * 20, (0,) * 20, 0),
    "two to the 1984": ((1 << 62,) * 32, (0,) * 32, 0),
    "more than there are": ((5,), (1,), 0),
    "behind the end": ((4,), (1,), 1),
    "far behind it": ((2, 2), (WIDE, 1), 0),
    "an offset that overflows": ((2,), (1,), (1 << 64) - 1),
    "overlapping": ((3, 2), (1, 1), 0),
    "overlapping much": ((2,) * 31 + (2,), (0,) * 30 + (1, 1), 0),
    "before the beginning": ((2,), (-1,), 1),
    "negative": ((-2, -2), (2, 1), 0),
    "a negative offset": ((2,), (1,), -1),
    "fewer strides": ((2, 2), (1,), 0),
    "more strides": ((2,), (1, 1), 0),
    "ten thousand dimensions": ((1,) * 10_000, (1,) * 10_000, 0),
    "33 dimensions": ((1,) * 33, (1,) * 33, 0),
    "half a number": ((b"G?\xe0\x00\x00\x00\x00\x00\x00",), (1,), 0),
    "text": (("2", "2"), (2, 1), 0),
    "a tuple": (((2, 2), 2), (2, 1), 0),
    "a list": ([2, 2], [2, 1], 0),
    "a number": (4, 1, 0),
    "nothing": (None, None, None),
    "a thousand digits": ((1 << 4000, 0), (1, 1), 0),
    "none of many": ((0, 1 << 61), (1, 1), 0),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_that_lie(tmp_path, kind):
    size, stride, offset = SHAPES[kind]
    content = {"conv1.weight": tensor(size, stride, offset)}
    refused(
        packed(program(content), {"0": bytes(16)}), tmp_path, "claims .* numbers where the file stores 4|impossible"
    )


ARRAY = call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), (0,), "b")
RAW = call("_codecs", "encode", "\0" * 16, "latin1")


def kind_of(letters, order="<"):
    return call("numpy", "dtype", letters, False, True) + value((3, order, None, None, None, -1, -1, 0)) + BUILD


ARRAYS = {
    "more than there are": ((1, (1000, 1000), kind_of("f4"), False, RAW), "claims 1,000,000 numbers"),
    "far more": ((1, (WIDE, WIDE), kind_of("f4"), False, RAW), "claims .* numbers where"),
    "negative": ((1, (-2, -2), kind_of("f4"), False, RAW), "impossible shape"),
    "half": ((1, (2, "2"), kind_of("f4"), False, RAW), "impossible shape"),
    "ten thousand dimensions": ((1, (1,) * 10_000, kind_of("f4"), False, RAW), "impossible shape"),
    "objects": ((1, (2, 2), kind_of("O8", "|"), False, [1, 2, 3, call("math", "sqrt", 2)]), NOTHING),
    "an unknown type": ((1, (2, 2), kind_of("zz"), False, RAW), NOTHING),
    "a type of a thousand letters": ((1, (2, 2), kind_of("f4," * 400), False, RAW), NOTHING),
    "no type": ((1, (2, 2), None, False, RAW), NOTHING),
    "no numbers": ((1, (2, 2), kind_of("f4"), False, None), NOTHING),
    "text beyond bytes": (
        (1, (1, 1), kind_of("f4"), False, call("_codecs", "encode", "\u4e00" * 4, "latin1")),
        "damaged",
    ),
    "a state of two": ((1, 2), NOTHING),
    "no state": (None, NOTHING),
    "itself": (ARRAY, NOTHING),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_lie(tmp_path, kind):
    state, sentence = ARRAYS[kind]
    refused(packed(program({"conv1.weight": ARRAY + value(state) + BUILD})), tmp_path, sentence)


LONG = struct.pack("<Q", 1 << 62)
BROKEN = {
    "nothing": b"",
    "only an end": b".",
    "no end": b"\x80\x02}",
    "an unknown version": b"\x80\x63}.",
    "an unknown instruction": b"\x80\x02\xff.",
    "more is taken than there is": b"\x80\x020.",
    "a pair of nothing": b"\x80\x02\x86.",
    "a call of nothing": b"\x80\x02R.",
    "a mark that is missing": b"\x80\x02t.",
    "a mark that was buried": b"\x80\x02N(0t.",
    "a key without a value": b"\x80\x02}(Nu.",
    "what was never put aside": b"\x80\x02h\x07.",
    "put aside at minus one": b"\x80\x02Np-1\n.",
    "a text of four exabytes": b"\x80\x04\x8d" + LONG + b"x.",
    "bytes of four exabytes": b"\x80\x04\x8e" + LONG + b"x.",
    "an array of four exabytes": b"\x80\x05\x96" + LONG + b"x.",
    "a number of two gibibytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a number of negative length": b"\x80\x02\x8b\xff\xff\xff\xff.",
    "a frame of four exabytes": b"\x80\x04\x95" + LONG + b"\x97.",
    "a number of many digits": b"\x80\x02L" + b"9" * 50_000 + b"L\n.",
    "no number": b"\x80\x02Ixyz\n.",
    "a line without an end": b"\x80\x02c" + b"x" * 50_000,
    "a name without a module": b"\x80\x02cx\n.",
    "a name that is a number": b"\x80\x04K\x01K\x02\x93.",
    "half a letter": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a buffer from outside": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("way", ["zip", "legacy"])
@pytest.mark.parametrize("kind", BROKEN)
def test_instructions_that_make_no_sense(tmp_path, kind, way):
    data = BROKEN[kind]
    sentence = f"damaged|{NOTHING}|impossible length|asks to call|cut short"
    refused(packed(data) if way == "zip" else old(data), tmp_path, sentence)


MANY = {
    "empty dictionaries": b"}" * 3_000_000,
    "tuples in tuples": b")" + b"\x85" * 900_000,
    "lists in lists": b"]" * 450_000 + b"a" * 449_999,
    "objects in objects": name("x", "Y") + b"q\x00)" + (b"\x85h\x00\x85" + b"R") * 100_000,
    "copies of a million": MARK + b"N" * 400_000 + b"tq\x00" + name("x", "Y") + b"q\x01" + b"h\x01h\x00R0" * 50_000,
    "the same pairs again": value([["a", 1]])
    + b"q\x000"
    + (name("collections", "OrderedDict") + b"h\x00\x85R0") * 200_000,
    "the same text again": text("x" * 1_000_000) + b"q\x000" + (name("_codecs", "encode") + b"h\x00\x85R") * 100_000,
    "tensors without end": tensor((2, 2), (2, 1)) + b"0" + tensor((2, 2), (2, 1)) * 60_000,
    "names of a class": name("x" * 200_000, "y"),
    "a list that holds itself": b"]q\x00" + b"h\x00a" * 10 + b"]h\x00ah\x00a",
    "a dictionary that holds itself": b"}q\x00" + text("a") + b"h\x00s" + text("model") + b"h\x00s",
}


@pytest.mark.parametrize("kind", MANY)
def test_much_out_of_little(tmp_path, kind):
    sentence = f"{NOTHING}|steps to be read|tensors, so it was|impossible length"
    refused(packed(program(MANY[kind]), {"0": bytes(16)}), tmp_path, sentence, seconds=20)


WORDS = {
    "long": "k" * 200_000,
    "on two lines": "one\ntwo\r\n",
    "coloured": "\x1b[31mred\x1b[0m",
    "turned around": "\u202egnp.x\u2066",
    "half a pair": "\ud800",
    "a picture": "![x](http://h/i.png)",
}


@pytest.mark.parametrize("word", WORDS)
def test_what_a_message_quotes_is_short_and_in_one_line(tmp_path, word):
    long = WORDS[word]
    own = call("own", "Weight", tensor((2, 2), (2, 1)))
    refused(packed(program({long: 1, "w": {long: long}}), {"0": bytes(16)}), tmp_path, NOTHING)
    content = {long[:400]: tensor((2, 2), (2, 1)), "arch": long[:400]}
    refused(packed(program(content), {"0": bytes(16)}), tmp_path, "no known architecture")
    content = {"a.weight": tensor((2, 2), (2, 1)), f"{long[:300]}.weight": own}
    refused(packed(program(content), {"0": bytes(16)}), tmp_path, "is an object of own.Weight")
