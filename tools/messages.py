"""Brings the translations up to date with the sources, and says what is missing.

    python -m tools.messages            every catalogue in assets/locale: new texts are added, gone ones are taken out
    python -m tools.messages --check    changes nothing; says what is missing and fails when something is

Pages mark their texts (``pages/ui/language.py``). The core marks nothing, because it knows no language but English:
what it says to people is found by its form. That is the prose of cards, labels of knobs, words of the taxonomy's axes,
names and titles, how far a run has come, whatever a `UserError` is made of, and every literal that is a whole sentence.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from pruning_core.taxonomy import Prose

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "assets" / "locale"
MARKS = {"_", "N_", "ngettext"}
CORE = "pruning_core"
PLACES = re.compile(r"\{(\w*)")
PLACE = re.compile(r"\{\w*\}")
KNOBS = {"Choice", "Range", "Toggle"}
# What a run says on its way, and how outputs were told -> which argument is words.
ADVANCES = {"Stage": 0, "Progress": 2, "staged_as": 1, "Outputs": 2}
# What a method is made of, called by its name.
PHASES = {"Train", "Cut", "Apply", "Recover", "Mend", "Snapshot", "Rewind", "Mask", "Judge", "FindWidths", "Diversify"}
PHASES |= {"Rebuild", "Reinitialise", "Absorb"}
PARTS = {"named", "reason", "NO_RULE", "BY_DATA", "NOTE"}  # variables: the end of a phase's name; why a channel stays
NOTES = {"note", "notes"}  # variables: what is said of a network right after it was brought
TITLES, WORDS = {"name", "title", "says"}, {"NAMES", "UNITS"}  # of classes; dictionaries of modules
PHRASES = {
    "text",
    "told",
    "notes",
    "__str__",
}  # functions and properties whose few words stand inside sentences of pages
OURS = {"ValueError", "TypeError", "RuntimeError", "AssertionError", "KeyError", "NotImplementedError"}
# What these write is for a file in English, or for a process of our own.
FILES = {"export/script.py", "export/standalone.py", "export/rebuild.py", "isolation/ended.py", "isolation/wire.py"}

Text = str | tuple[str, str]


def domain_of(path: Path) -> str:
    """The catalogue that the texts of a source belong to."""
    first, *rest = path.relative_to(ROOT).parts
    if first == "app.py":
        return "app"
    package = rest[0].removesuffix(".py")
    return f"core_{package}" if first == CORE else package


@lru_cache(maxsize=1)
def wanted() -> dict[str, dict[Text, list[str]]]:
    """catalogue -> text -> where it stands, of everything that people read."""
    found: dict[str, dict[Text, list[str]]] = {}
    for path in [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py")), *sorted((ROOT / CORE).rglob("*.py"))]:
        texts = of_the_core(path) if path.is_relative_to(ROOT / CORE) else of_a_page(path)
        for text in texts:
            places = found.setdefault(domain_of(path), {}).setdefault(text, [])
            if (place := path.relative_to(ROOT).as_posix()) not in places:
                places.append(place)
    return found


def of_a_page(path: Path) -> Iterator[Text]:
    """Also those inside f-strings, which gettext's usual tools pass over."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if node.func.id == "ngettext":
                yield texts[0], texts[1]
            else:
                yield from texts


