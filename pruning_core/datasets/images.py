"""Decoding pictures that a stranger sent, into one uint8 tensor."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruning_core.errors import UserError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
GREY_MODES = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L"})
MAX_PIXELS = 50_000_000  # of one image, before anything is decoded
MAX_TOTAL_BYTES = 6 << 30  # of all decoded images together


@dataclass
class Pictures:
    """Collects images and stacks them. ``size``: (H, W) to bring all of them to, or None for the commonest."""

    archive: str
    size: tuple[int, int] | None
    arrays: list[np.ndarray] = field(default_factory=list)  # (H, W) or (H, W, 3), uint8
    total: int = 0

    def add(self, name: str, data: bytes) -> None:
        """Decode one image. Raises UserError naming it when it does not decode or is too large."""
        image = _decoded(name, data)
        if self.size is not None:
            image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
        array = np.asarray(image)
        self.total += array.nbytes
        if self.total > MAX_TOTAL_BYTES:
            raise UserError(
                f"The images of {self.archive!r} take more than {MAX_TOTAL_BYTES / 2**30:.0f} GiB of memory. Choose a "
                "smaller size for them, or fewer images."
            )
        self.arrays.append(array)

    def stacked(self) -> tuple[Tensor, tuple[str, ...]]:
        """uint8 (N, C, H, W), one channel only if every image is grey; and notes on what was done."""
        notes: list[str] = []
        sizes = Counter(array.shape[:2] for array in self.arrays)
        (height, width), common = sizes.most_common(1)[0]
        if len(sizes) > 1:
            odd = f"{len(self.arrays) - common:,} of {len(self.arrays):,} images"
            notes.append(f"{odd} had another size and were resized to {width} x {height}")
        colour = any(array.ndim == 3 for array in self.arrays)
        out = np.empty((len(self.arrays), height, width, 3 if colour else 1), dtype=np.uint8)
        for at, array in enumerate(self.arrays):
            if array.shape[:2] != (height, width):
                array = np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR))
            out[at] = array if array.ndim == 3 else array[..., None]
            self.arrays[at] = out[at, :0]  # freed as we go: never two full copies
        self.arrays.clear()
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous(), tuple(notes)


def _decoded(name: str, data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if image.mode not in GREY_MODES:
            return image.convert("RGB")
        if image.mode in ("1", "L"):
            return image.convert("L")
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))  # 16-bit grey
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{name!r} would decode to more than {MAX_PIXELS:,} pixels, so it was not. Send a smaller version of it."
        ) from error
    except Exception as error:  # a decoder may raise anything on damaged bytes, and all of it means the same
        raise UserError(
            f"The image {name!r} does not decode: it is damaged or no image. Replace or remove it."
        ) from error
