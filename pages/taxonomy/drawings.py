"""A small drawing of every value of every axis, as SVG. Grey and teal stay, orange goes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from pages.ui import theme
from pruning_core.taxonomy import Data, Execution, Family, Granularity, Structure, Time

WIDE, HIGH = 150, 64
KEPT, CUT, QUIET = theme.ACCENT, theme.CUT, theme.NEUTRAL


def svg(parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" aria-hidden="true" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def box(x: float, y: float, w: float, h: float, color: str, *, filled: bool = True, dashed: bool = False) -> str:
    paint = f'fill="{color}"' if filled else f'fill="none" stroke="{color}" stroke-width="1.5"'
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="1" {paint}{_dash(dashed)}/>'


def line(points: Iterable[tuple[float, float]], color: str, *, dashed: bool = False) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"{_dash(dashed)}/>'


def dot(x: float, y: float, color: str, r: float = 3.5, *, filled: bool = True) -> str:
    paint = f'fill="{color}"' if filled else f'fill="none" stroke="{color}" stroke-width="1.5"'
    return f'<circle cx="{x}" cy="{y}" r="{r}" {paint}/>'


def arrow(x0: float, y0: float, x1: float, y1: float, color: str = QUIET) -> str:
    back = 4 if x1 >= x0 else -4
    head = f'<polygon points="{x1},{y1} {x1 - back},{y1 - 3} {x1 - back},{y1 + 3}" fill="{color}"/>'
    return line(((x0, y0), (x1, y1)), color) + head


def _dash(dashed: bool) -> str:
    return ' stroke-dasharray="3 3"' if dashed else ""


def weights(gone: Callable[[int, int, int, int], bool]) -> list[str]:
    """Three filters (rows) of four 3 x 3 kernels; ``gone`` of filter, kernel, row and column."""
    parts = []
    for f in range(3):
        for k in range(4):
            for r in range(3):
                for c in range(3):
                    cut = gone(f, k, r, c)
                    parts.append(box(14 + k * 32 + c * 8, 3 + f * 20 + r * 6, 7, 5, CUT if cut else KEPT))
    return parts


_SCATTERED = {place for place in range(108) if random.Random(place).random() < 0.5}
CORNERS = ({0, 1, 3, 4}, {1, 2, 4, 5}, {3, 4, 6, 7}, {4, 5, 7, 8})


def elements() -> list[str]:
    return weights(lambda f, k, r, c: ((f * 4 + k) * 9 + r * 3 + c) in _SCATTERED)


def pattern() -> list[str]:
    return weights(lambda f, k, r, c: r * 3 + c not in CORNERS[(f + k) % 4])


def block() -> list[str]:
    boxes = [box(8 + 36 * i, 30, 26, 18, CUT if i in (1, 2) else KEPT, filled=i not in (1, 2), dashed=i in (1, 2))
             for i in range(4)]  # fmt: skip
    return [*boxes, line(((34, 39), (39, 39), (39, 14), (111, 14), (111, 39), (116, 39)), KEPT)]


def bars(heights: Iterable[float], cut: Iterable[int] = (), ghosts: Iterable[float] = ()) -> list[str]:
    gone, parts = set(cut), [box(12 + 16 * i, 58 - g, 11, g, QUIET, filled=False, dashed=True)
                             for i, g in enumerate(ghosts)]  # fmt: skip
    return [*parts, *(box(12 + 16 * i, 58 - h, 11, h, CUT if i in gone else KEPT) for i, h in enumerate(heights))]


def when(cuts: Iterable[float]) -> list[str]:
    """A training from left to right, and where it is cut."""
    parts = [box(30, 26, 90, 12, QUIET), arrow(120, 32, 144, 32)]
    return [*parts, *(line(((x, 12), (x, 52)), CUT) for x in cuts)]


def nets(gone: tuple[set[int], set[int]]) -> list[str]:
    """Two images, and which of five channels each meets."""
    parts = []
    for row, missing in enumerate(gone):
        y = 6 + 32 * row
        parts += [
            box(8, y, 20, 20, QUIET, filled=False),
            dot(18, y + 10, QUIET, 5 if row else 3),
            arrow(32, y + 10, 46, y + 10),
        ]
        parts += [box(52 + 18 * i, y, 13, 20, CUT if i in missing else KEPT, filled=i not in missing) for i in range(5)]
    return parts


def images(labels: bool, *, back: bool = False, loop: bool = False) -> list[str]:
    parts = [box(8 + 26 * i, 14, 20, 20, QUIET, filled=False) for i in range(3)]
    parts += [dot(18 + 26 * i, 24, KEPT, 3 + 1.5 * i) for i in range(3)]
    parts += [box(11 + 26 * i, 40, 14, 5, KEPT) for i in range(3) if labels]
    parts += [box(112, 12, 26, 36, KEPT), arrow(88, 22, 108, 22)]
    parts += [arrow(108, 38, 90, 38, CUT)] if back or loop else []
    return [*parts, line(((125, 50), (125, 60), (48, 60), (48, 50)), CUT)] if loop else parts


def crowd(
    places: Iterable[tuple[float, float]], gone: Iterable[int], rings: Iterable[tuple[float, float]]
) -> list[str]:
    left = set(gone)
    return [*(dot(x, y, QUIET, 15, filled=False) for x, y in rings),
            *(dot(x, y, CUT if i in left else KEPT) for i, (x, y) in enumerate(places))]  # fmt: skip


def curve(change: float = 0.0) -> list[tuple[float, float]]:
    return [(10 + 5 * i, 54 - 0.06 * (i - 12) ** 2 * (1 + change) * 3 / 2 - change * 8) for i in range(26)]


DRAWINGS: Mapping[tuple[str, str], Callable[[], list[str]]] = {
    ("granularity", Granularity.ELEMENT): elements,
    ("granularity", Granularity.VECTOR): lambda: weights(lambda f, k, r, c: (f + k * 2 + r) % 3 == 1),
    ("granularity", Granularity.KERNEL): lambda: weights(lambda f, k, r, c: (f * 3 + k) % 2 == 1),
    ("granularity", Granularity.CHANNEL): lambda: weights(lambda f, k, r, c: f == 1),
    ("granularity", Granularity.LAYER): lambda: weights(lambda f, k, r, c: True),
    ("granularity", Granularity.BLOCK): block,
    ("structure", Structure.STRUCTURED): lambda: weights(lambda f, k, r, c: f == 1),
    ("structure", Structure.SEMI): pattern,
    ("structure", Structure.UNSTRUCTURED): elements,
    ("time", Time.BEFORE): lambda: when([24]),
    ("time", Time.DURING): lambda: when([48, 72, 96]),
    ("time", Time.AFTER): lambda: when([126]),
    ("execution", Execution.STATIC): lambda: nets(({1, 3}, {1, 3})),
    ("execution", Execution.DYNAMIC): lambda: nets(({1, 3}, {0, 2, 4})),
    ("data", Data.NONE): lambda: [box(62, 12, 26, 36, KEPT)],
    ("data", Data.UNLABELLED): lambda: images(False),
    ("data", Data.LABELS): lambda: images(True),
    ("data", Data.LABELLED): lambda: images(True, back=True),
    ("data", Data.TRAINING): lambda: images(True, loop=True),
    ("family", Family.MAGNITUDE): lambda: bars((50, 44, 37, 30, 22, 13, 8, 5), (5, 6, 7)),
    ("family", Family.PENALTY): lambda: bars(
        (50, 44, 10, 36, 5, 46, 3, 40), (2, 4, 6), (50, 46, 32, 40, 28, 48, 25, 44)
    ),
    ("family", Family.PROXY): lambda: [line(curve(), QUIET), line(curve(-0.2), KEPT, dashed=True)],
    ("family", Family.ACTIVATION): lambda: [
        part
        for i, n in enumerate((7, 5, 1, 6))
        for part in (
            box(8 + 36 * i, 14, 28, 36, QUIET, filled=False),
            *(dot(15 + 36 * i + 7 * (j % 3), 22 + 10 * (j // 3), CUT if n == 1 else KEPT, 3) for j in range(n)),
        )
    ],
    ("family", Family.GRADIENT): lambda: [line(curve(), QUIET), line(((60, 58), (140, 26)), CUT), dot(100, 42, KEPT)],
    ("family", Family.REDUNDANCY): lambda: crowd(
        ((30, 20), (36, 24), (110, 46), (117, 43), (75, 14), (55, 50), (130, 14)), (1, 3), ()
    ),
    ("family", Family.SAMPLING): lambda: [
        part
        for i, p in enumerate((0.9, 0.3, 0.7, 0.1, 0.5))
        for part in (
            box(14 + 26 * i, 10, 14, 44, QUIET, filled=False),
            box(14 + 26 * i, 54 - 44 * p, 14, 44 * p, KEPT if p >= 0.5 else CUT),
        )
    ],
    ("family", Family.CLUSTERING): lambda: crowd(
        ((28, 30), (34, 24), (24, 38), (76, 40), (82, 34), (118, 22), (124, 28), (114, 30)),
        (1, 2, 4, 6, 7),
        ((29, 30), (79, 37), (119, 26)),
    ),
    ("family", Family.KERNELS): pattern,
    ("family", Family.SEARCH): lambda: [
        *(
            dot(x, y, QUIET, 2.5)
            for x, y in ((40, 50), (62, 44), (78, 40), (96, 34), (70, 54), (112, 46), (126, 30), (100, 52))
        ),
        line(((30, 54), (48, 34), (76, 22), (126, 12)), KEPT),
        *(dot(x, y, KEPT) for x, y in ((30, 54), (48, 34), (76, 22), (126, 12))),
    ],
    ("family", Family.RATIOS): lambda: [
        part
        for i, (full, kept) in enumerate(((20, 18), (28, 14), (40, 12), (52, 44), (30, 26)))
        for part in (
            box(16 + 26 * i, 58 - full, 16, full, CUT, filled=False, dashed=True),
            box(16 + 26 * i, 58 - kept, 16, kept, KEPT),
        )
    ],
    ("family", Family.SHORTCUTS): lambda: [
        line(((8, 44), (142, 44)), KEPT),
        line(((24, 44), (24, 14), (46, 14)), CUT),
        box(46, 6, 52, 16, CUT, filled=False, dashed=True),
        line(((98, 14), (122, 14), (122, 38)), CUT),
        dot(122, 44, KEPT, 6),
    ],
    ("family", Family.SCHEDULE): lambda: [
        line(((10, 8), (36, 8), (36, 22), (66, 22), (66, 38), (98, 38), (98, 54), (142, 54)), CUT)
    ],
    ("family", Family.RECOVERY): lambda: [
        line(((10, 12), (50, 12)), KEPT),
        line(((50, 12), (50, 52)), CUT),
        line(((50, 52), (66, 30), (90, 19), (142, 15)), KEPT),
    ],
    ("family", Family.INITIALISATION): lambda: when([24]),
    ("family", Family.DYNAMIC): lambda: nets(({1, 3}, {0, 2, 4})),
    ("family", Family.CONTROL): lambda: [
        box(53, 10, 44, 44, QUIET, filled=False),
        *(dot(x, y, CUT) for x, y in ((63, 20), (87, 44), (75, 32), (87, 20), (63, 44))),
    ],
}


def of(axis: str, value: str) -> str:
    """The drawing as SVG text."""
    return svg(DRAWINGS[axis, value]())
