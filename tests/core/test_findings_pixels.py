"""Pixels that are not what a person thinks: a conversion is named, and nothing is guessed silently."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pruning_core.datasets import import_data
from pruning_core.datasets.findings import pixels
from pruning_core.errors import UserError
from tests.core.odd_data import RNG, folders, grey, noise, notes, stored
from tests.core.test_datasets_uploads import npz, zipped


def test_plain_data_have_nothing_to_be_said(tmp_path):
    assert notes(tmp_path, folders())[2] == {}
    images = np.stack([noise() for _ in range(12)]).transpose(0, 3, 1, 2)
    assert notes(tmp_path, npz(images=images, labels=np.arange(12) % 3), "a.npz")[2] == {}


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_bits_that_are_used_decide_what_is_white(tmp_path, bits):
    train, _, found = notes(tmp_path, folders(lambda: stored(noise(channels=1, high=2**bits, dtype=np.uint16))))
    assert found.keys() == {pixels.BitDepth} and found[pixels.BitDepth].used == bits
    assert train.images.max() == 255 and len(torch.unique(train.images)) > 100
    assert f"use {bits} of them" in train.notes[0]


def test_eight_bits_in_sixteen_stay_bytes(tmp_path):
    train, _, found = notes(tmp_path, folders(lambda: stored(noise(channels=1, dtype=np.uint16))))
    assert found[pixels.BitDepth].used == 8 and train.images.max() == 255


def test_the_depth_is_that_of_the_whole_set_and_of_its_test_zip(tmp_path):
    """A dark training part and a bright test part must not be brightened differently."""
    dark = folders(lambda: stored(np.full((8, 10), 1000, np.uint16) + noise(channels=1, high=20, dtype=np.uint16)))
    bright = folders(lambda: stored(np.full((8, 10), 2000, np.uint16) + noise(channels=1, high=20, dtype=np.uint16)))
    train, test, found = notes(tmp_path, dark, test_file=zipped(bright))
    assert found[pixels.BitDepth].used == 12 and found[pixels.BitDepth].largest >= 2000
    assert float(test.images.float().mean() / train.images.float().mean()) == pytest.approx(2, abs=0.05)


def sixteen_bit_png(values):
    """(H, W, 3) of uint16 as a PNG: the usual library neither writes nor wholly reads it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def test_colour_of_twelve_bits_in_sixteen_is_not_black(tmp_path):
    values = [noise(high=4096, dtype=np.uint16) for _ in range(8)]
    members = {f"{'ab'[at % 2]}/{at}.png": sixteen_bit_png(value) for at, value in enumerate(values)}
    train, test, found = notes(tmp_path, members)
    assert found.keys() == {pixels.BitDepth} and found[pixels.BitDepth].used == 12
    want = np.sort([np.rint(value * (255 / 4095)).sum() for value in values])
    assert np.allclose(np.sort(torch.cat((train.images, test.images)).sum((1, 2, 3)).numpy()), want)


@pytest.mark.parametrize(
    ("low", "high", "black", "white"), [(0, 1, 0, 1), (-1, 1, -1, 1), (0, 255, 0, 255), (0, 1.002, 0, 1)]
)
@pytest.mark.parametrize("kind", ["tif", "npz"])
def test_floats_of_the_three_usual_ranges_become_bytes_and_it_is_said(tmp_path, kind, low, high, black, white):
    values = RNG.uniform(low, high, (8, 8, 10)).astype(np.float32)
    values[:, 0, 0], values[:, 0, 1] = low, high
    if kind == "tif":
        file = {f"{'ab'[at % 2]}/{at}.tif": stored(value, "TIFF") for at, value in enumerate(values)}
        train, test, found = notes(tmp_path, file)
    else:
        train, test, found = notes(tmp_path, npz(images=values, labels=np.arange(8) % 2), "a.npz")
    assert found.keys() == {pixels.Floats}
    assert (found[pixels.Floats].black, found[pixels.Floats].white) == (black, white)
    want = np.clip(np.rint((values - black) * (255 / (white - black))), 0, 255).sum((1, 2))
    assert np.allclose(np.sort(torch.cat((train.images, test.images)).sum((1, 2, 3)).numpy()), np.sort(want), atol=2)


