"""Work in a process of its own, which may crash, run out of memory or be hostile, and takes nothing else along."""

import sys

AVAILABLE = sys.platform == "linux"  # what holds a child are things that only Linux has
