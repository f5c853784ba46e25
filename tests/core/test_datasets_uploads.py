"""Archives that people bring: honest ones of every layout, damaged and hostile ones."""

import io
import struct
import threading
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from pruning_core.datasets import DataRef, import_data, load_splits
from pruning_core.datasets.download import fetch
from pruning_core.datasets.raw import quiet
from pruning_core.datasets.safe_zip import open_zip
from pruning_core.errors import UserError


def picture(value=0, size=(6, 5), mode="RGB", kind="PNG"):
    """The bytes of one image of ``size`` (W, H) and constant ``value``."""
    colour = value if mode in ("L", "I;16") else (value,) * len(mode)
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind)
    return out.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    out.seek(0)
    return out


def two_classes(prefix="", count=4):
    return {f"{prefix}{label}/{i}.png": picture(10 * i) for label in ("cat", "dog") for i in range(count)}


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    out.seek(0)
    return out


def kept_files(root):
    return [path for path in (root / "artifacts").rglob("*") if path.is_file()]


# --- image folders


@pytest.mark.parametrize("prefix", ["", "data/", "a/b/c/"])
def test_class_folders_are_found_at_any_prefix(tmp_path, prefix):
    extra = {"__MACOSX/cat/._0.png": b"junk", f"{prefix}cat/.DS_Store": b"junk", f"{prefix}readme.txt": b"hello"}
    ref = import_data(zipped(two_classes(prefix) | extra), "pets.zip", tmp_path)
    train, test = load_splits(ref, tmp_path)
    assert train.classes == ("cat", "dog") and train.size == (3, 5, 6)
    assert (len(train), len(test)) == (6, 2)
    assert sorted(torch.cat((train.images, test.images)).amax((1, 2, 3)).tolist()) == [0, 0, 10, 10, 20, 20, 30, 30]


def test_train_and_test_folders_are_kept_apart(tmp_path):
    members = two_classes("pets/train/", 4) | {f"pets/val/{label}/9.png": picture(99) for label in ("cat", "dog")}
    train, test = load_splits(import_data(zipped(members), "pets.zip", tmp_path), tmp_path)
    assert (len(train), len(test)) == (8, 2)
    assert test.images.unique().tolist() == [99]


def test_a_second_zip_holds_the_test_images(tmp_path):
    second = zipped({"dog/1.png": picture(7), "dog/2.png": picture(8), "cat/1.png": picture(9)})
    ref = import_data(zipped(two_classes()), "a.zip", tmp_path, test_file=second)
    train, test = load_splits(ref, tmp_path)
    assert (len(train), len(test)) == (8, 3)
    assert test.labels.tolist() == [0, 1, 1]
    odd = zipped({"cow/1.png": picture(), "dog/1.png": picture()})
    with pytest.raises(UserError, match="class 'cow', which the training images lack"):
        import_data(zipped(two_classes()), "a.zip", tmp_path, test_file=odd)
    assert len(kept_files(tmp_path)) == 2  # the refused file is gone, those stored before are not


def test_decoding_happens_once(tmp_path, monkeypatch):
    calls = []
    ref = import_data(zipped(two_classes()), "a.zip", tmp_path, progress=lambda *step: calls.append(step))
    assert calls[-1] == ("decoding images", 8, 8)
    first = load_splits(ref, tmp_path)
    monkeypatch.setattr("pruning_core.datasets.zips.read_file", None)  # a second decoding would fail on this
    again = load_splits(ref, tmp_path)
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    (copy,) = (tmp_path / "cache" / "images").iterdir()
    monkeypatch.undo()
    copy.write_bytes(b"damaged")
    assert torch.equal(load_splits(ref, tmp_path)[0].images, first[0].images)


def test_other_sizes_are_brought_to_the_commonest_and_said(tmp_path):
    members = two_classes() | {"cat/odd.png": picture(50, size=(9, 4))}
    train, _ = load_splits(import_data(zipped(members), "a.zip", tmp_path), tmp_path)
    assert train.size == (3, 5, 6)
    assert any(note.startswith("1 of 9 images had another size and were resized to 6 x 5") for note in train.notes)
    chosen = import_data(zipped(members), "a.zip", tmp_path, size=(12, 10))
    assert load_splits(chosen, tmp_path)[0].size == (3, 12, 10)


