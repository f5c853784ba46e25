"""The transforms of Winograd's convolution, as machine code.

Tiles of several images lie side by side, so that every loop runs over a long row of floats. The order of a row of
``padded`` is (column modulo 4, column // 4, image, channel): what one position of all tiles holds is contiguous.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pruning_core.numeric.compiled import compiled

Floats = NDArray[np.float32]


@compiled
def into_tiles(
    x: Floats, first: int, last: int, room: int, padded: Floats, mixed: Floats, tiles: Floats, offset: int
) -> None:
    """B^T d B of every tile d of 6 x 6 pixels of the images ``first`` to ``last``, at most ``room`` of them.

    x: (N, H, W, C). padded: (4 th + 2, 4 (tw + 1) room C), zero where no pixel comes. mixed: (6, 4 (tw + 1) room C),
    for what lies between. tiles: (36, …), written from ``offset`` on in the order (tile row, tile column, image,
    channel).
    """

    def combine(d0, d1, d2, d3, d4, d5, o0, o1, o2, o3, o4, o5):  # type: ignore[no-untyped-def]
        two, four, five = np.float32(2), np.float32(4), np.float32(5)
        for k in range(d0.size):  # one result a loop: with more of them none becomes vector code
            o0[k] = four * d0[k] - five * d2[k] + d4[k]
        for k in range(d0.size):
            o1[k] = d4[k] + d3[k] - four * (d2[k] + d1[k])
        for k in range(d0.size):
            o2[k] = d4[k] - d3[k] - four * (d2[k] - d1[k])
        for k in range(d0.size):
            o3[k] = d4[k] - d2[k] + two * (d3[k] - d1[k])
        for k in range(d0.size):
            o4[k] = d4[k] - d2[k] - two * (d3[k] - d1[k])
        for k in range(d0.size):
            o5[k] = four * d1[k] - five * d3[k] + d5[k]

    height, width, channels = x.shape[1:]
    high, wide = (height + 3) // 4, (width + 3) // 4
    cell = room * channels
    phase, run = (wide + 1) * cell, wide * cell
    m = mixed
    for start in range(first, last, room):
        for n in range(start, min(last, start + room)):
            for h in range(height):
                row = padded[h + 1]
                for w in range(width):
                    at = ((w + 1) % 4) * phase + ((w + 1) // 4) * cell + (n - start) * channels
                    to, pixel = row[at : at + channels], x[n, h, w]
                    for c in range(channels):
                        to[c] = pixel[c]
        for i in range(high):
            d = padded[4 * i : 4 * i + 6]
            combine(d[0], d[1], d[2], d[3], d[4], d[5], m[0], m[1], m[2], m[3], m[4], m[5])
            for a in range(6):
                v, t, stop = m[a], 6 * a, offset + run
                d0, d1, d2, d3 = v[:run], v[phase : phase + run], v[2 * phase :][:run], v[3 * phase :][:run]
                d4, d5 = v[cell : cell + run], v[phase + cell :][:run]
                o0, o1, o2 = tiles[t, offset:stop], tiles[t + 1, offset:stop], tiles[t + 2, offset:stop]
                o3, o4, o5 = tiles[t + 3, offset:stop], tiles[t + 4, offset:stop], tiles[t + 5, offset:stop]
                combine(d0, d1, d2, d3, d4, d5, o0, o1, o2, o3, o4, o5)
            offset += run


@compiled
def out_of_tiles(
    tiles: Floats,
    offset: int,
    mixed: Floats,
    rows: Floats,
    bias: Floats,
    other: Floats,
    y: Floats,
    first: int,
    last: int,
    room: int,
    adds: bool,
    relu: bool,
) -> None:
    """A^T m A of every tile m, plus the bias, plus ``other`` if ``adds``, cut off below zero if ``relu``.

    tiles: (36, …) from ``offset`` on. mixed: (4, 6, tw room C) and rows: (4, tw room C), for what lies between.
    bias: (C,). other and y: (N, H, W, C), of which the images ``first`` to ``last`` are read and written.
    """

    def combine(m0, m1, m2, m3, m4, m5, o0, o1, o2, o3):  # type: ignore[no-untyped-def]
        two, four, eight = np.float32(2), np.float32(4), np.float32(8)
        for k in range(m0.size):
            o0[k] = m0[k] + (m1[k] + m2[k]) + (m3[k] + m4[k])
        for k in range(m0.size):
            o1[k] = (m1[k] - m2[k]) + two * (m3[k] - m4[k])
        for k in range(m0.size):
            o2[k] = (m1[k] + m2[k]) + four * (m3[k] + m4[k])
        for k in range(m0.size):
            o3[k] = (m1[k] - m2[k]) + eight * (m3[k] - m4[k]) + m5[k]

    height, width, channels = y.shape[1:]
    high, wide = (height + 3) // 4, (width + 3) // 4
    cell = room * channels
    run = wide * cell
    least = np.float32(0) if relu else np.float32(-np.inf)
    for start in range(first, last, room):
        for i in range(high):
            stop = offset + run
            for b in range(6):
                m0, m1, m2 = tiles[b, offset:stop], tiles[b + 6, offset:stop], tiles[b + 12, offset:stop]
                m3, m4, m5 = tiles[b + 18, offset:stop], tiles[b + 24, offset:stop], tiles[b + 30, offset:stop]
                combine(m0, m1, m2, m3, m4, m5, mixed[0, b], mixed[1, b], mixed[2, b], mixed[3, b])
            offset = stop
            for a in range(min(4, height - 4 * i)):
                m = mixed[a]
                combine(m[0], m[1], m[2], m[3], m[4], m[5], rows[0], rows[1], rows[2], rows[3])
                for n in range(start, min(last, start + room)):
                    for w in range(width):
                        at = (w // 4) * cell + (n - start) * channels
                        source, to = rows[w % 4, at : at + channels], y[n, 4 * i + a, w]
                        if adds:
                            more = other[n, 4 * i + a, w]
                            for c in range(channels):
                                to[c] = max(source[c] + bias[c] + more[c], least)
                        else:
                            for c in range(channels):
                                to[c] = max(source[c] + bias[c], least)
