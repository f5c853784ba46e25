"""Data: resident tensors from digits, uploads and the classic sets."""

from pruning_core.datasets.dataset import Dataset, channel_statistics, set_apart
from pruning_core.datasets.load import hold_out, load_data, load_splits
from pruning_core.datasets.raw import Progress
from pruning_core.datasets.ref import DIGITS, DataRef
from pruning_core.datasets.sample import CIFAR_SAMPLE
from pruning_core.datasets.text_sample import TEXT_SAMPLE
from pruning_core.datasets.torchvision_sets import SETS
from pruning_core.datasets.uploads import import_data

__all__ = [
    "CIFAR_SAMPLE",
    "DIGITS",
    "SETS",
    "TEXT_SAMPLE",
    "DataRef",
    "Dataset",
    "Progress",
    "channel_statistics",
    "hold_out",
    "import_data",
    "load_data",
    "load_splits",
    "set_apart",
]
