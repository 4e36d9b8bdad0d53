import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

from typing_extensions import Buffer, Unpack

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

class _Executor(Protocol):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Source: TypeAlias = _Path | _HasFileno
_Size: TypeAlias = int | str
_Range: TypeAlias = tuple[int | None, int | None] | slice | range | str
_Bytes: TypeAlias = tuple[int, int] | slice | range
_Listener: TypeAlias = Callable[[Progress], object] | Literal["tqdm"]
_Digest: TypeAlias = Literal["blake3", "sha256", "sha1", "md5", "crc32c", "xxh3"]

class _Opening(TypedDict, total=False):
    join: Literal["auto", "always", "never"] | None
    headers: str | Mapping[str, str] | Sequence[str] | None
    logins: Mapping[str | None, tuple[str, str]] | None
    proxies: Mapping[Literal["http", "https", "except"], str] | None
    connections: int | None
    max_retries: int | None
    timeout: float | None
    ca_file: _Path | None
    trust_env: bool | None
    endpoint_url: str | None
    region: str | None
    addressing_style: Literal["auto", "path", "virtual"] | None
    profile: str | None
    no_sign_request: bool | None
    aws_access_key_id: str | None
    aws_secret_access_key: str | None
    aws_session_token: str | None

class _Requests(_Opening, total=False):
    io_size: _Size | None
    retries: int | None
    limit_rate: _Size | None
    keep_cache: bool | None
    on_read_error: Literal["record", "stop"] | None
    engine: Literal["auto", "positioned", "direct", "offload", "mmap", "splice"] | None

class _Ranged(_Requests, total=False):
    threads: int | Literal["auto"] | None
    range: _Range | None
    clamp: bool | None
    dest_offset: _Size | None
    digest: _Digest | Sequence[_Digest] | None
    expect: str | Sequence[str] | Mapping[str, str] | None

class _Verifying(_Ranged, total=False):
    digest_every: _Size | None

class _Sharing(_Ranged, total=False):
    allow_changed_source: bool | None
    allow_same_device: bool | None
    force: bool | None
    ignore_space: bool | None
    preallocate: Literal["auto", "off", "full"] | None
    preserve: bool | None
    reflink: Literal["auto", "always", "never"] | None
    sparse: Literal["auto", "always", "never"] | None
    stripe_size: _Size | None
    sync: bool | None
    verify: bool | None
    wait: float | None

class _Copying(_Verifying, _Sharing, total=False):
    checkpoint_every: float | None
    even_if_in_use: bool | None
    expect_in: Sequence[tuple[_Bytes, str]] | None
    in_place: bool | None
    map: _Path | None
    only: Sequence[_Bytes] | None
    only_changed: bool | None
    repair: bool | None
    check_source: bool | None
    require_read_only: bool | None
    restart: bool | None
    resume: bool | None
    split: _Size | None
    to_device: bool | None
    trust_leftovers: bool | None

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

class SharedJob(Future[Record]):
    folder: str
    tasks: tuple[Any, ...]
    def __init__(self, folder: str, tasks: Iterable[Any], check: bool = True) -> None: ...
    def cancel(self) -> bool: ...
    def running(self) -> bool: ...
    def status(self) -> Record | None: ...

_Destination = TypeVar("_Destination", str, bytes, os.PathLike[str], os.PathLike[bytes])

def copy(
    src: _Source,
    dst: _Source,
    *,
    also: _Path | Iterable[_Path] = (),
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
def submit(
    executor: _Executor,
    src: _Path,
    dst: _Path,
    *,
    job: _Path,
    shards: int,
    check: bool = True,
    **options: Unpack[_Sharing],
) -> SharedJob: ...
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
    threads: int | Literal["auto"] | None = None,
    *,
    progress: _Listener | None = None,
    **options: Unpack[_Requests],
) -> int: ...
def aligned_buffer(size: int) -> memoryview: ...
def open_range(
    path: _Source, start: int = 0, end: int | None = None, **options: Unpack[_Opening]
) -> RangeFile: ...

class RangeFile(io.RawIOBase):
    name: _Source
    mode: str
    def __init__(
        self,
        path: _Source,
        start: int = 0,
        end: int | None = None,
        **options: Unpack[_Opening],
    ) -> None: ...
    def readinto(self, buffer: Buffer) -> int: ...
    def seek(self, offset: int, whence: int = 0) -> int: ...
    def close(self) -> None: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...

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
