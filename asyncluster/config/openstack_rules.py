"""What must hold between the keys of a pool in OpenStack; pure."""

from __future__ import annotations

from typing import Protocol

from asyncluster.config.cloud_conf import OpenStack
from asyncluster.config.yaml_text import Path


class Faults(Protocol):
    """Where they are noted."""

    def fault(self, path: Path, problem: str) -> None:
        """Note one."""


def check_openstack(checking: Faults, path: Path, config: OpenStack) -> None:
    """Note each fault under the key that mends it.  path: of the pool's `config:`."""
    for name, command in (("image_uuid", "openstack image list"), ("flavor", "openstack flavor list")):
        if not getattr(config, name):
            checking.fault((*path, name), f"is missing; `{command}` shows what there is")
    if config.username and not (config.auth_url or config.cloud):
        checking.fault((*path, "auth_url"), "is missing beside username; it is the URL of the account's keystone")
    if config.application_credential_id and config.username:
        checking.fault((*path, "username"), "is not used beside application_credential_id; leave one of them out")
    if config.application_credential_id and not config.application_credential_secret:
        checking.fault((*path, "application_credential_secret"), "is missing beside application_credential_id")
    if "none" in config.networks and len(config.networks) > 1:
        checking.fault((*path, "networks"), "has `none` beside others; leave it out")
