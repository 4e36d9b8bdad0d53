"""One copy by several tasks of an executor."""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import pcopy
from conftest import MIB, pattern

# Of each task: parts small enough that there are many.
MANY = {"stripe_size": "64KiB"}


def processes(method, **options):
    return ProcessPoolExecutor(2, multiprocessing.get_context(method), **options)


@contextlib.contextmanager
def dask():
    distributed = pytest.importorskip("distributed", reason="Dask is not there")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster, distributed.Client(cluster) as client:
        yield client.get_executor()


EXECUTORS = {
    "threads": lambda: ThreadPoolExecutor(3),
    "one thread": lambda: ThreadPoolExecutor(1),
    "forked processes": lambda: processes("fork"),
    "spawned processes": lambda: processes("spawn"),
    "Dask": dask,
}


class Later:
    """An executor whose tasks run when the test says so, on its thread."""

    def __init__(self, most=99):
        self.calls, self.most = [], most

    def submit(self, function, *words):
        if len(self.calls) == self.most:
            raise RuntimeError("full")
        self.calls.append((Future(), function, words))
        return self.calls[-1][0]

    def run(self, which=slice(None)):
        for task, function, words in self.calls[which]:
            if task.set_running_or_notify_cancel():
                try:
                    task.set_result(function(*words))
                except BaseException as error:
                    task.set_exception(error)


def submitted(executor, source, tmp_path, shards=4, **options):
    return pcopy.submit(
        executor, source, tmp_path / "copy", job=tmp_path / "job", shards=shards, **options
    )


@pytest.mark.parametrize("kind", EXECUTORS)
def test_a_copy_by_every_executor(source, tmp_path, kind):
    whole = pattern(3 * MIB)[7:]
    options = {"range": (7, None), "digest": ["sha256", "md5"], "verify": True, **MANY}
    with EXECUTORS[kind]() as executor:
        job = submitted(executor, source, tmp_path, shards=5, **options)
        report = job.result(timeout=300)
        each = [task.result() for task in job.tasks]
        again = submitted(executor, source, tmp_path, shards=2, **options).result(timeout=300)
    assert (tmp_path / "copy").read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["copy", "job", "source"]
    assert report.outcome == "complete" and report.durable and report.verified
    assert report.digests.sha256 == hashlib.sha256(whole).hexdigest()
    assert (report.bytes.copied, report.bytes.resumed) == (len(whole), 0)
    assert len(each) == 5 and sum(one.bytes.copied for one in each) == len(whole)
    assert (again.bytes.copied, again.bytes.resumed) == (0, len(whole))
    assert again.digests == report.digests


def test_tasks_of_submitit(source, tmp_path):
    """Its futures have no callbacks, and its processes are started by a program."""
    submitit = pytest.importorskip("submitit", reason="submitit is not there")
    executor = submitit.LocalExecutor(tmp_path / "logs")
    executor.update_parameters(timeout_min=5)
    report = submitted(executor, source, tmp_path, shards=2).result(timeout=300)
    assert report.bytes.copied == 3 * MIB
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_it_is_a_future(source, tmp_path):
    heard = []
    with ThreadPoolExecutor(2) as pool:
        job = submitted(pool, source, tmp_path)
        job.add_done_callback(heard.append)
        assert list(concurrent.futures.as_completed([job])) == [job]
    assert heard == [job] and job.done() and job.exception() is None
    assert not job.running() and not job.cancel() and not job.cancelled()

    async def waits():
        with ThreadPoolExecutor(2) as pool:
            return await asyncio.wrap_future(submitted(pool, source, tmp_path))

    assert asyncio.run(waits()).bytes.resumed == 3 * MIB


def test_how_far_it_is(source, tmp_path):
    later = Later()
    job = submitted(later, source, tmp_path)
    assert job.status() is None and not job.done() and not job.running()
    (tmp_path / "job").mkdir()
    assert job.status() is None
    later.run(slice(1))
    status = job.status()
    assert (status.state, status.bytes_done, status.missing) == ("finished", 3 * MIB, "")
    assert not job.done()
    later.run(slice(1, None))
    report = job.result(timeout=0)
    assert report.bytes.copied == 3 * MIB
    notes = [note for note in report.notes if note.startswith("task 1: ")]
    assert len(notes) == 1 and "this process copied 3 of 3 shards" in notes[0], report.notes


