"""docs/support.md says what really ran: the tests of patterns as they are now, and the tables of networks."""

from __future__ import annotations

import ast

from benchmarks.support import FILES, PAGE, Seen, networks, page, patterns, sources
from benchmarks.support_doors import PATH, Doors, form_of
from tests.core.walk_nets import WALKS

TEXT = PAGE.read_text(encoding="utf-8")
AGAIN = "run python -m benchmarks.support, which takes some minutes"


def test_it_was_made_from_the_tests_as_they_are() -> None:
    assert sources() in TEXT, AGAIN


def test_it_holds_the_tables_of_networks_as_they_are() -> None:
    assert networks() in TEXT, AGAIN
    assert "| 80 of 80 of torchvision's classifiers | exact |" in TEXT


def test_every_pattern_that_is_compared_has_its_line_and_no_other() -> None:
    calls = {
        test.name: {getattr(node.func, "id", "") for node in ast.walk(test) if isinstance(node, ast.Call)}
        for path in FILES
        for test in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(test, ast.FunctionDef)
    }
    titles = {name: name.removeprefix("test_").replace("_", " ") for names in patterns().values() for name in names}
    rows = {
        line.split("|")[1].strip() for line in TEXT.partition("## Patterns")[2].splitlines() if line.startswith("| ")
    }
    assert {titles[name] for name in titles if "check_exact" in calls[name]} <= rows
    assert rows - {"pattern"} <= set(titles.values())


def test_a_verdict_is_what_was_seen() -> None:
    def verdict(**seen: object) -> str:
        return Seen(**seen).verdict  # type: ignore[arg-type]  # fields by name

    assert verdict(proven=2) == "exact" and verdict(refused=["No."]) == "refused"
    assert verdict(proven=1, approximate=3) == "exact beside approximate groups"
    assert Seen().says is False
    seen = {name: Seen() for names in patterns().values() for name in names}
    first = next(iter(seen))
    seen[first] = Seen(proven=7, refused=["A sentence."])
    (row,) = [line for line in page(seen).splitlines() if "A sentence." in line]
    assert first.removeprefix("test_").replace("_", " ") in row and "| exact | 7 |" in row


def rows_of(title: str) -> list[list[str]]:
    part = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    table = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in table[1:]]


def test_every_task_is_walked() -> None:
    assert [row[0] for row in rows_of("Tasks walked from end to end")] == [walk.task for walk in WALKS], AGAIN
    assert all(float(row[4]) < 1e-5 and row[5] == "7" for row in rows_of("Tasks walked from end to end"))


def test_what_is_refused_is_still_said() -> None:
    sentences = [row[1].replace("\0", "|") for row in rows_of("Refused by a page, with its sentence")]
    assert len(sentences) > 40
    assert [each for each in sentences if not form_of(each)] == [], AGAIN


def test_no_place_of_a_machine_is_on_the_page() -> None:
    assert not PATH.search(TEXT) and PATH.sub("…", "mkdir('/tmp/pytest-of-me/pytest-1/made')") == "mkdir('…')"


def test_only_what_went_through_a_door_is_listed() -> None:
    doors = Doors()
    doors.data[".csv", "row", "one or more numbers"] += 2
    doors.networks[".onnx", "onnx"] += 3
    text = doors.text()
    assert "| .csv | row | one or more numbers | 2 |" in text and "| .onnx | onnx | 3 |" in text
    assert form_of("Training needs at least two images. Choose a larger data set.") and not form_of("Nobody says so.")
    assert {row[0] for row in rows_of("Data forms")} == {".npz", ".zip", ".csv", ".tsv", ".parquet"}
    assert {row[0] for row in rows_of("Network files")} >= {".pt2", ".onnx"}
