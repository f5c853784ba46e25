"""PruneScope's core: exact channel pruning, measured. Usable without the dashboard."""

__version__ = "0.1.0"
