"""The Chinese font that the pages bring along."""

import tomllib

import pytest
from PIL import ImageFont

from tools import font

CONFIG = tomllib.loads((font.ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
FACES = CONFIG["theme"]["fontFaces"]


def drawn(face: ImageFont.FreeTypeFont, text: str) -> bytes:
    return bytes(face.getmask(text))


@pytest.mark.parametrize("weight", font.WEIGHTS)
def test_every_character_of_the_translations_is_in_it(weight):
    face = ImageFont.truetype(font.font(weight), 24)
    box = drawn(face, "\N{YI SYLLABLE IT}")  # surely not in it: what stands for any that is missing
    missing = [each for each in font.characters() if each != "\N{IDEOGRAPHIC SPACE}" and drawn(face, each) == box]
    assert not missing, f"run python -m tools.font: {''.join(missing)}"


def test_it_is_served_from_here_and_fetched_where_it_is_needed():
    assert CONFIG["server"]["enableStaticServing"]
    assert {each["url"] for each in FACES} == {f"app/static/{font.font(weight).name}" for weight in font.WEIGHTS}
    spans = [span.strip().removeprefix("U+").split("-") for span in FACES[0]["unicodeRange"].split(",")]
    assert all(any(int(low, 16) <= ord(each) <= int(high, 16) for low, high in spans) for each in font.characters())
    assert CONFIG["theme"]["font"].split(",")[0] == FACES[0]["family"]
    assert (font.FONTS / "OFL.txt").is_file()
