"""Copies byte ranges of files, disk images and block devices, with several threads.

>>> import pcopy
>>> report = pcopy.copy("disk.img", "film.mp4", range=(512 << 20, 768 << 20), threads=4)
>>> report.bytes.copied
268435456

The interpreter's lock is not held while bytes move: other threads of the program run
on. Ctrl-C raises ``KeyboardInterrupt`` within a moment; what was copied until then can
be resumed. Every failure is a ``pcopy.Error``, and one that the system caused is also
the ``OSError`` it would be elsewhere, such as ``FileNotFoundError``.
"""

import os as _os

from . import _pcopy
from ._errors import Error, Failed, Mismatch, Partial, Refused, Usage
from ._jobs import batch, copy, copyfile, devices, patch, submit, verify
from ._memory import RangeFile, aligned_buffer, open_range, read_into, splice
from ._records import Progress, Record

SPLICE_F_MOVE = 1
SPLICE_F_NONBLOCK = 2
SPLICE_F_MORE = 4
SPLICE_F_GIFT = 8

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_pcopy.forked)


def __getattr__(name):
    # With it comes `concurrent.futures`, which takes longer than all the rest.
    if name == "SharedJob":
        from ._shared import SharedJob

        return SharedJob
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


__all__ = [
    "Error",
    "Failed",
    "Mismatch",
    "Partial",
    "Progress",
    "RangeFile",
    "Record",
    "Refused",
    "SPLICE_F_GIFT",
    "SPLICE_F_MORE",
    "SPLICE_F_MOVE",
    "SPLICE_F_NONBLOCK",
    "SharedJob",
    "Usage",
    "aligned_buffer",
    "batch",
    "copy",
    "copyfile",
    "devices",
    "open_range",
    "patch",
    "read_into",
    "splice",
    "submit",
    "verify",
]
