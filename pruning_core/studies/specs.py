"""The runs of this product, the values that stand in their fields, and their events: one line each."""

from __future__ import annotations

from pruning_core.allocation.budget import Budget, Kept
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.schedule import SCHEDULES
from pruning_core.allocation.search import EXPLORERS, Search
from pruning_core.allocation.shortcuts import SHORTCUTS
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.allocation.trial import LatencyStep, Trial
from pruning_core.analysis.differing import LayerDifference
from pruning_core.analysis.sensitivity import Exact, Fast
from pruning_core.analysis.widths import Cliff
from pruning_core.criteria import CRITERIA
from pruning_core.datasets import DataRef
from pruning_core.graph import Cost, LayerCost, Proof
from pruning_core.measuring.measures import Accuracy, AverageMacs, Cell, Drop, Latency
from pruning_core.methods.recoveries import RECOVERIES
from pruning_core.methods.registry import METHODS
from pruning_core.runs.catalogue import Catalogue
from pruning_core.sparsity.weights import Sparsity
from pruning_core.studies.answers import Answered, AnswersRun
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.conditions import Condition, ConditionsRun
from pruning_core.studies.detections import Detected, DetectionsRun
from pruning_core.studies.differences import DifferencesRun
from pruning_core.studies.embed import EmbedRun
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.fit import FitRun, Fitted
from pruning_core.studies.front import FrontPoint, FrontRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.in_pieces import Ranked, RowsDone
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.studies.method import MethodRun
from pruning_core.studies.pictures import Pictured, PicturesRun
from pruning_core.studies.points import OutOfReach, Point, Scored
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Apart, Figures, Pruned, Recovered
from pruning_core.studies.reached import Reached, Shrunk
from pruning_core.studies.scores import ScoresRun
from pruning_core.studies.search import SearchRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.treated import PhaseDone, Standing, Treated
from pruning_core.studies.tried import Finalist, Tried
from pruning_core.studies.widths import Width, WidthsRun
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step, TrainOutcome
from pruning_core.training.watch import Watched
from pruning_core.zoo import ModelRef

RUNS: tuple[type, ...] = (
    EvaluateRun,
    LatencyRun,
    FineTuneRun,
    SensitivityRun,
    PruneRun,
    ScoresRun,
    CompareRun,
    SearchRun,
    GradualRun,
    EmbedRun,
    FitRun,
    MethodRun,
    AnswersRun,
    FrontRun,
    WidthsRun,
    ConditionsRun,
    DifferencesRun,
    PicturesRun,
    DetectionsRun,
)
VALUES: tuple[type, ...] = (
    ModelRef,
    DataRef,
    FineTune,
    Exact,
    Fast,
    Budget,
    Kept,
    Limits,
    *SHORTCUTS,
    Search,
    *EXPLORERS,
    *SCHEDULES,
    *CRITERIA,
    *RECOVERIES,
    *ALLOCATIONS,
    *METHODS,
    Watched,
    Standing,
    Sparsity,
    AverageMacs,
    Figures,
    Recovered,
    Proof,
    Cost,
    LayerCost,
)
EVENTS: tuple[type, ...] = (
    Accuracy,
    Drop,
    Latency,
    Cell,
    Step,
    Checking,
    Epoch,
    TrainOutcome,
    Scored,
    Point,
    OutOfReach,
    LatencyStep,
    Fitted,
    Trial,
    Tried,
    Finalist,
    Shrunk,
    Reached,
    Pruned,
    Apart,
    PhaseDone,
    Treated,
    Answered,
    FrontPoint,
    Width,
    Cliff,
    Condition,
    Ranked,
    RowsDone,
    LayerDifference,
    Pictured,
    Detected,
)

PRODUCT = Catalogue(RUNS, VALUES, EVENTS)
