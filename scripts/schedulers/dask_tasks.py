"""A job as tasks of a Dask cluster on this machine: COUNT LINE...

Run by the Python that has Dask, see install.
"""

import subprocess
import sys

from dask.distributed import Client, LocalCluster


def part(number, line):
    subprocess.run(line, check=True)
    return number


if __name__ == "__main__":
    count, line = int(sys.argv[1]), sys.argv[2:]
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            # Tasks that are called the same are run once.
            parts = client.map(part, range(count), line=line, pure=False)
            print(client.gather(parts))