def test_wrong_arguments_are_said_before_any_task(source, tmp_path):
    later = Later()
    for how, kind, words in [
        ({"executor": 7}, TypeError, "int is not an executor"),
        ({"shards": "4"}, TypeError, "an integer"),
        ({"shards": 0}, ValueError, "1 or more"),
        ({"thread": 4}, TypeError, "did you mean 'threads'"),
        ({"progress": print}, TypeError, "status"),
        ({"engine": "warp"}, ValueError, "engine"),
        ({"src": sys.stdin}, TypeError, "PathLike"),
        ({"job": None}, TypeError, "PathLike"),
    ]:
        given = {"executor": later, "src": source, "dst": tmp_path / "copy"}
        with pytest.raises(kind, match=words):
            pcopy.submit(**{**given, "job": tmp_path / "job", "shards": 2, **how})
    assert not later.calls and os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"in_place": True}, "in_place"),
        ({"resume": True}, "resume or restart has no meaning"),
        ({"expect_in": [((0, 5), "md5:" + "0" * 32)]}, "expect_in is for one process"),
    ],
)
def test_what_is_for_one_process(source, tmp_path, option, words):
    with ThreadPoolExecutor(2) as pool:
        job = submitted(pool, source, tmp_path, **option)
        with pytest.raises(pcopy.Usage, match=words):
            job.result()
    assert os.listdir(tmp_path) == ["source"]


