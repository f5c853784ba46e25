"""Runs in children: the same results, and a child that dies, lies or does not listen does no harm to the server."""

from __future__ import annotations

import dataclasses
import gc
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pruning_core.apart.household import elsewhere
from pruning_core.apart.places import limits_of
from pruning_core.datasets import DIGITS, DataRef, import_data
from pruning_core.datasets.sample import CIFAR_SAMPLE
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.isolation.children import Children
from pruning_core.isolation.limits import Limits
from pruning_core.methods.recoveries import Mending
from pruning_core.runs import elsewhere as runs_elsewhere
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.elsewhere import Elsewhere
from pruning_core.runs.events import Artifact, Event, Progress, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State
from pruning_core.storage.codec import encode
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Step
from pruning_core.zoo import DEMOS, ModelRef

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.core.harmful_runs import Harm
from tests.core.houses import house_of
from tests.core.upload_files import exported

PATIENCE = 60.0
DEMO = DEMOS[0].ref
SHORT = FineTune(epochs=2, batch_size=256, lr=0.01, device="cpu")
PLAN = Plan({"layer1.0.conv1": (0, 3)})


@pytest.fixture(scope="module")
def harm() -> Iterator[Children]:
    with house_of("tests.core.isolated_tasks") as made:
        yield made


@pytest.fixture(scope="module")
def product() -> Iterator[Elsewhere]:
    """Where the product's runs happen, once it is ready: before, they would happen in this process."""
    where = elsewhere()
    assert where is not None
    where.children.start()
    until = time.monotonic() + 4 * PATIENCE
    while not where.children.ready and time.monotonic() < until:
        time.sleep(0.05)
    assert where.children.ready
    yield where
    where.children.close()


@pytest.fixture
def jobs(workspace: Workspace, harm: Children) -> Iterator[Jobs]:
    where = Elsewhere(harm, lambda spec, workspace: Limits(memory=256 << 20, confined=False))
    made = Jobs(workspace, Catalogue((Harm,)), threads=1, elsewhere=where)
    yield made
    made.close(PATIENCE)


@pytest.fixture
def shut_in(workspace: Workspace, harm: Children) -> Iterator[Jobs]:
    def limits(spec: RunSpec, workspace: Workspace) -> Limits:
        return Limits(memory=256 << 20, writable=(str(workspace.scratch(spec.key)),))

    made = Jobs(workspace, Catalogue((Harm,)), threads=1, elsewhere=Elsewhere(harm, limits))
    yield made
    made.close(PATIENCE)


def ended(jobs: Jobs, spec: RunSpec) -> JobView:
    view = jobs.wait(jobs.submit(spec, "ann"), PATIENCE)
    assert not view.active
    return view


def eventually(jobs: Jobs, job_id: str, count: int) -> JobView:
    until = time.monotonic() + PATIENCE
    while (view := jobs.snapshot(job_id)).count < count and time.monotonic() < until:
        time.sleep(0.01)
    assert view.count >= count
    return view


# -- the same results --------------------------------------------------------------------------------------------------

TIMES = ("seconds", "images_per_s", "latency")
PASSING = (Progress, Step, Checking, Stage)  # how many of these there are is a matter of time


def plain(event: Event) -> object:
    """The event as JSON without what only the clock decides."""

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in TIMES}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(encode(event))


RUNS: tuple[RunSpec, ...] = (
    EvaluateRun(DEMO, DIGITS),
    SensitivityRun(DEMO, DIGITS, ratios=(0.3, 0.6), images=100),
    FineTuneRun(ModelRef("pruned", DEMO.name, base=DEMO, plan=PLAN.to_json()), DIGITS, SHORT),
    PruneRun(DEMO, DIGITS, PLAN.to_json(), images=100),
    SensitivityRun(DEMO, DIGITS, ratios=(0.6,), images=100, recovery=Mending(images=32)),
)


@pytest.mark.parametrize("spec", RUNS, ids=lambda spec: spec.kind)
def test_a_child_gives_the_same_events_and_files_to_the_last_bit(
    spec: RunSpec, product: Elsewhere, tmp_path: Path
) -> None:
    told, files = [], []
    for name, place in (("thread", None), ("child", product)):
        workspace = Workspace(tmp_path / name)
        jobs = Jobs(workspace, PRODUCT, threads=1, elsewhere=place)
        view = ended(jobs, spec)
        jobs.close(PATIENCE)
        assert view.state is State.DONE, view.error
        told.append([plain(each) for each in view.events if not isinstance(each, PASSING)])
        files.append(sorted(path.name for path in (tmp_path / name / "artifacts").rglob("*") if path.is_file()))
        assert not list((tmp_path / name / "children").iterdir()) if place else True
        assert not any((tmp_path / name / "scratch").glob("*"))
    if isinstance(spec, EvaluateRun):  # partial figures come several times a second
        told = [each[-2:] for each in told]
    assert told[0] and told[0] == told[1]
    assert files[0] == files[1] and bool(files[0]) == isinstance(spec, FineTuneRun | PruneRun)


