"""What a network's outputs are: told from what they look like, carried by the network, asked about before measuring."""

import dataclasses
from math import log

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pruning_core.datasets import DIGITS, DataRef, import_data, load_splits
from pruning_core.errors import UserError
from pruning_core.measuring.intervals import wilson
from pruning_core.measuring.measures import Accuracy
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import DEMOS, ModelRef, import_model, load_model
from pruning_core.zoo.factory import VARIABLE, factory_ref
from pruning_core.zoo.meaning import Meaning, look_like, said_to_be
from pruning_core.zoo.output import look
from tests.core.test_datasets_uploads import npz
from tests.core.upload_files import exported, saved

pytestmark = pytest.mark.usefixtures("one_thread")


class End(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, y):
        return self.what(y)


ENDS = {
    Meaning.SCORES: lambda y: y,
    Meaning.PROBABILITIES: lambda y: y.softmax(1),
    Meaning.LOG_PROBABILITIES: lambda y: y.log_softmax(1),
    Meaning.YES_OR_NO: torch.sigmoid,
    Meaning.EMBEDDING: F.normalize,
}


def ending(meaning, width=10, channels=1):
    torch.manual_seed(0)
    body = (nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, width))
    return nn.Sequential(*body, End(ENDS[meaning])).eval()


def brought(root, meaning, width=10):
    return import_model(exported(ending(meaning, width), torch.rand(2, 1, 8, 8)), "n.pt2", root)


@pytest.mark.parametrize("meaning", ENDS)
@pytest.mark.parametrize("width", [2, 10, 136])
def test_the_form_of_the_outputs_is_told_from_the_outputs(meaning, width):
    generator = torch.Generator().manual_seed(width)
    rows = ENDS[meaning](4 * torch.randn(6, width, generator=generator))
    found = look_like(rows)
    assert (found.meaning, found.width) == (meaning, width) and found.evidence
    assert look_like(rows.half()).meaning is meaning, "rounding of half precision is no evidence against it"


def test_what_holds_for_some_images_only_is_no_evidence():
    rows = torch.randn(6, 10).softmax(1)
    rows[3] *= 1.01
    assert look_like(rows).meaning is Meaning.YES_OR_NO
    rows[3] *= 100
    assert look_like(rows).meaning is Meaning.SCORES
    assert look_like(torch.eye(4)).meaning is Meaning.PROBABILITIES, "certain, and of length 1 by chance"


def test_untrained_scores_that_happen_to_be_small_are_scores():
    """All between 0 and 1 for usual images; those that are a hundred times louder tell them from probabilities."""
    model = ending(Meaning.SCORES, 3)
    with torch.no_grad():
        model[4].bias.copy_(torch.tensor([0.4, 0.5, 0.6]))
        model[4].weight.mul_(0.1)
        assert look_like(model(torch.rand(2, 1, 8, 8))).meaning is Meaning.YES_OR_NO
    assert look(model, (1, 8, 8)).meaning is Meaning.SCORES


@pytest.mark.parametrize("meaning", ENDS)
def test_a_file_that_holds_the_network_says_what_its_outputs_look_like(tmp_path, meaning):
    loaded = brought(tmp_path, meaning)
    assert loaded.outputs.meaning is meaning and loaded.outputs.width == loaded.num_classes == 10
    (said,) = (note for note in loaded.notes if note.startswith("its outputs are taken for"))
    assert str(loaded.outputs) in said and loaded.outputs.evidence in said
    again = load_model(ModelRef.from_json(loaded.ref.to_json()), tmp_path)
    assert again.outputs == loaded.outputs and again.notes == loaded.notes
    cut = ModelRef("pruned", "n.pt2", base=loaded.ref, plan="{}")
    assert load_model(cut, tmp_path).outputs == loaded.outputs, "what was cut keeps its meaning"


def test_what_a_person_says_goes_before_what_it_looks_like(tmp_path):
    loaded = brought(tmp_path, Meaning.EMBEDDING)
    ref = dataclasses.replace(loaded.ref, options=said_to_be(loaded.ref.options, Meaning.SCORES))
    told = load_model(ref, tmp_path)
    assert told.outputs.meaning is Meaning.SCORES and told.outputs.evidence == "as you said"
    assert {key: value for key, value in ref.options if key == "batch"} == {
        key: value for key, value in loaded.ref.options if key == "batch"
    }, "what else the reference knows stays"


