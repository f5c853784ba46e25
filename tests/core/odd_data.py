"""Data sets for the tests of what is odd: honest ones, to be changed in one thing."""

import io

import numpy as np
from PIL import Image

from pruning_core.datasets import import_data, load_splits
from tests.core.test_datasets_uploads import npz, zipped

RNG = np.random.default_rng(7)


def noise(side=(8, 10), channels=3, high=256, dtype=np.uint8):
    """Pixels that no other image has, over the whole range."""
    shape = (*side, channels) if channels > 1 else side
    pixels = RNG.integers(0, high, shape).astype(dtype)
    pixels.flat[:2] = 0, high - 1
    return pixels


def stored(image, kind="PNG", **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def colour():
    return stored(noise())


def grey():
    return stored(noise(channels=1))


def folders(make=colour, count=4, suffix="png", prefix=""):
    return {f"{prefix}{label}/{at}.{suffix}": make() for label in ("cat", "dog") for at in range(count)}


def notes(root, members, name="a.zip", **options):
    """The findings of a zip with these members, or of an open npz."""
    file = members if isinstance(members, io.BytesIO) else zipped(members)
    train, test = load_splits(import_data(file, name, root, **options), root)
    assert train.findings == test.findings and set(train.notes) == {each.sentence for each in train.findings}
    return train, test, {type(each): each for each in train.findings}


def arrays(**changed):
    images = np.stack([noise() for _ in range(12)]).transpose(0, 3, 1, 2)
    return npz(**{"images": images, "labels": np.arange(12) % 3, **changed})
