"""One picture that a stranger sent: what its header says, and its pixels as bytes."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from PIL import Image

from pruning_core.datasets.levels import BYTES, Levels
from pruning_core.errors import UserError, quoted

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
GREY_MODES = frozenset({"1", "L", "LA", "La"})
ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBa", "RGBX", "P", "PA"})
MAX_PIXELS = 50_000_000  # of one picture, before anything is decoded
ORIENTATION = 0x0112  # EXIF's number for how the camera was held
UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_THEIR_SIDE = frozenset({5, 6, 7, 8})
TURNED_BY_ITS_DECODER = "TIFF"
PNG_HEADER = slice(24, 26)  # of a PNG: bits of a sample, kind of colour


class Kind(Enum):
    """How pixels are stored."""

    GREY = "grey"
    COLOUR = "colour"
    DEEP = "deep grey"  # whole numbers of more than 8 bits
    DEEP_COLOUR = "deep colour"
    FLOAT = "floats"

    @property
    def coloured(self) -> bool:
        return self in (Kind.COLOUR, Kind.DEEP_COLOUR)

    @property
    def is_bytes(self) -> bool:
        return self in (Kind.GREY, Kind.COLOUR)


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before a pixel is decoded; sides as it will be shown."""

    height: int
    width: int
    kind: Kind
    mode: str
    cut: bool  # 16 bits a colour, of which the decoder hands over 8
    frames: bool
    format: str = ""  # as the decoder calls it


@dataclass(frozen=True, eq=False)
class Shown:
    """A decoded picture. ``pixels``: uint8 (H, W), or (H, W, 3) where the header says colour."""

    pixels: Image.Image
    turned: bool
    transparent: bool


def header(name: str, data: bytes) -> Header:
    """Raises UserError naming the picture when it is none, or too large."""
    with _Sentences(name):
        image = _opened(data)
        height, width = image.height, image.width
        if _orientation(image) in ON_THEIR_SIDE and image.format != TURNED_BY_ITS_DECODER:
            height, width = width, height
        kind = _kind(image, data)
        return Header(height, width, kind, image.mode, _is_cut(image) and kind is Kind.COLOUR, _frames(image),
                      image.format or "")  # fmt: skip


def extremes(name: str, data: bytes, kind: Kind) -> tuple[float, float]:
    """(smallest, largest) stored value of a picture that is not made of bytes. Raises UserError as ``shown`` does."""
    with _Sentences(name):
        values = _values(_opened(data), data, kind)
        return float(values.min()), float(values.max())


def stored(name: str, data: bytes) -> np.ndarray:
    """Its numbers as they are stored, (H, W) or (H, W, channels): of a palette, the places in it. No alpha.

    Raises UserError as ``shown`` does.
    """
    with _Sentences(name):
        image = _opened(data)
        pixels = image.width * image.height
        if image.mode in ALPHA_MODES and image.mode != "PA":
            image = image.convert("L" if image.mode in GREY_MODES else "RGB")
        values = np.asarray(image.getchannel("P") if image.mode == "PA" else image)
        if values.shape[0] * values.shape[1] != pixels:
            raise ValueError("it is not as large as it said")
        return values


def shown(name: str, data: bytes, kind: Kind, levels: Levels = BYTES) -> Shown:
    """Decode it: upright as its EXIF asks, without alpha, numbers other than bytes by ``levels``.

    Raises UserError naming it when it does not decode or is larger than its header said.
    """
    with _Sentences(name):
        image = _opened(data)
        pixels, turn = image.width * image.height, _orientation(image)
        transparent = _is_transparent(image)
        if kind.is_bytes:
            plain = image.convert("L" if kind is Kind.GREY else "RGB")
        else:
            plain = Image.fromarray(levels.bytes(_values(image, data, kind)))
        if plain.width * plain.height != pixels:
            raise ValueError("it is not as large as it said")
        if turn in TURNS and image.format != TURNED_BY_ITS_DECODER:
            plain = plain.transpose(TURNS[turn])
        return Shown(plain, turn in TURNS, transparent)


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def _kind(image: Image.Image, data: bytes) -> Kind:
    if image.mode in GREY_MODES:
        return Kind.GREY
    if image.mode == "F":
        return Kind.FLOAT
    if image.mode.startswith("I"):
        return Kind.DEEP
    # The decoder hands over the upper bytes of such colours only; torchvision's reads them whole.
    if image.format == "PNG" and data[PNG_HEADER] in (b"\x10\x02", b"\x10\x04", b"\x10\x06"):
        return Kind.DEEP_COLOUR
    return Kind.COLOUR


def _values(image: Image.Image, data: bytes, kind: Kind) -> np.ndarray:
    """(H, W) or (H, W, 3) of numbers as stored."""
    if kind is not Kind.DEEP_COLOUR:
        return np.asarray(image)
    from torchvision.io import ImageReadMode, decode_png  # seconds to import, and seldom needed

    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    pixels = decode_png(raw, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()  # (H, W, 1 to 4)
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def _is_cut(image: Image.Image) -> bool:
    """True for 16 bits a colour read as 8."""
    return any(";16" in str(getattr(tile, "args", "")) for tile in getattr(image, "tile", ()))


def _frames(image: Image.Image) -> bool:
    with suppress(Exception):  # a damaged second frame is none
        return bool(getattr(image, "is_animated", False))
    return False


def _orientation(image: Image.Image) -> int:
    """How the camera was held, by EXIF's numbers; 1 is upright."""
    if image.format == "PNG" and not image.info.keys() & {"exif", "Raw profile type exif"}:
        return UPRIGHT  # asking would decode the whole picture in search of it
    with suppress(Exception):  # a damaged EXIF says nothing
        found = image.getexif().get(ORIENTATION, UPRIGHT)
        return int(found) if 1 <= int(found) <= 8 else UPRIGHT
    return UPRIGHT


def _is_transparent(image: Image.Image) -> bool:
    """True when some pixel really is see-through."""
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


class _Sentences:
    """Turns whatever a decoder raises on a stranger's bytes into one sentence about ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, UserError) or not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError):
            raise UserError(
                f"The image {quoted(self._name)} needs more memory than is free. Send a smaller version of it."
            ) from error
        if isinstance(error, Image.DecompressionBombError):
            raise UserError(
                f"{quoted(self._name)} would decode to more than {MAX_PIXELS:,} pixels, so it was not. Send a smaller "
                "version of it."
            ) from error
        raise UserError(
            f"The image {quoted(self._name)} does not decode: it is damaged or no image. Replace or remove it."
        ) from error
