"""What the Load page asks: which weights, what outputs mean, how images are read; and the code it hands out."""

import ast
import copy
from dataclasses import replace

import pytest
import torch

from pages.choose import limits, reading
from pages.ui import state
from pages.ui.numbers import size_bytes
from pruning_core.datasets import CIFAR_SAMPLE, DIGITS
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Accuracy
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import DEMOS, ModelRef, load_model
from pruning_core.zoo.meaning import Meaning, said_of
from tests.app.test_choose_page import app, desk, errors, healthy, one_thread, send, text_of  # noqa: F401 (fixtures)
from tests.core.test_zoo_meaning import ending
from tests.core.upload_files import exported, network, saved

TWO = {"model": network(seed=0).state_dict(), "model_ema": network(seed=1).state_dict(), "epoch": 3}


def same_weights(model, state_dict):
    return all(torch.equal(tensor, state_dict[name]) for name, tensor in model.state_dict().items())


# -- which weights -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_with_two_sets_of_weights_asks_which(app):  # noqa: F811
    send(app, "model", "run.pt", saved(TWO).getvalue())
    assert "holds 2 sets of weights" in text_of(app)
    (choice,) = (each for each in app.radio if each.key.startswith("choose.file.weights"))
    assert choice.options == ["model", "model_ema"] and choice.value == "model"
    assert same_weights(load_model(desk().model, state.workspace()).model, TWO["model"])
    assert app.button(key="choose.file.use").disabled, "they are on the desk"
    healthy(choice.set_value("model_ema").run())
    healthy(app.button(key="choose.file.use").click().run())
    assert same_weights(load_model(desk().model, state.workspace()).model, TWO["model_ema"])
    assert app.button(key="choose.file.use").disabled and not app.error
    healthy(app.button(key="choose.file.forget").click().run())
    assert not list((state.workspace().root / "inbox").rglob("run*")) and "sets of weights" not in text_of(app)
    assert same_weights(load_model(desk().model, state.workspace()).model, TWO["model_ema"]), "the network stays"


def test_one_set_asks_nothing(app):  # noqa: F811
    send(app, "model", "run.pt", saved({"state_dict": network().state_dict(), "epoch": 1}).getvalue())
    assert "sets of weights" not in text_of(app) and not app.radio


def test_another_file_of_the_same_name_and_size_is_read_anew(app):  # noqa: F811
    good = saved(network().state_dict()).getvalue()
    send(app, "model", "n.pt", b"\0" * len(good))
    assert errors(app)
    (widget,) = (each for each in app.file_uploader if each.key.startswith("inbox.model."))
    widget.set_value(("n.pt", good, "application/octet-stream"))
    healthy(app.run())
    assert not app.error and desk().model.name == "n.pt"


# -- the code that loads what is unknown -------------------------------------------------------------------------------


def test_weights_of_an_unknown_network_come_with_code_to_copy(app):  # noqa: F811
    odd = {"stem.weight": torch.ones(7, 3, 5, 5), "head.weight": torch.ones(4, 7)}
    send(app, "model", "odd.pt", saved(odd).getvalue())
    (code,) = (each for each in app.code if "def network" in each.value)
    ast.parse(code.value)
    assert "odd.pt" in code.value and "(7, 3, 5, 5)" in code.value and code.language == "python"
    healthy(app.button(key="choose.file.forget").click().run())
    assert not any("def network" in each.value for each in app.code)


# -- what outputs mean -------------------------------------------------------------------------------------------------


def meaning_of(page):
    (choice,) = (each for each in page.selectbox if each.key.startswith("choose.meaning"))
    return choice


def test_an_embedding_is_asked_about_and_the_answer_counts(app):  # noqa: F811
    send(app, "model", "e.pt2", exported(ending(Meaning.EMBEDDING), torch.rand(2, 1, 8, 8)).getvalue())
    assert "Taken for an embedding of 10 numbers" in text_of(app)
    assert "No accuracy is measured of them" in text_of(app)
    first = desk()
    plan = Plan({"0": [0]})
    app.session_state["desk"] = first.with_plan(plan, "{}")
    healthy(meaning_of(app).set_value(Meaning.SCORES).run())
    assert desk().model == said_of(first.model, Meaning.SCORES) and "as you said" in text_of(app)
    assert desk().plan == plan, "the plan stays with its network"
    assert not app.warning or "no accuracy can be" not in app.warning[0].value
    assert load_model(desk().model, state.workspace()).outputs.meaning is Meaning.SCORES


def test_a_known_architecture_is_not_asked(app):  # noqa: F811
    assert not [each for each in app.selectbox if each.key.startswith("choose.meaning")]


def test_what_is_said_of_a_pruned_network_is_said_of_what_it_was_cut_from():
    base = ModelRef("upload", "n.pt2", "0" * 64, "exported")
    pruned = ModelRef("pruned", "n.pt2", base=base, plan="{}")
    assert said_of(pruned, Meaning.NUMBERS) == replace(pruned, base=said_of(base, Meaning.NUMBERS))


# -- how images are read -----------------------------------------------------------------------------------------------


def of_bytes_and_blue_first(data):
    """The CIFAR demo as if it had been trained on pixels from 0 to 255, blue first."""
    demo = next(each for each in DEMOS if each.name == "cifar_resnet20")
    loaded = load_model(demo.ref)
    model = copy.deepcopy(loaded.model)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (loaded.mean, loaded.std))
    with torch.no_grad():
        weight = model.conv1.weight / std
        model.bn1.running_mean += (weight * mean).sum((1, 2, 3))
        model.conv1.weight.copy_(weight.flip(1) / 255)
    return model


