"""The demo that continues texts: its windows, what it is worth, what can be cut of it, and its way home."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pruning_core.datasets import TEXT_SAMPLE, load_splits
from pruning_core.datasets.called import Called
from pruning_core.datasets.text_sample import PATH, characters
from pruning_core.errors import UserError
from pruning_core.export.as_brought import as_brought
from pruning_core.export.weights import origin_metadata, weights_bytes
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import LoadedModel, import_model, load_model
from pruning_core.zoo.demos import demo
from pruning_core.zoo.gpt import Gpt
from tools.text_sample import divided

pytestmark = pytest.mark.usefixtures("one_thread")
DEMO = demo("text_gpt")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(DEMO.ref)


@pytest.fixture(scope="module")
def network(loaded: LoadedModel) -> Network:
    return capture(loaded.model, torch.zeros(1, *loaded.input_size))


def test_a_window_is_labelled_with_what_follows_and_is_read_in_one_part_alone() -> None:
    parts = load_splits(TEXT_SAMPLE)
    told = json.loads(PATH.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["sha256"] == hashlib.sha256(PATH.read_bytes()).hexdigest()
    assert "Python Software Foundation" in told["source"] and "PSF License" in told["licence"]
    for part, count in zip(parts, (told["to train on"], told["to report on"]), strict=True):
        assert len(part) == count and part.called is Called.SEQUENCE and part.trainable
        assert torch.equal(part.images[:, 1:], part.labels[:, :-1].float())
        assert int(part.labels.max()) < len(characters())
    seen = {bytes(row) for row in parts[0].labels.numpy()}
    assert not [row for row in parts[1].labels.numpy() if bytes(row) in seen]


def test_a_paragraph_that_two_topics_share_is_in_one_part() -> None:
    texts = {f"topic {at}": f"shared\n\nonly {at}\n\n  shared" for at in range(20)}
    training, testing = divided(texts, seed=0)
    assert testing.count("only") == 2 and training.count("only") == 18
    assert (training + testing).count("shared") == 1


def test_it_is_worth_what_is_written_beside_it(loaded: LoadedModel) -> None:
    told = loaded.provenance["accuracy"]
    test = load_splits(DEMO.data)[1]
    assert len(test) == told["test_images"]
    for measure, wanted in ((told["measure"], told["test"]), ("perplexity", told["perplexity"])):
        data = fitted(test, replace(DEMO.data, measure=measure), loaded)
        assert evaluate(loaded.model, data).top1 == pytest.approx(wanted, rel=1e-3)
    assert fitted(test, DEMO.data, loaded).measure == told["measure"], "which is what is proposed"
    assert DEMO.weights_path.stat().st_size < 400_000


def test_heads_and_hidden_layers_are_cut_without_a_change_of_the_rest(loaded: LoadedModel, network: Network) -> None:
    exact = [(group.key, group.size) for group in network.groups if group.exact]
    assert exact == [(f"blocks.{at}.{key}", size) for at in range(3) for key, size in (("attention.q", 4), ("up", 112))]
    removal = remove(loaded.model, network, Plan({key: tuple(range(size // 4)) for key, size in exact}))
    assert removal.form == "module" and removal.proof.exact and removal.proof.max_rel < 1e-10
    assert removal.model.blocks[0].attention.k.weight.shape == (24, 64)  # three of four heads of keys, 8 numbers each


def test_tokens_go_in_as_whole_numbers_at_home_and_as_floats_here(loaded: LoadedModel) -> None:
    model, (example,), _ = as_brought(loaded)
    tokens = torch.randint(int(example.max()) + 1, (2, 64))
    assert int(example.max()) == len(characters()) - 1 and not example.is_floating_point()
    with torch.no_grad():
        assert torch.equal(model(tokens), loaded.model(tokens.float()))
    noise = torch.randn(3, 64)
    assert loaded.model(noise).isfinite().all()


def test_weights_that_were_taken_home_are_told_from_their_shapes_or_from_what_they_say(
    loaded: LoadedModel, network: Network, tmp_path: Path
) -> None:
    small = remove(loaded.model, network, Plan({"blocks.1.attention.q": (2,), "blocks.2.up": (0, 5)})).model
    x = torch.rand(2, 64)
    plain = io.BytesIO(weights_bytes(loaded.model))
    back = import_model(plain, "mine.safetensors", tmp_path)
    assert back.interface == loaded.interface and str(back.outputs) == str(loaded.outputs)
    with torch.no_grad():
        assert torch.equal(back.model(x), loaded.model(x))
    with pytest.raises(UserError, match="fit no known architecture"):
        import_model(io.BytesIO(weights_bytes(small)), "cut.safetensors", tmp_path)
    assert origin_metadata(loaded), "so that what was cut of it comes back: tests/app/test_downloads_come_back.py"
    shapes = {key: tuple(value.shape) for key, value in loaded.model.state_dict().items()}
    assert Gpt.describe(Gpt.infer(shapes) or {}) == "GPT of 3 layers, 64 wide"
