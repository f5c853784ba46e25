"""Training: the loop, its hooks and its settings."""
