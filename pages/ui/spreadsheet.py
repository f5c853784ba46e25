"""A table as a file for spreadsheets, in which no name out of a network is a formula. No streamlit."""

from __future__ import annotations

import pandas as pd

from pruning_core.export.table import csv_of


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Without the index; what is missing is an empty cell."""
    plain = frame.astype(object).where(frame.notna(), None)
    return csv_of([str(name) for name in frame.columns], plain.to_numpy().tolist()).encode()
