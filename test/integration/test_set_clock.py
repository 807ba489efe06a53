"""A Twisted program whose machine is told another time of day while its calls run."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.real

PROGRAM = """
import sys, time
true, shift = time.time, 0.0
time.time = lambda: true() + shift
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from asyncluster import DeferredCluster, JobClient

def nap(seconds):
    import time
    time.sleep(seconds)
    return "well"

async def main():
    global shift
    assert reactor.seconds is time.time
    cluster = await DeferredCluster.connect(socket=sys.argv[1], output=None, reconnect=0)
    client = JobClient(sys.argv[1], codeString="def f(x): return x + 1", output=None, reconnect=0)
    await client.startup()
    for change in (-3600.0, 7200.0):
        shift += change
        print(await cluster.submit(nap, 8), await client.run("f", 1), flush=True)
    await client.shutdown()
    await cluster.shutdown()

def ended(failure):
    print(failure.getErrorMessage(), flush=True)

Deferred.fromCoroutine(main()).addErrback(ended).addBoth(lambda _: reactor.callFromThread(reactor.stop))
reactor.run()
"""


def test_the_time_of_day_is_set(cluster_socket: str) -> None:
    """An hour back and two ahead: heartbeats go on, and nobody is taken to be silent, for twice the silence limit."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, cluster_socket], capture_output=True, text=True, timeout=300, check=False
    )
    assert (found.stdout, found.returncode) == ("well 2\nwell 2\n", 0), found.stderr
