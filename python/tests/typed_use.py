"""Uses of the package that mypy checks and nobody runs."""

import pathlib

import pcopy


def uses(image: pathlib.Path) -> int:
    report = pcopy.copy(image, b"out", range=slice(5, None), digest=["sha256"], threads="auto")
    text: str = pcopy.copyfile(image, "out", verify=True)
    pcopy.copy(image, "out", engine="warp")  # type: ignore[arg-type]
    pcopy.copy(image, "out", thread=4)  # type: ignore[call-arg]
    pcopy.batch([("a", 0, 5), {"name": "b"}], image, progress=lambda now: print(now.fraction))
    try:
        pcopy.verify(image, text)
    except pcopy.Mismatch as error:
        assert error.report is not None
        return len(error.report.mismatches)
    with pcopy.open_range(image, 0, 10) as file:
        file.read()
    return pcopy.read_into(image, bytearray(5), threads=2) + len(report.digests.sha256)
