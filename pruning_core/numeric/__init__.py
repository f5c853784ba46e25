"""Numbers without networks: compiled loops, trees, distances, ranks, silhouettes."""
