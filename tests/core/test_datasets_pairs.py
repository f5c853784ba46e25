"""Images with a mask or a target picture each: read, resized together, and refused with the file's name."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from pruning_core.datasets import import_data, load_splits
from pruning_core.datasets.findings import places
from pruning_core.errors import UserError
from tests.core.test_datasets_uploads import kept_files, picture, zipped


def png(values: np.ndarray, mode: str | None = None, kind: str = "PNG") -> bytes:
    """``values`` as a picture; in ``mode`` "P" they are places in a palette."""
    out = io.BytesIO()
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([37 * at % 256 for at in range(768)])
    image.save(out, kind)
    return out.getvalue()


def mask(at: int, side: int = 8) -> np.ndarray:
    """Three classes, and one pixel that nobody labelled."""
    found = np.full((side, side), at % 3, np.uint8)
    found[: side // 2] = 2
    found[0, 0] = 255
    return found


def with_masks(mode: str | None = None, prefix: str = "", count: int = 6) -> dict[str, bytes]:
    images = {f"{prefix}images/{at}.jpg": picture(20 * at, (8, 8), kind="JPEG") for at in range(count)}
    return images | {f"{prefix}masks/{at}.png": png(mask(at), mode) for at in range(count)}


def both(root, members, name="a.zip", **changed):
    ref = dataclasses.replace(import_data(zipped(members), name, root), **changed)
    return load_splits(ref, root)


@pytest.mark.parametrize("mode", [None, "P"])
@pytest.mark.parametrize("prefix", ["", "street/"])
def test_masks_are_the_classes_of_pixels(tmp_path, mode, prefix):
    train, test = both(tmp_path, with_masks(mode, prefix))
    assert train.classes == () and train.labels.dtype == torch.uint8 and train.labels.shape[1:] == (8, 8)
    whole = torch.cat([train.labels, test.labels])
    assert sorted(whole.unique().tolist()) == [0, 1, 2, 255]
    assert any(isinstance(each, places.Masks) and each.classes == 3 for each in train.findings)
    # each mask stayed with its image: the lower half is the number of the image, modulo three
    for data in (train, test):
        numbers = (data.images.float().mean((1, 2, 3)) / 20).round().long()
        assert (data.labels[:, -1, -1] == numbers % 3).all()


@pytest.mark.parametrize("layout", ["{part}/{kind}/", "{kind}/{part}/"])
def test_training_and_test_parts_lie_outside_or_inside(tmp_path, layout):
    members = {}
    for part, count in (("train", 4), ("val", 2)):
        for at in range(count):
            members[layout.format(part=part, kind="images") + f"{at}.png"] = picture(9 * at, (8, 8))
            members[layout.format(part=part, kind="masks") + f"{at}.png"] = png(mask(at))
    train, test = both(tmp_path, members)
    assert (len(train), len(test)) == (4, 2) and not train.divided


def test_black_and_white_masks_are_two_classes(tmp_path):
    members = {f"images/{at}.png": picture(at, (4, 4)) for at in range(4)}
    members |= {f"masks/{at}.png": png(np.eye(4, dtype=np.uint8) * 255) for at in range(4)}
    train, _ = both(tmp_path, members)
    assert train.labels.unique().tolist() == [0, 1]
    assert any(isinstance(each, places.BlackAndWhite) and each.doubt for each in train.findings)


def test_masks_follow_their_images_to_another_size(tmp_path):
    train, _ = both(tmp_path, with_masks(), size=(16, 4))
    assert train.labels.shape[1:] == (16, 4) and train.size == (3, 16, 4)
    assert set(train.labels.unique().tolist()) <= {0, 1, 2, 255}, "no number between two classes"
    smaller = train.resized(8, 8)
    assert smaller.labels.shape[1:] == (8, 8) == train.places_at(8, 8)


def test_target_pictures_stay_as_many_times_as_large(tmp_path):
    members = {f"lr/{at}.png": picture(20 * at, (6, 4)) for at in range(5)}
    members |= {f"hr/{at}.png": picture(20 * at, (12, 8)) for at in range(5)}
    train, _ = both(tmp_path, members)
    assert train.labels.dtype == torch.float32 and train.labels.shape[1:] == (3, 8, 12)
    assert torch.equal(train.labels[:, :, ::2, ::2], train.images / 255)
    assert train.resized(8, 12).labels.shape[1:] == (3, 16, 24)
    (said,) = [each for each in train.findings if isinstance(each, places.TargetPictures)]
    assert (train.mean, train.std) == ((0.0,) * 3, (1.0,) * 3), "what goes in is like what should come out"
    assert said.ratio == 2 and "2 times its sides" in said.sentence


def test_what_lies_beside_is_said(tmp_path):
    members = with_masks() | {"readme.txt": b"hello", "__MACOSX/images/._0.jpg": b"junk", "cover.png": picture()}
    train, _ = both(tmp_path, members)
    said = " ".join(train.notes)
    assert "readme.txt" in said and "._0.jpg" in said and "cover.png" in said


def replaced(name: str, data: bytes | None) -> dict[str, bytes]:
    members = with_masks()
    del members["masks/0.png"]
    return members if data is None else members | {name: data}


REFUSED = {
    "no partner": (replaced("", None), r"'images/0.jpg' in 'a.zip' has no mask\. .* same name"),
    "several without": (
        {k: v for k, v in with_masks().items() if k not in ("masks/0.png", "masks/1.png")}, "1 more lack theirs",
    ),
    "no image": (with_masks() | {"masks/9.png": png(mask(0))}, r"'masks/9.png' in 'a.zip' has no image"),
    "another size": (replaced("masks/0.png", png(mask(0, 9))), "'masks/0.png' has 9 × 9 pixels and its image 8 × 8"),
    "colours": (
        replaced("masks/0.png", png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))),
        "'masks/0.png' is in colour, and which class a colour stands for is not said",
    ),
    "packed with loss": (replaced("masks/0.jpg", png(mask(0), kind="JPEG")), "'masks/0.jpg' is a JPEG"),
    "numbers beyond a byte": (
        replaced("masks/0.png", png(np.full((8, 8), 256, np.uint16))), "holds numbers from 256 to 256",
    ),
    "not a picture": (replaced("masks/0.png", b"<svg onload=alert(1)>"), "'masks/0.png' does not decode"),
    "markup in the name": (
        replaced("masks/<b>0.png", png(mask(0))), r"'images/0.jpg' in 'a.zip' has no mask",
    ),
    "nothing labelled": (
        {f"images/{at}.png": picture(at, (4, 4)) for at in range(3)}
        | {f"masks/{at}.png": png(np.full((4, 4), 255, np.uint8)) for at in range(3)},
        "nobody labelled",
    ),
    "both": (with_masks() | {"targets/0.png": picture()}, "holds both masks and target pictures"),
    "twice": (with_masks() | {"images/0.png": picture()}, "differ in their suffix alone"),
    "targets of other ratios": (
        {f"images/{at}.png": picture(at, (4, 4)) for at in range(3)}
        | {f"targets/{at}.png": picture(at, (8 + at, 8)) for at in range(3)},
        "'targets/1.png' has 9 × 8 pixels and its image 4 × 4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(tmp_path, case):
    members, sentence = REFUSED[case]
    with pytest.raises(UserError, match=sentence) as caught:
        import_data(zipped(members), "a.zip", tmp_path)
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


def test_a_second_zip_has_no_place(tmp_path):
    with pytest.raises(UserError, match="images and their masks in each, into one zip"):
        import_data(zipped(with_masks()), "a.zip", tmp_path, test_file=zipped(with_masks()))


def test_folders_called_like_classes_stay_classes(tmp_path):
    members = {f"{label}/{at}.png": picture(at) for label in ("images", "drawings") for at in range(3)}
    train, _ = both(tmp_path, members)
    assert train.classes == ("drawings", "images")
