"""The colours and sizes that charts share. The page's own theme is `.streamlit/config.toml`; a test keeps both equal.

Categorical hues have a middle lightness: at least 3:1 against the light and the dark page, so a figure needs to know
neither. Continuous scales must differ between light and dark, so figures leave them unset and the page's theme fills
them in.
"""

from __future__ import annotations

CATEGORICAL = (
    "#0E8A7D",  # teal
    "#D9662B",  # orange
    "#5B76D9",  # blue
    "#B9890F",  # ochre
    "#B0488F",  # magenta
    "#4C9A2A",  # green
    "#2F95C4",  # sky
    "#C4515F",  # red
    "#8A6A4F",  # brown
    "#7C828C",  # grey
)

PERCENT = ".1~%"  # along axes: a digit more where the axis is short, so that no two marks read alike
ACCENT = CATEGORICAL[0]  # what was measured, what is kept
CUT = CATEGORICAL[1]  # what is removed, what needs attention
NEUTRAL = CATEGORICAL[9]  # baselines, what is not selected
GRID = "rgba(124, 130, 140, 0.22)"
EMPTY = "rgba(124, 130, 140, 0.13)"  # a cell without a value
ON_TINT = "#1B2425"  # text on a tinted surface

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down", "star", "hexagon", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def color(index: int) -> str:
    return CATEGORICAL[index % len(CATEGORICAL)]


def faded(hex_color: str, opacity: float) -> str:
    """`#RRGGBB` with an opacity in [0, 1], for bands and for what is not selected."""
    red, green, blue = (int(hex_color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def tinted(hex_color: str, share: float) -> str:
    """`share` of `#RRGGBB` in [0, 1], the rest white: a surface on which `ON_TINT` is readable on either page."""
    mixed = (round(share * int(hex_color[i : i + 2], 16) + (1 - share) * 255) for i in (1, 3, 5))
    return "#" + "".join(f"{value:02X}" for value in mixed)