@pytest.mark.parametrize(("low", "high"), [(-2.1, 2.6), (0, 16), (0, 1.5), (0, 65535), (-0.2, 1), (-1, 255)])
def test_floats_that_could_mean_anything_are_refused(tmp_path, low, high):
    values = np.linspace(low, high, 8 * 80).reshape(8, 8, 10)
    with pytest.raises(UserError, match=r"are floats from .* Floats must lie in"):
        import_data(npz(images=values, labels=np.arange(8) % 2), "a.npz", tmp_path)
    members = {f"{'ab'[at % 2]}/{at}.tif": stored(each.astype("f"), "TIFF") for at, each in enumerate(values)}
    with pytest.raises(UserError, match=r"are floats from .* Floats must lie in"):
        import_data(zipped(members), "a.zip", tmp_path)
    members["a/9.tif"] = stored(np.full((8, 10), np.nan, "f"), "TIFF")
    with pytest.raises(UserError, match="not finite"):
        import_data(zipped(members), "a.zip", tmp_path)


def test_both_parts_of_an_npz_are_converted_alike(tmp_path):
    """The test part alone would look like floats of another range."""
    train = RNG.uniform(0, 255, (8, 6, 6)).astype("f")
    file = npz(images=train, labels=np.arange(8) % 2, x_test=train[:4] / 300, y_test=[0, 1, 0, 1])
    _, test, found = notes(tmp_path, file, "a.npz")
    assert test.images.max() <= 1 and found[pixels.Floats].white == 255


@pytest.mark.parametrize("kind", ["png", "npz", "bool"])
def test_bytes_of_0_and_1_are_black_and_white(tmp_path, kind):
    values = np.stack([noise(channels=1, high=2) for _ in range(8)])
    if kind == "png":
        members = {f"{'ab'[at % 2]}/{at}.png": stored(value) for at, value in enumerate(values)}
        train, _, found = notes(tmp_path, members)
    else:
        pixels_ = values if kind == "npz" else values.astype(bool)
        train, _, found = notes(tmp_path, npz(images=pixels_, labels=np.arange(8) % 2), "a.npz")
    assert found.keys() == {pixels.ZeroOne} and torch.unique(train.images).tolist() == [0, 255]


def test_sixteen_bit_arrays_are_scaled_and_larger_numbers_refused(tmp_path):
    values = np.stack([noise(channels=1, high=4096, dtype=np.uint16) for _ in range(8)])
    train, _, found = notes(tmp_path, npz(images=values, labels=np.arange(8) % 2), "a.npz")
    assert found[pixels.BitDepth].used == 12 and train.images.max() == 255
    with pytest.raises(UserError, match=r"int64 up to 4,095\. Store bytes"):
        import_data(npz(images=values.astype(np.int64), labels=np.arange(8) % 2), "a.npz", tmp_path)


def test_a_set_that_is_nearly_black_says_so(tmp_path):
    digits = np.stack([noise(channels=1, high=17) for _ in range(8)])
    train, _, found = notes(tmp_path, npz(images=digits, labels=np.arange(8) % 2), "a.npz")
    assert found.keys() == {pixels.TooDark} and "16 of 255" in train.notes[0] and train.images.max() == 16


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_pictures_are_turned_as_their_exif_asks(tmp_path, kind, turn):
    """Four quarters of different brightness: what is at the top left afterwards?"""
    upright = np.kron(np.array([[20, 90], [160, 230]], np.uint8), np.ones((16, 24), np.uint8))
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    lying = Image.fromarray(upright)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE,
    }  # fmt: skip
    lying = lying.transpose({**turns, **undo}[turn])
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = stored(lying, kind, exif=exif)
    members = {f"{label}/{at}.{kind.lower()[:4]}": picture for label in "ab" for at in range(2)}
    members = {name.replace("tiff", "tif"): data for name, data in members.items()}
    train, _, found = notes(tmp_path, members)
    assert train.size[1:] == (32, 48) and found[pixels.Turned].count == 4
    corners = train.images[0, 0, [8, 8, 24, 24], [12, 36, 12, 36]]
    assert np.abs(corners.numpy().astype(int) - [20, 90, 160, 230]).max() < 12


