"""Figures contain the data they were given, and say what they show."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.model.charts import POINTS, coupling, lanes
from pages.sensitivity.charts import cell_at, heatmap
from pages.sensitivity.parts import CELLS
from pages.ui import bars, charts, theme

GROUPS = ["conv1", "conv2", "conv3"]
RATIOS = [0.1, 0.5]
COLUMNS = ["group", "ratio", "top1", "low", "high", "drop", "within_noise", "estimated"]


def cells(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


MEASURED = cells(
    ("conv1", 0.1, 0.95, 0.93, 0.97, 0.01, True, False),
    ("conv1", 0.5, 0.80, 0.77, 0.83, 0.16, False, False),
    ("conv3", 0.5, 0.97, 0.95, 0.98, -0.01, True, False),
)


def trace(figure, name):
    return next(each for each in figure.data if each.name == name)


def drawn_map(figure):
    return next(each for each in figure.data if each.type == "heatmap" and each.showscale is not False)


def test_heatmap_places_every_cell_and_leaves_the_others_empty():
    drawn = np.array(drawn_map(heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96)).z, dtype=float)
    assert drawn[0] == pytest.approx([math.sqrt(0.01), math.sqrt(0.16)])
    assert np.isnan(drawn[1]).all() and np.isnan(drawn[2, 0])
    assert drawn[2, 1] == 0.0, "a gain is no loss"


def test_heatmap_prints_in_the_cell_what_its_colour_says():
    drawn = drawn_map(heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96))
    assert [list(row) for row in drawn.text] == [["1", "16"], ["", ""], ["", "−1"]], "points lost; a gain is negative"
    assert "lost" in drawn.colorbar.title.text and "points" in drawn.colorbar.title.text
    little = heatmap(
        cells(("conv1", 0.1, 0.956, 0.9, 1.0, 0.004, True, False), ("conv1", 0.5, 0.96, 0.9, 1.0, 0.0, True, False)),
        groups=GROUPS, ratios=RATIOS, baseline=0.96,
    )  # fmt: skip
    assert list(drawn_map(little).text[0]) == ["0.4", "0"]


def test_an_estimate_is_told_from_what_was_measured():
    guessed = pd.concat([MEASURED, cells(("conv2", 0.1, 0.96, 0.9, 0.99, 0.0, True, True))])
    figure = heatmap(guessed, groups=GROUPS, ratios=RATIOS, baseline=0.96)
    assert drawn_map(figure).text[1][0] == "≈0" and drawn_map(figure).text[0][0] == "1"
    told = trace(figure, CELLS).hovertext
    assert ["estimated" in text for text in told] == [False, False, True, False, False, False]
    assert "≈ estimated from measured cells" in {each.name for each in figure.data}
    assert not any(
        "≈" in each.name for each in heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96).data if each.name
    )


def test_heatmap_hatches_exactly_the_cells_inside_the_noise():
    hatched = trace(heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96), "inside the noise")
    assert {(int(x), round(base + 0.45)) for x, base in zip(hatched.x, hatched.base)} == {(0, 0), (1, 2)}
    assert hatched.marker.pattern.shape == "/"


def test_every_cell_can_be_clicked_and_decoded():
    targets = trace(heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96), CELLS)
    for index, (x, base) in enumerate(zip(targets.x, targets.base)):
        assert cell_at(index, GROUPS, RATIOS) == (GROUPS[round(base + 0.5)], RATIOS[int(x)])
    assert "not measured yet" in targets.hovertext[2]
    assert "16.0\u202fpoints worse" in targets.hovertext[1] and "77.0–83.0" in targets.hovertext[1]
    assert "1.0\u202fpoints better" in targets.hovertext[5]


def test_heatmap_without_any_cell_is_still_a_figure():
    figure = heatmap(cells(), groups=GROUPS, ratios=RATIOS, baseline=0.96)
    assert np.isnan(np.array(drawn_map(figure).z, dtype=float)).all()
    assert "0 of 6 cells measured" in charts.alt_text(figure)


def test_heatmap_outlines_the_selected_cell_and_ignores_a_stale_one():
    chosen = heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96, selected=("conv3", 0.5))
    assert len(chosen.layout.shapes) == 2, "light and dark, so that it shows on any colour"
    for shape in chosen.layout.shapes:
        assert shape.x0 < 1 < shape.x1 and shape.y0 < 2 < shape.y1
    stale = heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96, selected=("gone", 0.5))
    assert not stale.layout.shapes


def test_heatmap_leaves_its_colours_to_the_page():
    """A fixed scale could be right in the light or in the dark theme, not in both."""
    assert drawn_map(heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96)).colorscale is None


def test_lines_draw_each_series_with_its_band():
    frame = pd.DataFrame(
        {
            "x": [0.1, 0.2] * 2,
            "y": [0.9, 0.8, 0.7, 0.6],
            "lo": [0.8, 0.7, 0.6, 0.5],
            "hi": [1, 0.9, 0.8, 0.7],
            "k": list("aabb"),
        }
    )
    figure = charts.lines(
        frame, x="x", y="y", low="lo", high="hi", by="k", alt="two lines", x_title="Share", y_title="Accuracy",
        baseline=(0.95, "unpruned"),
    )  # fmt: skip
    line = trace(figure, "b")
    band = next(each for each in figure.data if each.legendgroup == "b" and each.fill)
    assert list(line.y) == [0.7, 0.6]
    assert list(band.y) == [0.8, 0.7, 0.5, 0.6]
    assert figure.layout.annotations[0].text == "unpruned"
    assert {trace(figure, "a").marker.symbol, trace(figure, "a").line.dash} != {line.marker.symbol, line.line.dash}


def test_curves_have_one_line_per_run():
    frame = pd.DataFrame({"epoch": [0, 1, 0, 1], "run": ["pruned"] * 2 + ["control"] * 2, "loss": [2.0, 1.0, 1.5, 1.2]})
    figure = charts.curves(frame, y="loss", y_title="Loss (nats)", alt="loss")
    assert list(trace(figure, "control").y) == [1.5, 1.2]
    assert figure.layout.yaxis.title.text == "Loss (nats)"


def test_widths_keep_the_order_of_the_network():
    frame = pd.DataFrame({"layer": ["z", "a"], "before": [16, 32], "after": [8, 30]})
    figure = charts.widths(frame, alt="widths")
    assert list(trace(figure, "after").x) == [8, 30]
    assert list(figure.layout.yaxis.categoryarray) == ["z", "a"] and figure.layout.yaxis.autorange == "reversed"


LINKS = pd.DataFrame(
    [
        ("stem", 16, True, "conv1", "producer"),
        ("stem", 16, True, "conv2", "consumer"),
        ("stem", 16, True, "conv3", "producer"),
        ("inner", 8, False, "conv2", "producer"),
        ("inner", 8, False, "conv3", "consumer"),
    ],
    columns=["group", "channels", "exact", "layer", "role"],
)


def test_coupling_map_has_a_dot_for_every_link():
    figure = coupling(LINKS, layers=GROUPS)
    dots = trace(figure, POINTS)
    assert list(dots.customdata) == list(LINKS["group"])
    assert list(dots.y) == [0, 1, 2, 1, 2]
    assert len({dots.x[0], dots.x[3]}) == 2, "groups whose rows overlap lie in different lanes"
    assert trace(figure, "inner").line.dash == "dot", "an approximate group is dotted"
    assert "widest group, stem, ties 3 layers" in charts.alt_text(figure)


def test_coupling_map_fades_what_is_not_selected():
    figure = coupling(LINKS, layers=GROUPS, selected="inner")
    assert trace(figure, "inner").line.color == theme.color(1)
    assert trace(figure, "stem").line.color == theme.faded(theme.color(0), 0.2)


def test_coupling_map_says_what_cannot_be_cut():
    blocked = pd.DataFrame({"layer": ["conv3"], "reason": ["output: it is the network's output"]})
    figure = coupling(LINKS, layers=GROUPS, blocked=blocked)
    crosses = next(each for each in figure.data if each.marker.symbol == "x")
    assert list(crosses.y) == [2] and "network's output" in crosses.hovertext[0]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))))
def test_spans_in_one_lane_never_touch(spans):
    chosen = lanes(spans)
    for i, (first, last) in enumerate(spans):
        for j in range(i):
            if chosen[i] == chosen[j]:
                assert last < spans[j][0] or spans[j][1] < first
    assert set(chosen) == set(range(len(set(chosen))))


@pytest.mark.parametrize(
    "figure",
    [
        heatmap(MEASURED, groups=GROUPS, ratios=RATIOS, baseline=0.96),
        coupling(LINKS, layers=GROUPS),
        charts.widths(
            pd.DataFrame({"layer": ["a"], "before": [2], "after": [1]}), alt="one layer from 2 to 1 channels"
        ),
    ],
)
def test_every_figure_can_be_read_aloud(figure):
    assert len(charts.alt_text(figure)) > 20


def test_named_points_are_told_apart_by_their_symbols_and_not_by_words_that_collide():
    figure = bars.points([1.0, 1.0], [2.0, 2.1], ["a", "b"], alt="two", x_title="x", y_title="y", named=True)
    assert [(each.name, each.mode, each.showlegend) for each in figure.data] == [
        ("a", "markers", True),
        ("b", "markers", True),
    ]
    assert len({each.marker.symbol for each in figure.data}) == 2


def test_a_long_title_below_bars_goes_on_in_a_second_line():
    long, short = (
        bars.bars(["a"], [1.0], alt="one", x_title=title)
        for title in ("Of what the L1 norm removes, also removed", "Accuracy")
    )
    assert long.layout.xaxis.title.text == "Of what the L1 norm removes,<br>also removed"
    assert short.layout.xaxis.title.text == "Accuracy" and long.layout.height > short.layout.height


def test_a_bar_far_longer_than_the_others_runs_out_and_says_how_far():
    figure = bars.bars(["a", "b", "c"], [1.0, 2.0, 40.0], alt="Times.", x_title="ms", told=["1 ms", "2 ms", "40 ms"])
    end = figure.layout.xaxis.range[1]
    assert 2.0 < end < 6.0
    assert [each.text for each in figure.layout.annotations] == ["1 ms", "2 ms", "40 ms ▸"]
    assert figure.layout.annotations[2].x == end and figure.layout.annotations[2].xanchor == "right"
    near = bars.bars(["a", "b"], [1.0, 2.5], alt="Times.", x_title="ms", told=["1 ms", "2.5 ms"])
    assert near.layout.xaxis.range[1] > 2.5 and not any("▸" in each.text for each in near.layout.annotations)
    empty = bars.bars(["a"], [0.0], alt="Zeros.", x_title="Zeros", told=["0"])
    assert empty.layout.annotations[0].text == "0" and empty.layout.xaxis.range[1] > 0


def test_means_that_lie_close_are_marks_on_an_axis_of_their_own_with_what_they_are_of():
    figure = bars.means(
        ["a", "b"], [0.96, 0.97], low=[0.94, 0.95], high=[0.98, 0.985], single=[[0.95, 0.97], [0.97, 0.97]],
        alt="Accuracy.", x_title="Accuracy", marked=[False, True],
    )  # fmt: skip
    assert not any(each.type == "bar" for each in figure.data)
    assert [list(each.x) for each in figure.data] == [[0.96], [0.95, 0.97], [0.97], [0.97, 0.97]]
    assert figure.data[0].error_x.array[0] == pytest.approx(0.02) and list(figure.layout.yaxis.ticktext) == ["a", "b"]
