"""What a gallery shows of examples that are no pictures, and what a table of mistakes paints."""

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from pages.compare import charts
from pages.ui.pictures import WIDEST, uri


def test_a_recording_is_a_curve_as_high_as_it_is_loud():
    sound = torch.zeros(1, 4800)
    sound[0, 2400:] = torch.tensor([1.0, -1.0]).repeat(1200)
    head, body = uri(sound).split(",")
    points = re.findall(r"([\d.]+),([\d.]+)", base64.b64decode(body).decode().split('points="')[1].split('"')[0])
    heights = [float(y) for _, y in points]
    half = len(heights) // 2
    assert head == "data:image/svg+xml;base64" and len(points) <= 2 * WIDEST
    assert set(heights[:half]) == {WIDEST / 2} and set(heights[half:]) == {2.0, WIDEST - 2.0}


def test_a_volume_shows_its_middle_slice():
    volume = torch.zeros(1, 5, 4, 6)
    volume[0, 2, :, 3:] = 1.0
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri(volume).split(",")[1]))))
    assert shown.shape == (4, 6) and (shown[:, :3] == 0).all() and (shown[:, 3:] == 255).all()


def test_where_nothing_is_mistaken_nothing_is_painted_as_a_mistake():
    drawn = charts.confusion(np.diag([5, 5]), ("no", "yes"), "it").data[0]
    assert (drawn.zmin, drawn.zmax) == (0, 1)
    assert charts.confusion(np.array([[5, 7], [0, 5]]), ("no", "yes"), "it").data[0].zmax == 7
