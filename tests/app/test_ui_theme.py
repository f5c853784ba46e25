"""The page's theme and the charts' colours are one palette, readable for everybody."""

import tomllib
from pathlib import Path

import pytest

from pages.ui import theme

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())


def luminance(color: str) -> float:
    """Relative luminance by WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_charts_and_page_share_the_palette():
    assert tuple(CONFIG["theme"]["chartCategoricalColors"]) == theme.CATEGORICAL


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_hue_stands_out_from_the_page(mode):
    page = CONFIG["theme"][mode]["backgroundColor"]
    assert min(contrast(hue, page) for hue in theme.CATEGORICAL) >= 3.0


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_links_meet_the_contrast_for_reading(mode):
    look = CONFIG["theme"][mode]
    for background in (look["backgroundColor"], look["secondaryBackgroundColor"], look["sidebar"]["backgroundColor"]):
        assert contrast(look["textColor"], background) >= 7.0
        assert contrast(look["linkColor"], background) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_sequential_scales_are_monotone_in_lightness(mode):
    """So that they can be read without seeing hues at all."""
    light = [luminance(color) for color in CONFIG["theme"][mode]["chartSequentialColors"]]
    assert len(light) == 10
    assert light in (sorted(light), sorted(light, reverse=True))


def test_what_must_never_be_switched_on():
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["client"]["showErrorDetails"] == "none"
    assert CONFIG["runner"]["postScriptGC"] is False
    assert CONFIG["server"]["fileWatcherType"] == "none"
    assert "http" not in CONFIG["theme"]["font"]
