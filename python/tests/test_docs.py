"""The programs of the documentation run as they stand there."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "python.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.S | re.M)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    (folder / "disk.img").write_bytes(bytes(range(256)) * 8192)
    return folder


@pytest.fixture
def environment(folder, server, service):
    """Where nothing is at the places that programs name, something else is asked."""
    with zipfile.ZipFile(folder / "files.zip", "w") as file:
        file.writestr("padding", bytes(1_000_000))
    server.content = (folder / "files.zip").read_bytes()
    nowhere = str(folder / "nowhere")
    told = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    told |= {"AWS_ENDPOINT_URL_S3": service.address, "AWS_CONFIG_FILE": nowhere}
    told |= {"AWS_SHARED_CREDENTIALS_FILE": nowhere, "no_proxy": "*"}
    return {**os.environ, **told}


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_documentation(folder, number, server, environment):
    program = PROGRAMS[number]
    for module, package in (("numpy", "numpy"), ("dask.distributed", "distributed")):
        if f"{module} import" in program or f"import {module}" in program:
            pytest.importorskip(package)
    program = program.replace("https://example.org", server.proxy)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if "O_DIRECT" in program and "Invalid argument" in done.stderr:
        pytest.skip("this file system has no direct requests")
    assert done.returncode == 0, done.stderr


def test_there_are_programs():
    assert len(PROGRAMS) > 10
