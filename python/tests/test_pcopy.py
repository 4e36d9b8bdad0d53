"""What the package promises, tried on real files."""

import errno
import hashlib
import io
import json
import mmap
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest

import pcopy

MIB = 1 << 20


def pattern(size, seed=1):
    block = hashlib.sha256(bytes([seed])).digest() * 128
    return (block * (size // len(block) + 1))[:size]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(pattern(3 * MIB))
    return path


# Copies.


def test_a_range_is_copied_and_reported(source, tmp_path):
    report = pcopy.copy(source, tmp_path / "copy", range=(10, MIB + 7), threads=2)
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)[10 : MIB + 7]
    assert report.bytes.copied == MIB - 3
    assert report.outcome == "complete" and report.durable
    assert report.as_dict()["range"] == {"start": 10, "end": MIB + 7}
    assert pickle.loads(pickle.dumps(report)) == report


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((5, 9), slice(5, 9)),
        (slice(5, 9), slice(5, 9)),
        (slice(5, None), slice(5, None)),
        (slice(None, 9), slice(None, 9)),
        (slice(-5, None), slice(-5, None)),
        (range(5, 9), slice(5, 9)),
        (range(5, 5), slice(5, 5)),
        ("5..=9", slice(5, 10)),
        ("1KiB+2", slice(1024, 1026)),
        (None, slice(None)),
    ],
)
def test_every_spelling_of_a_range(source, tmp_path, given, wanted):
    pcopy.copy(source, tmp_path / "copy", range=given)
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)[wanted]


@pytest.mark.parametrize("bad", [range(0, 9, 2), slice(0, 9, 2), slice(-9, -5), (1, -1), "10-20"])
def test_a_range_that_means_nothing(source, tmp_path, bad):
    with pytest.raises(ValueError):
        pcopy.copy(source, tmp_path / "copy", range=bad)
    assert not (tmp_path / "copy").exists()


def test_paths_of_every_kind(source, tmp_path):
    name = os.fsencode(tmp_path) + b"/copy-\xff"
    pcopy.copy(os.fsencode(source), name)
    assert open(name, "rb").read() == pattern(3 * MIB)
    pcopy.copy(str(source), str(tmp_path / "as-text"))
    with open(source, "rb") as file:
        file.seek(100)
        pcopy.copy(file, tmp_path / "of-a-file")
    assert (tmp_path / "of-a-file").read_bytes() == pattern(3 * MIB)


def test_into_an_open_file_in_order(source, tmp_path):
    with open(tmp_path / "log", "wb") as file:
        file.write(b"before")
        pcopy.copy(source, file, range=(0, MIB))
        file.write(b"after")
    assert (tmp_path / "log").read_bytes() == b"before" + pattern(MIB) + b"after"