def test_a_network_of_the_users_own_code_too(tmp_path, monkeypatch):
    (tmp_path / "ends_for_test.py").write_text(
        "from torch import nn\n\ndef make():\n"
        "    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1))\n"
        "    model.input_size = (1, 8, 8)\n    return model\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(VARIABLE, "ends_for_test:make")
    ref = factory_ref("ends_for_test:make")
    assert load_model(ref).outputs.meaning is Meaning.PROBABILITIES
    ref = dataclasses.replace(ref, options=said_to_be(ref.options, Meaning.NUMBERS))
    assert load_model(ref).outputs.meaning is Meaning.NUMBERS


@pytest.mark.parametrize("demo", DEMOS[:2], ids=lambda demo: demo.name)
def test_known_classifiers_give_scores(demo):
    loaded = load_model(demo.ref)
    assert loaded.outputs.meaning is Meaning.SCORES and loaded.looks is None
    assert look(loaded.model, loaded.input_size).meaning is Meaning.SCORES
    assert not any("outputs are taken for" in note for note in loaded.notes)


# -- measuring ---------------------------------------------------------------------------------------------------------


def measured(ref, root, data=DIGITS):
    (*_, last) = (event for event in EvaluateRun(ref, data).run(Workspace(root)) if isinstance(event, Accuracy))
    return last


def test_an_embedding_as_wide_as_the_data_has_classes_has_no_accuracy(tmp_path):
    ref = brought(Workspace(tmp_path), Meaning.EMBEDDING).ref
    assert measured(ref, tmp_path).measure == "output_error"
    with pytest.raises(UserError, match=r"Accuracy cannot be measured of an embedding of 10 numbers\. Choose another"):
        measured(ref, tmp_path, dataclasses.replace(DIGITS, measure="top1"))
    scores = dataclasses.replace(ref, options=said_to_be(ref.options, Meaning.SCORES))
    assert measured(scores, tmp_path).measure == "top1"


def test_numbers_that_a_person_says_are_none_have_no_accuracy(tmp_path):
    ref = brought(Workspace(tmp_path), Meaning.SCORES).ref
    assert measured(ref, tmp_path).measure == "top1"
    numbers = dataclasses.replace(ref, options=said_to_be(ref.options, Meaning.NUMBERS))
    found = measured(numbers, tmp_path)
    assert (found.measure, found.top1) == ("output_error", 0.0), "it is as near to itself as can be"


def test_the_largest_of_probabilities_is_as_good_an_answer(tmp_path):
    found = {
        meaning: measured(brought(Workspace(tmp_path), meaning).ref, tmp_path)
        for meaning in (Meaning.SCORES, Meaning.PROBABILITIES, Meaning.LOG_PROBABILITIES, Meaning.YES_OR_NO)
    }
    assert len({each.top1 for each in found.values()}) == 1


def test_coordinates_are_asked_about_and_not_measured(tmp_path):
    loaded = brought(Workspace(tmp_path), Meaning.SCORES, 136)
    _, test = load_splits(DIGITS)
    with pytest.raises(UserError, match=r"136 classes apart.* has 10.*coordinates or an embedding, say so"):
        loaded.check_classes_of(test)
    with pytest.raises(UserError, match=r"136 classes apart"):
        measured(loaded.ref, tmp_path)


def test_looking_at_channels_needs_no_scores(tmp_path):
    loaded = brought(tmp_path, Meaning.EMBEDDING)
    _, test = load_splits(DIGITS)
    assert len(fitted(test, DIGITS, loaded, judged=False)) == len(test)
    assert fitted(test, DIGITS, loaded).measure == "output_error"


@pytest.mark.parametrize(
    ("hits", "images", "classes", "guessing"),
    [(26, 256, 10, True), (40, 256, 10, False), (0, 256, 10, True), (5, 256, 1000, False), (1, 256, 1000, True)],
)
def test_an_accuracy_that_guessing_would_reach(hits, images, classes, guessing):
    low, high = wilson(hits, images)
    found = Accuracy(hits / images, None, log(classes), images, low, high, images, "data", 0.0)
    assert found.no_better_than_guessing(classes) is guessing


# -- how images are read -----------------------------------------------------------------------------------------------


def test_colours_in_the_other_order(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (20, 5, 6, 3), dtype=np.uint8)
    images[..., 0] //= 2
    ref = import_data(npz(images=images, labels=np.arange(20) % 2), "c.npz", tmp_path)
    other = dataclasses.replace(ref, order="BGR")
    for usual, turned in zip(load_splits(ref, tmp_path), load_splits(other, tmp_path), strict=True):
        assert torch.equal(turned.images, usual.images.flip(1))
        assert turned.mean == usual.mean[::-1] and turned.std == usual.std[::-1]
        assert turned.mean[2] < 0.3 < turned.mean[0], "the dark channel was red"
    grey = dataclasses.replace(DIGITS, order="BGR")
    assert torch.equal(load_splits(grey)[1].images, load_splits(DIGITS)[1].images)
    with pytest.raises(UserError, match="RGB or BGR"):
        DataRef("digits", "digits", order="GBR")


def test_pixels_from_0_to_255_are_a_deviation_of_one_255th(tmp_path):
    data = load_splits(dataclasses.replace(DIGITS, mean=(0.0,), std=(1 / 255,)))[1]
    (x, _) = next(data.batches(16))
    assert torch.allclose(x, data.images[:16].float(), atol=1e-3)


def test_weights_that_were_recognised_need_no_question(tmp_path):
    loaded = import_model(saved(load_model(DEMOS[0].ref).model.state_dict()), "w.pt", tmp_path)
    assert loaded.looks is None and loaded.outputs.meaning is Meaning.SCORES
    assert str(loaded.outputs) == "the scores of 10 classes"
