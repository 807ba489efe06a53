"""HyperQueue runs programs, in an environment of its own: started as a script by `figures.programs`.

    python rivals.py COUNT

Its Python API starts server and worker inside the process, with encryption, without a journal (which only its command
line can switch on).  Prints seconds for COUNT programs as one job.
"""

from __future__ import annotations

import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main(count: int) -> None:
    """Time `true`, each as a task, without output files, on two cores."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(folder, WorkerConfig(cores=2)) as cluster,
    ):
        client = cluster.client()
        for tasks in (20, count):
            job = Job()
            for _ in range(tasks):
                job.program(["true"], stdout=None, stderr=None)
            begin = time.perf_counter()
            client.wait_for_jobs([client.submit(job)])
            taken = time.perf_counter() - begin
        print(taken)


if __name__ == "__main__":
    main(int(sys.argv[1]))
