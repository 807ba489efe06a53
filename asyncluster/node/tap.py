"""`twistd asyncluster-node`."""

from __future__ import annotations

from twisted.application.service import IService

from asyncluster.daemon import DaemonOptions, service_of
from asyncluster.node.assembly import assemble


class Options(DaemonOptions):
    """A node: keeps workers, and a link to the master."""

    need = "node"
    synopsis = "[--config FILE] [--check]"


def makeService(options: Options) -> IService:
    """The node's service, for twistd and for `python -m asyncluster.node`."""
    return service_of(assemble, options)