def test_grey_stays_grey_unless_one_image_is_coloured(tmp_path):
    grey = {f"{label}/{i}.png": picture(64 * i, mode="L") for label in "ab" for i in range(3)}
    assert load_splits(import_data(zipped(grey), "g.zip", tmp_path), tmp_path)[0].size == (1, 5, 6)
    mixed = grey | {"a/colour.png": picture(3), "b/clear.png": picture(4, mode="RGBA")}
    assert load_splits(import_data(zipped(mixed), "m.zip", tmp_path), tmp_path)[0].size == (3, 5, 6)
    deep = {f"{label}/{i}.png": picture(256 * 77, mode="I;16") for label in "ab" for i in range(2)}
    assert load_splits(import_data(zipped(deep), "d.zip", tmp_path), tmp_path)[0].images.unique().tolist() == [77]


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"train/cat/1.png": picture(), "test/cat/2.png": picture()}, "one folder of images"),
        ({"cat/1.png": picture(), "loose.png": picture()}, "no class folder around 'loose.png'"),
        ({"notes.txt": b"hello"}, "holds no images"),
        ({}, "holds no images"),
        (two_classes() | {"dog/broken.png": picture()[:40]}, "'dog/broken.png' does not decode"),
        (two_classes() | {"dog/page.jpg": b"<html>not an image</html>"}, "'dog/page.jpg' does not decode"),
        (two_classes() | {"../../evil/1.png": picture()}, "points outside"),
        (two_classes() | {"/etc/1.png": picture()}, "points outside"),
        (two_classes() | {"C:\\evil\\1.png": picture()}, "points outside"),
        (two_classes("train/") | {"test/cow/1.png": picture()}, "class 'cow', which its train folder lacks"),
        ({"a/1.png": picture(), "b/1.png": picture()}, "too few to set some apart"),
    ],
)
def test_unusable_zips_are_refused_and_not_kept(tmp_path, members, sentence):
    with pytest.raises(UserError, match=sentence):
        import_data(zipped(members), "mine.zip", tmp_path)
    assert kept_files(tmp_path) == []


def test_a_picture_with_too_many_pixels_is_not_decoded(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UserError, match="more than 50,000,000 pixels"):
        import_data(zipped(two_classes() | {"cat/big.png": bomb}), "mine.zip", tmp_path)


