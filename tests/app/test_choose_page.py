"""The load page: good files go on the desk, bad ones get their sentence, and nothing is lost by them."""

import io
import pickle
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest

from pages.choose import models
from pages.ui import state
from pages.ui.desk import first_desk, recall
from pages.ui.literal import literal
from pruning_core.datasets import CIFAR_SAMPLE, DataRef, hold_out
from pruning_core.zoo import ModelRef, demos
from tests.app.pruned_desk import pruned_desk
from tests.app.test_finetune_page import healthy, one_thread, words  # noqa: F401 (one_thread is a fixture)
from tests.core.test_datasets_uploads import npz, picture, two_classes, zipped
from tests.core.upload_files import Attack, network, saved

ROOT = Path(__file__).parents[2]
ME = "me"


@pytest.fixture
def app(monkeypatch, one_thread):  # noqa: F811
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)
    run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    yield healthy(run.switch_page("pages/choose/page.py").run())
    state.jobs().close()


def send(app, kind, name, data, slot=None):
    """Choose the file source of "model" or "data" and upload there."""
    app.segmented_control(key=f"choose.{kind}.source").set_value("A file of yours").run()
    slot = slot or kind
    (widget,) = (each for each in app.file_uploader if each.key.startswith(f"inbox.{slot}."))
    widget.set_value((name, data, "application/octet-stream"))
    return healthy(app.run())


def desk():
    return recall(state.workspace(), ME)


def errors(app):
    return " ".join(each.value for each in app.error)


def hostile(tmp_path):
    """A checkpoint in torch's format whose pickle would create a directory."""
    data = pickle.dumps(Attack(tmp_path / "was run"), protocol=2)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["text", "truncated", "malicious", "whole pickle", "unknown keys", "not finite"])
