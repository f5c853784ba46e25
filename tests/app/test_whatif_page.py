"""The what-if page: plans from sliders and budgets, and the demo network cut for real."""

import json
import threading

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import engine, links, state, stored
from pages.ui.desk import Desk
from pages.ui.numbers import percent
from pages.ui.ranking import ranking
from pages.whatif import live, plans, timing
from pruning_core.allocation.lowest import lowest
from pruning_core.criteria import CRITERIA, TaylorGate, score
from pruning_core.datasets import hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Plan, Role, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.probe.evidence import Evidence
from pruning_core.runs.view import State
from pruning_core.studies.fit import FitRun, Fitted
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.scores import ScoresRun
from pruning_core.studies.sensitivity import SensitivityRun
from tests.app.page_under_test import carried, metrics, opened, text_of


@pytest.fixture
def page(monkeypatch):
    for way in ("to_fine_tune", "to_download", "to_search"):  # a page by itself knows no way to the others
        monkeypatch.setattr(links, way, lambda *_: None)
    return opened("whatif", monkeypatch)


def network():
    return state.network(state.desk().model)


def desk(page: AppTest):
    return page.session_state["desk"]


def scores(criterion=CRITERIA[0]):
    wanted = criterion()
    return score(state.loaded(state.desk().model).model, network(), [wanted])[wanted].values


def test_an_empty_plan_says_what_to_do(page):
    assert "The plan removes nothing yet" in page.info[0].value
    assert metrics(page)["MACs"] == f"{network().cost().macs:,}"
    assert page.button(key="whatif.undo").disabled and page.button(key="whatif.reset").disabled


def test_the_global_slider_cuts_every_exact_group_and_the_cost_is_the_closed_form(page):
    page.slider(key="whatif.all").set_value(30).run()
    plan = desk(page).plan
    values = scores()
    assert plan == Plan({g.key: lowest(values[g.key], int(0.3 * g.size + 1e-9)) for g in network().groups})
    cost = network().cost(plan)
    shown = metrics(page)
    assert shown["MACs"] == f"{cost.macs:,}"
    assert shown["Parameters"] == f"{cost.parameters:,}"
    assert all(slider.value == 30 for slider in page.slider if (slider.key or "").startswith("whatif.group."))


def test_flops_are_two_per_mac(page):
    page.button_group(key="whatif.unit").set_value("FLOPs").run()
    assert metrics(page)["FLOPs"] == f"{2 * network().cost().macs:,}" or "M" in metrics(page)["FLOPs"]
    assert "MACs" not in metrics(page)


def test_one_slider_moves_one_group_and_undo_takes_it_back(page):
    group = network().groups[1]
    page.slider(key="whatif.all").set_value(20).run()
    before = desk(page).plan
    page.slider(key=f"whatif.group.{group.key}").set_value(55).run()
    assert len(desk(page).plan[group.key]) == int(0.55 * group.size)
    assert {k: v for k, v in desk(page).plan.items() if k != group.key} == {
        k: v for k, v in before.items() if k != group.key
    }
    page.button(key="whatif.undo").click().run()
    assert desk(page).plan == before
    assert page.slider(key=f"whatif.group.{group.key}").value == 20
    page.button(key="whatif.reset").click().run()
    assert not desk(page).plan
    page.button(key="whatif.undo").click().run()
    assert desk(page).plan == before


def test_a_ratio_that_would_remove_whole_layers_keeps_one_channel_and_says_so(page):
    page.slider(key="whatif.all").set_value(100).run()
    assert all(len(units) == network().group(key).size - 1 for key, units in desk(page).plan.items())
    assert "would remove whole layers" in text_of(page)
    assert not page.exception and not page.error


def test_requested_and_actual_stand_side_by_side(page):
    page.slider(key="whatif.all").set_value(33).run()
    table = next(each.value for each in page.dataframe if "asked" in each.value)
    assert set(table["asked"]) == {0.33}
    assert (table["actual"] <= 0.33).all() and (table["kept"] < table["channels"]).all()


