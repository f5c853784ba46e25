"""Networks: demos, torchvision's classifiers, and what people bring."""

from pruning_core.storage.weights import store_weights
from pruning_core.zoo.architectures import ARCHITECTURES, Architecture, architecture
from pruning_core.zoo.demos import DEMOS, Demo, available_demos
from pruning_core.zoo.load import LoadedModel, load_model
from pruning_core.zoo.output import check_output
from pruning_core.zoo.ref import ModelRef
from pruning_core.zoo.torchvision_models import names as torchvision_names
from pruning_core.zoo.uploads import SUFFIXES, import_model
from pruning_core.zoo.weight_sets import WeightSet

__all__ = [
    "ARCHITECTURES",
    "DEMOS",
    "SUFFIXES",
    "Architecture",
    "Demo",
    "LoadedModel",
    "ModelRef",
    "WeightSet",
    "architecture",
    "available_demos",
    "check_output",
    "import_model",
    "load_model",
    "store_weights",
    "torchvision_names",
]
