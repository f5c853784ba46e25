"""COCO's boxes as targets, masks in run lengths, and annotations that are wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as reference

from pruning_core.datasets import load_splits
from pruning_core.datasets.findings import places
from pruning_core.datasets.targets import Labels
from pruning_core.errors import UserError
from tests.core.test_datasets_listed import both, images, numbers
from tests.core.test_datasets_uploads import kept_files

COUNT, WIDE, HIGH = 12, 8, 6
CATEGORIES = [{"id": 90, "name": "cup"}, {"id": 3, "name": "cat"}]  # numbers with gaps: a cat is 0, a cup 1


def told(annotations, **parts) -> dict[str, bytes]:
    pictures = [{"id": 7 * at, "file_name": f"p{at:02}.png", "width": WIDE, "height": HIGH} for at in range(COUNT)]
    text = {"images": pictures, "annotations": annotations, "categories": CATEGORIES} | parts
    return images() | {"instances.json": json.dumps(text).encode()}


def thing(image, kind, bbox, **more):
    return {"image_id": 7 * image, "category_id": kind, "bbox": bbox, **more}


def one_each(**more):
    return [thing(at, 3, [1, 2, 4, 3], **more) for at in range(COUNT)]


def test_boxes_are_shares_of_the_sides_whatever_the_size(tmp_path):
    things = [*one_each(), *(thing(at, 90, [0, 0, 8, 6]) for at in range(0, COUNT, 2))]
    for size in (None, (30, 20)):
        for data in both(tmp_path, told(things), size=size):
            assert data.kind is Labels.BOXES and data.categories == ("cat", "cup") and not data.classes
            assert data.labels.shape[1:] == (2, 6) and data.labels.dtype == torch.float32
            for boxes, number in zip(data.labels, numbers(data).tolist(), strict=True):
                assert boxes[0].tolist() == pytest.approx([1 / 8, 2 / 6, 5 / 8, 5 / 6, 0, 0])
                assert boxes[1].tolist() == pytest.approx(
                    [0, 0, 1, 1, 1, 0] if number % 2 == 0 else [0, 0, 0, 0, -1, 0]
                )
    assert any(isinstance(each, places.Annotations) and each.way == "boxes" for each in data.findings)
    assert "were read as boxes" in " ".join(data.notes)


def test_boxes_that_are_no_good_are_mended_and_it_is_said(tmp_path):
    things = [*one_each(), thing(0, 3, [-4, -3, 8, 6]), thing(1, 3, [2, 2, 0, 3]), thing(2, 90, [20, 20, 5, 5]),
              thing(3, 90, [0, 0, 8, 6], iscrowd=1)]  # fmt: skip
    parts = both(tmp_path, told(things))
    labels = {int(n): boxes for data in parts for n, boxes in zip(numbers(data), data.labels)}
    assert labels[0][1].tolist() == pytest.approx([0, 0, 0.5, 0.5, 0, 0]), "cut at the edge"
    assert labels[1][1, 4] == labels[2][1, 4] == -1, "left out"
    assert labels[3][1, 4:].tolist() == [1, 1], "a crowd"
    (said,) = [each for each in parts[0].findings if isinstance(each, places.BoxesMended)]
    assert (said.cut, said.empty, said.crowds) == (1, 2, 1)
    assert "1 reached out" in said.sentence and "2 had no area" in said.sentence and "1 stand for" in said.sentence


def test_boxes_are_what_is_proposed_where_not_all_is_outlined(tmp_path):
    square = [1, 2, 5, 2, 5, 5, 1, 5]
    assert both(tmp_path, told(one_each(segmentation=[square])))[0].kind is Labels.MASKS
    assert both(tmp_path, told(one_each(segmentation=[square])), task="boxes")[0].kind is Labels.BOXES
    some = [*one_each(segmentation=[square]), thing(0, 3, [0, 0, 2, 2])]
    assert both(tmp_path, told(some))[0].kind is Labels.BOXES
    assert both(tmp_path, told(some), task="labels")[0].kind is Labels.NUMBERS
    without = [each | {"bbox": None} for each in some]
    with pytest.raises(UserError, match=r"Not everything in .* has a box"):
        both(tmp_path, told(without), task="boxes")


def stored(mask: np.ndarray, packed: bool) -> dict:
    """As COCO's own code packs it, or as a list of runs."""
    found = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    if packed:
        return {"size": list(mask.shape), "counts": found["counts"].decode()}
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [2]])
    ends = np.flatnonzero(np.diff(flat) != 0)
    runs = np.diff(np.concatenate([[0], ends])).tolist()
    return {"size": list(mask.shape), "counts": runs}


