"""Tables to take along: a name from a file is neither a formula nor a command."""

import csv
import io

import numpy as np
import pandas as pd

from pages.ui.spreadsheet import csv_bytes
from pruning_core.export.table import csv_of, latex_of

NAMES = ["=1+1", "+1", "-1", "@SUM(A1)", " =cmd|' /C calc'!A0", "\t=1", "plain", 'with "quotes", commas']


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers():
    rows = list(csv.reader(io.StringIO(csv_of(("=head", "change"), [(name, -1.5) for name in NAMES]))))
    assert rows[0] == ["'=head", "change"]
    for (text, number), name in zip(rows[1:], NAMES, strict=True):
        assert not text.lstrip().startswith(("=", "+", "-", "@")) and text.removeprefix("'") == name
        assert float(number) == -1.5
    assert csv_of(("a",), [(None,)]).splitlines()[1:] == ['""']


def test_no_name_is_a_command_in_latex():
    text = latex_of(("a_b", "n"), [("\\input{/etc/passwd}$x^2$ & 50\u202f% #1 ~", 1234), ("x", None)], "a\nb%")
    assert r"\textbackslash{}input\{/etc/passwd\}\$x\textasciicircum{}2\$ \& 50\,\% \#1 \textasciitilde{}" in text
    assert r"a\_b & n \\" in text and "1,234" in text and r"x & -- \\" in text and r"\begin{tabular}{lr}" in text
    assert r"\caption{a b\%}" in text


def test_a_frame_keeps_its_numbers_and_loses_its_formulas():
    frame = pd.DataFrame({"=group": ["=1+1", "conv1"], "ratio": [-0.5, np.nan], "count": [3, 4]})
    read = pd.read_csv(io.BytesIO(csv_bytes(frame)))
    assert list(read.columns) == ["'=group", "ratio", "count"] and list(read["'=group"]) == ["'=1+1", "conv1"]
    assert read["ratio"].tolist()[0] == -0.5 and np.isnan(read["ratio"][1]) and read["count"].tolist() == [3, 4]
