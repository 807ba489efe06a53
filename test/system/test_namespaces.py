"""The contract of clouds on machines that are network namespaces, each with its address and a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncluster.model.supply import Flavor, Pool
from asyncluster.testing import hosts
from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.cloud_contract import cloud_contract
from asyncluster.testing.namespaces import Machines, NamespaceCloud
from asyncluster.testing.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]


@attrs.define(eq=False)
class Ground:
    """A head with a bridge, and machines beside it."""

    folder: Path
    most: int = 2
    looks: bool = False
    hosts: BatchHosts = attrs.field(init=False)

    def __enter__(self) -> Ground:
        self.hosts = BatchHosts(0, folder=self.folder)
        self.hosts.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.hosts.__exit__(*exc)

    def cloud(self, reactor: Any, pool: str, realm: str) -> NamespaceCloud:
        """Its daemon only waits."""
        settings = Pool(pool, "namespace", Flavor(1))
        return NamespaceCloud(
            reactor, settings, realm, self.folder / pool, self.hosts.prefix, "sleep 600", "0.2", capacity=str(self.most)
        )

    def clear(self) -> None:
        """As a person at the machine would."""
        machines = Machines(self.folder / "pool", self.hosts.prefix)
        cloud = self.cloud(None, "pool", "")
        for name in machines.living():
            cloud.destroy(cloud.instance(name))
        until(lambda: not machines.living() and not machines.spaces(), "all machines are gone")
        machines.forget()


class TestNamespaces(cloud_contract(Ground, hosts.missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, on namespaces."""