@pytest.mark.parametrize("packed", [True, False])
def test_run_lengths_are_masks_as_cocos_own_code_reads_them(tmp_path, packed):
    random = np.random.RandomState(3)
    masks = [random.rand(HIGH, WIDE) < 0.1 + 0.07 * at for at in range(COUNT)]
    masks[0][:], masks[1][:] = True, False
    masks[1][-1, -1] = True
    things = [thing(at, 90, [0, 0, 8, 6], segmentation=stored(mask, packed)) for at, mask in enumerate(masks)]
    for data in both(tmp_path, told(things)):
        assert data.kind is Labels.MASKS
        for found, number in zip(data.labels, numbers(data).tolist(), strict=True):
            assert np.array_equal(found.numpy(), 2 * masks[number])


def test_a_large_mask_in_run_lengths(tmp_path):
    """Differences of many bits, and negative ones."""
    from pruning_core.datasets import run_lengths

    random = np.random.RandomState(0)
    mask = np.repeat(np.repeat(random.rand(40, 30) < 0.5, 25, 0), 40, 1)
    runs = run_lengths.understood(stored(mask, True), mask.shape, "a.json")
    assert np.array_equal(run_lengths.mask(runs, mask.shape), mask)


def outlined(**segmentation):
    return told(one_each(segmentation={"size": [HIGH, WIDE]} | segmentation))


WRONG = {
    "runs of another size": (outlined(size=[WIDE, HIGH], counts=[48]), "has 6 × 8 pixels, and its image has 8 × 6"),
    "runs cut short": (outlined(counts=[10, 5]), "add up to 15 pixels, and 8 × 6 are 48"),
    "packed runs cut short": (outlined(counts="52"), "add up to 7 pixels"),
    "packed runs that do not end": (outlined(counts="o"), "is not as COCO's JSON is"),
    "packed runs without end": (outlined(counts="o" * 100_000), "is not as COCO's JSON is"),
    "letters that pack nothing": (outlined(counts="\u00e9"), "is not as COCO's JSON is"),
    "negative runs": (outlined(counts=[60, -12]), "is not as COCO's JSON is"),
    "no counts": (outlined(), "is not as COCO's JSON is"),
    "only boxes without area": (told([thing(0, 3, [1, 1, 0, 0])]), "has any area inside its image"),
    "an image that is not named": (told([thing(1, 3, [0, 0, 1, 1]) | {"image_id": 1}]), "is of image 1, which it does"),
    "too many for one image": (told([thing(0, 3, [0, 0, 1, 1])] * 2001), "has 2,001 boxes for one image; up to 2,000"),
    "a box of texts": (told([thing(0, 3, ["<b>", 0, 1, 1])]), "is not as COCO's JSON is"),
}


@pytest.mark.parametrize("case", WRONG)
def test_annotations_that_are_wrong_are_refused_by_name(tmp_path, case):
    members, sentence = WRONG[case]
    with pytest.raises(UserError, match=sentence) as caught:
        both(tmp_path, members)
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


def test_a_million_boxes_are_refused_before_they_are_looked_at(tmp_path):
    members = told([])
    one = json.dumps(thing(0, 3, [0, 0, 1, 1]))
    text = (
        members["instances.json"].decode().replace('"annotations": []', f'"annotations": [{one}{f",{one}" * 999_999}]')
    )
    with pytest.raises(UserError, match="has 1,000,000 annotations; up to 400,000 are read"):
        both(tmp_path, members | {"instances.json": text.encode()})


def test_a_stored_copy_knows_its_boxes(tmp_path):
    from pruning_core.datasets import import_data
    from tests.core.test_datasets_uploads import zipped

    ref = import_data(zipped(told(one_each())), "a.zip", tmp_path)
    first, second = load_splits(ref, tmp_path)[0], load_splits(ref, tmp_path)[0]
    assert torch.equal(first.labels, second.labels) and second.kind is Labels.BOXES and second.categories
