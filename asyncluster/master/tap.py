"""`twistd asyncluster-master`."""

from __future__ import annotations

from twisted.application.service import IService

from asyncluster.daemon import DaemonOptions, service_of
from asyncluster.master.assembly import assemble


class Options(DaemonOptions):
    """The master: owns the queue and the book of nodes."""

    need = "master"
    synopsis = "[--config FILE] [--check]"


def makeService(options: Options) -> IService:
    """The master's service, for twistd and for `python -m asyncluster.master`."""
    return service_of(assemble, options)
