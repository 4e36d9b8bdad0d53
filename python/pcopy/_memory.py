"""Bytes in memory: ranges read into buffers, files that end where one wants."""

import io
import mmap
import operator
import os

from . import _pcopy
from ._errors import taken
from ._jobs import _readable
from ._options import OF_OPENING, as_json
from ._records import caller


def read_into(path, buffer, offset=0, threads=None, *, progress=None, **options):
    """Reads from byte ``offset`` of ``path`` into ``buffer`` with several threads.

    ``buffer`` is anything writable and contiguous that has the buffer protocol:
    ``bytearray``, ``memoryview``, ``mmap``, a NumPy array, a tensor's ``numpy()``. It is
    filled from its first byte on, straight from the file, without a copy in between;
    what its items are does not matter. It cannot be resized meanwhile, and what another
    thread reads from it or writes to it before this returns is undefined.
    Where it is aligned (``aligned_buffer``) and the file is not in the page cache, the
    disk writes into it directly.

    Takes ``threads``, ``io_size``, ``engine``, ``retries``, ``limit_rate`` and the options
    of addresses as ``copy`` does. Returns how many bytes were read: fewer than the buffer
    has if the file ends before. Raises ``pcopy.Partial`` if some bytes cannot be read.
    """
    offset = operator.index(offset)
    if offset < 0:
        raise ValueError("offset must not be negative")
    options["threads"] = threads
    for name in ("range", "clamp", "only"):
        if name in options:
            raise TypeError(f"{name} has no meaning here: offset and buffer say what is read")
    # Names are checked also where nothing is read.
    as_json(options)
    with _exported(buffer) as view:
        if view.readonly:
            raise TypeError("the buffer must be writable")
        if not view.c_contiguous:
            raise ValueError("the buffer must be contiguous, row by row")
        reader = _open(path, {name: options[name] for name in OF_OPENING & set(options)})
        count = max(0, min(view.nbytes, reader.size - offset))
        if count:
            options["range"] = (offset, offset + count)
            answer = _pcopy.read_into(_readable(path), view, as_json(options), caller(progress))
            taken(answer)
        return count


def _exported(buffer):
    """A view of `buffer`, released at the end of a `with` whatever happens in it.

    It has a shape and strides, which not every exporter tells.
    """
    view = memoryview(buffer)
    return view if view.ndim else view.cast("B")


def aligned_buffer(size):
    """A writable ``memoryview`` of ``size`` zero bytes at the start of a page of memory.

    Requests past the page cache (``os.O_DIRECT``) read into it, with ``os.preadv`` and
    with ``read_into``, if ``size`` is a multiple of the sector size.
    """
    if size < 0:
        raise ValueError("size must not be negative")
    return memoryview(mmap.mmap(-1, max(size, 1)))[:size]


def open_range(path, start=0, end=None, **options):
    """Opens the bytes ``start`` to ``end`` (excluded) of ``path`` as a file to read.

    Byte 0 of it is byte ``start`` of ``path``, and it ends at ``end``: what reads to the
    end of a file, such as ``shutil.copyfileobj``, ``zipfile`` or ``tarfile``, stops there.
    ``path`` may be a device, on every system: sectors are dealt with. It may be an
    address, and takes ``join`` and the options of addresses as ``copy`` does.
    """
    return RangeFile(path, start, end, **options)


class RangeFile(io.RawIOBase):
    """A range of a file or device as a file to read; see ``open_range``."""

    mode = "rb"

    def __init__(self, path, start=0, end=None, **options):
        super().__init__()
        self._reader = _open(path, options)
        size = self._reader.size
        start, end = operator.index(start), size if end is None else operator.index(end)
        if not 0 <= start <= end <= size:
            self.close()
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
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}.get(whence)
        if base is None:
            raise ValueError(f"invalid whence: {whence}")
        at = base + operator.index(offset)
        if at < 0:
            raise ValueError("negative seek position")
        self._at = at
        return at

    def readinto(self, buffer):
        """Reads into ``buffer`` and returns how many bytes; 0 at the end of the range."""
        self._check()
        # Also if another thread closes the file now.
        reader, at = self._reader, self._at
        left = self._size - at
        if not reader or left <= 0:
            return 0
        with _exported(buffer) as view:
            count = reader.read_at(self._start + at, view, left)
        self._at = at + count
        return count

    def close(self):
        """Closes the file. A thread that reads it at that moment still gets the bytes."""
        self._reader = None
        super().close()

    def __len__(self):
        return self._size

    def __bool__(self):
        # An empty range is a file as well.
        return True

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
    # The objects are held until this returns: who drops the last reference closes a file.
    to, source = (fd if isinstance(fd, int) else fd.fileno() for fd in (out_fd, in_fd))
    return _pcopy.splice(to, source, offset, nbytes, flags)


def _open(path, options):
    try:
        return _pcopy.Reader(_readable(path), as_json(options, OF_OPENING))
    except _pcopy.NotOpened as error:
        answer = str(error)
    return taken(answer)