def test_a_budget_in_reach_is_kept_to_and_one_out_of_reach_is_said_before(page):
    page.slider(key="whatif.budget.share.macs").set_value(40).run()
    assert "can be reached" in text_of(page)
    page.button(key="whatif.preset.use").click().run()
    cost = network().cost(desk(page).plan)
    assert 0.35 < cost.macs / network().cost().macs <= 0.40
    page.button(key="whatif.undo").click().run()
    assert not desk(page).plan
    page.slider(key="whatif.limits.Limits.floor").set_value(0.9).run()
    page.slider(key="whatif.budget.share.macs").set_value(5).run()
    assert "this cannot be reached" in page.warning[0].value and "between" in page.warning[0].value
    assert page.button(key="whatif.preset.use").disabled


def test_the_criterion_says_how_layers_compare_and_layers_of_a_kind_can_be_ranked_together(page):
    page.button_group(key="whatif.preset").set_value("alloc-global").run()
    assert CRITERIA[0].fair.sentence in text_of(page)
    page.slider(key="whatif.budget.share.macs").set_value(50).run()
    page.button(key="whatif.preset.use").click().run()
    together = desk(page).plan
    kinds = next(each for each in page.toggle if each.key == "whatif.preset.GlobalThreshold.isomorphic")
    assert "same kinds of weights" in kinds.help
    kinds.set_value(True).run()
    page.button(key="whatif.preset.use").click().run()
    assert desk(page).plan != together and network().cost(desk(page).plan).macs <= 0.5 * network().cost().macs
    page.selectbox(key="whatif.preset.GlobalThreshold.normalise").set_value("rank").run()
    assert CRITERIA[0].fair.sentence not in text_of(page), "somebody else has decided"


def test_an_allocation_that_needs_a_sweep_says_so_and_takes_one(page, monkeypatch):
    page.button_group(key="whatif.preset").set_value("alloc-sens").run()
    assert "needs a sensitivity sweep" in page.warning[0].value
    now = desk(page)
    from pages.ui.sweeps import judged_on

    spec = SensitivityRun(now.model, judged_on(now.data), CRITERIA[0](), ratios=(0.3, 0.6), images=32)
    job = state.jobs().submit(spec, page.session_state["owner"])
    assert state.jobs().wait(job, 120).state is State.DONE
    page.run()
    assert "Drops from the sweep: L1 norm · 32 images" in text_of(page)
    page.slider(key="whatif.budget.share.macs").set_value(60).run()
    page.button(key="whatif.preset.use").click().run()
    assert network().cost(desk(page).plan).macs <= 0.60 * network().cost().macs


def test_channels_chosen_otherwise_stay_until_they_are_chosen_again(page):
    page.slider(key="whatif.all").set_value(30).run()
    before = desk(page).plan
    page.selectbox(key="criterion").set_value(CRITERIA[-1].card.key).run()
    assert desk(page).plan == before
    assert "removes other channels than" in text_of(page)
    page.button(key="whatif.again").click().run()
    assert desk(page).plan != before
    assert {k: len(v) for k, v in desk(page).plan.items()} == {k: len(v) for k, v in before.items()}
    assert "removes other channels than" not in text_of(page)


def test_a_move_is_estimated_then_measured_and_the_record_says_how_far_off(page):
    held_out = hold_out(state.splits(desk(page).data)[0], desk(page).data)[1]
    whole = evaluate(state.loaded(desk(page).model).model, held_out)
    assert metrics(page)["Accuracy"] == percent(whole.top1)
    moved = []
    for group, share in ((network().groups[0], 20), (network().groups[1], 20)):
        page.slider(key=f"whatif.group.{group.key}").set_value(share).run()
        smaller = remove(state.loaded(desk(page).model).model, network(), desk(page).plan).model
        moved.append(evaluate(smaller, held_out))
        assert metrics(page)["Accuracy"] == percent(moved[-1].top1)
        assert f"{100 * moved[-1].low:.1f}–{100 * moved[-1].high:.1f}, {len(held_out)} images" in text_of(page)
    table = next(each.value for each in page.dataframe if "estimate" in each.value)
    assert list(table["measured"]) == [pytest.approx(100 * each.top1) for each in reversed(moved)]
    assert list(table["off"]) == [pytest.approx(off) for off in table["estimate"] - table["measured"]]
    assert (table["off"].abs() < 30).all() and (table["units"] == [3, 3]).all()
    removed = [(g.key, len(desk(page).plan[g.key]), g.size) for g in (network().groups[1], network().groups[0])]
    assert list(table["move"]) == [f"{key}: {gone} of {size} removed" for key, gone, size in removed]
    assert f"Mean over 2 moves: {table['off'].abs().mean():.1f} points" in text_of(page)
    page.button(key="whatif.undo").click().run()
    assert metrics(page)["Accuracy"] == percent(moved[0].top1)
    assert "Mean over 2 moves" in text_of(page)  # known already: nothing was estimated


