"""A link brings back what went into it; whatever is forged ends in one sentence and builds nothing."""

import base64
import json
import zlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.datasets import CIFAR_SAMPLE, DIGITS, DataRef
from pruning_core.errors import UserError
from pruning_core.export.document import Base, to_json
from pruning_core.export.link import DAMAGED, Shared, from_token, token
from pruning_core.export.plan_file import intended, read_plan_file
from pruning_core.export.ranges import as_ranges, from_ranges
from pruning_core.export.recipe import to_yaml
from pruning_core.graph import Plan, capture
from pruning_core.zoo import DEMOS, ModelRef, load_model

DEMO = DEMOS[0].ref
PLAN = Plan({"layer1.0.conv1": (0, 1, 2, 7), "conv1": (3,)})
TORCHVISION = ModelRef("torchvision", "resnet18", weights="random", num_classes=10, input_size=(3, 32, 32))


def nobody(key):
    return False


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.sets(st.integers(0, 5000), min_size=1), max_size=5))
@settings(deadline=None)
def test_every_plan_comes_back(plan):
    shared = Shared(DEMO, DIGITS, Plan(plan))
    assert from_token(token(shared)) == shared


@given(st.sets(st.integers(0, 10_000)))
def test_ranges_come_back(positions):
    assert from_ranges(as_ranges(sorted(positions))) == sorted(positions)


@pytest.mark.parametrize("model", [DEMO, TORCHVISION, ModelRef("pruned", DEMO.name, base=DEMO, plan=PLAN.to_json())])
@pytest.mark.parametrize("data", [DIGITS, CIFAR_SAMPLE, DataRef("torchvision", "CIFAR10", mean=(0.5,) * 3)])
def test_what_has_a_name_opens_everywhere(model, data):
    found = from_token(token(Shared(model, data, PLAN)))
    found.check(nobody)
    assert found.travels and found == Shared(model, data, PLAN)


FOREIGN = [
    ModelRef("upload", "mine.pt", weights="a" * 64, architecture="resnet18"),
    ModelRef("pruned", DEMO.name, weights="b" * 64, base=DEMO, plan="{}"),
    ModelRef("factory", "os:getcwd"),
    replace(TORCHVISION, num_classes=10**9),
    replace(TORCHVISION, input_size=(3, 10**6, 10**6)),
    replace(TORCHVISION, name="../../etc/passwd"),
    replace(DEMO, name="nowhere"),
    replace(DEMO, options=(("width", 10**9),)),
]


@pytest.mark.parametrize("model", FOREIGN, ids=range(len(FOREIGN)))
def test_what_lies_elsewhere_or_is_forged_is_refused_unless_it_was_shared_here(model):
    found = from_token(token(Shared(model, DIGITS, PLAN)))
    with pytest.raises(UserError, match="this server does not have"):
        found.check(nobody)
    found.check(lambda key: key == model.key)
    assert not found.travels


@pytest.mark.parametrize(
    "data",
    [DataRef("npz", "mine.npz", digest="c" * 64), replace(DIGITS, seed=-1), replace(DIGITS, held_out=float("nan")),
     replace(DIGITS, std=(0.0,)), replace(CIFAR_SAMPLE, classes=("x" * 10_000,)), DataRef("torchvision", "nowhere")],
)  # fmt: skip
def test_images_that_lie_elsewhere_or_are_forged_are_refused(data):
    with pytest.raises(UserError, match="images that this server does not have"):
        Shared(DEMO, data, PLAN).check(nobody)


def packed(content):
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode().rstrip("=")


GOOD = json.loads(zlib.decompress(base64.urlsafe_b64decode(token(Shared(DEMO, DIGITS, PLAN)) + "==")))


@pytest.mark.parametrize(
    "text",
    ["", "x", "<b>", "é", "A" * 100_000, packed([]), packed({}), packed({**GOOD, "v": "2"}), packed({**GOOD, "v": 0}),
     packed({**GOOD, "plan": {"conv1": "0-99999999999"}}), packed({**GOOD, "plan": {"conv1": "3-1"}}),
     packed({**GOOD, "plan": [1]}), packed({**GOOD, "model": {"$": "DataRef"}}), packed({**GOOD, "model": None}),
     packed({**GOOD, "model": {**GOOD["model"], "num_classes": "9"}}),
     packed({**GOOD, "data": {**GOOD["data"], "seed": [1]}}), packed({**GOOD, "model": {"$": "Popen", "args": "ls"}}),
     base64.urlsafe_b64encode(zlib.compress(b" " * (1 << 24))).decode()],
)  # fmt: skip
def test_a_damaged_link_is_one_sentence(text):
    with pytest.raises(UserError) as caught:
        from_token(text)
    assert str(caught.value) == DAMAGED


def test_a_plan_too_long_for_an_address_says_so():
    every_other = Plan({f"layer{at}.{at * 7919}": range(at % 13, 4000, 2 + at % 7) for at in range(400)})
    noise = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))[:9000].tolist()
    with pytest.raises(UserError, match="as a file"):
        token(Shared(DEMO, DIGITS, every_other.with_group("conv1", noise)))


def test_a_plan_a_document_and_a_recipe_are_read_back():
    loaded = load_model(DEMO)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    base = Base(loaded.title, DEMO.to_json(), "", loaded.model.state_dict())
    content = intended(base, network, PLAN, CIFAR_SAMPLE)
    found = read_plan_file(to_json(content), DIGITS)
    assert found.plan == PLAN and found.shared == Shared(DEMO, CIFAR_SAMPLE, PLAN) and found.title == loaded.title
    recipe = {**{k: v for k, v in content.items() if k != "data"}, "format": "prunescope.recipe"}
    for text in (to_yaml(recipe), json.dumps(recipe)):
        assert read_plan_file(text, DIGITS).shared == Shared(DEMO, DIGITS, PLAN)
    stranger = {**content, "base": {"title": "<b>x</b>", "ref": {"$": "ModelRef", "source": "nowhere", "name": "x"}}}
    assert read_plan_file(json.dumps(stranger), DIGITS).shared is None
    for text in ("", "{}", "[1]", "a: b", '{"format": "prunescope.plan", "version": 1, "plan": 3}', "x" * 100):
        with pytest.raises(UserError):
            read_plan_file(text, DIGITS)
