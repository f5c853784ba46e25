"""The colours and sizes that charts share. The page's own theme is `.streamlit/config.toml`; a test keeps both equal.

Categorical hues have a middle lightness: at least 3:1 against the light and the dark page, so a figure needs to know
neither. Continuous scales must differ between light and dark, so figures leave them unset and the page's theme fills
them in; `template` does the same for a figure that leaves the page (a report, a file).
"""

from __future__ import annotations

import plotly.graph_objects as go

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
SEQUENTIAL_LIGHT = (
    "#F6EFE1", "#F7CF9B", "#F2AD77", "#E98961", "#D56963", "#BE4A6A", "#9B376F", "#752872", "#511C64", "#30134F",
)  # fmt: skip
SEQUENTIAL_DARK = (
    "#25232E", "#442959", "#6C3069", "#97376E", "#B84B69", "#D86261", "#E88463", "#F3A76E", "#F8C997", "#FBEAC3",
)  # fmt: skip
DIVERGING_LIGHT = (
    "#0C516F", "#237B9B", "#5AA4BE", "#9ECCD8", "#EBF0EE", "#F3EDE6", "#EFB883", "#DD823E", "#B15A21", "#823712",
)  # fmt: skip
DIVERGING_DARK = (
    "#8CD3EA", "#5AABC9", "#3482A0", "#275B6F", "#2B3338", "#37312B", "#7C4823", "#B6662B", "#E29254", "#FDC892",
)  # fmt: skip

ACCENT = CATEGORICAL[0]  # what was measured, what is kept
CUT = CATEGORICAL[1]  # what is removed, what needs attention
NEUTRAL = CATEGORICAL[9]  # baselines, what is not selected
GRID = "rgba(124, 130, 140, 0.22)"
EMPTY = "rgba(124, 130, 140, 0.13)"  # a cell without a value
ON_TINT = "#1B2425"  # text on a tinted surface
INK = "rgba(124, 130, 140, 0.9)"  # small marks that must be seen on both backgrounds

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


def template(dark: bool = False) -> go.layout.Template:
    """The same look outside the dashboard."""
    paper, text = ("#12171A", "#E4EAE8") if dark else ("#FFFFFF", "#1B2425")
    sequential = list(SEQUENTIAL_DARK if dark else SEQUENTIAL_LIGHT)
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID}
    return go.layout.Template(
        data={"heatmap": [go.Heatmap(colorscale=sequential)]},
        layout={
            "colorway": list(CATEGORICAL),
            "colorscale": {
                "sequential": sequential,
                "sequentialminus": sequential,
                "diverging": list(DIVERGING_DARK if dark else DIVERGING_LIGHT),
            },
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "font": {"color": text, "family": "Source Sans 3, Source Sans Pro, system-ui, sans-serif"},
            "xaxis": axis,
            "yaxis": axis,
        },
    )