def test_what_was_measured_for_somebody_else_stands_on_the_card(page):
    page.slider(key="whatif.all").set_value(30).run()
    found = metrics(page)["Accuracy"]
    assert "%" in found
    del page.session_state[live.READY]  # as in a visit that has not waited for anything yet
    page.run()
    assert metrics(page)["Accuracy"] == found


def test_a_large_network_is_measured_when_asked_and_then_estimated(page, monkeypatch):
    monkeypatch.setattr(engine, "UNASKED_MACS", 0)
    monkeypatch.setattr(engine, "FEW", 48)
    group = network().groups[0]
    page.slider(key=f"whatif.group.{group.key}").set_value(20).run()
    page.button(key="whatif.measure").click().run()
    assert "48 images" in text_of(page) and not metrics(page)["Accuracy"].startswith("≈")
    page.slider(key=f"whatif.group.{group.key}").set_value(40).run()
    assert metrics(page)["Accuracy"].startswith("≈") and "first order" in text_of(page)
    page.button(key="whatif.measure").click().run()
    assert not metrics(page)["Accuracy"].startswith("≈") and "Mean over 1 move:" in text_of(page)


def test_data_that_do_not_fit_are_said_where_the_accuracy_would_stand(page, monkeypatch):
    def refuse(*_):
        raise UserError("These images do not fit.")

    monkeypatch.setattr(engine, "of", refuse)
    page.session_state[live.READY] = set()
    page.run()
    assert "These images do not fit." in text_of(page) and not page.exception


def test_applying_proves_measures_and_hands_over_the_smaller_network(page, monkeypatch):
    page.slider(key="whatif.all").set_value(20).run()
    plan = desk(page).plan
    page.button(key="whatif.apply").click().run()
    (job,) = [view for view in state.jobs().of(page.session_state["owner"]) if view.kind == "prune"]
    ended = state.jobs().wait(job.id, 120)
    assert ended.state is State.DONE, ended.error
    page.run()
    found = ended.last(Pruned)
    shown = metrics(page)
    assert "Removed equals silenced" in page.success[0].value
    assert shown["Accuracy before"] == f"{100 * found.before.accuracy.top1:.1f}\u202f%"
    assert found.after.accuracy.images == 450
    assert shown[found.recovered.recovery] == f"{100 * found.recovered.accuracy.top1:.1f}\u202f%"
    assert shown["MACs after"] == f"{network().cost(plan).macs:,}"
    assert int(shown["MACs by thop"].replace(",", "")) == found.after.thop_macs > network().cost(plan).macs
    layers = page.dataframe[-1].value
    assert layers["macs_after"].sum() == network().cost(plan).macs
    assert shown["Accuracy"] == shown["Accuracy after"]  # the estimate has given way to the measurement
    again = carried("whatif", page, monkeypatch)
    assert metrics(again)["Accuracy after"] == shown["Accuracy after"]
    page.button(key="whatif.adopt").click().run()
    assert not page.exception and not page.error
    small = desk(page).model
    assert small == found.recovered.model and not desk(page).plan
    assert metrics(page)["Accuracy before"] == shown["Accuracy before"], "the comparison stays"
    assert "Fine-tune it" in page.success[0].value and "cut, weights refitted" in page.success[0].value
    assert metrics(page)["MACs"] == f"{network_of(small).cost().macs:,}"
    page.button(key="whatif.back").click().run()
    assert desk(page).plan == plan


def network_of(model):
    return state.network(model)


def test_stages_follow_the_names_of_the_layers():
    resnet = ["conv1", *(f"layer{i}.{j}.conv1" for i in range(1, 5) for j in range(3))]
    assert {stage: len(keys) for stage, keys in plans.stages(resnet).items()} == {
        "conv1": 1, "layer1": 3, "layer2": 3, "layer3": 3, "layer4": 3,
    }  # fmt: skip
    dense = ["features.conv0", *(f"features.denseblock{i}.denselayer{j}.conv1" for i in range(1, 5) for j in range(16))]
    assert list(plans.stages(dense)) == ["features", *(f"features.denseblock{i}" for i in range(1, 5))]
    assert plans.stages([]) == {} and plans.stages(["fc"]) == {"fc": ["fc"]}


