"""GNU parallel, which runs a process again that has failed."""

import re

import bed
import install
from mpi import begun_with


def checks(place):
    if not install.path_of("parallel"):
        raise bed.Skip("needs parallel")
    environment = place.environment()
    yield bed.Version(re.search(r"\d+", bed.run(["parallel", "--version"]))[0])
    job = place.job("parallel")
    script, log = place.script(job, "parallel"), job.folder + ".log"
    running = place.start([script], environment, log)
    job.wait_for_all()
    begun_with(job)
    loss = job.kill(place.workers(job)[:1])
    code = running.wait(bed.PATIENCE)
    assert code == 0, f"parallel has exit {code}: {bed.read(log).decode()}"
    yield f"a process killed: {job.check(loss)}"
    job.check_again([script], environment)
    yield "the same line again copies nothing"
