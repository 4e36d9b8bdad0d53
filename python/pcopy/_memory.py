"""Bytes in memory: ranges read into buffers, files that end where one wants."""

import io
import mmap
import os

from . import _pcopy
from ._errors import taken
from ._jobs import _readable
from ._options import as_json
from ._records import caller


def read_into(path, buffer, offset=0, *, progress=None, **options):
    """Reads from byte ``offset`` of ``path`` into ``buffer`` with several threads.

    ``buffer`` is anything writable and contiguous that has the buffer protocol:
    ``bytearray``, ``memoryview``, ``mmap``, a NumPy array, a tensor's ``numpy()``. It is
    filled from its first byte on, straight from the file, without a copy in between.
    Where it is aligned (``aligned_buffer``) and the file is not in the page cache, the
    disk writes into it directly.

    Takes ``threads``, ``io_size``, ``engine``, ``retries`` and ``limit_rate`` as ``copy``
    does. Returns how many bytes were read: fewer than the buffer has if the file ends
    before. Raises ``pcopy.Partial`` if some bytes cannot be read.
    """
    view = memoryview(buffer)
    if view.readonly:
        raise TypeError("the buffer must be writable")
    view = view.cast("B") if view.format != "B" or view.ndim != 1 else view
    if offset < 0:
        raise ValueError("offset must not be negative")
    reader = _open(path)
    count = max(0, min(len(view), reader.size - offset))
    options["range"] = (offset, offset + count)
    if count:
        answer = _pcopy.read_into(
            _readable(path), view[:count], as_json(options), caller(progress)
        )
        taken(answer)
    else:
        as_json(options)
    return count


def aligned_buffer(size):
    """A writable ``memoryview`` of ``size`` zero bytes at the start of a page of memory.

    Requests past the page cache (``os.O_DIRECT``) read into it, with ``os.preadv`` and
    with ``read_into``, if ``size`` is a multiple of the sector size.
    """
    return memoryview(mmap.mmap(-1, max(size, 1)))[:size]


def open_range(path, start=0, end=None):
    """Opens the bytes ``start`` to ``end`` (excluded) of ``path`` as a file to read.

    Byte 0 of it is byte ``start`` of ``path``, and it ends at ``end``: what reads to the
    end of a file, such as ``shutil.copyfileobj``, ``zipfile`` or ``tarfile``, stops there.
    ``path`` may be a device, on every system: sectors are dealt with.
    """
    return RangeFile(path, start, end)


class RangeFile(io.RawIOBase):
    """A range of a file or device as a file to read; see ``open_range``."""

    def __init__(self, path, start=0, end=None):
        super().__init__()
        self._reader = _open(path)
        size = self._reader.size
        end = size if end is None else end
        if not 0 <= start <= end <= size:
            raise ValueError(f"bytes {start} to {end} do not lie in {size} bytes")
        self.name = path
        self._start = start
        self._size = end - start
        self._at = 0

    def readable(self):
        """Yes."""
        return True

    def seekable(self):
        """Yes."""
        return True

    def tell(self):
        """Where the next read begins, from the start of the range."""
        self._check()
        return self._at

    def seek(self, offset, whence=os.SEEK_SET):
        """Sets where the next read begins, and returns it."""
        self._check()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer):
        """Reads into ``buffer`` and returns how many bytes; 0 at the end of the range."""
        self._check()
        view = memoryview(buffer).cast("B")
        left = max(0, self._size - self._at)
        if not left or not len(view):
            return 0
        count = self._reader.read_at(self._start + self._at, view, left)
        self._at += count
        return count

    def __len__(self):
        return self._size

    def _check(self):
        if self.closed:
            raise ValueError("I/O operation on closed file")


def splice(out_fd, in_fd, offset=None, nbytes=None, flags=0):
    """Moves bytes from ``in_fd`` to ``out_fd`` inside the kernel (Linux); how many it were.

    The output comes first, as in ``os.sendfile`` and as py-splice documented it; its
    examples, and its code, had the input first. ``offset`` is where reading begins in a
    file, whose position is left alone then; ``None`` reads from where it stands and moves
    it. Bytes are written where ``out_fd`` stands. ``nbytes`` of ``None`` means all there
    is. ``flags`` are ``SPLICE_F_*``. Between two files the bytes go through a pipe of our
    own; ``copy`` is faster there, and what it writes is complete or absent.

    Descriptors are numbers or objects with ``fileno()``.
    """
    out_fd, in_fd = (fd if isinstance(fd, int) else fd.fileno() for fd in (out_fd, in_fd))
    return _pcopy.splice(out_fd, in_fd, offset, nbytes, flags)


def _open(path):
    try:
        return _pcopy.Reader(_readable(path))
    except ValueError as error:
        answer = str(error)
    return taken(answer)