def test_a_slider_shows_what_was_asked_only_while_it_explains_the_plan():
    group = network().groups[0]
    plan = plans.with_percent(Plan(), group, 30, scores()[group.key])
    assert plans.cuts(network(), plan, {group.key: 30})[0].asked == 30
    other = plans.cuts(network(), plan, {group.key: 80})[0].asked
    assert plans.counted(other, group.size) == len(plan[group.key])


def test_a_criterion_that_looks_at_images_is_scored_by_a_run_and_the_page_goes_on(page, monkeypatch):
    monkeypatch.setattr(stored, "AT_ONCE", 0)  # as if the network were large
    page.slider(key="whatif.all").set_value(20).run()
    before = desk(page).plan
    page.selectbox(key="criterion").set_value(TaylorGate.card.key).run()
    assert not page.exception
    assert not [each for each in page.slider if each.key == "whatif.all"], "nothing is ranked yet"
    assert page.button(key="whatif.apply") and desk(page).plan == before
    page.button(key="whatif.scores.score").click().run()
    run = ScoresRun(desk(page).model, desk(page).data, (TaylorGate(),))
    view = state.jobs().wait(state.jobs().find(run).id, 60)
    assert view.state is State.DONE, view.error
    page.run()
    page.slider(key="whatif.all").set_value(30).run()
    assert not page.exception
    ranked = ranking(desk(page).model, network(), TaylorGate(), desk(page).data)
    assert desk(page).plan == Plan(
        {g.key: lowest(ranked.values[g.key], int(0.3 * g.size + 1e-9)) for g in network().groups}
    ), "the run chooses as the page would"


def test_scoring_can_be_stopped_and_goes_on(page, monkeypatch):
    gate = threading.Event()
    read = Evidence.gather

    def held(self):
        for step in read(self):
            gate.wait(60)
            yield step

    monkeypatch.setattr(Evidence, "gather", held)
    page.selectbox(key="criterion").set_value(TaylorGate.card.key).run()
    job = state.jobs().find(ScoresRun(desk(page).model, desk(page).data, (TaylorGate(),))).id
    page.button(key="whatif.scores.run.cancel").click().run()
    gate.set()
    assert state.jobs().wait(job, 60).state is State.CANCELLED
    page.run()
    assert not page.exception and not [each for each in page.slider if each.key == "whatif.all"]
    page.button(key="whatif.scores.run.resume").click().run()
    assert state.jobs().wait(job, 60).state is State.DONE
    page.run()
    assert page.slider(key="whatif.all")


def test_every_way_to_a_plan_says_how_and_an_undo_brings_it_back(page):
    page.slider(key="whatif.all").set_value(30).run()
    by_hand = desk(page)
    said = json.loads(by_hand.made_by(by_hand.model, by_hand.plan))
    assert said["allocation"]["$"] == "ByHand" and said["criterion"] and set(said["ratios"]) == set(by_hand.plan)
    page.button(key="whatif.preset.use").click().run()
    now = desk(page)
    said = json.loads(now.made_by(now.model, now.plan))
    assert (
        [each["fraction"] for each in said["budgets"]] == [0.5]
        and said["limits"]
        and said["allocation"]["$"] != "ByHand"
    )
    page.button(key="whatif.undo").click().run()
    again = desk(page)
    assert again.made_by(again.model, again.plan) == by_hand.made_by(by_hand.model, by_hand.plan)
    assert Desk.from_json(again.to_json()) == again, "it is written down"


def test_a_moved_budget_moves_the_sliders_where_they_follow_and_every_budget_is_stood_to(page):
    page.button_group(key="whatif.budget.kinds").set_value(["macs", "bytes"]).run()
    page.slider(key="whatif.budget.share.macs").set_value(90).run()
    assert not desk(page).plan, "nothing moves unasked"
    page.toggle(key="whatif.preset.follow").set_value(True).run()
    assert not desk(page).plan, "the wish to follow moves nothing by itself"
    page.slider(key="whatif.budget.share.bytes").set_value(40).run()
    whole, cost = network().cost(), network().cost(desk(page).plan)
    assert 0.35 < cost.size_bytes / whole.size_bytes <= 0.4 and cost.macs <= 0.9 * whole.macs
    said = text_of(page)
    assert said.count(":material/check: met]") == 2 and "bytes" in said and "to spare" in said
    page.button(key="whatif.undo").click().run()
    assert not desk(page).plan and text_of(page).count("not met]") == 2


