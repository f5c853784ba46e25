"""A visitor for whom every page has a small result: runs of seconds on the digits demo."""

from pages.ui.desk import first_desk
from pages.ui.sweeps import judged_on
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.sampled import RandomWidths
from pruning_core.allocation.search import Search
from pruning_core.criteria import L1Norm, Random
from pruning_core.graph import Plan
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.front import FrontRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.studies.method import MethodRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.search import SearchRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.zoo import ModelRef

SHORT = FineTune(epochs=2, batch_size=256)


def with_results(jobs: Jobs, owner: str, plan: Plan) -> ModelRef:
    """Runs everything to its end; the network that ``plan`` leaves of the demo."""
    model, data = first_desk().model, first_desk().data
    cut = PruneRun(model, data, plan.to_json())
    small = done(jobs, owner, cut).last(Pruned).recovered.model
    runs: list[RunSpec] = [
        *(EvaluateRun(each, data) for each in (model, small)),
        *(LatencyRun(each, passes=2) for each in (model, small)),
        SensitivityRun(model, judged_on(data), ratios=(0.3, 0.5), images=32),
        SensitivityRun(model, judged_on(data), ratios=(0.3, 0.5), images=32, recovery=Mending()),
        CompareRun(model, judged_on(data), (L1Norm(), Random()), (0.5,), random_seeds=2, images=32, latency=False),
        SearchRun(
            model, data, search=Search(RandomWidths(), trials=3), budgets=(Budget("macs", fraction=0.5),), images=32
        ),
        GradualRun(model, data, plan.to_json(), steps=2, config=SHORT, control=False),
        FrontRun(model, data, shares=(0.5,)),
        MethodRun(model, data, config=SHORT),
        FineTuneRun(small, data, SHORT),
    ]
    for each in runs:
        done(jobs, owner, each)
    return small


def done(jobs: Jobs, owner: str, run: RunSpec):
    ended = jobs.wait(jobs.submit(run, owner), 120)
    assert ended.state is State.DONE, ended.error
    return ended
