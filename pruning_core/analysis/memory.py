"""Telling an exhausted memory from other errors."""

from __future__ import annotations

# torch reports an exhausted memory as RuntimeError with one of these texts (CUDA, CPU, Windows, cuBLAS).
SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """True when ``error`` says that a device or the machine ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
