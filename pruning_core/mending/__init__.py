"""Mending: the weights that read what is left are refitted, so that they write what the unpruned network wrote."""

from pruning_core.mending.known import Refit
from pruning_core.mending.mend import Mended, Mender, mend
from pruning_core.mending.refits import Refits

__all__ = ["Mended", "Mender", "Refit", "Refits", "mend"]