def test_a_zip_bomb_is_not_opened(tmp_path):
    bomb = zipped(two_classes() | {"cat/zeros.png": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb.getvalue()) < 1 << 20
    with pytest.raises(UserError, match="zip bomb"):
        import_data(bomb, "bomb.zip", tmp_path)


def test_damaged_zips_are_refused(tmp_path):
    whole = zipped(two_classes()).getvalue()
    for data in (whole[: len(whole) // 2], b"no zip at all", b""):
        with pytest.raises(UserError, match="not a readable zip file"):
            import_data(io.BytesIO(data), "mine.zip", tmp_path)
    broken = bytearray(whole)
    broken[60:70] = b"\xff" * 10  # inside the first member: its checksum no longer fits
    with pytest.raises(UserError, match="damaged"):
        import_data(io.BytesIO(bytes(broken)), "mine.zip", tmp_path)
    with pytest.raises(UserError, match=r"none of .npz, .zip, .csv"):
        import_data(io.BytesIO(whole), "mine.rar", tmp_path)


def test_links_twins_and_encryption_inside_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with zipfile.ZipFile(tmp_path / "twin.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    data = bytearray(zipped({"a": b"1"}).getvalue())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    for name, sentence in (("link.zip", "links"), ("twin.zip", "twice"), ("locked.zip", "encrypted")):
        with pytest.raises(UserError, match=sentence):
            open_zip(tmp_path / name, name)


# --- NumPy archives


@pytest.mark.parametrize("layout", [(12, 5, 6), (12, 5, 6, 1), (12, 5, 6, 3), (12, 1, 5, 6), (12, 3, 5, 6)])
def test_npz_layouts(tmp_path, layout):
    pixels = np.random.default_rng(0).integers(0, 256, layout, dtype=np.uint8)
    train, test = load_splits(import_data(npz(images=pixels, labels=np.arange(12) % 2), "a.npz", tmp_path), tmp_path)
    assert train.size == (3 if 3 in layout else 1, 5, 6)
    both = torch.cat((train.images, test.images)).numpy()
    assert sorted(both.sum((1, 2, 3)).tolist()) == sorted(pixels.reshape(12, -1).sum(1).tolist())


def test_npz_floats_names_and_test_part(tmp_path):
    pixels = np.linspace(0, 1, 12 * 4).reshape(12, 2, 2)
    file = npz(
        images=pixels,
        labels=np.array(["owl", "emu"] * 6),
        x_test=pixels[:2],
        y_test=np.array([["emu"], ["owl"]]),
        classes=np.array(["owl", "emu", "kiwi"]),
    )
    train, test = load_splits(import_data(file, "birds.npz", tmp_path), tmp_path)
    assert train.classes == ("owl", "emu", "kiwi") and train.labels[:3].tolist() == [0, 1, 0]
    assert test.labels.tolist() == [1, 0]
    assert train.images.min() == 0 and train.images.max() == 255


def test_npz_labels_are_numbered_from_zero(tmp_path):
    pixels = np.zeros((12, 2, 2), np.uint8)
    train, _ = load_splits(import_data(npz(images=pixels, labels=np.arange(12) % 3 + 5), "a.npz", tmp_path), tmp_path)
    assert train.classes == ("5", "6", "7") and sorted(set(train.labels.tolist())) == [0, 1, 2]


PIXELS = np.zeros((8, 2, 2), np.uint8)
LABELS = np.arange(8) % 2


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"labels": LABELS}, "holds no images"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "holds no images"),
        ({"images": PIXELS, "labels": LABELS[:7]}, "8 images and 7 labels"),
        ({"images": np.zeros((8, 2)), "labels": LABELS}, r"shape \(8, 2\)"),
        ({"images": np.zeros((8, 2, 7, 7)), "labels": LABELS}, r"1 or 3 channels"),
        ({"images": PIXELS - 3.0, "labels": LABELS}, r"floats from -3 to -3"),
        ({"images": PIXELS + np.nan, "labels": LABELS}, "not finite"),
        ({"images": PIXELS.astype(np.int32) + 300, "labels": LABELS}, "Store bytes"),
        ({"images": PIXELS, "labels": LABELS + np.nan}, "not all finite"),
        ({"images": PIXELS, "labels": LABELS + 1, "classes": np.array(["a", "b"])}, "run from 1 to 2"),
        ({"images": PIXELS, "labels": LABELS, "x_test": PIXELS}, "no test labels"),
        ({"images": PIXELS, "labels": LABELS, "x_test": PIXELS, "y_test": LABELS + 1}, "training part lacks"),
        ({"images": PIXELS, "labels": LABELS, "x_test": np.zeros((8, 3, 3), np.uint8), "y_test": LABELS}, "in size"),
        ({"images": np.array([print] * 8), "labels": LABELS}, "pickled objects"),
    ],
)
def test_unusable_npz_files_are_refused_and_not_kept(tmp_path, arrays, sentence):
    with pytest.raises(UserError, match=sentence):
        import_data(npz(**arrays), "mine.npz", tmp_path)
    assert kept_files(tmp_path) == []


def test_an_npz_header_that_lies_is_refused(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 8, 8), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    lying = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64
    file = zipped({"images.npy": lying, "labels.npy": lying})
    with pytest.raises(UserError, match="not a NumPy archive that can be read"):
        import_data(file, "mine.npz", tmp_path)


