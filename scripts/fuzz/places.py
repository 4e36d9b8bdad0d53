"""Folders to copy in, one on each file system: made, mounted and always taken down."""

import os
import shutil
import subprocess
import tempfile

KINDS = ["ext4", "xfs", "btrfs", "tmpfs", "exfat", "oddfs"]

# Large enough for XFS, which takes nothing smaller.
IMAGE = 512 << 20

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


# File systems that are believed about holes, and keep modes, owners and times as they are
# given, as stat(1) calls them.
FAITHFUL = {"ext2/ext3", "xfs", "btrfs", "tmpfs"}


class Missing(Exception):
    """What a place needs is not there."""


def run(*words):
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)


def needs(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Missing(f"needs {tool}")


class Place:
    """A folder `name` below the base folder."""

    def __init__(self, base, name):
        self.name = name
        self.path = os.path.join(base, name)
        os.mkdir(self.path)

    def set_switches(self, switches):
        """What an ordinary folder cannot be told."""
        if switches:
            raise ValueError(f"{self.name} takes no switches")

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Folder(Place):
    """A folder in one that the user has named."""

    def __init__(self, base, name, where):
        self.name = name
        self.below = tempfile.mkdtemp(prefix="fuzz-copy-", dir=where)
        self.path = os.path.join(base, name)
        os.symlink(self.below, self.path)

    def close(self):
        shutil.rmtree(self.below, ignore_errors=True)
        os.unlink(self.path)


class Mounted(Place):
    """A file system of its own, on an image in the base folder or in memory."""

    def __init__(self, base, kind):
        super().__init__(base, kind)
        self.device = self.image = None
        self.is_mounted = False
        try:
            if kind == "tmpfs":
                run("mount", "-t", "tmpfs", "-o", "size=1g", "none", self.path)
            else:
                needs(f"mkfs.{kind}", "losetup", *(["mount.exfat-fuse"] if kind == "exfat" else []))
                self.image = f"{self.path}.image"
                with open(self.image, "wb") as file:
                    file.truncate(IMAGE)
                self.device = attach(self.image)
                run(f"mkfs.{kind}", *([] if kind == "exfat" else ["-q"]), self.device)
                if kind == "exfat":
                    run("mount.exfat-fuse", "-o", "umask=0,allow_other", self.device, self.path)
                else:
                    run("mount", self.device, self.path)
            self.is_mounted = True
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise Missing(f"cannot be mounted: {said(error)}") from error
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.is_mounted:
            unmount(self.path)
        if self.device:
            detach(self.device)
        if self.image:
            os.unlink(self.image)
        os.rmdir(self.path)


class Odd(Place):
    """A folder that misbehaves, by tests/privileged/oddfs.c."""

    def __init__(self, base):
        needs("gcc", "pkg-config", "umount")
        if not os.path.exists("/dev/fuse"):
            raise Missing("needs /dev/fuse")
        super().__init__(base, "oddfs")
        self.below = f"{self.path}.below"
        os.mkdir(self.below)
        self.program = os.path.join(base, "oddfs.program")
        self.server = None
        try:
            words = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True,
                                   capture_output=True, text=True).stdout.split()
            source = os.path.join(ROOT, "tests/privileged/oddfs.c")
            run("gcc", "-O1", "-o", self.program, source, *words)
            self.set_switches([])
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise Missing(f"cannot be built: {said(error)}") from error

    def set_switches(self, switches):
        """Takes it down, and mounts it with `switches`."""
        self.take_down()
        self.server = subprocess.Popen(
            [self.program, self.below, self.path, *switches],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True)
        if self.server.stdout.readline() != b"mounted\n":
            raise Missing(f"oddfs does not start with {switches}")

    def take_down(self):
        if not self.server:
            return
        # It takes its mount down when nobody holds the other end of its input.
        self.server.stdin.close()
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.server.stdout.close()
        self.server = None
        if os.path.ismount(self.path):
            unmount(self.path)

    def close(self):
        self.take_down()
        shutil.rmtree(self.below, ignore_errors=True)
        os.rmdir(self.path)


def said(error):
    """What a tool that failed has said."""
    text = getattr(error, "stderr", None)
    return text.decode(errors="replace").strip().splitlines()[-1] if text and text.strip() else str(error)


def attach(path):
    """A loop device over a file."""
    done = subprocess.run(["losetup", "-f", "--show", path], check=True, capture_output=True, text=True)
    # Those who had it before may have left it read-only.
    run("blockdev", "--setrw", done.stdout.strip())
    return done.stdout.strip()


def detach(device):
    subprocess.run(["losetup", "-d", device], check=False, stderr=subprocess.DEVNULL)


def unmount(path):
    if subprocess.run(["umount", path], check=False, stderr=subprocess.DEVNULL).returncode:
        # Somebody is still at work in it.
        subprocess.run(["umount", "-l", path], check=False, stderr=subprocess.DEVNULL)


class Places:
    """All of them, in one base folder that goes with them."""

    def __init__(self, wanted):
        """`wanted`: names of KINDS, or folders; the skips are in `skipped`."""
        self.base = tempfile.mkdtemp(prefix="fuzz-copy-")
        self.all = {}
        self.skipped = []
        self.kinds = {}
        self.devices = set()
        try:
            for word in wanted:
                self.add(word)
        except BaseException:
            self.close()
            raise

    def add(self, word):
        try:
            if word not in KINDS:
                if not os.path.isdir(word):
                    raise Missing("is neither a folder nor a file system known here")
                name = f"folder{len(self.all)}"
                self.all[name] = Folder(self.base, name, word)
            elif os.geteuid() != 0:
                raise Missing("needs root")
            elif word == "oddfs":
                self.all[word] = Odd(self.base)
            else:
                self.all[word] = Mounted(self.base, word)
        except Missing as missing:
            self.skipped.append((word, str(missing)))

    def is_faithful(self, name):
        """Whether the file system of that place is one of FAITHFUL."""
        if name not in self.kinds:
            # With a separator, so that a link is followed.
            done = subprocess.run(["stat", "-f", "-c", "%T", os.path.join(self.base, name, "")],
                                  check=False, capture_output=True, text=True)
            self.kinds[name] = done.stdout.strip()
        return self.kinds[name] in FAITHFUL

    def attach(self, path):
        device = attach(path)
        self.devices.add(device)
        return device

    def detach(self, device):
        detach(device)
        self.devices.discard(device)

    def close(self):
        for device in list(self.devices):
            self.detach(device)
        for place in self.all.values():
            try:
                place.close()
            except OSError as error:
                print(f"{place.path} cannot be taken down: {error}")
        # Never what is still mounted: only what is left when all of them have gone.
        if not any(os.path.ismount(entry.path) for entry in os.scandir(self.base)):
            shutil.rmtree(self.base, ignore_errors=True)
