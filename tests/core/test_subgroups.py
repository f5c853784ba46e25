"""Groups of images out of somebody's table, and what each loses."""

from __future__ import annotations

import numpy as np
import pytest

from pruning_core.errors import UserError
from pruning_core.measuring.answers import Answers, damage, damage_in
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
    night, day = damage_in(before, after, ["night", "night", "day", "", "day"])
    assert (night.name, night.images, night.before, night.after, night.lost, night.gained) == ("night", 2, 2, 1, 1, 0)
    assert (day.images, day.before, day.after, day.lost, day.gained, day.drop) == (2, 1, 1, 1, 1, 0.0)
    assert damage_in(before, after, ["ab"[label] for label in labels]) == damage(before, after, ["a", "b"])
    with pytest.raises(ValueError, match="every image"):
        damage_in(before, after, ["night"])
