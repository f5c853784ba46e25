"""Images with a list of labels or with COCO's annotations: read by name, refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pruning_core.datasets import import_data, load_splits
from pruning_core.datasets.findings import archive, places
from pruning_core.errors import UserError
from tests.core.test_datasets_uploads import kept_files, picture, zipped

COUNT = 12


def images(prefix: str = "") -> dict[str, bytes]:
    """Of which each shows its number: 20 times it is its brightness."""
    return {f"{prefix}p{at:02}.png": picture(20 * at, (8, 6)) for at in range(COUNT)}


def listed(columns: str, row, name: str = "labels.csv", prefix: str = "") -> dict[str, bytes]:
    lines = "".join(f"{row(at)}\n" for at in reversed(range(COUNT)))  # in another order than the names
    return images(prefix) | {name: f"{columns}\n{lines}".encode()}


def both(root, members, **chosen):
    return load_splits(import_data(zipped(members), "a.zip", root, **chosen), root)


def numbers(data) -> torch.Tensor:
    return (data.images.float().mean((1, 2, 3)) / 20).round().long()


@pytest.mark.parametrize("called", ["p{at:02}.png", "pics/p{at:02}.png", "p{at:02}"])
def test_a_column_of_names_and_one_of_classes(tmp_path, called):
    row = lambda at: f"{called.format(at=at)},{'cat' if at % 3 else 'dog'}"  # noqa: E731
    train, test = both(tmp_path, listed("file,animal", row, prefix="pics/"))
    assert train.classes == ("cat", "dog") and len(train) + len(test) == COUNT
    for data in (train, test):
        assert (data.labels == (numbers(data) % 3 == 0).long()).all(), "labels stayed with their images"
    (said,) = [each for each in train.findings if isinstance(each, archive.Listed)]
    assert said.columns == ("animal",)


def test_several_columns_of_yes_and_no_are_several_labels(tmp_path):
    train, _ = both(
        tmp_path, listed("file,even,third", lambda at: f"p{at:02}.png,{int(at % 2 == 0)},{int(at % 3 == 0)}")
    )
    assert train.classes == () and train.labels.dtype == torch.float32
    n = numbers(train)
    assert torch.equal(train.labels, torch.stack([n % 2 == 0, n % 3 == 0], 1).float())


def test_one_1_in_each_row_is_a_class_unless_it_is_said_to_be_numbers(tmp_path):
    members = listed("file,odd,even", lambda at: f"p{at:02}.png,{at % 2},{1 - at % 2}")
    assert both(tmp_path, members)[0].classes == ("odd", "even")
    assert both(tmp_path, members, task="numbers")[0].labels.shape[1:] == (2,)


def test_columns_of_fractions_are_numbers(tmp_path):
    train, _ = both(tmp_path, listed("file,x,y", lambda at: f"p{at:02}.png,{at / 8},{-at / 4}"))
    n = numbers(train).float()
    assert torch.equal(train.labels, torch.stack([n / 8, -n / 4], 1))


@pytest.mark.parametrize(("task", "classes"), [("", 12), ("numbers", 0)])
def test_whole_numbers_are_proposed_as_classes_and_may_be_numbers(tmp_path, task, classes):
    row = lambda at: f"p{at:02}.png,{at // 2}"  # noqa: E731
    train, _ = both(tmp_path, listed("file,age", row), task=task)
    assert len(train.classes) == classes / 2


def test_an_image_that_is_not_listed_is_left_out_and_said(tmp_path):
    members = listed("file,animal", lambda at: f"p{at:02}.png,{at % 2}") | {"extra.png": picture(7, (8, 6))}
    train, test = both(tmp_path, members)
    assert len(train) + len(test) == COUNT and any(isinstance(each, archive.NotListed) for each in train.findings)


def text(content: str | bytes) -> dict[str, bytes]:
    return images() | {"labels.csv": content if isinstance(content, bytes) else content.encode()}


ROWS = "".join(f"p{at:02}.png,{at % 2}\n" for at in range(COUNT))
LISTS = {
    "a name that is not there": ("file,y\n" + ROWS + "<b>x</b>.png,1\n", "names '<b>x</b>.png' in row 13, and the zip"),
    "twice": ("file,y\n" + ROWS + "p00.png,1\n", "names 'p00.png' twice"),
    "an empty label": ("file,y\n" + ROWS.replace("p03.png,1", "p03.png,"), "column 'y' of 'labels.csv' has 1 empty"),
    "no names": ("a,b\n1,2\n3,4\n", "No column of 'labels.csv' names the images"),
    "texts among numbers": (
        "file,x,y\n" + "".join(f"p{at:02}.png,{at / 2},red\n" for at in range(COUNT)), "column 'y' .* holds texts",
    ),
    "infinite": (
        "file,x\n" + "".join(f"p{at:02}.png,{at / 2 if at else 'inf'}\n" for at in range(COUNT)), "not finite",
    ),
    "no text": (b"\x00\x01\x02", "is no text"),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_does_not_fit_is_refused_by_name(tmp_path, case):
    content, sentence = LISTS[case]
    with pytest.raises(UserError, match=sentence) as caught:
        both(tmp_path, text(content))
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


# -- COCO --------------------------------------------------------------------------------------------------------------


def told() -> dict:
    """A square of 4 x 2 pixels of one kind on every image, and one of another kind on every second."""
    things = []
    for at in range(COUNT):
        for kind, x in ((7, 0), (3, 4)):
            if kind == 7 or at % 2:
                outline = [x, 0, x + 3, 0, x + 3, 1, x, 1]
                things.append({"id": len(things), "image_id": 100 + at, "category_id": kind, "bbox": [x, 0, 4, 2],
                               "segmentation": [outline]})  # fmt: skip
    return {
        "images": [{"id": 100 + at, "file_name": f"p{at:02}.png", "width": 8, "height": 6} for at in range(COUNT)],
        "annotations": things,
        "categories": [{"id": 7, "name": "cup"}, {"id": 3, "name": "<b>cat</b>"}],
    }


def coco(content=None) -> dict[str, bytes]:
    return images("pics/") | {"instances.json": json.dumps(told() if content is None else content).encode()}


def test_outlines_are_masks(tmp_path):
    train, _ = both(tmp_path, coco())
    assert train.labels.shape[1:] == (6, 8) and train.labels.dtype == torch.uint8
    for mask, number in zip(train.labels, numbers(train)):
        wanted = np.zeros((6, 8), np.uint8)
        wanted[:2, :4] = 2  # cup: the second category by its number
        wanted[:2, 4:] = int(number % 2)
        assert np.array_equal(mask.numpy(), wanted)


def test_annotations_are_several_labels_when_asked(tmp_path):
    boxes = told()
    for each in boxes["annotations"]:
        del each["segmentation"]
    for train, _ in (both(tmp_path, coco(), task="labels"), both(tmp_path, coco(boxes), task="labels")):
        assert torch.equal(train.labels, torch.stack([numbers(train) % 2 == 1, numbers(train) >= 0], 1).float())
        (said,) = [each for each in train.findings if isinstance(each, places.Annotations)]
        assert said.categories == ("<b>cat</b>", "cup") and said.way == "labels"
    with pytest.raises(UserError, match="has an outline"):
        both(tmp_path, coco(boxes), task="masks")


def test_masks_follow_a_size_that_was_asked_for(tmp_path):
    train, _ = both(tmp_path, coco(), size=(12, 16))
    assert train.labels.shape[1:] == (12, 16) and set(train.labels.unique().tolist()) == {0, 1, 2}


def changed(**parts) -> dict[str, bytes]:
    return coco(told() | parts)


def of_one(**fields):
    """The first annotation with other fields."""
    return changed(annotations=[told()["annotations"][0] | fields])


JSONS = {
    "no JSON": (images() | {"a.json": b'{"images": ['}, "'a.json' is no JSON"),
    "brackets without end": (images() | {"a.json": b"[" * 100_000}, "'a.json' is no JSON"),
    "an image that is not there": (
        changed(images=[{"id": 1, "file_name": "<b>.png", "width": 8, "height": 6}]), "names '<b>.png', and the zip",
    ),
    "other sides": (
        changed(images=[each | {"width": 60_000, "height": 60_000} for each in told()["images"]]),
        "says that 'pics/p00.png' has 60000 × 60000 pixels, and it has 8 × 6",
    ),
    "no name": (changed(images=[{"id": 1}]), "is not as COCO's JSON is"),
    "no images": (changed(images=[], annotations=[]), "names no images"),
    "an image that is not named": (of_one(image_id=5), "is of image 5, which it does not name"),
    "a category that is not named": (of_one(category_id=5), "is of category 5, which it does not name"),
    "a box of three": (of_one(bbox=[1, 2, 3]), "is not as COCO's JSON is"),
    "NaN": (of_one(bbox=[float("nan"), 0, 1, 1]), "is not as COCO's JSON is"),
    "a text as outline": (of_one(segmentation=[["<b>"] * 6]), "is not as COCO's JSON is"),
    "an outline of two points": (of_one(segmentation=[[1, 2, 3, 4]]), "is not as COCO's JSON is"),
    "an endless outline": (of_one(segmentation=[[1, 2] * 100_001]), "more than 100,000 points"),
    "many categories": (changed(categories=[{"id": at, "name": "x"} for at in range(300)]), "has 300 categories"),
}  # fmt: skip


@pytest.mark.parametrize("case", JSONS)
def test_annotations_that_do_not_fit_are_refused_by_name(tmp_path, case):
    members, sentence = JSONS[case]
    with pytest.raises(UserError, match=sentence) as caught:
        both(tmp_path, members)
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


def test_an_outline_far_outside_costs_no_time(tmp_path):
    far = of_one(segmentation=[[0, 0, 1e300, 0, 1e300, 1e300, -1e300, 1e300]])
    train, _ = both(tmp_path, far)
    assert train.labels.shape[1:] == (6, 8)


def test_another_json_beside_class_folders_is_no_annotation(tmp_path):
    members = {f"{label}/{at}.png": picture(at) for label in "ab" for at in range(3)} | {"notes.json": b"{}"}
    assert both(tmp_path, members)[0].classes == ("a", "b")
