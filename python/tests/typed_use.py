"""Uses of the package that mypy checks and nobody runs."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import pcopy


def uses(image: pathlib.Path) -> int:
    report = pcopy.copy(image, b"out", range=slice(5, None), digest=["sha256"], threads="auto")
    text: str = pcopy.copyfile(image, "out", verify=True)
    pcopy.copy(image, "out", engine="warp")  # type: ignore[arg-type]
    pcopy.copy(image, "out", thread=4)  # type: ignore[call-arg]
    pcopy.batch([("a", 0, 5), {"name": "b"}], image, progress=lambda now: print(now.fraction))
    address = "https://example.org/image"
    pcopy.copy(address, "out", headers={"A": "b"}, logins={None: ("me", "pw")}, timeout=5)
    pcopy.copy(address, "out", headers=["A: b"], proxies={"http": "http://proxy"}, ca_file=image)
    pcopy.copy(image, "out", proxies={"ftp": "x"})  # type: ignore[dict-item]
    pcopy.copy(image, "out", only=[(0, 5), range(7, 9)], expect_in=[((0, 5), "md5:00")])
    pcopy.copy(image, "out", split="2GiB", digest="md5", digest_every="1GiB", join="never")
    pcopy.verify(image, "out", split="2GiB")  # type: ignore[call-arg]
    pcopy.open_range(address, 0, 5, headers={"A": "b"}, threads=2)  # type: ignore[call-arg]
    with ThreadPoolExecutor() as pool:
        job: pcopy.SharedJob = pcopy.submit(pool, image, "out", job="job", shards=4, verify=True)
        print(job.result(5).bytes.copied, [task.result() for task in job.tasks])
        pcopy.submit(pool, image, "out", job="job")  # type: ignore[call-arg]
        pcopy.submit(pool, image, "out", job="j", shards=4, in_place=True)  # type: ignore[call-arg]
        pcopy.submit(image, image, "out", job="job", shards=4)  # type: ignore[arg-type]
    try:
        pcopy.verify(image, text)
    except pcopy.Mismatch as error:
        assert error.report is not None
        return len(error.report.mismatches)
    with pcopy.open_range(image, 0, 10) as file:
        file.read()
    return pcopy.read_into(image, bytearray(5), 0, 2) + len(report.digests.sha256)
