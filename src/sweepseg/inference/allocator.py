"""Return freed memory to the system."""

import ctypes
import sys


def return_freed_memory() -> None:
    """Have the C library return the memory that it keeps for later, in this whole process.

    Maps of one size leave gaps that maps of another size do not fit into, so that a process that goes from windows to
    strips and back would take the memory of both. Does nothing where the C library is not glibc.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if malloc_trim is not None:
        malloc_trim(0)
