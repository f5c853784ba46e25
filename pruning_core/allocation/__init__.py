"""From scores to a plan: how many channels each group loses. The registry is :mod:`.strategies`.

Nothing is imported here, so that :mod:`.trial`, which stored runs are read with, stays free of torch.
"""
