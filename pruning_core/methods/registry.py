"""The registry of methods: a new one is its class and its line here."""

from __future__ import annotations

from pruning_core.methods.base import Method
from pruning_core.methods.cut_and_train import CutAndTrain

METHODS: tuple[type[Method], ...] = (CutAndTrain,)
