"""`python -m bench.openstack`: what 50 servers of one plan cost the reactor, with a real OpenStack on loopback.

Prints how long it takes until all are in the book and tagged in nova (`--up`: and active), what nova has of them, and
for how long the reactor was kept from its turn, as `bench.clouds` does for EC2.  Needs root, and what `bin/test`
installs; nova's own work on the same processors is in the wall time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from asyncluster.daemon import settle
from asyncluster.model.supply import InstanceState
from asyncluster.testing.openstack import ControlPlane, missing
from asyncluster.testing.openstack_ground import OpenStackGround
from bench.clouds import LIMIT, Watch, launch

SCRIPTS = Path(__file__).parents[1] / "test" / "openstack"


async def measure(reactor: Any, plane: ControlPlane, launches: int, up: bool) -> None:
    """All of it."""
    ground = OpenStackGround(plane)
    settle()
    watch = Watch(reactor)
    try:
        cloud = ground.cloud(reactor, "bench", "realm", networks=("none",))
        await cloud.flavor()
        watch.tell("the library is loaded")
        took, tokens = await launch(reactor, cloud, launches)
        watch.tell(f"{launches} launched by one plan", f"; {took:.1f} s")
        tagged = {one.metadata["asyncluster-token"]: one.id for one in plane.user().compute.servers(tags="asyncluster")}
        same = "the same" if tokens == tagged else "NOT the same"
        print(f"    {len(tokens)} in the book, {len(tagged)} in nova, {same} by their tags", flush=True)
        watch.start()
        begin = time.perf_counter()
        while up and time.perf_counter() - begin < LIMIT:
            found = (await cloud.list()).instances
            if sum(each.state is InstanceState.ACTIVE for each in found) >= launches:
                watch.tell(f"{launches} active", f"; {time.perf_counter() - begin + took:.1f} s")
                break
            await deferLater(reactor, 1.0)
        watch.start()
        begin = time.perf_counter()
        listed = len((await cloud.list()).instances)
        watch.tell(f"{listed} instances listed", f"; {time.perf_counter() - begin:.1f} s")
    finally:
        watch.stop()
        ground.clear()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.openstack", description=__doc__)
    parser.add_argument("--launches", type=int, default=50)
    parser.add_argument("--up", action="store_true", help="wait until they are active, too")
    asked = parser.parse_args()
    lacking = missing(SCRIPTS)
    if lacking:
        parser.error(lacking)
    with ControlPlane(SCRIPTS) as plane:
        react(lambda reactor: Deferred.fromCoroutine(measure(reactor, plane, asked.launches, asked.up)))


if __name__ == "__main__":
    main()