def of_the_core(path: Path) -> Iterator[str]:
    if path.relative_to(ROOT / CORE).as_posix() in FILES:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aside = _aside(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _of_a_class(node)
        elif isinstance(node, ast.Call):
            yield from _of_a_call(node)
        elif isinstance(node, ast.FunctionDef) and (node.name in PHRASES or node.name.endswith(("note", "notes"))):
            yield from _returned(node, aside)
        elif isinstance(node, ast.stmt):
            yield from _of_a_statement(node, aside)
        if id(node) not in aside and (text := form(node)) and is_sentence(text):
            yield text


def _returned(function: ast.FunctionDef, aside: set[int]) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from _within(node.value, aside)


def _within(node: ast.AST, aside: set[int]) -> Iterator[str]:
    texts = [form(each) for each in ast.walk(node) if id(each) not in aside]
    yield from (text for text in texts if re.search(r"[a-z]{2}", PLACE.sub("", text)))


def form(node: ast.AST) -> str:
    """The text of a literal, with {0}, {1} ... where an f-string puts something in; "" of anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts, places = [], 0
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        else:
            parts.append(f"{{{places}}}")
            places += 1
    return "".join(parts)


def is_sentence(text: str) -> bool:
    if text.split(" ")[0].isupper() and "?" in text:  # SQL, whose places are question marks
        return False
    return " " in text.strip() and text[:1] in "{\"'" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" and text[-1] in ".?!"


def _of_a_class(node: ast.ClassDef) -> Iterator[str]:
    assigned = {target.id for each in node.body for target in _targets(each) if isinstance(target, ast.Name)}
    if "card" in assigned:
        prose = Prose.of(ast.get_docstring(node) or "")
        yield from filter(None, (prose.idea, prose.fails))
    for each in node.body:
        named = {target.id for target in _targets(each) if isinstance(target, ast.Name)}
        if named & TITLES and isinstance(each, ast.Assign | ast.AnnAssign) and each.value:
            yield from filter(_has_words, [form(each.value)])
    if any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases):
        for each in node.body:
            if isinstance(each, ast.Assign) and (text := form(each.value)):
                yield text


def _of_a_call(node: ast.Call) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name == "Card":
        yield from (form(each.value) for each in node.keywords if each.arg in ("name", "cost") and form(each.value))
    elif name in KNOBS:
        options = [each for given in node.args if isinstance(given, ast.Tuple) for each in given.elts]
        said = [*node.args, *options, *(each.value for each in node.keywords)]
        yield from filter(_has_words, map(form, said))
    elif name == "append" and getattr(getattr(node.func, "value", None), "id", "") == "notes":
        yield from filter(_has_words, map(form, node.args))
    elif name == "pin" and len(node.args) > 1:  # why a channel stays
        yield from filter(_has_words, _either(node.args[1]))
    elif name == "Watch":
        yield from filter(_has_words, map(form, node.args[1:]))
    elif name in PHASES:
        yield from (form(each.value) for each in node.keywords if each.arg == "name" and _has_words(form(each.value)))
    elif (name == "UserError" and node.args and (text := form(node.args[0]))) or (
        name in ADVANCES and len(node.args) > ADVANCES[name] and _has_words(text := form(node.args[ADVANCES[name]]))
    ):
        yield text


def _of_a_statement(node: ast.stmt, aside: set[int]) -> Iterator[str]:
    """A title that a function makes; words for keys."""
    if isinstance(node, ast.FunctionDef) and node.name == "title":
        returned = (form(each.value) for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)
        yield from filter(_has_words, returned)
    named = {target.id for target in _targets(node) if isinstance(target, ast.Name)}
    value = getattr(node, "value", None)
    if value is not None and named & PARTS:
        yield from filter(_has_words, _either(value))
    if value is not None and named & NOTES and not isinstance(node, ast.Expr):
        yield from (text for text in _within(value, aside) if " " in text)
    if named & WORDS and isinstance(value, ast.Dict):
        yield from filter(_has_words, map(form, value.values))


def _either(node: ast.AST) -> Iterator[str]:
    """A literal, or the two between which a condition chooses."""
    if isinstance(node, ast.IfExp):
        yield from _either(node.body)
        yield from _either(node.orelse)
    else:
        yield form(node)


def _has_words(text: str) -> bool:
    return any(letter.isalpha() for letter in PLACES.sub("", text))


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.AnnAssign):
        return [node.target]
    return node.targets if isinstance(node, ast.Assign) else []


def _aside(tree: ast.AST) -> set[int]:
    """What no visitor reads, although it may be a sentence: docstrings, our own errors, the inside of an f-string."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            found.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            found |= {id(value) for value in node.values if isinstance(value, ast.Constant)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OURS:
            found |= {id(each) for each in ast.walk(node)}
    return found


def missing(locale: Path) -> list[str]:
    """What is not translated, or is translated with other places, catalogue by catalogue."""
    found = []
    for domain, texts in wanted().items():
        have = _read(locale / f"{domain}.po", locale.name)
        for text in texts:
            message = have.get(text if isinstance(text, str) else text[0])
            if message is None or not message.string or message.fuzzy:
                found.append(f"{domain}: {text}")
            elif wrong := list(_places(text, message.string)):
                found.append(f"{domain}: {text}: {wrong[0]}")
    return found


def _places(text: Text, translation: str | Sequence[str]) -> Iterator[str]:
    expected = set(PLACES.findall(text if isinstance(text, str) else text[1]))
    for each in [translation] if isinstance(translation, str) else translation:
        if (found := set(PLACES.findall(each))) != expected:
            yield f"its places are {sorted(found)}, not {sorted(expected)}"


def _read(path: Path, locale: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=locale)
    with path.open("rb") as file:
        return read_po(file, locale=locale, ignore_obsolete=True)


def update(locale: Path) -> None:
    """Write every catalogue again: what it had, and what is new without a translation."""
    for domain, texts in wanted().items():
        path = locale / f"{domain}.po"
        have = _read(path, locale.name)
        fresh = Catalog(locale=locale.name, project="PruneScope", header_comment=f"# {domain}", fuzzy=False)
        for text, places in texts.items():
            old = have.get(text if isinstance(text, str) else text[0])
            string = old.string if old is not None and old.string else None
            fresh.add(text, string, locations=[(place, 0) for place in places])
        with path.open("wb") as file:
            write_po(file, fresh, width=0, omit_header=True, include_lineno=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a text is missing")
    check = parser.parse_args().check
    found: list[str] = []
    for locale in sorted(path for path in LOCALES.iterdir() if path.is_dir()):
        if not check:
            update(locale)
        found += missing(locale)
    print(*found[:50], sep="\n")
    print(f"{sum(map(len, wanted().values()))} texts, {len(found)} without a translation")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
