"""What must hold between the keys of a pool in AWS; pure."""

from __future__ import annotations

from typing import Protocol

from asyncluster.config.cloud_conf import Aws
from asyncluster.config.yaml_text import Path


class Faults(Protocol):
    """Where they are noted."""

    def fault(self, path: Path, problem: str) -> None:
        """Note one."""


def check_aws(checking: Faults, path: Path, config: Aws) -> None:
    """Note each fault under the key that mends it.  path: of the pool's `config:`."""
    for name, what in (("image_id", "the image"), ("instance_type", "the type of its instances")):
        if not getattr(config, name):
            checking.fault((*path, name), f"is missing; name {what}")
    if config.access_key_id and not config.secret_access_key:
        checking.fault((*path, "secret_access_key"), "is missing beside access_key_id; give both or none")
    if config.secret_access_key and not config.access_key_id:
        checking.fault((*path, "access_key_id"), "is missing beside secret_access_key; give both or none")
    if config.proxy_port and not config.proxy:
        checking.fault((*path, "proxy"), "is missing beside proxy_port")
    if config.spot_on_demand and not config.spot_bid:
        checking.fault((*path, "spot_bid"), "is missing beside spot_on_demand; without it all are at the full price")
    if config.spot_on_demand and config.spot_bid and not config.spot_timeout:
        checking.fault((*path, "spot_timeout"), "is missing beside spot_on_demand; say after how long, as in 10m")
