"""Mending: the weights that read what is left are refitted, so that they write what the unpruned network wrote."""

from pruning_core.mending.mend import Mended, Refit, mend

__all__ = ["Mended", "Refit", "mend"]
