"""What other processes of the same user may see of this one."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide() -> None:
    """No core dump, no tracing, no reading of memory or environment but by root (Linux only).

    A program that this process starts begins without it.

    References:
        prctl(2), PR_SET_DUMPABLE.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
