"""Where a comparison happens: a scratch folder, file systems and devices in
it, the page cache, and the clean-up of all that whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time


# What is written when it does not matter what.
PIECE = b"x" * (1 << 20)


def run(*words):
    """Runs a command that must succeed and returns what it printed."""
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Place:
    """A scratch folder. What is made in it is undone in reverse order."""

    def __init__(self, folder):
        self.base = folder or os.environ.get("TMPDIR", "/var/tmp")
        self.undo = []

    def __enter__(self):
        # So that the clean-up happens.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
        self.folder = tempfile.mkdtemp(prefix="pcopy-peers-", dir=self.base)
        self.undo.append(lambda: shutil.rmtree(self.folder))
        return self

    def __exit__(self, *_):
        self.undo_to(0)

    def undo_to(self, depth):
        """Undoes everything done after there were `depth` things to undo."""
        while len(self.undo) > depth:
            step = self.undo.pop()
            try:
                step()
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"   clean-up: {error}", flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, size, content="random"):
        """A file of that size. Random bytes: nobody can cheat with zeros."""
        path = self.path(name)
        piece = os.urandom(1 << 20) if content == "random" else bytes(1 << 20)
        with open(path, "wb") as file:
            for at in range(0, size, len(piece)):
                # Each MiB differs, at no cost.
                head = at.to_bytes(8, "little") if content == "random" else b""
                file.write((head + piece[len(head):])[: size - at])
            file.flush()
            os.fsync(file.fileno())
        return path

    def mount(self, kind, size):
        """A file system of its own in a file."""
        image, folder = self.path(f"{kind}.img"), self.path(f"{kind}.mnt")
        with open(image, "wb") as file:
            file.truncate(size)
        run(f"mkfs.{kind}", "-q", image)
        os.mkdir(folder)
        run("mount", "-o", "loop", image, folder)
        self.undo.append(lambda: (run("umount", folder), os.rmdir(folder), os.remove(image)))
        return folder

    def tmpfs(self, size):
        folder = self.path("tmpfs")
        os.mkdir(folder)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder)
        self.undo.append(lambda: (run("umount", folder), os.rmdir(folder)))
        return folder

    def loop_device(self, image):
        """A block device on a file, past whose own pages it reads and writes."""
        loop = run("losetup", "-f", "--show", "--direct-io=on", image)
        self.undo.append(lambda: run("losetup", "-d", loop))
        return loop

    def slow_file(self, image, seconds):
        """The file `image`, read-only and so late at each read, however many there are."""
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow.c")
        program, folder = self.path("slow"), self.path("slow.mnt")
        libraries = run("pkg-config", "--cflags", "--libs", "fuse3").split()
        run("gcc", "-O2", "-o", program, source, *libraries)
        os.mkdir(folder)
        server = subprocess.Popen([program, folder, image, str(round(seconds * 1e6))])

        def stop():
            subprocess.run(["fusermount3", "-u", folder], check=False)
            server.wait(timeout=20)
            os.rmdir(folder)

        self.undo.append(stop)
        shown = os.path.join(folder, "file")
        for _ in range(100):
            if os.path.exists(shown):
                break
            time.sleep(0.1)
        return shown

    def read_only_device(self, image):
        """A block device on a file, read past the page cache."""
        loop = run("losetup", "-f", "--show", "--direct-io=on", "-r", image)
        self.undo.append(lambda: run("losetup", "-d", loop))
        return loop

    def memory_group(self, size):
        """The file to which a process writes its number to have at most so much memory, its
        page cache among it; None where the system has no such groups."""
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                            ("/sys/fs/cgroup", "memory.max")):
            group = os.path.join(root, f"pcopy-peers-{os.getpid()}")
            try:
                os.mkdir(group)
            except OSError:
                continue
            self.undo.append(lambda: os.rmdir(group))
            try:
                with open(os.path.join(group, limit), "w", encoding="ascii") as file:
                    file.write(str(size))
                return os.path.join(group, "cgroup.procs")
            except OSError:
                continue
        return None


def touch_memory(size):
    """Uses twice so much memory once, as pages of a file, and gives it back.

    On a virtual machine that returns free memory to its host, the first use of
    memory is several times slower than the second. Pages of a file come in larger
    pieces than those of a process, so that the one kind does not stand for the other."""
    with tempfile.TemporaryFile(dir="/var/tmp", buffering=0) as file:
        for _ in range(0, 2 * size, len(PIECE)):
            file.write(PIECE)


def warm(path, limit=None):
    """Reads a file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        left = limit or os.fstat(file.fileno()).st_size
        while left > 0:
            left -= len(file.read(1 << 20) or b"x" * left)


def cold(path):
    """Drops a file, and as root everything else that is clean, from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(fd)
    except OSError:
        pass  # A read-only device has nothing to write.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    if os.geteuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("1")


def cached(path):
    """Which share of a file is in the page cache."""
    pages = run("fincore", "--bytes", "--noheadings", "--output", "RES", path)
    return int(pages) / os.path.getsize(path)


def empty(folder):
    """Takes the bytes out of all files of a folder, which stay there."""
    for entry in os.scandir(folder):
        os.truncate(entry.path, 0)


def written(device):
    """Bytes that have reached a block device since it was made."""
    name = os.path.basename(device)
    with open(f"/sys/block/{name}/stat", encoding="ascii") as file:
        return int(file.read().split()[6]) * 512


def remove(path):
    """A file, a folder, or nothing."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def same(a, b):
    return subprocess.run(["cmp", "-s", a, b], check=False).returncode == 0


def machine(folder):
    """What was measured on, without anybody's names."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = int(file.readline().split()[1])
    kind = run("stat", "-f", "-c", "%T", folder)
    return {
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "processors": f"{os.cpu_count()} x {models[0] if models else os.uname().machine}",
        "memory": f"{kib / (1 << 20):.0f} GiB",
        "file system": kind,
        "load": f"{os.getloadavg()[1]:.1f}",
    }
