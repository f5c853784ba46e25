"""Work in a process of its own, which may crash, run out of memory or be hostile, and takes nothing else along."""
