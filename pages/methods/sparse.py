"""What zeros inside the weights are worth: counted, stored, and timed where a kernel skips them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, numbers, provenance
from pages.ui.language import N_, _
from pruning_core.sparsity.weights import Sparsity
from pruning_core.studies.treated import Standing

COUNTED = provenance.derived(N_("weights that are not zero, and the products that they take part in"))
STORED = provenance.derived(N_("bytes of all parameters when zeros are one bit each and the others are written out"))
NONE = "–"


def left(sparsity: Sparsity | None) -> str:
    """The share of weights that are not zero, for a cell."""
    if sparsity is None:
        return NONE
    return numbers.percent(1 - sparsity.zeros / max(1, sparsity.weights))


def cards_of(found: Sparsity, places: Sequence[DeltaGenerator]) -> None:
    cards.number(
        _("Weights not zero"), left(found), COUNTED, container=places[0],
        detail=_("{left} of {all}").format(
            left=numbers.count(found.weights - found.zeros), all=numbers.count(found.weights)
        ),
        help=_("Of the layers that multiply. Norms and biases are not pruned."),
    )  # fmt: skip
    cards.number(
        _("Stored"), numbers.size_bytes(found.bitmask), STORED, container=places[1],
        detail=_("dense {size}").format(size=numbers.size_bytes(found.dense)),
        delta=numbers.percent(found.bitmask / max(1, found.dense) - 1), delta_color="inverse",
        help=_(
"As a bit mask and the values that are left. As compressed rows (CSR) it takes {csr}."
).format(csr=numbers.size_bytes(found.csr)),
    )  # fmt: skip


def explain(before: Standing, after: Standing) -> None:
    """Whether it is faster, by what was timed."""
    assert after.sparsity is not None
    saved = _("{part} of {whole}").format(part=numbers.count(after.sparsity.macs), whole=numbers.count(after.cost.macs))
    dense, first = numbers.milliseconds(after.latency.median_ms), numbers.milliseconds(before.latency.median_ms)
    if after.compressed is None:
        timed = _("PyTorch has no kernel that skips them for these layers on this device.")
    else:
        ratio = after.compressed.median_ms / after.latency.median_ms
        verdict = (
            _("{ratio:.1f} times as fast").format(ratio=1 / ratio)
            if ratio < 1
            else _("{ratio:.1f} times as slow").format(ratio=ratio)
        )
        timed = _("With kernels that skip them (compressed rows) it took {median_ms}: {verdict}.").format(
            median_ms=numbers.milliseconds(after.compressed.median_ms), verdict=verdict
        )
    st.info(
        _(
            "MACs whose weight is not zero: {saved}, counted. **Fewer products are not less time.** "
            "Ordinary kernels multiply by the zeros too: {dense} for one image, {first} before. {timed} "
            "What shrinks is the file."
        ).format(saved=saved, dense=dense, first=first, timed=timed),
        icon=":material/grid_on:",
    )