def test_a_cancelled_training_leaves_its_checkpoint_and_goes_on_to_the_same_end(
    product: Elsewhere, tmp_path: Path
) -> None:
    spec = dataclasses.replace(RUNS[2], config=dataclasses.replace(SHORT, epochs=6))
    outcomes = []
    for name in ("undisturbed", "cancelled"):
        jobs = Jobs(Workspace(tmp_path / name), PRODUCT, threads=1, elsewhere=product)
        job_id = jobs.submit(spec, "ann")
        if name == "cancelled":
            while jobs.snapshot(job_id).last(Step) is None:
                time.sleep(0.01)
            began = time.monotonic()
            jobs.cancel(job_id)
            view = jobs.wait(job_id, PATIENCE)
            assert view.state is State.CANCELLED and time.monotonic() - began < 5
            assert view.last(Artifact) is not None, "the best weights so far are handed over"
            assert list((tmp_path / name / "scratch").rglob("*.pt"))
            jobs.resume(job_id)
        view = jobs.wait(job_id, PATIENCE)
        assert view.state is State.DONE, view.error
        outcomes.append([plain(event) for event in view.events if not isinstance(event, PASSING)])
        jobs.close(PATIENCE)
    assert outcomes[0] == outcomes[1]


def test_where_a_run_belongs(workspace: Workspace) -> None:
    own, weights = EvaluateRun(DEMO, DIGITS), ModelRef("upload", "a.pt", "ab" * 32, "cifar_resnet")
    program = ModelRef("upload", "a.pt2", "ab" * 32, "exported")
    cut = ModelRef("pruned", "a.pt2", base=ModelRef("pruned", "a.pt2", base=program, plan="{}"), plan="{}")
    for spec in (own, dataclasses.replace(own, model=weights)):
        assert (limits_of(spec, workspace) or Limits()).confined is False
    for ref in (program, cut, dataclasses.replace(program, architecture="onnx")):
        assert ref.foreign and (limits_of(LatencyRun(ref), workspace) or Limits(confined=False)).confined


# -- a child that dies, starves or does not listen ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "ended before its time: it reached for memory that is not there .SIGSEGV"),
        ("exit", "ended before its time: it left with the code 0 and said nothing"),
        ("memory", "The memory was not enough"),
        ("full", "The memory was not enough"),
        ("bug", "Something unexpected went wrong .ValueError"),
    ],
)
def test_a_run_that_breaks_fails_with_a_sentence_and_the_next_one_runs(
    jobs: Jobs, workspace: Workspace, how: str, words: str
) -> None:
    view = ended(jobs, Harm(how))
    assert view.state is State.FAILED and view.error is not None
    with pytest.raises(UserError, match=words):
        raise UserError(view.error)
    assert "secret" not in view.error
    if how == "bug":
        assert "secret detail" in workspace.log_path.read_text()
    saved = {event.name: workspace.artifacts.read(event.digest) for event in view.all(Artifact)}
    assert saved == {"early": b"of value", "best": b"best so far"}, "what was done is kept, what can be is handed over"
    assert ended(jobs, Harm("")).state is State.DONE


