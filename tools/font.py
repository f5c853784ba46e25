"""Makes the Chinese font that the pages bring along: just the characters that the translations use.

    python -m tools.font            needs fonttools and brotli, and Noto Sans CJK (Debian: fonts-noto-cjk)

Whoever has no Chinese font would else see boxes, and nothing is fetched from the net. Browsers fetch it only where a
page has such characters (``unicodeRange`` in ``.streamlit/config.toml``). Streamlit serves what lies in ``static``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[1]
LOCALES = ROOT / "assets" / "locale"
FONTS = ROOT / "static"
NOTO = Path("/usr/share/fonts/opentype/noto")
WEIGHTS = {400: "NotoSansCJK-Regular.ttc", 700: "NotoSansCJK-Bold.ttc"}
FACE = 2  # of the collection: Simplified Chinese
FIRST = 0x2E80  # the characters from here on are Chinese ones and their punctuation; the others have a font
SWITCH = "中文语言"  # written in the language switch


def font(weight: int) -> Path:
    return FONTS / f"noto-sans-sc-{weight}.woff2"


def characters() -> str:
    """Those of all translations that the pages' own font lacks, in order."""
    found = set(SWITCH)
    for path in sorted(LOCALES.glob("*/*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=path.parent.name, ignore_obsolete=True):
                found.update("".join(message.string or ""))
    return "".join(sorted(each for each in found if ord(each) >= FIRST))


def make(wanted: Iterable[str], source: Path, target: Path) -> None:
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(flavor="woff2", layout_features=["kern", "locl"], notdef_outline=True, desubroutinize=True)
    face = TTFont(source, fontNumber=FACE)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(wanted))
    subsetter.subset(face)
    subset.save_font(face, target, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noto", type=Path, default=NOTO, help="folder of the collections of Noto Sans CJK")
    folder, wanted = parser.parse_args().noto, characters()
    FONTS.mkdir(exist_ok=True)
    for weight, name in WEIGHTS.items():
        make(wanted, folder / name, font(weight))
        print(f"{font(weight).name}: {len(wanted)} characters, {font(weight).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
