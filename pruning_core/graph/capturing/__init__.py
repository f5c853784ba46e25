"""A network looked at while it runs once: recorded, labelled, grouped, counted."""
