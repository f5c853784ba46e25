"""Networks with gates that open image by image: the pages that run them, show them image by image, and open them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.methods import dynamic, gate_charts
from pages.methods.gate_charts import Reached
from pages.ui import numbers, state
from pages.ui.desk import first_desk, recall, remember
from pruning_core.allocation.budget import Budget
from pruning_core.methods.channel_gating import ChannelGating
from pruning_core.methods.feature_boosting import FeatureBoosting
from pruning_core.runs.view import State
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import Treated
from pruning_core.training.config import FineTune

ROOT = Path(__file__).parents[2]
ME = "me"


@pytest.fixture(autouse=True)
def mine(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)
    yield
    state.jobs().close()
    torch.set_num_threads(before)


def treated(method):
    first = first_desk()
    spec = MethodRun(first.model, first.data, method, Budget("macs", fraction=0.5), FineTune(epochs=2, device="cpu"))
    view = state.jobs().wait(state.jobs().submit(spec, ME), 240)
    assert view.state is State.DONE, view.error
    return view.last(Treated)


def healthy(app):
    assert not app.exception, [each.stack_trace for each in app.exception]
    return app


def words(app):
    kinds = (*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.success)
    return " ".join(each.value for each in kinds)


def opened(name):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    return healthy(app.switch_page(f"pages/{name}/page.py").run())


def test_a_finished_run_shows_what_images_need_and_that_it_is_no_time():
    end = treated(FeatureBoosting())
    page = opened("methods")
    average, dense = end.after.average, end.before.cost.macs
    figures = {each.label: each for each in page.metric}
    assert figures["MACs of an image"].value == numbers.count(average.mean)
    assert figures["MACs of an image"].delta == numbers.percent(average.mean / dense - 1).replace("−", "-")
    assert "Fewer products are not less time" in words(page)
    assert numbers.milliseconds(end.after.latency.median_ms) in words(page)
    seen = dynamic._seen(end.model.to_json(), first_desk().data.to_json(), str(state.workspace().root))
    macs = seen.gates.macs
    assert f"the easiest image took {numbers.percent(float(macs.min()) / dense)}" in words(page)
    assert float(macs[seen.order[0]]) == float(macs.min()) and float(macs[seen.order[-1]]) == float(macs.max())
    assert len(seen.gates.macs) == average.images and float(macs.mean()) == pytest.approx(average.mean)
    firsts = [each.value for each in page.caption if each.value.startswith("1: ")]
    assert [each.split(" · ")[1] for each in firsts] == [
        numbers.percent(float(macs.min()) / dense), numbers.percent(float(macs.max()) / dense),
    ]  # fmt: skip
    choice = page.segmented_control(key="methods.gates.image")
    assert choice.value == "least 1" and choice.options[-1] == "most 4" and len(choice.options) == 8
    healthy(choice.set_value("most 1").run())
    rows = page.main.dataframe[-1].value
    assert rows["macs"].iloc[-1] == f"{average.mean:,.0f} on average"


@pytest.mark.parametrize("method", [FeatureBoosting(), ChannelGating()], ids=lambda m: m.card.key)
def test_a_network_with_gates_opens_on_every_page(method):
    end = treated(method)
    first = first_desk()
    remember(state.workspace(), ME, first.with_model(end.model, first.data))
    for page in sorted(ROOT.glob("pages/*/page.py")):
        app = opened(page.parent.name)
        assert not app.error, (page.parent.name, [each.value for each in app.error])
        if page.parent.name == "methods":
            healthy(app.selectbox(key="methods.method").set_value("fbs").run())
            assert "has gates that open image by image already" in words(app)
    assert recall(state.workspace(), ME).model == end.model


def test_channels_are_a_row_for_each_layer():
    figure = gate_charts.channels({"a": [1.0, 0.0], "b": [0.5, 0.25, 0.25]}, "the image “7”")
    (cells,) = figure.data
    assert list(cells.y) == ["a", "b"] and cells.z[1].tolist() == [0.5, 0.25, 0.25]
    assert cells.z[0].tolist()[:2] == [1.0, 0.0] and cells.z[0][2] != cells.z[0][2], "no third channel"
    assert "in 2 layers: 40 % of them on average" in figure.layout.meta["alt"]


def test_accuracy_stands_against_what_an_image_needs():
    still = Reached("cut", 500.0, 0.9, 0.8, 0.95, gates=False)
    figure = gate_charts.against_macs([still, replace(still, name="gates", macs=400.0, top1=0.92, gates=True)])
    assert [list(each.x) for each in figure.data] == [[500.0], [400.0]]
    assert figure.data[0].error_y.arrayminus[0] == pytest.approx(0.1)
    assert re.search(r"gates is best: 92\.0.% with 400 MACs", figure.layout.meta["alt"])
