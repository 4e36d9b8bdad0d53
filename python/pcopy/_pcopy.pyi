from collections.abc import Callable
from typing import Any, final

from typing_extensions import Buffer

def command(words: list[str]) -> int: ...
def defaults() -> str: ...
def forked() -> None: ...
def copy(
    source: str,
    destination: str,
    also: list[str],
    wanted: str,
    dry_run: bool,
    stream: int | None,
    progress: Callable[..., Any] | None,
) -> str: ...
def verify(
    source: str, destination: str, wanted: str, progress: Callable[..., Any] | None
) -> str: ...
def batch(
    list: bytes | None,
    path: str | None,
    format: str | None,
    source: str | None,
    into: str,
    wanted: str,
    compare: bool,
    dry_run: bool,
    progress: Callable[..., Any] | None,
) -> str: ...
def patch(
    path: str, offset: str, data: bytes, old: bytes | None, wanted: str
) -> str: ...
def devices() -> str: ...
def read_into(
    source: str, buffer: Buffer, wanted: str, progress: Callable[..., Any] | None
) -> str: ...
def splice(
    to: int, source: int, offset: int | None, count: int | None, flags: int
) -> int: ...
def take_part(
    folder: str,
    source: str,
    destination: str,
    wanted: str,
    number: int,
    count: int,
    lease: float,
) -> str: ...
def job_status(folder: str) -> str: ...
def absolute(path: str) -> str: ...
def check_options(wanted: str) -> None: ...
class NotOpened(ValueError): ...

@final
class Reader:
    def __new__(cls, path: str, wanted: str) -> Reader: ...
    @property
    def size(self) -> int: ...
    @property
    def sector(self) -> int: ...
    def read_at(self, offset: int, buffer: Buffer, limit: int) -> int: ...

__all__ = [
    "NotOpened",
    "Reader",
    "absolute",
    "batch",
    "check_options",
    "command",
    "copy",
    "defaults",
    "devices",
    "forked",
    "job_status",
    "patch",
    "read_into",
    "splice",
    "take_part",
    "verify",
]
