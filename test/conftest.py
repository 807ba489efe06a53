"""Fixtures that several folders of tests share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import settings

from asyncluster.testing.site import Site

settings.register_profile("asyncluster", deadline=None)  # how long one example takes is the machine's business
settings.load_profile("asyncluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that make namespaces come first, as they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("namespaces") is None)


ONE_SYSTEM = re.compile(r"\[(slurm|sge)\b")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests, each takes a file after the other, and one takes all that need OpenStack.

    So it is started once, and its network, whose addresses are fixed, is there once.  A file whose tests are for a
    real Slurm and a real Grid Engine is two.  xdist's own groups by marker do not work with pytest 9.2, whose tests
    keep their names.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    @cache
    def scope(file: str) -> str:
        return "openstack" if "pytest.mark.openstack" in (config.rootpath / file).read_text() else file

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells types to nobody
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            system = ONE_SYSTEM.search(test)
            return f"{scope(file)} {system[1]}" if system else scope(file)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def nobody_is_waited_for() -> Iterator[None]:
    """What tests left unfinished does not hold up the end of the run."""
    yield
    from asyncluster.client import thread

    if thread._current is not None:
        for resident in list(thread._current.residents):
            resident.waited_for = False


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A real master with two nodes of one worker each, for the whole run."""
    with Site(tmp_path_factory.mktemp("site")) as site:
        site.start_master()
        site.start_node("a")
        site.start_node("b")
        yield site


@pytest.fixture(scope="session")
def cluster_socket(site: Site) -> str:
    """The UNIX socket of that master."""
    return site.socket
