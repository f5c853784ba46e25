"""Tools that make what the library ships; not part of it."""