def test_a_bad_network_file_gets_its_sentence_and_costs_nothing(app, tmp_path, kind):
    good = saved(network().state_dict()).getvalue()
    state_dict = network().state_dict()
    broken = {**state_dict, "conv1.weight": state_dict["conv1.weight"] * float("nan")}
    data, sentence = {
        "text": (b"hello, these are no weights\n" * 20, "is a text file, whatever its name says"),
        "truncated": (good[: len(good) // 2], "damaged or cut short"),
        "malicious": (hostile(tmp_path), "nothing in it ran"),
        "whole pickle": (pickle.dumps({"a": 1}), "would run code when read"),
        "unknown keys": (saved({"strange.weight": torch.ones(3, 4)}).getvalue(), "fit no known architecture"),
        "not finite": (saved(broken).getvalue(), "finite"),
    }[kind]
    send(app, "model", "mine.pt", data)
    assert sentence in errors(app), errors(app)
    assert not (tmp_path / "was run").exists()
    assert desk() == first_desk(), "what was on the desk stays"
    healthy(app.run())
    assert sentence in errors(app), "the sentence stays until something is done about it"
    healthy(app.button(key="choose.file.forget").click().run())
    assert not app.error
    send(app, "model", "good.pt", good)
    assert desk().model.source == "upload" and not app.error


def test_a_checkpoint_is_recognised_and_dropped_from_memory(app):
    send(app, "model", "run.pth", saved({"state_dict": network(classes=10).state_dict(), "epoch": 3}).getvalue())
    assert desk().model.name == "run.pth" and desk().model.num_classes == 10
    assert not list((state.workspace().root / "inbox").rglob("run*"))
    assert not any(each.value for each in app.file_uploader)


def test_weights_of_an_unknown_kind_can_be_named(app):
    weights = network().state_dict()
    renamed = {name: tensor for name, tensor in weights.items() if name != "bn1.weight"}
    send(app, "model", "odd.pt", saved(renamed).getvalue())
    assert "fit no known architecture" in errors(app) and desk() == first_desk()
    app.selectbox(key="choose.file.architecture").set_value("digits_resnet")
    healthy(app.button(key="choose.file.again").click().run())
    assert "do not fit" in errors(app) and "bn1.weight" in errors(app), "it says which keys are missing"


def test_a_class_count_that_does_not_fit_is_said_before_anything_runs(app):
    send(app, "model", "seven.pt", saved(network(classes=7).state_dict()).getvalue())
    (warning,) = (each.value for each in app.warning)
    assert "tells 7 classes apart" in warning and "has 10" in warning
    healthy(app.switch_page("pages/finetune/page.py").run())
    assert "tells 7 classes apart" in errors(app)
    assert app.button(key="finetune.start").disabled


@pytest.mark.parametrize("kind", ["loose", "not an image", "cut short", "empty", "text"])
def test_bad_data_gets_its_sentence_and_costs_nothing(app, kind):
    whole = zipped(two_classes()).getvalue()
    members, sentence = {
        "loose": (zipped(two_classes() | {"1.png": picture()}).getvalue(), "no class folder around '1.png'"),
        "not an image": (zipped(two_classes() | {"dog/x.png": b"<html>"}).getvalue(), "'dog/x.png' does not decode"),
        "cut short": (whole[: len(whole) // 2], "damaged"),
        "empty": (zipped({}).getvalue(), "holds no images"),
        "text": (b"hello" * 50, "mine.zip"),
    }[kind]
    send(app, "data", "mine.zip", members)
    assert sentence in errors(app), errors(app)
    assert desk() == first_desk()
    healthy(app.button(key="choose.data.forget").click().run())
    send(app, "data", "good.zip", whole)
    assert desk().data.name == "good.zip" and not app.error
    assert "has 2" in next(each.value for each in app.warning), "two classes do not fit the demo"


def test_two_zips_make_one_data_set(app):
    app.segmented_control(key="choose.data.source").set_value("A file of yours").run()
    app.toggle(key="choose.data.two").set_value(True).run()
    send(app, "data", "train.zip", zipped(two_classes()).getvalue())
    assert desk() == first_desk(), "it waits for the second"
    send(app, "data", "test.zip", zipped(two_classes(count=2)).getvalue(), slot="test data")
    train, test = state.splits(desk().data)
    assert (len(train), len(test)) == (8, 4)


def test_size_mean_and_class_names_can_be_changed(app):
    rng = np.random.default_rng(random.Random(0).randrange(100))
    images = rng.integers(0, 255, (40, 12, 10), dtype=np.uint8)
    send(app, "data", "mine.npz", npz(images=images, labels=np.arange(40) % 4).getvalue())
    key = f"choose.details.{desk().data.key[:12]}"
    app.number_input(key=f"{key}.height").set_value(8)
    app.number_input(key=f"{key}.width").set_value(8)
    app.text_input(key=f"{key}.mean").set_value("0.5")
    healthy(app.button(key="choose.details.apply").click().run())
    changed = desk().data
    assert changed.size == (8, 8) and changed.mean == (0.5,) and changed.std is None and changed.classes is None
    key = f"choose.details.{changed.key[:12]}"
    app.text_input(key=f"{key}.std").set_value("wide")
    healthy(app.button(key="choose.details.apply").click().run())
    assert "needs numbers" in errors(app) and desk().data == changed
    healthy(app.button(key="choose.details.reset").click().run())
    assert desk().data.size is None and desk().data.mean is None


def text_of(app):
    return "\n".join(each.value for each in (*app.markdown, *app.caption))


def test_what_is_odd_stands_beside_the_data_wherever_they_are_named(app):
    same = picture()
    members = two_classes() | {"cat/a.png": same, "dog/b.png": same, "cow/1.heic": b"h", "__MACOSX/._1.png": b"j"}
    send(app, "data", "![x](http:evil).zip", zipped(members).getvalue())
    _, test = state.splits(desk().data)
    assert len(test.notes) > 3
    listed = text_of(app)
    for note in test.notes:
        assert literal(note) in listed
    count = f"{len(test.notes)} notes]"
    assert sum(count in each.value for each in app.markdown) == 2, "in the frame on top and in the sidebar"
    assert not any("![x](" in each.value for each in app.markdown), "a name is no picture"
    healthy(app.switch_page("pages/whatif/page.py").run())
    (named,) = (each for each in app.sidebar.markdown if count in each.value)
    assert literal(test.notes[0]) in named.help


def test_plain_data_have_no_badge(app):
    assert "note" not in text_of(app).replace("notebook", "")


def test_the_shares_can_be_chosen_and_their_images_are_counted_before(app):
    rng = np.random.default_rng(1)
    send(app, "data", "mine.npz", npz(images=rng.integers(0, 255, (400, 12, 10), dtype=np.uint8),
                                      labels=np.arange(400) % 4).getvalue())  # fmt: skip
    key = f"choose.details.{desk().data.key[:12]}"
    app.slider(key=f"{key}.testing").set_value(25)
    healthy(app.slider(key=f"{key}.held_out").set_value(40).run())
    assert "**180** images to learn from, **120** held out for choices, **100** to report on" in text_of(app)
    healthy(app.button(key="choose.details.apply").click().run())
    assert (desk().data.test_fraction, desk().data.held_out) == (0.25, 0.4)
    train, test = state.splits(desk().data)
    fit, held_out = hold_out(train, desk().data)
    assert (len(fit), len(held_out), len(test)) == (180, 120, 100)
    key = f"choose.details.{desk().data.key[:12]}"
    assert app.slider(key=f"{key}.held_out").value == 40


def test_shares_between_two_per_cents_stay_what_they_are_until_they_are_moved(app):
    between = replace(first_desk().data, held_out=0.123)
    app.session_state["desk"] = first_desk().with_data(between)
    healthy(app.run())
    app.text_input(key=f"choose.details.{between.key[:12]}.mean").set_value("0.5")
    healthy(app.button(key="choose.details.apply").click().run())
    assert desk().data.held_out == 0.123 and desk().data.mean == (0.5,)


def test_the_share_for_testing_is_not_asked_where_test_images_come_with_the_data(app):
    members = two_classes("train/", 6) | two_classes("test/", 3)
    send(app, "data", "own.zip", zipped(members).getvalue())
    assert not any("testing" in each.key for each in app.slider)
    assert "**6** to report on" in text_of(app)


def test_the_code_page_of_names_is_asked_and_can_be_changed(app):
    data = zipped({f"xx{label}/{at}.png": picture(at) for label in "01" for at in range(4)}).getvalue()
    send(app, "data", "names.zip", data.replace(b"xx0", "개0".encode("cp949")).replace(b"xx1", "배1".encode("cp949")))
    ref = desk().data
    choice = app.selectbox(key=f"choose.details.{ref.key[:12]}.code_page")
    assert "Korean (code page 949)" in choice.options
    choice.set_value("cp949")
    healthy(app.button(key="choose.details.apply").click().run())
    assert state.splits(desk().data)[0].classes == ("개0", "배1") and desk().data.code_page == "cp949"
    healthy(app.button(key="choose.details.reset").click().run())
    assert desk().data == ref


def test_a_torchvision_network_without_weights_is_labelled_untrained(app):
    app.segmented_control(key="choose.model.source").set_value("torchvision").run()
    app.selectbox(key="choose.tv.name").set_value("squeezenet1_1").run()
    app.segmented_control(key="choose.tv.weights").set_value("random").run()
    assert app.number_input(key="choose.tv.classes").value == 10, "as many as the data on the desk has"
    app.number_input(key="choose.tv.side.squeezenet1_1").set_value(64)
    healthy(app.button(key="choose.tv.load").click().run())
    assert desk().model == ModelRef(
        "torchvision", "squeezenet1_1", weights="random", num_classes=10, input_size=(3, 64, 64)
    )
    assert "untrained" in words(app) and "turned into colour and resized to 64 × 64" in words(app)


def test_weights_that_cannot_be_downloaded_are_a_sentence(app, monkeypatch):
    import urllib.error
    import urllib.request

    def offline(*args, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    app.segmented_control(key="choose.model.source").set_value("torchvision").run()
    healthy(app.button(key="choose.tv.load").click().run())
    assert "could not be downloaded" in errors(app) and desk() == first_desk()


def test_the_cifar_demo_works_without_a_network_and_says_what_cannot_be_done(app, monkeypatch):
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", None)
    app.segmented_control(key="choose.model.source").set_value("Demo").run()
    healthy(app.button(key="choose.demo.cifar_resnet20").click().run())
    assert desk().data == CIFAR_SAMPLE and desk().model.name == "cifar_resnet20"
    assert "1,000 to choose by, 1,000 to test" in text_of(app) and "**500** images to score" in text_of(app)
    healthy(app.switch_page("pages/finetune/page.py").run())
    assert "is for measuring only" in errors(app) and app.button(key="finetune.start").disabled
    healthy(app.switch_page("pages/criteria/page.py").run())
    assert not app.error


def test_the_sample_is_offered_among_the_data(app):
    app.segmented_control(key="choose.data.source").set_value("CIFAR-10 sample").run()
    healthy(app.button(key="choose.sample").click().run())
    assert desk().data == CIFAR_SAMPLE and desk().model == first_desk().model
    assert app.button(key="choose.sample").disabled


def test_a_demo_brings_its_data(app):
    send(app, "data", "good.zip", zipped(two_classes()).getvalue())
    app.segmented_control(key="choose.model.source").set_value("Demo").run()
    healthy(app.button(key="choose.demo.digits_vgg").click().run())
    assert desk().model.name == "digits_vgg" and desk().data == first_desk().data


@pytest.mark.parametrize("lost", ["data", "network"])
def test_what_cannot_be_loaded_leaves_the_desk_as_it_was(app, monkeypatch, lost):
    """A demo whose images cannot be had, or whose weights are gone, must not take the pruned network's place."""
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    before = pruned_desk(state.workspace(), ME)
    app.session_state["desk"] = before
    offline = DataRef("torchvision", "FashionMNIST")
    gone = ModelRef("upload", "gone.pt", weights="0" * 64, architecture="digits_vgg")
    demo = replace(demos.DEMOS[1], data=offline) if lost == "data" else demos.DEMOS[1]
    monkeypatch.setattr(models, "available_demos", lambda: (demo,))
    if lost == "network":
        monkeypatch.setattr(type(demo), "ref", property(lambda _: gone))
    app.segmented_control(key="choose.model.source").set_value("Demo").run()
    healthy(app.button(key="choose.demo.digits_vgg").click().run())
    assert ("could not be downloaded" if lost == "data" else "no longer in the data directory") in errors(app)
    assert desk() == before == app.session_state["desk"]


def test_data_that_cannot_be_had_leave_the_desk_as_it_was(app, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    app.segmented_control(key="choose.data.source").set_value("Classic sets").run()
    healthy(app.button(key="choose.set.MNIST").click().run())
    assert "could not be downloaded" in errors(app) and desk() == first_desk()
