"""Where jobs run: a source, the copy of it that one process makes, a folder in which
everything else is, and an end to all that was started."""

import copy
import filecmp
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import install
from job import Job

# Processes of a job.
COUNT = 4

# How long anything may take before it counts as failed. Nothing relies on it.
PATIENCE = 400

# All that is started by one run has this variable, with the folder of the run.
MARK = "PCOPY_FLEET"

# Set when all of this is to end.
stopping = threading.Event()

DIGESTS = ["--digest", "blake3", "--digest", "sha256"]


class Skip(Exception):
    """Cannot run here; says why."""


class TooLate(Exception):
    """A job was over before anything could be shown of it."""


class Version(str):
    """That of a scheduler."""


def wait_until(what, state):
    """Waits for a state, and returns what it is."""
    start = time.monotonic()
    while not (found := state()):
        if stopping.is_set() or time.monotonic() - start > PATIENCE:
            raise AssertionError(f"waited too long until {what}")
        time.sleep(0.05)
    return found


def run(words, code=0, **more):
    """Runs a program, which must exit with `code`; what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=False, **more)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{shlex.join(words)}: exit {done.returncode}, not {code}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


class Bed:
    """`with Bed(quick=True) as bed:`"""

    def __init__(self, quick):
        self.quick = quick
        # Prime to every size of a shard.
        self.size = (16 << 20 if quick else 64 << 20) + 12_347

    def __enter__(self):
        self.work = self.home = tempfile.mkdtemp(prefix="pcopy-fleet-")
        try:
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end_all()
        shutil.rmtree(self.work, ignore_errors=True)

    def end_all(self):
        """Ends all that was started, and what that has started meanwhile."""
        while pids := self.started():
            for pid in pids:
                end(pid)

    def set_up(self):
        # Daemons that are not root must get to their sockets.
        os.chmod(self.work, 0o755)
        self.bin = self.folder("bin")
        self.pcopy = os.path.join(self.bin, "pcopy")
        os.symlink(built_pcopy(), self.pcopy)
        self.source = os.path.join(self.work, "source")
        with open("/dev/urandom", "rb") as random, open(self.source, "wb") as file:
            file.write(random.read(self.size))
        alone = os.path.join(self.work, "alone")
        report = json.loads(run([self.pcopy, "--json", *DIGESTS, self.source, alone]))
        assert filecmp.cmp(self.source, alone, shallow=False)
        self.digests = report["digests"]
        os.remove(alone)

    def below(self, name):
        """The same, with a folder of its own for all that follows."""
        other = copy.copy(self)
        other.home = self.folder(name)
        return other

    def folder(self, name):
        path = os.path.join(self.home, name)
        os.makedirs(path, exist_ok=True)
        return path

    def environment(self, *folders):
        """For what is started; programs of `folders` come first, then this pcopy."""
        path = ":".join([*folders, self.bin, os.environ["PATH"], "/usr/sbin", "/sbin"])
        return dict(os.environ, **{"PATH": path, MARK: self.work})

    def job(self, name):
        """A job that has not begun."""
        folder = self.folder(name)
        return Job(self, os.path.join(folder, "job"), os.path.join(folder, "copy"))

    def options(self):
        """Of the copy: slow enough to be met on the way, shards of a moment, and a lease
        that is worth waiting for, but longer than any process stands still."""
        rate = "512KiB" if self.quick else "1MiB"
        return ["--stripe-size", "256KiB", "--limit-rate", rate, "--io-size", "64KiB",
                "--lease", "10", *DIGESTS]

    def script(self, job, scheduler):
        """What `pcopy job script` prints, in a file that can be run."""
        text = run([self.pcopy, "job", "script", job.folder, scheduler, "--processes",
                    str(COUNT), "--", *self.options(), self.source, job.copy])
        path = job.folder + ".script"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def start(self, words, environment, log):
        """Starts a program, whose output goes to the file `log`."""
        with open(log, "ab") as file:
            return subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL,
                                    stdout=file, stderr=file, start_new_session=True)

    def started(self):
        """Processes of this run that are alive. Those of Slurm that keep a task lose
        their environment, and listen at a socket in the folder."""
        mark = f"{MARK}={self.work}".encode()
        sockets = self.sockets()
        return [pid for pid in processes() if mark in variables(pid) or sockets & links(pid)]

    def sockets(self):
        """Those in the folder, as /proc names them."""
        lines = [line.split() for line in read("/proc/net/unix").decode().splitlines()]
        return {f"socket:[{line[6]}]" for line in lines
                if len(line) > 7 and line[7].startswith(self.work + "/")}

    def workers(self, job):
        """Of those, the ones that run pcopy for `job`."""
        def is_worker(pid):
            words = words_of(pid)
            return words and os.path.basename(words[0]) == b"pcopy" and job.folder.encode() in words

        return [pid for pid in self.started() if is_worker(pid)]


def built_pcopy():
    """The program to test."""
    given = os.environ.get("PCOPY_BIN")
    if given:
        return os.path.abspath(given)
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", "pcopy"],
                   cwd=install.ROOT, check=True)
    return os.path.join(install.TARGET, "debug", "pcopy")


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        # It ended in the meantime, or is of another user.
        return b""


def variables(pid):
    """Of the environment of a process."""
    return read(f"/proc/{pid}/environ").split(b"\0")


def links(pid):
    """What a process has open."""
    folder = f"/proc/{pid}/fd"
    try:
        return {os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)}
    except OSError:
        return set()


def words_of(pid):
    return read(f"/proc/{pid}/cmdline").split(b"\0")


def states(pid):
    """State of each thread of a process, one letter each; none if it is over."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = [fields(f"/proc/{pid}/task/{thread}/stat") for thread in threads]
    return [each[0].decode() for each in found if each and each[0] not in b"ZX"]


def fields(path):
    """Of a `stat` of /proc, from the state on."""
    return read(path).rpartition(b")")[2].split()


def is_over(pid):
    return not states(pid)


def is_stopped(pid):
    return set(states(pid)) == {"T"}


def parent(pid):
    return int(fields(f"/proc/{pid}/stat")[1])


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(pid):
    """Ends a process where it stands."""
    send(pid, signal.SIGKILL)
    while not is_over(pid):
        time.sleep(0.01)
