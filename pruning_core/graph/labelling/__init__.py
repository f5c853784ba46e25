"""Unit labels: one integer for every index of every dimension, and what each operator does to them."""
