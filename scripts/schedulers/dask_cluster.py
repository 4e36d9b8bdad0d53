"""Dask: a cluster on this machine, of which a worker is killed. Its task is run again by
the other worker."""

import os

import bed
import install
from job import Job

HERE = os.path.dirname(os.path.abspath(__file__))


def checks(place):
    missing = install.missing_modules("dask")
    if missing:
        raise bed.Skip(f"needs {missing[0]}")
    yield bed.Version(bed.run([install.python(), "-c", "import dask; print(dask.__version__)"]).strip())
    job = place.job("dask")
    line = ["pcopy", "--job", job.folder, *place.options(), place.source, job.copy]
    words = [install.python(), os.path.join(HERE, "dask_tasks.py"), str(bed.COUNT), *line]
    log = job.folder + ".log"
    running = place.start(words, place.environment(), log)
    job.wait_for_all()
    loss = lose_worker(place, job)
    code = running.wait(bed.PATIENCE)
    assert code == 0, f"exit {code}: {bed.read(log).decode()}"
    yield f"a worker killed: {job.check(loss)}"


def lose_worker(place, job: Job):
    """Kills a worker of the cluster and the processes that it has started."""
    pids = place.workers(job)
    worker = bed.parent(pids[0])
    own = [pid for pid in pids if bed.parent(pid) == worker]
    assert 0 < len(own) < len(pids), "all processes are of one worker"
    return job.kill(own, [worker])
