"""Removal: slicing modules or recorded programs, silencing the original, and the proof that both agree."""
