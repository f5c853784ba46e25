"""Groups of images out of somebody's table, and what each loses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pruning_core.errors import UserError
from pruning_core.measuring.answers import Answers, damage
from pruning_core.measuring.marks import Marks
from pruning_core.measuring.parts import FEWEST, fallen, losses_in
from pruning_core.measuring.registry import BY_KEY
from pruning_core.measuring.subgroups import MOST, read


def answers(said: list[int], labels: list[int]) -> Answers:
    return Answers(np.array(said, np.int32), np.ones(len(said), np.float32), np.array(labels, np.int32))


def test_rows_in_order_or_numbered() -> None:
    assert read(b"light\nday\nnight\nday\n", 3) == {"light": ("day", "night", "day")}
    assert read(b"\xef\xbb\xbfimage,light\r\n2,night\r\n0,day\r\n", 3) == {"light": ("day", "", "night")}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"light\nday\n", "1 rows for 3 test images"),
        (b"image,light\n3,day\n", "from 0 to 2"),
        (b"image,light\n-1,day\n", "numbers no test image"),
        (b"image,light\n1,day\n1,night\n", "twice"),
        (b"light\n", "no rows"),
        (b"a,a\n1,2\n1,2\n1,2\n", "same name"),
        (b"a,b\n1\n2,3\n4,5\n", "Row 2"),
        (b"\xff\xfe\n", "not a CSV"),
        (b"image\n0\n1\n", "No column"),
    ],
)
def test_what_is_no_such_table_says_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(data, 3)


def test_a_column_that_names_every_image_by_itself_is_no_group() -> None:
    rows = "".join(f"{at},file{at},{at % 2}\n" for at in range(MOST + 1))
    assert list(read(f"image,file,half\n{rows}".encode(), MOST + 1)) == ["half"]


def test_what_a_group_loses_is_counted_in_its_images() -> None:
    labels = [0, 0, 1, 1, 1]
    before, after = answers([0, 0, 1, 1, 0], labels), answers([0, 1, 0, 1, 1], labels)
    night, day = losses_in(before.marks, after.marks, ["night", "night", "day", "", "day"])
    assert (night.name, night.before, night.after, night.drop.lost, night.drop.images) == ("night", 1.0, 0.5, 1, 2)
    assert (day.drop.images, day.before, day.after, day.drop.lost, day.drop.drop) == (2, 0.5, 0.5, 1, 0.0)
    by_label = losses_in(before.marks, after.marks, ["ab"[label] for label in labels])
    assert by_label == damage(before, after, ["a", "b"])
    with pytest.raises(ValueError, match="every image"):
        losses_in(before.marks, after.marks, ["night"])


def test_groups_lose_by_any_measure_and_few_images_tell_no_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(FEWEST + 25, 1, generator=generator).double()
    groups = ["few"] * (FEWEST - 1) + [""] + ["many"] * 25
    found = losses_in(Marks(BY_KEY["mae"], rows), Marks(BY_KEY["mae"], rows + 0.25), groups)
    (many,) = found
    assert many.name == "many" and many.drop.images == 25 and many.drop.drop == pytest.approx(0.25), "an error rose"
    assert many.before == pytest.approx(float(rows[FEWEST:].mean())) and not many.drop.within_noise
    outputs, yes = torch.rand(20, 1, generator=generator).double(), torch.tensor([[1.0]] * 10 + [[0.0], [1.0]] * 5)
    curve = Marks(BY_KEY["auc"], torch.cat([outputs, yes], 1).double())
    (mixed,) = losses_in(curve, curve, ["all yes"] * 10 + ["mixed"] * 10)
    assert mixed.name == "mixed", "no area lies under the curve of one answer"


def test_an_image_has_a_score_of_its_own_where_the_measure_is_no_value_of_many() -> None:
    first, second = torch.tensor([[1.0], [0.5]]).double(), torch.tensor([[0.25], [0.75]]).double()
    assert fallen(Marks(BY_KEY["ssim"], first), Marks(BY_KEY["ssim"], second)).tolist() == [0.75, -0.25]
    assert fallen(Marks(BY_KEY["mae"], first), Marks(BY_KEY["mae"], second)).tolist() == [-0.75, 0.25]
    both = torch.tensor([[3.0, 1.0, 4.0, 4.0], [0.0, 2.0, 0.0, 2.0]]).double()
    assert BY_KEY["miou"].each(both).tolist() == [0.5, 1.0], "over the classes that an image has"
    right = torch.tensor([[2.0, -1.0, 1.0, 1.0]]).double()
    assert BY_KEY["binary_accuracy"].each(right).tolist() == [0.5]
    for key in ("r2", "auc", "map"):
        assert BY_KEY[key].each(torch.rand(4, 4).double()) is None