def test_sliders_keep_multiples_where_that_is_asked_for(page):
    page.button_group(key="whatif.multiple").set_value(8).run()
    assert not desk(page).plan, "nothing moves unasked"
    page.slider(key="whatif.all").set_value(30).run()
    sizes = {g.key: g.size for g in network().groups}
    kept = {key: sizes[key] - len(units) for key, units in desk(page).plan.items()}
    assert kept and all(each % 8 == 0 and each >= 0.7 * sizes[key] for key, each in kept.items())
    assert page.slider(key="whatif.all").value == 30 and "kept in multiples of 8" in text_of(page)
    assert [plans.counted(p, 20, 8) for p in (10, 20, 59, 60, 100)] == [0, 4, 4, 12, 12]


def test_the_plan_is_timed_when_asked_and_says_how(page):
    page.slider(key="whatif.all").set_value(50).run()
    assert not [name for name in metrics(page) if "Latency" in name]
    page.button(key="whatif.timing.start").click().run()
    wanted = timing.runs(desk(page), False)
    assert [when for when, _ in wanted] == ["unpruned", "with this plan"]
    for spec in wanted.values():
        ended = state.jobs().wait(state.jobs().find(spec).id, 120)
        assert ended.state is State.DONE, ended.error
    page.run()
    shown = metrics(page)
    assert "ms" in shown["Latency unpruned"] and "ms" in shown["Latency with this plan"]
    assert page.button(key="whatif.timing.start").disabled and len(timing.runs(desk(page), True)) == 4


def test_a_table_of_another_tool_stands_in_for_a_sweep_and_one_of_another_network_is_refused(page):
    page.button_group(key="whatif.preset").set_value("alloc-sens").run()
    makers = [next(m.layer for m in g.members if m.role is Role.PRODUCER) for g in network().groups]
    rows = [f"module.{each}.weight,{ratio},{90 - 40 * ratio}" for each in makers for ratio in (0.0, 0.5, 0.9)]
    text = "\n".join(["parameter,sparsity,top1", *rows])
    uploader = next(each for each in page.file_uploader if "sensitivity.brought" in each.key)
    uploader.set_value(("other.csv", text.replace(makers[0], "features.9").encode(), "text/csv")).run()
    assert "are not in this network: module.features.9.weight" in page.warning[0].value
    uploader = next(each for each in page.file_uploader if "sensitivity.brought" in each.key)
    uploader.set_value(("mine.csv", text.encode(), "text/csv")).run()
    assert "a table of Distiller" in text_of(page) and not page.warning
    page.button(key="whatif.preset.use").click().run()
    cost = network().cost(desk(page).plan)
    assert 0.4 < cost.macs / network().cost().macs <= 0.5


def test_a_latency_beside_another_budget_is_found_by_timing(page):
    page.button_group(key="whatif.budget.kinds").set_value(["macs", "latency"]).run()
    page.slider(key="whatif.budget.share.latency").set_value(100).run()
    assert "Find it by timing" in [each.label for each in page.button]
    page.button(key="whatif.fit.start").click().run()
    spec = next(s for _, s in started_fits(page))
    ended = state.jobs().wait(state.jobs().find(spec).id, 180)
    if ended.state is not State.DONE:  # a busy machine may time the smallest network as slower than the whole one
        assert "cannot be reached" in ended.error
        return
    page.run()
    (kept,) = ended.last(Fitted).kept
    assert kept.met and "The plan that was found" in text_of(page)
    page.button(key="whatif.fit.use").click().run()
    assert network().cost(desk(page).plan).macs <= 0.5 * network().cost().macs
    assert [each["kind"] for each in json.loads(desk(page).made_by(desk(page).model, desk(page).plan))["budgets"]] == [
        "macs", "latency",
    ]  # fmt: skip


def started_fits(page):
    jobs = state.jobs()
    return [(v, jobs.spec(v.id)) for v in jobs.of(page.session_state["owner"]) if v.kind == FitRun.kind]
