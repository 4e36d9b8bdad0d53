"""What reads through us, and buffers of every kind."""

import array
import ctypes
import io
import json
import mmap
import os
import shutil
import tarfile
import threading
import zipfile

import pytest

import pcopy
from conftest import MIB, pattern


@pytest.mark.parametrize("size", [0, 1, 4096, MIB + 1, 3 * MIB, 4 * MIB])
@pytest.mark.parametrize("offset", [0, 1, MIB, 3 * MIB, 5 * MIB])
def test_read_into_every_size_and_offset(source, size, offset):
    wanted = pattern(3 * MIB)[offset : offset + size]
    buffer = bytearray(b"\xee" * size)
    assert pcopy.read_into(source, buffer, offset, threads=3) == len(wanted)
    assert buffer == wanted + b"\xee" * (size - len(wanted))


def test_read_into_buffers_of_every_kind(source):
    numpy = pytest.importorskip("numpy")
    wanted = pattern(3 * MIB)
    array = numpy.zeros((3, MIB // 4), dtype=numpy.uint32)
    assert pcopy.read_into(source, array) == 3 * MIB
    assert array.tobytes() == wanted
    half = numpy.zeros((4, 4))[:, :2]
    with pytest.raises((TypeError, ValueError, BufferError)):
        pcopy.read_into(source, half)
    with pytest.raises(TypeError):
        pcopy.read_into(source, b"constant")


def test_aligned_buffers_are_for_direct_requests(source):
    buffer = pcopy.aligned_buffer(MIB)
    assert len(buffer) == MIB and not buffer.readonly
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        pytest.skip("this file system has no direct requests")
    try:
        assert os.preadv(descriptor, [buffer], 4096) == MIB
    finally:
        os.close(descriptor)
    assert bytes(buffer) == pattern(3 * MIB)[4096 : 4096 + MIB]
    assert pcopy.read_into(source, buffer, 8192, engine="direct") == MIB
    assert bytes(buffer) == pattern(3 * MIB)[8192 : 8192 + MIB]


@pytest.mark.parametrize(
    "kind",
    ["<f4", ">f8", "f2", "c16", "?", "S7", "u1,<i4,f8", ("u1", (3,))],
)
def test_arrays_of_every_type(source, kind):
    numpy = pytest.importorskip("numpy")
    samples = numpy.zeros(1000, dtype=kind)
    assert pcopy.read_into(source, samples, 3) == samples.nbytes
    assert samples.tobytes() == pattern(3 * MIB)[3 : 3 + samples.nbytes]


def test_arrays_without_items_and_of_other_order(source):
    numpy = pytest.importorskip("numpy")
    for shape in (0, (0, 3), (3, 0)):
        assert pcopy.read_into(source, numpy.empty(shape)) == 0
    for other in (numpy.zeros((4, 5), order="F"), numpy.zeros(9)[::2], numpy.zeros(9)[::-1]):
        with pytest.raises(ValueError, match="contiguous"):
            pcopy.read_into(source, other)
    part = numpy.zeros((4, 100))
    pcopy.read_into(source, part[1:3])
    assert not part[0].any() and not part[3].any()
    assert part[1:3].tobytes() == pattern(1600)
    alone = numpy.zeros(())
    assert pcopy.read_into(source, alone) == 8 and alone.tobytes() == pattern(8)
    locked = numpy.zeros(9)
    locked.flags.writeable = False
    with pytest.raises((TypeError, ValueError, BufferError)):
        pcopy.read_into(source, locked)


def test_numbers_of_numpy_are_numbers(source, tmp_path):
    numpy = pytest.importorskip("numpy")
    starts, ends = numpy.array([5, MIB]), numpy.array([9, MIB + 3])
    items = [(f"f{start}", start, end) for start, end in zip(starts, ends)]
    pcopy.batch(items, source, tmp_path / "out", threads=numpy.int64(2))
    assert (tmp_path / "out" / "f5").read_bytes() == pattern(9)[5:]
    pcopy.batch([{"name": "x", "start": starts[0], "len": ends[0]}], source, tmp_path / "out")
    pcopy.copy(source, tmp_path / "copy", range=(starts[0], ends[0]), retries=numpy.uint8(2))
    assert pcopy.read_into(source, bytearray(4), starts[0], io_size=numpy.int32(65536)) == 4
    assert pcopy.open_range(source, starts[0], ends[0]).read() == pattern(9)[5:]
    pcopy.copy(source, tmp_path / "parts", only=[(starts[0], ends[0])])
    pcopy.patch(source, starts[0], b"x")


def test_buffers_of_the_standard_library(source):
    numbers = array.array("d", bytes(80))
    fields = (ctypes.c_uint32 * 20)()
    for buffer in (numbers, fields):
        assert pcopy.read_into(source, buffer, 1) == 80
        assert bytes(memoryview(buffer).cast("B")) == pattern(81)[1:]
        with pcopy.open_range(source) as file:
            assert file.readinto(buffer) == 80
            assert bytes(memoryview(buffer).cast("B")) == pattern(80)
    memory = mmap.mmap(-1, 8192)
    assert pcopy.read_into(source, memoryview(memory)[4096:], 7) == 4096
    assert memory[:4096] == bytes(4096) and memory[4096:] == pattern(4103)[7:]


def test_a_buffer_cannot_be_resized_meanwhile(source):
    buffer, tried = bytearray(3 * MIB), []

    def resize(now):
        try:
            buffer.extend(b"more")
        except BufferError as error:
            tried.append(error)

    slow = {"limit_rate": "8MiB", "io_size": "64KiB"}
    pcopy.read_into(source, buffer, progress=resize, **slow)
    assert tried and buffer == pattern(3 * MIB)
    buffer.extend(b"and after it can")


def test_a_buffer_is_free_again_after_a_failure(source, tmp_path):
    buffer = bytearray(9)
    with pytest.raises(FileNotFoundError):
        pcopy.read_into(tmp_path / "none", buffer)
    with pytest.raises(ValueError):
        pcopy.read_into(source, buffer, engine="warp")
    with pytest.raises(TypeError):
        pcopy.read_into(source, buffer, range=(0, 5))
    with pytest.raises(ValueError):
        pcopy.read_into(source, buffer, -1)
    with pytest.raises(TypeError):
        pcopy.read_into(source, buffer, 1.5)
    buffer.extend(b"free")
    with pytest.raises(ValueError):
        pcopy.aligned_buffer(-1)
    assert len(pcopy.aligned_buffer(0)) == 0


def test_a_file_that_becomes_shorter(source):
    """Its size is asked first; what is gone then is an error, not a wrong count."""
    file = pcopy.open_range(source)
    os.truncate(source, MIB)
    buffer = bytearray(3 * MIB)
    assert file.readinto(buffer) <= MIB
    file.seek(2 * MIB)
    assert file.read(5) in (b"", None)


def test_seeking_in_a_range(source):
    file = pcopy.open_range(source, 100, MIB)
    assert file.seek(-10, os.SEEK_END) == MIB - 110
    assert file.read() == pattern(3 * MIB)[MIB - 10 : MIB] and file.read() == b""
    assert file.seek(1, os.SEEK_CUR) == len(file) + 1 and file.read(5) == b""
    with pytest.raises(ValueError):
        file.seek(-1)
    file.close()
    with pytest.raises(ValueError):
        file.read()
    with pytest.raises(ValueError):
        pcopy.open_range(source, 0, 1 << 40)
    with io.BufferedReader(pcopy.open_range(source)) as lines:
        assert lines.read() == pattern(3 * MIB)


def test_files_of_a_range_as_files(source):
    file = pcopy.open_range(source, 10, 20)
    assert (file.mode, file.readable(), file.writable(), file.seekable()) == ("rb", True, False, True)
    with pytest.raises(io.UnsupportedOperation):
        file.fileno()
    with pytest.raises(ValueError):
        file.seek(0, 9)
    with pytest.raises(TypeError):
        file.seek(1.5)
    with pytest.raises(TypeError):
        file.readinto(b"constant")
    assert bool(pcopy.open_range(source, 5, 5)) and pcopy.open_range(source, 5, 5).read() == b""
    if os.path.isdir("/proc/self/fd"):
        with_file = len(os.listdir("/proc/self/fd"))
        file.close()
        assert len(os.listdir("/proc/self/fd")) < with_file


def test_many_threads_read_one_file_each_its_own_range(source):
    wrong = []

    def read(number):
        with pcopy.open_range(source, number * 1000, 3 * MIB) as file:
            content = io.BufferedReader(file).read()
        if content != pattern(3 * MIB)[number * 1000 :]:
            wrong.append(number)

    threads = [threading.Thread(target=read, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def inside(tmp_path, content):
    """`content` in the middle of an image."""
    image = tmp_path / "image"
    image.write_bytes(b"x" * 1000 + content + b"y" * 1000)
    return pcopy.open_range(image, 1000, 1000 + len(content))


@pytest.mark.parametrize("packed", ["", "gz", "xz"])
def test_tarfile(tmp_path, packed):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=f"w:{packed}") as file:
        member = tarfile.TarInfo("hello")
        member.size = MIB
        file.addfile(member, io.BytesIO(pattern(MIB)))
    with tarfile.open(fileobj=inside(tmp_path, archive.getvalue())) as file:
        assert file.extractfile("hello").read() == pattern(MIB)


def test_zipfile_deflated(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("hello", pattern(MIB))
    with zipfile.ZipFile(inside(tmp_path, archive.getvalue())) as file:
        assert file.testzip() is None and file.read("hello") == pattern(MIB)


def test_text_and_json(tmp_path):
    file = inside(tmp_path, json.dumps({"ä": [1, 2]}).encode())
    assert json.load(io.TextIOWrapper(io.BufferedReader(file), "utf-8")) == {"ä": [1, 2]}


def test_pillow(tmp_path):
    image = pytest.importorskip("PIL.Image")
    content = io.BytesIO()
    image.new("RGB", (40, 30), (200, 100, 50)).save(content, "png")
    read = image.open(inside(tmp_path, content.getvalue()))
    assert read.size == (40, 30) and read.getpixel((5, 5)) == (200, 100, 50)


def test_numpy_reads_through_it(tmp_path):
    numpy = pytest.importorskip("numpy")
    content = io.BytesIO()
    numpy.save(content, numpy.arange(1000.0))
    assert numpy.load(inside(tmp_path, content.getvalue())).sum() == 499500
    with inside(tmp_path, numpy.arange(9, dtype="<u4").tobytes()) as file:
        assert numpy.frombuffer(file.read(), "<u4").tolist() == list(range(9))


def test_copyfileobj_stops_at_the_end(source, tmp_path):
    with pcopy.open_range(source, 5, MIB) as file, open(tmp_path / "copy", "wb") as copy:
        shutil.copyfileobj(file, copy, 1000)
    assert (tmp_path / "copy").read_bytes() == pattern(MIB)[5:]
