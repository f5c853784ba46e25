"""Images of a data set as they lie in memory, for a page or a file that fetches nothing. No streamlit."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from pages.ui import theme
from pages.ui.language import _
from pruning_core.datasets import Dataset
from pruning_core.errors import clip

CURVE = 48  # stretches of a curve
WIDEST = 96  # pixels: what is larger is made smaller, so that a page of pictures stays small


@dataclass(frozen=True)
class Caption:
    """Below a picture: what was said of it, and whether that is right; None for words that are neither."""

    text: str
    right: bool | None = None


def uri(image: torch.Tensor) -> str:
    """(C, H, W) uint8, grey or colour -> a picture as a data URI.

    Of numbers, samples (C, N) become a curve of their first channel, a volume (C, D, H, W) its middle slice, anything
    else stripes, the smallest black.
    """
    shown = image.cpu()
    if shown.dtype != torch.uint8 and shown.ndim == 2:
        return _curve(shown[0])
    if shown.dtype != torch.uint8 and shown.ndim == 4:
        middle = shown[:1, shown.shape[1] // 2]
        shown = (255 * (middle - middle.min()) / (middle.max() - middle.min()).clamp_min(1e-12)).byte()
    if shown.dtype != torch.uint8:
        flat = shown.flatten()
        grey = 255 * (flat - flat.min()) / (flat.max() - flat.min()).clamp_min(1e-12)
        shown = grey.byte().expand(1, max(1, len(flat) // 4), -1)
    pixels = shown[0].numpy() if shown.shape[0] != 3 else shown.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((WIDEST, WIDEST))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _curve(samples: torch.Tensor) -> str:
    """Least and most of each stretch of samples (N,), so that fast sounds keep their height."""
    step = max(1, len(samples) // CURVE)
    stretches = [samples[at : at + step] for at in range(0, len(samples), step)]
    ends = torch.tensor([[float(each.min()), float(each.max())] for each in stretches]).flatten()
    height = (ends - ends.min()) / (ends.max() - ends.min()).clamp_min(1e-12)
    high = (2 + (1 - height) * (WIDEST - 4)).tolist()
    places = " ".join(f"{at * WIDEST / len(high):.1f},{y:.1f}" for at, y in enumerate(high))
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDEST} {WIDEST}">'
        f'<polyline points="{places}" fill="none" stroke="{theme.ACCENT}" stroke-width="1.5"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def as_seen(data: Dataset, number: int, order: str) -> torch.Tensor:
    """(C, H, W) uint8: whichever ``order`` the network reads, a person sees red as red."""
    return data.images[number].flip(0) if order == "BGR" and data.size[0] == 3 else data.images[number]


def class_name(data: Dataset, number: int) -> str:
    return clip(data.classes[number], 24)


def gallery(data: Dataset, numbers: Sequence[int], captions: Sequence[Sequence[Caption]], side: int = 72) -> str:
    """HTML: the images with these numbers, each with its captions below; names in it are text."""
    cells = []
    for number, lines in zip(numbers, captions, strict=True):
        alt = _("test image {number}").format(number=number)
        if data.classes:
            alt = _("test image {number}, {name}").format(
                number=number, name=html.escape(class_name(data, int(data.labels[number])), quote=True)
            )
        picture = f'<img src="{uri(data.images[number])}" alt="{alt}">'
        cells.append(f"<figure>{picture}<figcaption>{''.join(map(_line, lines))}</figcaption></figure>")
    return f'<div class="ps-gallery">{_style(side)}{"".join(cells)}</div>'


def _line(caption: Caption) -> str:
    sign, kind = {None: ("", "plain"), True: ("✓ ", "right"), False: ("✗ ", "wrong")}[caption.right]
    return f'<div class="{kind}">{sign}{html.escape(caption.text, quote=True)}</div>'


def _style(side: int) -> str:
    """A sign beside the colour, for those who cannot tell the colours apart."""
    return (
        "<style>"
        ".ps-gallery{display:flex;flex-wrap:wrap;gap:.7rem;align-items:flex-start}"
        f".ps-gallery figure{{margin:0;width:{side}px;font-size:.78rem;line-height:1.3;text-align:center}}"
        f".ps-gallery img{{width:{side}px;height:{side}px;object-fit:contain;image-rendering:pixelated;"
        "border-radius:.3rem;background:#000;display:block}"
        ".ps-gallery figcaption{overflow-wrap:anywhere;padding-top:.15rem}"
        f".ps-gallery .right{{color:{_legible(theme.ACCENT)}}}"
        f".ps-gallery .wrong{{color:{_legible(theme.CUT)};font-weight:650}}"
        "</style>"
    )


def _legible(colour: str) -> str:
    """Nearer to the text around it, dark or light: small letters need more contrast than a mark in a figure."""
    return f"color-mix(in srgb, {colour} 60%, currentColor)"
