"""Zeros inside the weights of a network that keeps its shape: which weights go together, and what is left."""
