"""The programs of the documentation run as they stand there."""

import pathlib
import re
import subprocess
import sys

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "python.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.S | re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    (folder / "disk.img").write_bytes(bytes(range(256)) * 8192)
    return folder


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_documentation(folder, number):
    program = PROGRAMS[number]
    if "numpy" in program:
        pytest.importorskip("numpy")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    if "O_DIRECT" in program and "Invalid argument" in done.stderr:
        pytest.skip("this file system has no direct requests")
    assert done.returncode == 0, done.stderr


def test_there_are_programs():
    assert len(PROGRAMS) > 10
