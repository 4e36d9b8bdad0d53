"""Open MPI and MPICH. If a rank dies, both end all the others; the line again goes on."""

import functools
import os
import re

import bed
import install


def checks_of(kind):
    return functools.partial(checks, kind)


def checks(kind, place):
    program = install.path_of(f"mpirun.{kind}")
    if not program:
        raise bed.Skip(f"needs mpirun.{kind}")
    said = bed.run([program, "--version"], None)
    yield bed.Version(re.search(r"\d+\.\d+[.\d]*", said)[0])
    environment = launcher(place, kind, program)
    job = place.job(kind)
    script, log = place.script(job, "mpi"), job.folder + ".log"
    first = place.start([script], environment, log)
    job.wait_for_all()
    begun_with(job)
    ranks = place.workers(job)
    job.kill(ranks[:1])
    code = first.wait(bed.PATIENCE)
    assert code != 0, "mpirun has not noticed"
    bed.wait_until("all ranks are over", lambda: not place.workers(job))
    loss = job.loss(ranks)
    job.finish(75)
    bed.run([script], env=environment)
    yield f"a rank killed (exit {code}), the same line again: {job.check(loss)}"
    job.finish()
    job.check_again([script], environment)
    yield "the same line a third time copies nothing"


def launcher(place, kind, program):
    """The environment in which `mpirun` is this one, and starts more ranks than there
    are processors, for root also."""
    folder = place.folder(f"{kind}-bin")
    path = os.path.join(folder, "mpirun")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {program} "$@"\n')
    os.chmod(path, 0o755)
    # Both keep sockets there, whose names must be short.
    scratch = place.folder(f"{kind}-tmp")
    return dict(place.environment(folder), OMPI_ALLOW_RUN_AS_ROOT="1",
                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                TMPDIR=scratch)


def begun_with(job):
    """Each rank began with its own share: the launcher's variables were understood."""
    first = {}
    for shard, record in sorted(job.records().items(), key=lambda each: each[1]["begun"]):
        first.setdefault(record["by"]["pid"], shard)
    found = sorted(first.values())
    assert found == list(range(bed.COUNT)), f"ranks began with shards {found}"
