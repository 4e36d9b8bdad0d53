"""Where a comparison happens: a scratch folder, file systems and devices in
it, the page cache, and the clean-up of all that whatever happens."""

import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FUSE_CONTROL = "/sys/fs/fuse/connections"


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
        self.undo.append(lambda: (run("umount", folder), os.remove(image)))
        return folder

    def tmpfs(self, size):
        folder = self.path("tmpfs")
        os.mkdir(folder)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder)
        self.undo.append(lambda: run("umount", folder))
        return folder

    def loop_device(self, image):
        """A block device on a file, past whose own pages it reads and writes."""
        loop = run("losetup", "-f", "--show", "--direct-io=on", image)
        self.undo.append(lambda: run("losetup", "-d", loop))
        return loop

    def slow_device(self, image, delay):
        """A read-only block device that answers each request after `delay`."""
        folder = self.path("nbd")
        os.mkdir(folder)
        words = ["nbdfuse", "-r", folder, "--command", "nbdkit", "-s", "-t", "64",
                 "--filter=delay", "file", image, f"rdelay={delay}"]
        server = subprocess.Popen(words)

        def stop():
            subprocess.run(["fusermount3", "-u", folder], check=False)
            server.wait(timeout=20)

        self.undo.append(stop)
        device = os.path.join(folder, "nbd")
        for _ in range(100):
            if os.path.exists(device):
                break
            time.sleep(0.1)
        if not os.path.ismount(FUSE_CONTROL):
            run("mount", "-t", "fusectl", "none", FUSE_CONTROL)
            self.undo.append(lambda: run("umount", FUSE_CONTROL))
        connection = os.path.join(FUSE_CONTROL, str(os.minor(os.stat(folder).st_dev)))
        # Left at FUSE's default of 12, the stack itself would be the limit.
        for limit in ("max_background", "congestion_threshold"):
            with open(os.path.join(connection, limit), "w", encoding="ascii") as file:
                file.write("512")
        loop = run("losetup", "-f", "--show", "--direct-io=on", "-r", device)
        self.undo.append(lambda: run("losetup", "-d", loop))
        return loop


def touch_memory(size):
    """Uses so much memory once and gives it back.

    On a virtual machine that returns free memory to its host, the first use of
    memory is several times slower than the second."""
    memory = mmap.mmap(-1, size)
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1, size)


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
