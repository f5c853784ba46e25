"""Long work: a frozen spec, a generator of frozen events, a store that outlives the server."""

from pruning_core.runs.workspace import Workspace

__all__ = ["Workspace"]