def waited(page, ref, data):
    job = state.jobs().submit(EvaluateRun(ref, replace(data, split="held-out"), images=reading.IMAGES), state.owner())
    view = state.jobs().wait(job, 120)
    healthy(page.run())
    return view.last(Accuracy)


def test_no_better_than_guessing_asks_how_images_are_read_and_the_answer_helps(app):  # noqa: F811
    app.session_state["desk"] = replace(desk(), data=CIFAR_SAMPLE)
    send(app, "model", "caffe.pt", saved(of_bytes_and_blue_first(CIFAR_SAMPLE).state_dict()).getvalue())
    before = waited(app, desk().model, CIFAR_SAMPLE)
    assert before.no_better_than_guessing(10)
    (asked,) = (each.value for each in app.warning)
    assert "no better than guessing among 10 classes" in asked and "255" in asked and "Red or blue first" in asked
    key = f"choose.reading.{CIFAR_SAMPLE.key[:12]}"
    app.selectbox(key=f"{key}.pixels").set_value("pixels from 0 to 255")
    app.segmented_control(key=f"{key}.order").set_value("BGR")
    healthy(app.button(key=f"{key}.apply").click().run())
    now = desk().data
    assert now.order == "BGR" and now.mean == (0.0,) * 3 and now.std == (1 / 255,) * 3
    after = waited(app, desk().model, now)
    assert after.top1 > 0.8, "as good as it was trained"
    assert not app.warning and f"{100 * after.top1:.1f}" in text_of(app)
    healthy(app.button(key="choose.details.reset").click().run())
    assert desk().data == CIFAR_SAMPLE, "there is a way back"


def test_a_network_that_knows_its_images_is_not_asked(app):  # noqa: F811
    found = waited(app, desk().model, DIGITS)
    assert found.top1 > 0.9 and not app.warning and "read as now" in text_of(app)


@pytest.mark.parametrize("offered", reading.READINGS + reading.COLOURED, ids=lambda each: each.name)
def test_every_reading_is_one_number_a_channel_in_the_order_of_the_network(offered):
    plain = offered.of(CIFAR_SAMPLE, 3, "RGB")
    turned = offered.of(CIFAR_SAMPLE, 3, "BGR")
    assert turned.order == "BGR"
    for one, other in ((plain.mean, turned.mean), (plain.std, turned.std)):
        assert (one is None) == (other is None)
        if one is not None:
            assert len(one) == 3 and one == other[::-1]


def test_caffe_means_are_those_of_its_networks_in_their_order():
    """A grey of 120 becomes what Caffe's VGG was shown: blue 103.939, green 116.779 and red 123.68 below."""
    ref = reading.COLOURED[1].of(CIFAR_SAMPLE, 3, "BGR")
    shown = [(120 / 255 - mean) / std for mean, std in zip(ref.mean, ref.std, strict=True)]
    assert shown == pytest.approx([120 - 103.939, 120 - 116.779, 120 - 123.68], abs=1e-6)


def test_typed_numbers_are_read_or_refused(app):  # noqa: F811
    model = of_bytes_and_blue_first(CIFAR_SAMPLE)
    app.session_state["desk"] = replace(desk(), data=CIFAR_SAMPLE)
    send(app, "model", "caffe.pt", saved(model.state_dict()).getvalue())
    waited(app, desk().model, CIFAR_SAMPLE)
    key = f"choose.reading.{CIFAR_SAMPLE.key[:12]}"
    healthy(app.selectbox(key=f"{key}.pixels").set_value(reading.OWN).run())
    app.text_input(key=f"{key}.mean").set_value("a few")
    healthy(app.button(key=f"{key}.apply").click().run())
    assert "needs numbers" in errors(app) and desk().data == CIFAR_SAMPLE
    app.text_input(key=f"{key}.mean").set_value("0.5, 0.4")
    healthy(app.button(key=f"{key}.apply").click().run())
    assert "give as many means" in errors(app) and desk().data == CIFAR_SAMPLE
    app.text_input(key=f"{key}.mean").set_value("0.5, 0.4, 0.3")
    app.text_input(key=f"{key}.std").set_value("0.2, 0.2, 0.2")
    healthy(app.button(key=f"{key}.apply").click().run())
    assert desk().data.mean == (0.5, 0.4, 0.3) and desk().data.std == (0.2, 0.2, 0.2)


# -- limits ------------------------------------------------------------------------------------------------------------


def test_limits_are_said_before_anything_is_sent_and_are_the_enforced_ones(app, monkeypatch):  # noqa: F811
    app.segmented_control(key="choose.model.source").set_value("A file of yours").run()
    app.segmented_control(key="choose.data.source").set_value("A file of yours").run()
    said = text_of(healthy(app))
    assert "At most 600 MB a file" in said and "1,000,000 files" in said
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 5 << 20)
    assert "At most 5 MB" in limits.of_networks()
    monkeypatch.setattr(limits, "free_memory", lambda: float("inf"))
    assert "memory" not in limits.of_images()
    monkeypatch.setattr(limits, "free_memory", lambda: 4e9)
    assert size_bytes(2e9) in limits.of_images()


def test_a_reading_with_too_few_numbers_is_a_sentence():
    with pytest.raises(UserError):
        replace(CIFAR_SAMPLE, order="GRB")