def test_what_is_there_is_replaced_only_by_force(source, tmp_path):
    (tmp_path / "copy").write_bytes(b"precious")
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(FileExistsError) as caught:
            submitted(pool, source, tmp_path).result()
        assert isinstance(caught.value, pcopy.Refused) and "force=True" in caught.value.remedies
        assert (tmp_path / "copy").read_bytes() == b"precious"
        submitted(pool, source, tmp_path, force=True).result()
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_a_folder_of_another_copy_and_a_digest_that_differs(source, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        expect = "sha256:" + "0" * 64
        with pytest.raises(pcopy.Mismatch):
            submitted(pool, source, tmp_path, expect=expect).result()
        assert not (tmp_path / "copy").exists()
        with pytest.raises(pcopy.Refused, match="range"):
            submitted(pool, source, tmp_path, expect=expect, range=(0, 5)).result()


def lost(*_words):
    raise ConnectionError("the node is gone")


def test_a_task_that_fails_leaves_its_part_to_the_others(source, tmp_path):
    later = Later()
    job = submitted(later, source, tmp_path)
    later.calls[0] = (later.calls[0][0], lost, ())
    later.run()
    report = job.result()
    assert report.outcome == "complete" and report.bytes.copied == 3 * MIB
    assert "task 1 failed: ConnectionError: the node is gone" in report.notes
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_what_is_raised_if_all_fail_is_what_says_most(source, tmp_path):
    later = Later()
    job = submitted(later, tmp_path / "none", tmp_path, shards=3)
    later.calls[0] = (later.calls[0][0], lost, ())
    assert later.calls[1][0].cancel()
    later.run()
    with pytest.raises(FileNotFoundError) as caught:
        job.result()
    assert isinstance(caught.value, pcopy.Refused)
    job = submitted(Later(), source, tmp_path)
    job.tasks[0].set_exception(ConnectionError("gone"))
    assert not job.done()
    for task in job.tasks[1:]:
        task.cancel()
    assert isinstance(job.exception(timeout=0), ConnectionError)


def test_what_has_not_begun_can_be_taken_back(source, tmp_path):
    later = Later()
    job = submitted(later, source, tmp_path)
    assert job.cancel() and job.cancelled() and job.done()
    later.run()
    with pytest.raises(concurrent.futures.CancelledError):
        job.result()
    assert os.listdir(tmp_path) == ["source"]
    later = Later()
    job = submitted(later, source, tmp_path)
    later.run(slice(1))
    # That one has copied all of it.
    assert not job.cancel()
    assert job.result().bytes.copied == 3 * MIB


def test_an_executor_that_takes_no_more(source, tmp_path):
    later = Later(most=2)
    with pytest.raises(RuntimeError, match="full"):
        submitted(later, source, tmp_path)
    assert [task.cancelled() for task, *_ in later.calls] == [True, True]


def test_parts_that_cannot_be_read(source, tmp_path):
    """Each task says what all of them could not read; that is told once."""
    with ThreadPoolExecutor(1) as pool:
        fields = submitted(pool, source, tmp_path).result().as_dict()
    failed = {"start": 512, "end": 1024, "error": "Input/output error"}
    partial = {**fields, "outcome": "partial", "failed": [failed]}
    partial["bytes"] = {**fields["bytes"], "failed": 512}

    def ended(check):
        tasks = [Future(), Future()]
        job = pcopy.SharedJob(str(tmp_path / "job"), tasks, check)
        for task in tasks:
            task.set_result(pcopy.Record(partial))
        return job

    with pytest.raises(pcopy.Partial, match="512 bytes") as caught:
        ended(True).result()
    assert len(caught.value.report.failed) == 1
    assert pickle.loads(pickle.dumps(caught.value)).report == caught.value.report
    assert ended(False).result().outcome == "partial"


def test_workers_that_are_elsewhere(source, tmp_path, monkeypatch):
    """Paths are those of who asks, not of the folder that a worker runs in."""
    monkeypatch.chdir(tmp_path)
    with processes("fork", initializer=os.chdir, initargs=["/"]) as pool:
        job = pcopy.submit(pool, "source", b"copy", job="job", shards=2)
        assert job.result().bytes.copied == 3 * MIB
    assert job.folder == str(tmp_path / "job")
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def claimed(job):
    """The process that has a part of the copy and has written some of it."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        status = job.status()
        if status and status.shards_done and status.claimed:
            return status.claimed[0].pid
        time.sleep(0.05)
    raise TimeoutError("no task has begun")


# So slow that a task is met in the middle: each part has several requests.
SLOW = {"limit_rate": "256KiB", "io_size": "64KiB", "stripe_size": "256KiB"}


def test_a_killed_process_costs_what_it_had(source, tmp_path, monkeypatch):
    """The pool ends with it; the same call again, elsewhere, copies what is missing."""
    monkeypatch.setattr("pcopy._shared.LEASE", 1.0)
    with processes("spawn") as pool:
        # A pool watches those of its processes that were there when it was last asked for
        # something, so all of them are started first.
        concurrent.futures.wait([pool.submit(time.sleep, 1) for _ in range(2)])
        job = submitted(pool, source, tmp_path, shards=2, **{**SLOW, "limit_rate": "64KiB"})
        os.kill(claimed(job), signal.SIGKILL)
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            job.result(timeout=300)
    assert not (tmp_path / "copy").exists()
    with ThreadPoolExecutor(2) as pool:
        again = {"stripe_size": SLOW["stripe_size"]}
        report = submitted(pool, source, tmp_path, shards=2, **again).result(timeout=300)
    assert report.bytes.resumed > 0
    assert report.bytes.copied + report.bytes.resumed == 3 * MIB
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_a_killed_worker_of_dask(source, tmp_path, monkeypatch):
    """Dask gives its task to another one, and so the copy ends."""
    monkeypatch.setattr("pcopy._shared.LEASE", 1.0)
    with dask() as executor:
        job = submitted(executor, source, tmp_path, shards=2, **SLOW)
        os.kill(claimed(job), signal.SIGKILL)
        report = job.result(timeout=300)
    assert report.outcome == "complete"
    assert (tmp_path / "copy").read_bytes() == pattern(3 * MIB)


def test_what_it_needs_is_imported_when_it_is_used():
    program = (
        "import sys, pcopy\n"
        "assert 'SharedJob' in dir(pcopy) and 'submit' in dir(pcopy)\n"
        "slow = {'json', 're', 'concurrent.futures'}\n"
        "print(sorted(slow & set(sys.modules)), end=' ')\n"
        "pcopy.SharedJob\n"
        "print('concurrent.futures' in sys.modules)\n"
        "pcopy.SharedCop\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[] True\n" and "AttributeError" in done.stderr, done


def test_a_thread_that_waits_can_be_left(source, tmp_path):
    """Nobody is stuck behind tasks that never come."""
    job, heard = submitted(Later(), source, tmp_path), []

    def wait():
        with pytest.raises(concurrent.futures.CancelledError):
            job.result()
        heard.append("cancelled")

    waited = threading.Thread(target=wait, daemon=True)
    waited.start()
    with pytest.raises(TimeoutError):
        job.result(timeout=0.05)
    assert job.cancel()
    waited.join(60)
    assert heard == ["cancelled"]
