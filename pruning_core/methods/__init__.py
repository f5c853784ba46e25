"""Pruning methods: phases, the one interpreter that performs them, and one class per method."""
