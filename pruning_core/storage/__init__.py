"""What outlives a process: the data directory, files named by their content, the database, JSON of frozen values."""

from pruning_core.storage.workspace import Workspace

__all__ = ["Workspace"]
