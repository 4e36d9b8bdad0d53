import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

from typing_extensions import Buffer, Unpack

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Source: TypeAlias = _Path | _HasFileno
_Size: TypeAlias = int | str
_Range: TypeAlias = tuple[int | None, int | None] | slice | range | str
_Listener: TypeAlias = Callable[[Progress], object] | Literal["tqdm"]
_Digest: TypeAlias = Literal["blake3", "sha256", "sha1", "md5", "crc32c", "xxh3"]

class _Reading(TypedDict, total=False):
    threads: int | Literal["auto"] | None
    io_size: _Size | None
    retries: int | None
    limit_rate: _Size | None
    keep_cache: bool | None
    on_read_error: Literal["record", "stop"] | None
    engine: Literal["auto", "positioned", "direct", "offload", "mmap", "splice"] | None

class _Verifying(_Reading, total=False):
    range: _Range | None
    clamp: bool | None
    dest_offset: _Size | None
    digest: _Digest | Sequence[_Digest] | None
    expect: str | Sequence[str] | Mapping[str, str] | None

class _Copying(_Verifying, total=False):
    allow_changed_source: bool | None
    allow_same_device: bool | None
    checkpoint_every: float | None
    even_if_in_use: bool | None
    force: bool | None
    ignore_space: bool | None
    in_place: bool | None
    map: _Path | None
    only_changed: bool | None
    preallocate: Literal["auto", "off", "full"] | None
    preserve: bool | None
    reflink: Literal["auto", "always", "never"] | None
    repair: bool | None
    restart: bool | None
    resume: bool | None
    sparse: Literal["auto", "always", "never"] | None
    stripe_size: _Size | None
    sync: bool | None
    to_device: bool | None
    trust_leftovers: bool | None
    verify: bool | None
    wait: float | None

class Record:
    def __init__(self, fields: dict[str, Any]) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __dir__(self) -> list[str]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def as_dict(self) -> dict[str, Any]: ...

class Progress:
    phase: str
    total: int | None
    copied: int
    failed: int
    resumed: int
    verified: int
    items: int
    total_items: int
    def __init__(
        self,
        *,
        phase: str,
        total: int | None,
        copied: int,
        failed: int,
        resumed: int,
        verified: int,
        items: int,
        total_items: int,
    ) -> None: ...
    @property
    def fraction(self) -> float: ...

class Error(Exception):
    kind: str | None
    path: str | None
    report: Record | None
    remedies: tuple[str, ...]
    def __reduce__(self) -> tuple[Any, ...]: ...

class Usage(Error, ValueError): ...
class Refused(Error): ...
class Mismatch(Error): ...
class Failed(Error): ...
class Partial(Error): ...

_Destination = TypeVar("_Destination", str, bytes, os.PathLike[str], os.PathLike[bytes])

def copy(
    src: _Source,
    dst: _Source,
    *,
    also: Iterable[_Path] = (),
    dry_run: bool = False,
    check: bool = True,
    progress: _Listener | None = None,
    **options: Unpack[_Copying],
) -> Record: ...
def copyfile(src: _Source, dst: _Destination, **options: Unpack[_Copying]) -> _Destination: ...
def batch(
    items: _Path | Iterable[Mapping[str, Any] | tuple[_Path, int, int]],
    source: _Path | None = None,
    into: _Path = ".",
    *,
    format: str | None = None,
    compare: bool = False,
    dry_run: bool = False,
    check: bool = True,
    progress: _Listener | None = None,
    **options: Unpack[_Copying],
) -> Record: ...
def verify(
    src: _Source,
    dst: _Path,
    *,
    check: bool = True,
    progress: _Listener | None = None,
    **options: Unpack[_Verifying],
) -> Record: ...
def patch(
    path: _Path,
    offset: _Size,
    data: bytes | bytearray | memoryview,
    *,
    old: bytes | bytearray | memoryview | None = None,
    grow: bool = False,
    to_device: bool = False,
    even_if_in_use: bool = False,
    sync: bool = True,
    verify: bool = False,
) -> bytes: ...
def devices() -> list[Record]: ...
def read_into(
    path: _Source,
    buffer: Buffer,
    offset: int = 0,
    *,
    progress: _Listener | None = None,
    **options: Unpack[_Reading],
) -> int: ...
def aligned_buffer(size: int) -> memoryview: ...
def open_range(path: _Source, start: int = 0, end: int | None = None) -> RangeFile: ...

class RangeFile(io.RawIOBase):
    name: _Source
    def __init__(self, path: _Source, start: int = 0, end: int | None = None) -> None: ...
    def readinto(self, buffer: Buffer) -> int: ...
    def seek(self, offset: int, whence: int = 0) -> int: ...
    def __len__(self) -> int: ...

def splice(
    out_fd: int | _HasFileno,
    in_fd: int | _HasFileno,
    offset: int | None = None,
    nbytes: int | None = None,
    flags: int = 0,
) -> int: ...

SPLICE_F_MOVE: int
SPLICE_F_NONBLOCK: int
SPLICE_F_MORE: int
SPLICE_F_GIFT: int

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
    "verify",
]