# --- sets that torchvision fetches


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * 700_000
        self.send_response(200 if "good" in self.path else 404)
        self.send_header("Content-Length", str(len(body) if "short" not in self.path else 2 * len(body)))
        self.end_headers()
        if "good" in self.path:
            self.wfile.write(body)

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def server():
    running = HTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_a_download_reports_progress_and_arrives_whole(tmp_path, server):
    steps = []
    target = tmp_path / "sub" / "file"
    fetch([f"{server}/missing", f"{server}/good"], target, "the set", lambda *step: steps.append(step))
    assert target.read_bytes() == b"x" * 700_000
    assert steps[-1] == ("downloading the set", 700_000, 700_000) and len(steps) > 1
    fetch([], target, "the set", quiet)  # it is there already
    with pytest.raises(UserError, match="the server answered 404"):
        fetch([f"{server}/missing"], tmp_path / "other", "the set", quiet)
    with pytest.raises(UserError, match="broke off"):
        fetch([f"{server}/good-short"], tmp_path / "other", "the set", quiet)
    assert not (tmp_path / "other").exists() and list(tmp_path.glob(".part*")) == []


def test_offline_is_said_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(UserError, match=r"CIFAR10 \(about 170 MB\) could not be downloaded .*refused.*Connect"):
        load_splits(DataRef("torchvision", "CIFAR10"), tmp_path)
    with pytest.raises(UserError, match="There is no set called 'Imagenet'"):
        load_splits(DataRef("torchvision", "Imagenet"), tmp_path)
    with pytest.raises(UserError, match="data directory"):
        load_splits(DataRef("torchvision", "CIFAR10"))


def test_a_damaged_download_is_removed(tmp_path, monkeypatch, server):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{server}/good.tar.gz")
    with pytest.raises(UserError, match="was damaged and has been removed"):
        load_splits(DataRef("torchvision", "CIFAR10"), tmp_path)
    assert list((tmp_path / "downloads").glob("*.gz")) == []


def test_a_fetched_set_becomes_tensors(tmp_path, monkeypatch):
    """MNIST in its published format, with checksums of a small stand-in, through torchvision's own reader."""
    import gzip
    import hashlib

    folder = tmp_path / "downloads" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    resources = []
    for name, magic, body in (
        ("train-images-idx3-ubyte", 0x803, struct.pack(">III", 20, 28, 28) + bytes(range(20)) * 784),
        ("train-labels-idx1-ubyte", 0x801, struct.pack(">I", 20) + bytes(i % 10 for i in range(20))),
        ("t10k-images-idx3-ubyte", 0x803, struct.pack(">III", 10, 28, 28) + bytes(7840)),
        ("t10k-labels-idx1-ubyte", 0x801, struct.pack(">I", 10) + bytes(range(10))),
    ):
        data = gzip.compress(struct.pack(">I", magic) + body)
        (folder / f"{name}.gz").write_bytes(data)
        resources.append((f"{name}.gz", hashlib.md5(data).hexdigest()))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    train, test = load_splits(DataRef("torchvision", "MNIST"), tmp_path)
    assert train.size == test.size == (1, 28, 28) and (len(train), len(test)) == (20, 10)
    assert train.labels.tolist() == [i % 10 for i in range(20)] and train.classes[3] == "3 - three"


@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "2.png", "3.png", "4.png", "notes.txt"),
        ("holiday/1.png", "holiday/2.png", "holiday/3.png", "holiday/4.png"),
        ("all/train/1.png", "all/train/2.png", "all/test/3.png", "all/test/4.png"),
    ],
)
def test_pictures_without_class_folders_have_no_labels(tmp_path, names):
    members = {name: picture() if name.endswith("png") else b"x" for name in names}
    ref = import_data(zipped(members), "a.zip", tmp_path)
    for train, test in (load_splits(ref, tmp_path), load_splits(ref, tmp_path)):
        assert len(train) + len(test) == 4 and train.classes == () and not train.labelled
        assert any("There are no labels" in note for note in train.notes)
    if "all/train/1.png" in names:
        assert (len(train), len(test)) == (2, 2)
