"""What outlives a process: the data directory, its files named by their content, its database, JSON of frozen values."""

from pruning_core.storage.workspace import Workspace

__all__ = ["Workspace"]
