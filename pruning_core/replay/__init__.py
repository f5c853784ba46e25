"""The fast re-evaluation engine: a network as recorded steps, of which only what a removal changes runs again."""
