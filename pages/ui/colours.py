"""Colours of classes in pictures, the same ones for masks and boxes."""

from __future__ import annotations

# Okabe and Ito's colours, which most people tell apart; black is what nobody labelled.
COLOURS = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (153, 153, 153),
)  # fmt: skip


def square(number: int) -> str:
    """HTML: a mark in the colour of a class."""
    red, green, blue = COLOURS[number % len(COLOURS)]
    return f'<span style="color:rgb({red},{green},{blue})">■</span>'
