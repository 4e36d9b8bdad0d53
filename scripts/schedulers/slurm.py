"""Slurm: two nodes on this machine, of which one is lost in the middle of an array."""

import getpass
import os
import re
import signal
import socket

import bed
import install

NODES = ["n1", "n2"]

CONFIGURATION = """\
ClusterName=pcopy
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=30
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=2000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def checks(place):
    missing = install.missing_programs("slurm")
    if missing:
        raise bed.Skip(f"needs {' '.join(missing)}")
    with Cluster(place) as cluster:
        yield bed.Version(re.search(r"\d+\.\d+[.\d]*", cluster.run("sinfo", "--version"))[0])
        yield from lost_node(place, cluster)
        yield sent_back(place, cluster)
        yield killed_step(place, cluster)


class Cluster:
    """Two nodes, with all that belongs to them in one folder."""

    def __init__(self, place):
        self.place, self.folder = place, place.folder("slurm")
        self.daemons = {}
        self.environment = dict(place.environment(), SLURM_CONF=f"{self.folder}/slurm.conf")

    def __enter__(self):
        self.write_configuration()
        key = f"{self.folder}/munge.key"
        with open(key, "wb") as file:
            file.write(os.urandom(1024))
        os.chmod(key, 0o600)
        own = [f"--{name}={self.folder}/munge.{name[:-5] if name.endswith('-file') else name}"
               for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")]
        # Its checks of who may write to the folders above are not for a test.
        self.start("munged", "--foreground", "--force", *own)
        bed.wait_until("munge listens", lambda: os.path.exists(f"{self.folder}/munge.socket"))
        self.start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes(NODES)
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(20)
            except Exception:
                daemon.kill()

    def write_configuration(self):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        host = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(host=host, user=getpass.getuser(), folder=self.folder, ports=ports)
        with open(f"{self.folder}/slurm.conf", "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, program, *words, name=None):
        log = f"{self.folder}/{name or program}.out"
        command = [install.path_of(program), *words]
        self.daemons[name or program] = self.place.start(command, self.environment, log)

    def start_node(self, node):
        self.start("slurmd", "-D", "-N", node, name=node)

    def run(self, *words, code=0):
        return bed.run(words, code, env=self.environment)

    def states(self):
        """Of the nodes, by name."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T", code=None)
        return dict(line.split()[:2] for line in lines.splitlines() if len(line.split()) > 1)

    def wait_for_nodes(self, nodes):
        bed.wait_until("the nodes are idle", lambda: all(
            self.states().get(node) == "idle" for node in nodes))

    def submit(self, *words):
        """Hands in a job; its number."""
        # Each with a log of its own, which says what it has copied.
        output = f"--output={self.folder}/%A-%a.log"
        return self.run("sbatch", "--parsable", output, *words).strip()

    def facts(self, number):
        """What is known of a job, or of each task of an array."""
        lines = self.run("scontrol", "show", "job", "--oneliner", number).splitlines()
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]

    def wait_for_end(self, number):
        """Waits until a job is over; its facts."""
        def over():
            facts = self.facts(number)
            running = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED")
            return facts if all(each["JobState"] not in running for each in facts) else None

        return bed.wait_until(f"job {number} is over", over)

    def workers_of(self, node, job):
        """The processes of a job on a node."""
        mark = f"SLURMD_NODENAME={node}".encode()
        return [pid for pid in self.place.workers(job) if mark in bed.variables(pid)]

    def lose(self, node, job):
        """A node and all on it dies, as when its power fails."""
        pids = self.workers_of(node, job)
        keepers = {bed.parent(pid) for pid in pids}
        for pid in keepers:
            assert b"slurmstepd" in bed.words_of(pid)[0], bed.words_of(pid)
        daemon = self.daemons.pop(node)
        loss = job.kill(pids, [*keepers, daemon.pid])
        daemon.wait()
        return loss


def lost_node(place, cluster):
    job = place.job("array")
    script = place.script(job, "slurm")
    array = cluster.submit(script)
    after = cluster.submit(f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes",
                           f"--wrap=pcopy job finish {job.folder}")
    job.wait_for_all()
    on_each = [len(cluster.workers_of(node, job)) for node in NODES]
    assert on_each == [2, 2], on_each
    loss = cluster.lose("n2", job)
    bed.wait_until("the other node has finished the job", job.finished)
    yield f"a node of two lost from an array of {bed.COUNT}: {job.check(loss)}"
    if place.quick:
        cluster.run("scancel", array, after)
        cluster.start_node("n2")
        bed.wait_until("the lost tasks are given up", lambda: not cluster.run("squeue", "--noheader"))
        return
    before = os.stat(job.copy)
    tasks = cluster.wait_for_end(array)
    assert all(task["JobState"] == "COMPLETED" for task in tasks), tasks
    restarted = sum(task["Restarts"] == "1" for task in tasks)
    assert restarted == 2, tasks
    (dependent,) = cluster.wait_for_end(after)
    assert dependent["JobState"] == "COMPLETED", dependent
    now = os.stat(job.copy)
    assert (before.st_ino, before.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
    cluster.start_node("n2")
    yield (f"Slurm ran its {restarted} tasks again, which copied nothing, "
           "then the job that was to run afterok")


def sent_back(place, cluster):
    """TERM to the script, as by --signal=B:TERM before the time of a job is over."""
    cluster.wait_for_nodes(NODES)
    job = place.job("sent-back")
    array = cluster.submit(place.script(job, "slurm"))
    after = cluster.submit(f"--dependency=afterany:{array}", f"--wrap=pcopy job finish {job.folder}")
    job.wait_for_all()
    pids = place.workers(job)
    job.stop_holders(pids[:1])
    had = job.taken_by(pids[:1])
    (task,) = [word.removeprefix(b"SLURM_ARRAY_TASK_ID=").decode() for word in
               bed.variables(pids[0]) if word.startswith(b"SLURM_ARRAY_TASK_ID=")]
    cluster.run("scancel", "--batch", "--signal=TERM", f"{array}_{task}")
    bed.send(pids[0], signal.SIGCONT)
    tasks = cluster.wait_for_end(array)
    ends = sorted(each["JobState"] for each in tasks)
    assert ends == ["COMPLETED"] * (bed.COUNT - 1) + ["FAILED"], ends
    again = {shard for shard, turn in job.turns().items() if turn > 1}
    assert again <= had, f"copied again: {again}, given back: {had}"
    (dependent,) = cluster.wait_for_end(after)
    assert dependent["JobState"] == "COMPLETED", dependent
    return "a task asked to stop by TERM gave back its shard, the others finished, afterany found that"


def killed_step(place, cluster):
    """The plain line under srun."""
    job = place.job("step")
    words = ["srun", f"--ntasks={bed.COUNT}", "--nodes=2", "pcopy", "--job", job.folder,
             *place.options(), place.source, job.copy]
    running = place.start(words, cluster.environment, job.folder + ".log")
    job.wait_for_all()
    loss = job.kill(place.workers(job)[:1])
    code = running.wait(bed.PATIENCE)
    assert code != 0, "srun has not noticed"
    said = job.check(loss)
    job.finish()
    return f"a task of srun killed (exit {code}): {said}"