def test_in_place_and_beside_it(source, tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    pcopy.copy(source, image, range=(0, 5), dest_offset=1000, in_place=True)
    assert image.read_bytes() == bytes(1000) + pattern(5) + bytes(MIB - 1005)


def test_several_destinations(source, tmp_path):
    report = pcopy.copy(source, tmp_path / "a", also=[tmp_path / "b"], verify=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [also.outcome for also in report.also] == ["complete"]


def test_a_dry_run_writes_nothing(source, tmp_path):
    report = pcopy.copy(source, tmp_path / "copy", dry_run=True)
    assert report.bytes.copied == 0 and not (tmp_path / "copy").exists()


def test_digests_and_what_is_expected(source, tmp_path):
    right = hashlib.sha256(pattern(3 * MIB)).hexdigest()
    report = pcopy.copy(source, tmp_path / "a", digest=["sha256", "blake3"])
    assert report.digests.sha256 == right and len(report.digests.blake3) == 64
    pcopy.copy(source, tmp_path / "b", expect={"sha256": right})
    with pytest.raises(pcopy.Mismatch) as caught:
        pcopy.copy(source, tmp_path / "c", expect="sha256:" + "0" * 64)
    assert caught.value.kind == "digest_mismatch" and not (tmp_path / "c").exists()


def test_copyfile_has_the_shape_of_shutil(source, tmp_path):
    (tmp_path / "copy").write_bytes(b"old")
    assert pcopy.copyfile(source, tmp_path / "copy") == tmp_path / "copy"
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)
    with pytest.raises(IsADirectoryError):
        pcopy.copyfile(source, tmp_path)
    with pytest.raises(pcopy.Refused):
        pcopy.copyfile(source, source)
    assert source.read_bytes() == pattern(3 * MIB)


# What goes wrong.


def test_what_is_there_is_refused_as_open_would(source, tmp_path):
    (tmp_path / "copy").write_bytes(b"precious")
    with pytest.raises(FileExistsError) as caught:
        pcopy.copy(source, tmp_path / "copy")
    error = caught.value
    assert isinstance(error, pcopy.Refused) and error.kind == "exists"
    assert error.errno == errno.EEXIST and error.filename == str(tmp_path / "copy")
    assert "force=True" in error.remedies and "force=True" in str(error)
    assert (tmp_path / "copy").read_bytes() == b"precious"
    again = pickle.loads(pickle.dumps(error))
    assert (again.kind, str(again)) == (error.kind, str(error))


def test_what_is_missing_is_a_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        pcopy.copy(tmp_path / "none", tmp_path / "copy")
    assert caught.value.errno == errno.ENOENT
    assert isinstance(caught.value, pcopy.Refused)
    with pytest.raises(FileNotFoundError):
        pcopy.open_range(tmp_path / "none")


def test_a_range_outside_is_no_error_of_the_system(source, tmp_path):
    with pytest.raises(pcopy.Refused) as caught:
        pcopy.copy(source, tmp_path / "copy", range=(0, 1 << 40))
    assert caught.value.kind == "outside" and not isinstance(caught.value, OSError)


def test_names_of_options_are_checked(source, tmp_path):
    with pytest.raises(TypeError, match="did you mean 'threads'"):
        pcopy.copy(source, tmp_path / "copy", thread=4)
    with pytest.raises(ValueError):
        pcopy.copy(source, tmp_path / "copy", engine="warp")
    with pytest.raises(ValueError, match="1 to 1024"):
        pcopy.copy(source, tmp_path / "copy", threads=0)
    with pytest.raises(pcopy.Usage):
        pcopy.copy(source, tmp_path / "copy", verify=True, sync=False)
    with pytest.raises(ValueError, match="limit_rate"):
        pcopy.copy(source, tmp_path / "copy", limit_rate="fast")
    with pytest.raises(TypeError):
        pcopy.copy(source, tmp_path / "copy", io_size=1.5)
    assert not (tmp_path / "copy").exists()


def test_every_option_of_the_library_has_a_keyword():
    from pcopy import _options, _pcopy

    library = set(json.loads(_pcopy.defaults()))
    spelt = {"leftovers": "resume", "trust": "trust_leftovers"}
    spelt |= {"digests": "digest", "expected": "expect"}
    assert {spelt.get(name, name) for name in library} | {"restart"} == set(_options.NAMES)


# Progress and signals.


def test_progress_is_called_on_this_thread(source, tmp_path):
    heard = []
    pcopy.copy(
        source,
        tmp_path / "copy",
        progress=lambda now: heard.append((now, threading.current_thread())),
    )
    last, thread = heard[-1]
    assert thread is threading.current_thread()
    assert (last.phase, last.copied, last.fraction) == ("finished", 3 * MIB, 1.0)
    with pytest.raises(TypeError):
        pcopy.copy(source, tmp_path / "other", progress=7)


def test_what_progress_raises_ends_the_copy_and_can_be_resumed(source, tmp_path):
    def enough(now):
        if now.copied:
            raise RuntimeError("enough")

    slow = {"limit_rate": "2MiB", "io_size": "64KiB"}
    with pytest.raises(RuntimeError, match="enough"):
        pcopy.copy(source, tmp_path / "copy", progress=enough, **slow)
    assert not (tmp_path / "copy").exists()
    report = pcopy.copy(source, tmp_path / "copy", resume=True)
    assert report.bytes.resumed > 0
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_ctrl_c_is_heard_and_leaves_a_state_to_resume(source, tmp_path):
    program = (
        "import sys, pcopy\n"
        "def tell(now):\n"
        "    if now.copied: print('copying', flush=True)\n"
        "pcopy.copy(sys.argv[1], sys.argv[2], limit_rate='1MiB', io_size='64KiB', progress=tell)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, source, tmp_path / "copy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout.readline() == b"copying\n"
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert (tmp_path / "copy.pcopy-part").exists() and not (tmp_path / "copy").exists()
    assert pcopy.copy(source, tmp_path / "copy", resume=True).bytes.resumed > 0


def test_other_threads_run_on_and_threads_do_not_disturb_each_other(source, tmp_path):
    def one(number):
        pcopy.copy(source, tmp_path / f"copy-{number}", verify=True)

    threads = [threading.Thread(target=one, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert (tmp_path / f"copy-{number}").read_bytes() == pattern(3 * MIB)


def test_after_a_fork(source, tmp_path):
    pcopy.copy(source, tmp_path / "parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pcopy.copy(source, tmp_path / "child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "child").read_bytes() == pattern(3 * MIB)


# Bytes in the middle.


def test_a_patch_and_its_undoing(source):
    before = source.read_bytes()
    old = pcopy.patch(source, 12345, b"patched", old=before[12345:12352])
    assert old == before[12345:12352]
    assert source.read_bytes() == before[:12345] + b"patched" + before[12352:]
    with pytest.raises(pcopy.Mismatch):
        pcopy.patch(source, 12345, b"x", old=b"?")
    pcopy.patch(source, "12345", old)
    assert source.read_bytes() == before
    with pytest.raises(pcopy.Refused):
        pcopy.patch(source, len(before), b"beyond")
    assert pcopy.patch(source, len(before), b"beyond", grow=True) == b""
    assert source.read_bytes() == before + b"beyond"
    with pytest.raises(FileNotFoundError):
        pcopy.patch(source.with_name("none"), 0, b"x")
    with pytest.raises(ValueError):
        pcopy.patch(source, "far", b"x")


# Many ranges.


def test_a_batch_of_items(source, tmp_path):
    items = [("a", 0, 5), {"name": "b/c", "start": 10, "len": 7}, {"name": "d", "start": 1, "last": 1}]
    with pytest.raises(pcopy.Error):
        pcopy.batch(items[:1], source, tmp_path / "none" / "none")
    report = pcopy.batch(items[:1] + items[2:], source, tmp_path / "out", digest="md5")
    assert report.items.complete == 2
    assert (tmp_path / "out" / "a").read_bytes() == pattern(3 * MIB)[:5]
    assert (tmp_path / "out" / "d").read_bytes() == pattern(3 * MIB)[1:2]
    assert report.results[0].digests.md5 == hashlib.md5(pattern(3 * MIB)[:5]).hexdigest()
    pcopy.batch(items[:1], source, tmp_path / "out", compare=True)
    (tmp_path / "out" / "a").write_bytes(b"other")
    with pytest.raises(pcopy.Mismatch):
        pcopy.batch(items[:1], source, tmp_path / "out", compare=True)


def test_a_batch_of_a_list_in_a_file(source, tmp_path):
    (tmp_path / "list.csv").write_text("name,start,len\nx,3,4\n")
    pcopy.batch(tmp_path / "list.csv", source, tmp_path / "out")
    assert (tmp_path / "out" / "x").read_bytes() == pattern(3 * MIB)[3:7]
    (tmp_path / "bad.csv").write_text("name,start,len\nx,3,4\n../y,0,1\n")
    with pytest.raises(ValueError, match="line 3"):
        pcopy.batch(tmp_path / "bad.csv", source, tmp_path / "out2")
    with pytest.raises(FileNotFoundError):
        pcopy.batch(tmp_path / "none.csv", source, tmp_path / "out2")


def test_items_that_fail(source, tmp_path):
    items = [("a", 0, 5), {"name": "b", "start": 0, "len": 5, "md5": "0" * 32}]
    with pytest.raises(pcopy.Partial, match="1 of 2 files") as caught:
        pcopy.batch(items, source, tmp_path / "out")
    assert [item.status for item in caught.value.report.results].count("mismatch") == 1
    report = pcopy.batch(items, source, tmp_path / "out2", check=False)
    assert report.items.mismatch == 1


def test_verify(source, tmp_path):
    pcopy.copy(source, tmp_path / "copy")
    assert pcopy.verify(source, tmp_path / "copy").outcome == "complete"
    with open(tmp_path / "copy", "r+b") as file:
        file.seek(MIB)
        file.write(b"?")
    with pytest.raises(pcopy.Mismatch) as caught:
        pcopy.verify(source, tmp_path / "copy")
    ranges = caught.value.report.mismatches
    assert any(part.start <= MIB < part.end for part in ranges)


def test_devices_have_a_path_and_a_size():
    for device in pcopy.devices():
        assert device.path and device.size is None or device.size >= 0


# Memory.


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
    memory = mmap.mmap(-1, MIB)
    pcopy.read_into(source, memory, 5)
    assert memory[:] == wanted[5 : MIB + 5]
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


def test_a_range_as_a_file(source, tmp_path):
    file = pcopy.open_range(source, 100, MIB)
    with open(tmp_path / "copy", "wb") as copy:
        shutil.copyfileobj(file, copy)
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)[100:MIB]
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


def test_an_archive_in_the_middle_of_an_image(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello", b"world")
    image = tmp_path / "image"
    image.write_bytes(b"x" * 1000 + archive.getvalue() + b"y" * 1000)
    with zipfile.ZipFile(pcopy.open_range(image, 1000, 1000 + len(archive.getvalue()))) as file:
        assert file.read("hello") == b"world"


# splice(2).

linux = pytest.mark.skipif(sys.platform != "linux", reason="splice is a call of Linux")


@linux
def test_splice_between_files(source, tmp_path):
    with open(source, "rb") as read, open(tmp_path / "copy", "wb") as write:
        assert pcopy.splice(write.fileno(), read.fileno()) == 3 * MIB
        assert read.tell() == 3 * MIB
        assert pcopy.splice(write, read, offset=5, nbytes=10, flags=pcopy.SPLICE_F_MORE) == 10
        assert read.tell() == 3 * MIB
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB) + pattern(3 * MIB)[5:15]


@linux
def test_splice_into_and_out_of_a_pipe(source, tmp_path):
    read, write = os.pipe()
    with open(source, "rb") as file:
        assert pcopy.splice(write, file, nbytes=1000) == 1000
    os.close(write)
    with open(tmp_path / "copy", "wb") as copy:
        assert pcopy.splice(copy, read) == 1000
    os.close(read)
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)[:1000]
    with pytest.raises(OSError):
        pcopy.splice(-1, -1)


# The command.


def test_the_command(source, tmp_path):
    command = [sys.executable, "-m", "pcopy"]
    done = subprocess.run([*command, "-r", "0+10", source, tmp_path / "copy"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy").read_bytes() == pattern(10)
    again = subprocess.run([*command, source, tmp_path / "copy"], capture_output=True)
    assert again.returncode == 3 and b"--force" in again.stderr


# What it costs.


def test_the_import_is_quick():
    program = "import time; a = time.perf_counter(); import pcopy; print(time.perf_counter() - a)"
    times = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True).stdout)
        for _ in range(5)
    ]
    print(f"import: {min(times) * 1000:.1f} ms")
