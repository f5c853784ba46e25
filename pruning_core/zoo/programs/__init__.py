"""Networks that come as a graph of operators: what may stand in one, and how it becomes a network like any other."""
