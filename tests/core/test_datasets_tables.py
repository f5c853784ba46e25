"""Tables as inputs: columns proposed and chosen, refused by the column's name, and bounded before they are read."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import torch

from pruning_core.datasets import columns, import_data, load_splits, tables
from pruning_core.datasets.findings import numbers
from pruning_core.datasets.targets import Labels
from pruning_core.errors import UserError
from pruning_core.storage import memory
from tests.core.test_datasets_uploads import kept_files

DICE = np.random.default_rng(5)


def frame(rows: int = 30) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "length": DICE.normal(5, 2, rows).round(3),
            "legs": DICE.integers(2, 9, rows),
            "home": [("sea", "land", "air")[at % 3] for at in range(rows)],
            "kind": [("bird", "fish")[at % 2] for at in range(rows)],
        }
    )


def sent(table: pd.DataFrame, kind: str) -> io.BytesIO:
    out = io.BytesIO()
    if kind == ".parquet":
        table.to_parquet(out, index=False)
    else:
        table.to_csv(out, index=False, sep="\t" if kind == ".tsv" else ",")
    out.seek(0)
    return out


def both(root, table, kind=".csv", **chosen):
    return load_splits(import_data(sent(table, kind), f"pets{kind}", root, **chosen), root)


@pytest.mark.parametrize("kind", tables.KINDS)
def test_columns_of_numbers_are_inputs_and_the_last_one_the_target(tmp_path, kind):
    table = frame().drop(columns="home")
    train, test = both(tmp_path, table, kind)
    assert train.size == (2,) and train.classes == ("bird", "fish") and not train.pictures
    assert (len(train), len(test)) == (24, 6)
    rows = torch.cat([train.images, test.images]).sort(0).values
    wanted = torch.tensor(table[["length", "legs"]].to_numpy(), dtype=torch.float32).sort(0).values
    assert torch.equal(rows, wanted)
    x = train.normalised(train.images)
    assert x.mean(0).abs().max() < 1e-5 and (x.std(0, correction=0) - 1).abs().max() < 1e-5


def test_the_target_and_what_is_left_out_are_chosen(tmp_path):
    train, _ = both(tmp_path, frame(), target="length", left_out=("home", "kind"))
    assert train.size == (1,) and train.classes == () and train.labels.dtype == torch.float32
    said = " ".join(train.notes)
    assert "The target is 'length', read as numbers" in said and "'home', 'kind' were left out" in said
    alone, _ = both(tmp_path, frame(), target=None, left_out=("home", "kind"))
    assert alone.size == (2,) and not alone.labelled


def test_texts_become_columns_when_asked(tmp_path):
    train, _ = both(tmp_path, frame(), one_hot=True)
    assert train.size == (5,) and bool((train.images[:, 2:].sum(1) == 1).all())
    (said,) = [each for each in train.findings if isinstance(each, numbers.Categories)]
    assert said.categories == ("air", "land", "sea")


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (np.arange(30) % 2, "", ("0", "1")),
        (np.arange(30) % 2 == 0, "", ("0", "1")),
        (np.arange(30) % 2, "numbers", ()),
        (np.arange(30), "", ()),
        (np.arange(30) // 2, "classes", tuple(map(str, range(15)))),
        (np.arange(30) / 7, "", ()),
    ],
)
def test_what_the_target_is_follows_from_its_values_or_is_said(tmp_path, values, task, classes):
    table = pd.DataFrame({"a": DICE.normal(size=30), "y": values})
    train, _ = both(tmp_path, table, task=task)
    assert train.classes == classes and (bool(classes) or train.labels.dtype == torch.float32)


def test_numbers_go_in_as_they_are_when_asked(tmp_path):
    ref = import_data(sent(frame().drop(columns="home"), ".csv"), "a.csv", tmp_path)
    train, _ = load_splits(dataclasses.replace(ref, mean=(0.0,) * 2, std=(1.0,) * 2), tmp_path)
    assert torch.equal(train.normalised(train.images), train.images)


def test_a_table_without_names_gets_some(tmp_path):
    lines = "".join(f"{at / 4},{at},{at % 2}\n" for at in range(20)).encode()
    train, test = load_splits(import_data(io.BytesIO(lines), "a.csv", tmp_path), tmp_path)
    assert train.size == (2,) and len(train) + len(test) == 20


def test_columns_are_described_before_anything_is_chosen(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(sent(frame(), ".csv").getvalue())
    told = {each.name: each for each in tables.look(path, "a.csv")}
    assert [each.texts for each in told.values()] == [False, False, True, True]
    assert told["home"].different == 3 and told["kind"].task == "classes" and told["length"].task == "numbers"


def test_copies_and_columns_that_tell_nothing_are_said(tmp_path):
    table = frame().drop(columns="home").assign(still=1.5)[["length", "legs", "still", "kind"]]
    table.loc[1] = table.loc[0]
    table.loc[1, "kind"] = "fish"
    train, _ = both(tmp_path, table)
    (same,) = [each for each in train.findings if isinstance(each, numbers.RepeatedRows)]
    assert (same.count, same.total, same.apart) == (1, 30, 1)
    assert any(isinstance(each, numbers.Constant) and each.first == 3 for each in train.findings)


def csv(text: str | bytes):
    data = text.encode() if isinstance(text, str) else text
    return lambda: ("a.csv", io.BytesIO(data), {})


def of(table: pd.DataFrame, kind: str = ".csv", **chosen):
    return lambda: (f"a{kind}", sent(table, kind), chosen)


REFUSED = {
    "texts as input": (of(frame()), "column 'home' of 'a.csv' holds texts, such as 'sea'. Leave it out, or"),
    "an empty cell": (csv("a,b\n1,0\n,1\n3,0\n"), "column 'a' of 'a.csv' has 1 empty cell.*in row 2"),
    "NaN": (csv("a,b\n1,0\nNaN,1\n3,0\n"), "column 'a' of 'a.csv' has 1 empty cell"),
    "infinite": (csv("a,b\n1,0\ninf,1\n3,0\n"), "number in row 2 that is not finite"),
    "beyond float32": (csv("a,b\n1,0\n1e300,1\n3,0\n"), "not finite or too large"),
    "one text among numbers": (csv("a,b\n1,0\n<script>,1\n3,0\n"), "'a' of 'a.csv' holds texts"),
    "no rows": (csv("a,b\n"), "a table without rows"),
    "nothing": (csv(""), "cannot be read as CSV"),
    "a ragged line": (csv("a,b\n1,2\n1,2,3,4\n"), "cannot be read as CSV"),
    "no text": (csv(b"\x89PNG\r\0\n\x1a\n"), "is no text"),
    "another encoding": (csv("größe,b\n1,2\n".encode("latin1")), "not written in UTF-8"),
    "two of one name": (csv("a, a\n1,2\n3,4\n"), "are called 'a'"),
    "a line without end": (csv("a" * (columns.MAX_LINE + 9)), "does not end"),
    "too many columns": (csv("," * 20_000 + "\n"), "has 20,001 columns"),
    "no such target": (of(frame(), target="<b>size</b>"), "no column called '<b>size</b>'"),
    "nothing left": (of(frame()[["kind"]]), "No column of 'a.csv' is left as an input"),
    "one class": (of(pd.DataFrame({"a": range(9), "b": ["x"] * 9})), "All labels of 'a.csv' are the same"),
    "fractions as classes": (of(pd.DataFrame({"a": range(9), "b": np.arange(9) / 2}), task="classes"), "no classes"),
    "columns inside a column": (of(pd.DataFrame({"a": [[1, 2]] * 4, "b": range(4)}), ".parquet"), "inside a column"),
    "no Parquet": (lambda: ("a.parquet", io.BytesIO(b"PAR1 and nothing PAR1"), {}), "cannot be read as Parquet"),
    "many categories": (
        of(pd.DataFrame({"a": [f"n{at}" for at in range(300)], "b": np.arange(300) % 2}), one_hot=True),
        "300 different texts; at most 200",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_of_numbers_is_refused_by_name(tmp_path, case):
    make, sentence = REFUSED[case]
    name, file, chosen = make()
    with pytest.raises(UserError, match=sentence) as caught:
        import_data(file, name, tmp_path, **chosen)
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_what_would_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch, kind):
    table = pd.DataFrame({"a": np.zeros(100_000), "b": np.zeros(100_000, int)})  # a few kilobytes as Parquet
    monkeypatch.setattr(memory, "free_memory", lambda: float(1 << 20))
    monkeypatch.setattr(pd, "read_csv", None)
    with pytest.raises(UserError, match=f"The table 'a{kind}' would take"):
        import_data(sent(table, kind), f"a{kind}", tmp_path)


def parted(words: list[str], **columns) -> io.BytesIO:
    return sent(pd.DataFrame({"a": range(len(words)), **columns, "part": words}), ".csv")


def test_a_column_divides_the_rows(tmp_path):
    words = ["Train"] * 6 + ["validation"] * 2 + [" TEST"] * 4
    file = parted(words, town=["York", "Bath"] * 5 + ["Ely"] * 2, y=[0, 1] * 6)
    train, test = load_splits(import_data(file, "t.csv", tmp_path, target="y", part="part", coded=True), tmp_path)
    assert (len(train), len(test)) == (6, 6) and not train.divided
    assert train.images[:, 0].tolist() == list(range(6)) and test.images[:, 0].tolist() == list(range(6, 12))
    assert test.images[-1, 1] == 1, "Ely stands between Bath and York"
    said = " ".join(train.notes)
    assert "'validation' counts as testing. Where those rows chose the network's training, they flatter it." in said
    assert "No training row has 'Ely' in 'town', and 2 test rows do" in said


@pytest.mark.parametrize(
    ("words", "y", "sentence"),
    [
        (["train", "test", "later"], [0, 1, 0], "'part' of 't.csv' says 'later' in row 3, which is neither train nor"),
        (["test", "test", "val"], [0, 1, 0], "leaves no row for training. Take another column, or none."),
        (["train", "train", "test"], [0, 1, 2], "test rows of 't.csv' have the class '2', which no training row has"),
    ],
)
def test_a_column_that_does_not_divide_them_is_refused(words, y, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        import_data(parted(words, y=y), "t.csv", tmp_path, target="y", part="part")


def test_several_columns_are_one_target(tmp_path):
    table = pd.DataFrame(DICE.normal(size=(20, 5)), columns=list("abcde"))
    ref = import_data(sent(table, ".csv"), "t.csv", tmp_path, target="e", targets=("b",))
    train, test = load_splits(ref, tmp_path)
    assert train.size == (3,) and tuple(test.labels.shape) == (4, 2) and test.kind is Labels.NUMBERS
    rows = {tuple(row) for row in table[["e", "b"]].to_numpy(np.float32).tolist()}
    assert {tuple(row) for row in test.labels.tolist()} < rows, "in the order in which they were named"
    text = sent(table.assign(b="x"), ".csv")
    with pytest.raises(UserError, match=r"column 'b' of 't.csv' holds texts, such as 'x'. Leave it out"):
        import_data(text, "t.csv", tmp_path, target="e", targets=("b",))
