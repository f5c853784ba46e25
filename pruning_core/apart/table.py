"""Everything that a child can be asked to do, by name. Nothing else can happen there."""

from __future__ import annotations

from collections.abc import Mapping

from pruning_core.apart.far import TASKS
from pruning_core.apart.opening import IMPORT, OPEN, importing, opening
from pruning_core.apart.sliding import SLIDE, sliding
from pruning_core.isolation.talk import Task
from pruning_core.runs.elsewhere import TASK
from pruning_core.runs.errand import running
from pruning_core.studies.specs import PRODUCT

TABLE: Mapping[str, Task] = {TASK: running(PRODUCT), OPEN: opening, IMPORT: importing, SLIDE: sliding, **TASKS}


def prepare() -> None:
    """Before the first child: what they would all import, and machine code that takes seconds to make."""
    import h5py  # noqa: F401
    import onnx2torch  # noqa: F401  (imported late elsewhere, because the server does not need it to start)
    import sklearn.datasets  # noqa: F401

    from pruning_core.replay.winograd import compile_loops

    compile_loops()
