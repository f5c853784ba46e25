"""scikit-learn's handwritten digits: bundled with the library, so the default works offline."""

from __future__ import annotations

import torch

from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.store import Root


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """1,797 grey images of 8 x 8 pixels, ten classes.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998 (its test part).
    """
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images = torch.from_numpy(bundle.images * (255 / 16)).round().to(torch.uint8)  # grey levels 0..16 -> bytes
    return Raw(
        images=images.unsqueeze(1),  # (N, 1, 8, 8)
        labels=torch.from_numpy(bundle.target).long(),
        classes=tuple(str(name) for name in bundle.target_names),
    )
