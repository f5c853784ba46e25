"""What the visitor has sent."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.ui.language import _, ngettext
from pages.yours import chosen
from pruning_core.runs.jobs import Jobs


def draw(jobs: Jobs, owner: str) -> None:
    st.subheader(_("Uploads"))
    found = jobs.ledger.uploads(owner)
    if not found:
        st.caption(_("Nothing that you sent is stored."))
        return
    rows = pd.DataFrame({_("File"): [each.name for each in found]} | chosen.facts(
        [each.size_bytes for each in found], [each.since for each in found]
    ))  # fmt: skip
    marked = chosen.rows(rows, key="yours.uploads")
    digests = [found[row].digest for row in marked]
    label = ngettext("Delete {n} upload", "Delete {n} uploads", len(marked)).format(n=len(marked))

    def delete() -> None:
        for digest in digests:
            jobs.ledger.forget(owner, digest)

    chosen.deletion(label, delete, marked, key="yours.uploads.delete", jobs=jobs, owner=owner)
