"""A source of known bytes, and servers."""

import hashlib
import signal

import pytest

# A shell starts what is in the background with Ctrl-C ignored, and children inherit
# that: here it is heard, so that tests can press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MIB = 1 << 20

# Started in the background of a shell, all of this ignores Ctrl-C, and so would the
# programs that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pattern(size, seed=1):
    block = hashlib.sha256(bytes([seed])).digest() * 128
    return (block * (size // len(block) + 1))[:size]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(pattern(3 * MIB))
    return path


@pytest.fixture
def server():
    from servers import of_files

    with of_files() as server:
        yield server


@pytest.fixture
def service():
    from servers import of_objects

    with of_objects() as service:
        yield service
