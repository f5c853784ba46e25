"""What a visitor chose is found again; what cannot be read is not a crash."""

import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from pages.ui import sizes
from pages.ui.desk import Desk, first_desk, lost, recall, remember
from pruning_core.datasets import DataRef
from pruning_core.graph import Plan
from pruning_core.storage import Workspace
from pruning_core.storage.opening import noted
from pruning_core.zoo import DEMOS, ModelRef
from pruning_core.zoo.demos import available_demos
from tools.prepared import FOLDER

OTHER = ModelRef("torchvision", "resnet18", weights="random", num_classes=10)


@pytest.fixture
def workspace(data_directory):
    return Workspace(data_directory)


def test_a_new_visitor_finds_the_first_demo(workspace):
    assert recall(workspace, "somebody") == first_desk()
    assert first_desk().model == DEMOS[0].ref and not first_desk().plan


def test_the_first_paint_shows_that_same_demo():
    assert sizes.FOLDER == FOLDER and DEMOS[0].name == sizes.FIRST
    assert sizes.prepared().title == DEMOS[0].title and sizes.prepared_of(first_desk()) == sizes.prepared()
    assert sizes.prepared_of(first_desk().with_model(OTHER, DEMOS[0].data)) is None


def test_every_demo_that_is_here_was_measured_beforehand():
    for each in available_demos():
        found = sizes.prepared_of(first_desk().with_model(each.ref, each.data))
        assert found is not None and found.title == each.title and len(found.sizes) > 4
        stored = json.loads((FOLDER / f"{each.name}.json").read_text(encoding="utf-8"))
        shown = json.loads(each.provenance_path.read_text(encoding="utf-8"))
        assert stored["weights_sha256"] == shown["weights_sha256"], "of the weights that are shipped"


def test_a_desk_survives_the_server(workspace):
    desk = first_desk().with_plan(Plan({"conv1": (1, 3)})).with_model(OTHER, DataRef("torchvision", "CIFAR10"))
    remember(workspace, "me", desk)
    assert recall(workspace, "me") == desk
    assert recall(workspace, "you") == first_desk()


def test_every_model_keeps_its_own_plan(workspace):
    desk = first_desk().with_plan(Plan({"conv1": (1, 3)}))
    away = desk.with_model(OTHER, desk.data)
    assert not away.plan
    assert away.with_model(desk.model, desk.data).plan == Plan({"conv1": (1, 3)})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": "x", "data": "y", "plans": {}}', "\x00"])
def test_an_unreadable_desk_is_the_first_desk(workspace, text):
    remember(workspace, "me", first_desk().with_plan(Plan({"conv1": (1,)})))
    next(workspace.root.glob("desks/*.json")).write_text(text)
    assert recall(workspace, "me") == first_desk()


def test_nothing_on_disk_names_the_visitor(workspace):
    remember(workspace, "a-secret-name", first_desk())
    assert not [path for path in workspace.root.rglob("*") if "a-secret-name" in path.name]
    assert "a-secret-name" not in next(workspace.root.glob("desks/*.json")).read_text()


def test_old_plans_make_room():
    desk = first_desk()
    for number in range(60):
        model = ModelRef("torchvision", "resnet18", weights="random", seed=number)
        desk = desk.with_model(model, desk.data).with_plan(Plan({"conv1": (1,)}))
    assert len(desk.plans) == 50 and desk.plan
    assert Desk.from_json(desk.to_json()) == desk


def test_a_network_that_ended_the_server_is_not_opened_by_itself(workspace):
    desk = first_desk().with_plan(Plan({"conv1": (1,)})).with_model(OTHER, DataRef("torchvision", "CIFAR10"))
    remember(workspace, "me", desk)
    assert not lost(workspace, "me")
    code = (
        "import os, sys; from pathlib import Path; from pruning_core.storage.opening import noted\n"
        "with noted(Path(sys.argv[1]), sys.argv[2], 'other.pt2'): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace.root), OTHER.key], check=False)
    found = recall(workspace, "me")
    assert (found.model, found.data, found.plans) == (first_desk().model, first_desk().data, desk.plans)
    assert lost(workspace, "me") == "other.pt2" and not lost(workspace, "you")
    with noted(workspace.root, OTHER.key, "other.pt2"):
        pass  # opened again, and well
    assert recall(workspace, "me") == desk and not lost(workspace, "me")


def test_two_tabs_writing_one_desk_are_no_error(tmp_path):
    workspace, wrong = Workspace(tmp_path), []
    first = first_desk()
    desks = [replace(first, made={"tab": str(number)}) for number in range(6)]

    def write(number):
        for _ in range(50):
            try:
                remember(workspace, "ann", desks[number])
                if recall(workspace, "ann") not in desks:
                    wrong.append("half a desk")
            except OSError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(desks))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert len(list((tmp_path / "desks").iterdir())) == 1