@pytest.mark.parametrize("how", ["forks", "network", "writes"])
def test_a_run_that_is_shut_in_reaches_nothing(shut_in: Jobs, tmp_path: Path, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = str(server.getsockname()[1] if how == "network" else tmp_path)
        view = ended(shut_in, Harm(how, given))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert view.state is State.FAILED and view.error is not None and "PermissionError" in view.error
    assert [event.name for event in view.all(Artifact)] == ["early", "best"]
    assert not (tmp_path / "harm").exists()


def test_a_run_whose_child_is_killed_can_be_resumed_with_what_it_keeps(jobs: Jobs, tmp_path: Path) -> None:
    job_id = jobs.submit(Harm("steps", str(tmp_path)), "ann")
    view = eventually(jobs, job_id, 3)
    progress = view.last(Progress)
    assert progress is not None
    os.kill(progress.done, signal.SIGKILL)
    assert jobs.wait(job_id, PATIENCE).state is State.FAILED
    assert not (tmp_path / "closed").exists()
    jobs.resume(job_id)
    until = time.monotonic() + PATIENCE
    while (view := jobs.snapshot(job_id)).last(Progress) in (None, progress) and time.monotonic() < until:
        time.sleep(0.01)
    assert [type(event) for event in view.events[:3]] == [Artifact, Artifact, Progress]
    eventually(jobs, job_id, 5)  # the run's own first artifact, and a step inside what has something to clean up
    jobs.cancel(job_id)
    assert jobs.wait(job_id, PATIENCE).state is State.CANCELLED
    assert (tmp_path / "closed").exists(), "its finally clauses ran"


@pytest.mark.parametrize("how", ["deaf", "spins"])
def test_a_cancel_is_noticed_between_events_and_waits_no_longer_than_a_grace(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("pruning_core.isolation.child.GRACE", 0.3)
    job_id = jobs.submit(Harm(how), "ann")
    eventually(jobs, job_id, 2)
    began = time.monotonic()
    jobs.cancel(job_id)
    view = jobs.wait(job_id, PATIENCE)
    assert view.state is State.CANCELLED and time.monotonic() - began < 5
    assert [event.name for event in view.all(Artifact)] == ["early", "best"]


def test_a_server_that_closes_interrupts_in_good_order(jobs: Jobs, tmp_path: Path) -> None:
    job_id = jobs.submit(Harm("steps", str(tmp_path)), "ann")
    eventually(jobs, job_id, 3)  # the third comes from inside
    jobs.close(PATIENCE)
    assert jobs.snapshot(job_id).state is State.INTERRUPTED and (tmp_path / "closed").exists()


@pytest.mark.parametrize("how", ["class", "type", "none", "value", "shape", "artifact", "link", "state"])
def test_what_a_child_makes_up_is_not_taken(
    jobs: Jobs, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(runs_elsewhere, "TASK", "forges")
    view = ended(jobs, Harm(how))
    assert view.state is State.FAILED and not view.all(Artifact)
    artifacts = workspace.root / "artifacts"
    assert not artifacts.exists() or "passwd" not in {path.name for path in artifacts.rglob("*")}
    assert not workspace.artifacts.has("ab" * 32)


def test_a_stranger_s_program_is_measured_on_every_kind_of_data(
    product: Elsewhere, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 30 * 30, 10)).eval()
    file = exported(model, torch.zeros(2, 3, 32, 32))
    ref = ModelRef("upload", "a.pt2", workspace.artifacts.put(file.getvalue()), "exported")
    arrays = io.BytesIO()
    pictures, labels = np.arange(60 * 32 * 32 * 3).astype(np.uint8), np.repeat(np.arange(10), 6)
    np.savez(arrays, images=pictures.reshape(60, 32, 32, 3), labels=labels)
    brought = import_data(arrays, "a.npz", workspace)
    for copy in (workspace.root / "cache" / "images").iterdir():
        copy.unlink()  # as when a later version decodes differently: then the child decodes, and can keep nothing
    fetched: list[DataRef] = []

    def fetch(ref: DataRef, workspace: Workspace, progress: Callable[[str, int, int], None]) -> None:
        progress("downloading", 1, 2)
        fetched.append(ref)
        raise UserError("It could not be downloaded.")

    monkeypatch.setattr("pruning_core.apart.places.fetch_set", fetch)
    jobs = Jobs(workspace, PRODUCT, threads=1, elsewhere=product)
    for data in (CIFAR_SAMPLE, brought):
        view = ended(jobs, EvaluateRun(ref, data))
        assert view.state is State.DONE, view.error
    assert not fetched
    classic = DataRef("torchvision", "CIFAR10")
    view = ended(jobs, EvaluateRun(ref, classic))
    assert (view.state, view.error) == (State.FAILED, "It could not be downloaded.") and fetched == [classic]
    jobs.close(PATIENCE)


def test_a_hundred_runs_leave_nothing(jobs: Jobs, workspace: Workspace, harm: Children) -> None:
    def state() -> tuple[int, int, list[str]]:
        folders = [str(path) for name in ("children", "scratch") for path in (workspace.root / name).iterdir()]
        gc.collect()
        fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        held = [os.readlink(fd) for fd in fds if os.path.lexists(fd)]
        ours = [each for each in held if "sqlite" not in each]  # a thread's connection goes when its thread does
        return len(ours), threading.active_count(), folders

    ended(jobs, Harm("bug", "first"))  # opens the log
    before = state()
    for number in range(100):
        ended(jobs, Harm(("", "bug", "segfault", "full")[number % 4], str(number)))
    until, after = time.monotonic() + PATIENCE, state()
    while after[:2] != before[:2] and time.monotonic() < until:  # threads of other tests open and close files too
        time.sleep(0.1)
        after = state()
    assert after[:2] == before[:2] and len(after[2]) <= 76, "scratch files of what can be resumed, nothing else"
    assert not [path for path in after[2] if "children" in path]


def test_until_children_start_at_once_only_strangers_wait_for_one(
    product: Elsewhere, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, foreign = LatencyRun(DEMO), LatencyRun(ModelRef("upload", "a.onnx", "ab" * 32, "onnx"))
    assert product.limits(own, workspace) is not None
    monkeypatch.setattr(type(product.children), "ready", False)
    assert product.limits(own, workspace) is None and product.limits(foreign, workspace) is not None