def test_a_damaged_exif_turns_nothing_and_refuses_nothing(tmp_path):
    broken = stored(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9)
    train, _, found = notes(tmp_path, {f"{label}/{at}.jpg": broken for label in "ab" for at in range(2)})
    assert train.size == (3, 8, 10) and pixels.Turned not in found


def see_through():
    return stored(np.dstack([noise(), np.full((8, 10), 120, np.uint8)]))


def opaque():
    return stored(np.dstack([noise(), np.full((8, 10), 255, np.uint8)]))


def transparent_palette():
    image = Image.fromarray(noise()).quantize(32)
    image.putpixel((0, 0), 3)  # a palette may hold colours that no pixel has
    return stored(image, transparency=3)


def cmyk():
    return stored(Image.fromarray(noise()).convert("CMYK"), "JPEG")


def animated(kind):
    frames = [Image.fromarray(noise()) for _ in range(3)]
    return stored(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("make", "suffix", "kind", "channels"),
    [
        (see_through, "png", pixels.AlphaLeftOut, 3),
        (opaque, "png", None, 3),
        (lambda: stored(Image.fromarray(noise(channels=1)).convert("LA")), "png", None, 1),
        (transparent_palette, "png", pixels.AlphaLeftOut, 3),
        (lambda: stored(Image.fromarray(noise()).quantize(200)), "png", pixels.Palette, 3),
        (cmyk, "jpg", pixels.OtherColours, 3),
        (lambda: animated("GIF"), "gif", pixels.FirstFrame, 3),
        (lambda: animated("TIFF"), "tif", pixels.FirstFrame, 3),
        (lambda: animated("PNG"), "png", pixels.FirstFrame, 3),
        (lambda: stored(np.repeat(noise(channels=1)[..., None], 3, 2)), "png", pixels.GreyAsColour, 3),
        (lambda: stored(Image.fromarray(noise()).convert("LAB"), "TIFF"), "tif", pixels.OtherColours, 3),
    ],
)
def test_other_kinds_of_pixels_are_named(tmp_path, make, suffix, kind, channels):
    train, _, found = notes(tmp_path, folders(make, suffix=suffix))
    assert train.size[0] == channels
    if kind is None:
        assert found == {}
    else:
        assert kind in found and getattr(found[kind], "count", 8) == 8


def test_grey_pictures_among_coloured_ones_are_counted(tmp_path):
    train, _, found = notes(tmp_path, folders() | {"cat/grey.png": grey(), "dog/grey.png": grey()})
    assert train.size[0] == 3 and found[pixels.GreyAmongColour].count == 2


def test_one_huge_picture_does_not_set_the_size_of_all(tmp_path):
    members = {f"{'ab'[at % 2]}/{at}.png": stored(noise((10 + at, 20 + at))) for at in range(9)}
    members |= {"a/!huge.png": stored(noise((300, 400)))}
    train, _, found = notes(tmp_path, members)
    assert train.size[1:] == (14, 24) and not found[pixels.Resized].common
    assert found[pixels.Resized].largest == (400, 300)
    train, _, found = notes(tmp_path, folders() | {"cat/!huge.png": stored(noise((300, 400)))})
    assert train.size[1:] == (8, 10) and found[pixels.Resized].common and found[pixels.Resized].count == 1
