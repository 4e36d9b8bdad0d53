"""What the schedulers need, and how it is installed."""

import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PYTHON = os.path.join(TARGET, "fleet")

# Of Debian: which scheduler needs which program of which package.
PROGRAMS = {
    "slurm": {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd",
              "sbatch": "slurm-client"},
    "openmpi": {"mpirun.openmpi": "openmpi-bin"},
    "mpich": {"mpirun.mpich": "mpich"},
    "parallel": {"parallel": "parallel"},
}
# Of PyPI.
MODULES = {
    "dask": {"distributed": "distributed>=2024"},
    "kubernetes": {"kubernetes_validate": "kubernetes-validate"},
}


def path_of(program):
    """Where a program is, or None."""
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def missing_programs(scheduler):
    return [name for name in PROGRAMS.get(scheduler, {}) if not path_of(name)]


def python():
    """The Python of the modules."""
    return os.path.join(PYTHON, "bin", "python")


def missing_modules(scheduler):
    def is_there(module):
        found = subprocess.run([python(), "-c", f"import {module}"], capture_output=True, check=False)
        return found.returncode == 0

    wanted = MODULES.get(scheduler, {})
    if not os.path.exists(python()):
        return list(wanted)
    return [module for module in wanted if not is_there(module)]


def install(schedulers):
    """Installs what is missing, as far as that is possible from here."""
    packages = sorted({PROGRAMS[name][program] for name in schedulers
                       for program in missing_programs(name)})
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print("scripts/fleet: installing", *packages, flush=True)
        quiet = {"env": dict(os.environ, DEBIAN_FRONTEND="noninteractive"),
                 "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "check": False}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        # One that is not to be had must not cost the others.
        for package in packages:
            subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends",
                            package], **quiet)
    modules = [MODULES[name][module] for name in schedulers for module in missing_modules(name)]
    if modules:
        print("scripts/fleet: installing", *modules, "in", PYTHON, flush=True)
        if not os.path.exists(python()):
            subprocess.run(["python3", "-m", "venv", PYTHON], capture_output=True, check=False)
        for module in modules:
            if os.path.exists(python()):
                subprocess.run([python(), "-m", "pip", "install", "-q",
                                "--disable-pip-version-check", module], check=False)
