"""What the pages say about a way to allocate, to search or to schedule; the docstring adds the prose."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.taxonomy import Paper


@dataclass(frozen=True)
class AllocationCard:
    """``formula`` is LaTeX without delimiters; ``cost`` says in words what it takes to run."""

    key: str
    name: str
    idea: str
    formula: str
    cost: str
    fails: str
    paper: Paper | None = None
