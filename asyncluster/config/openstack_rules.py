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
    if not (config.cloud or config.application_credential_id):
        _check_account(checking, path, config)
    if config.application_credential_id and config.username:
        checking.fault((*path, "username"), "is not used beside application_credential_id; leave one of them out")
    if config.application_credential_id and not config.application_credential_secret:
        checking.fault((*path, "application_credential_secret"), "is missing beside application_credential_id")
    if "none" in config.networks and len(config.networks) > 1:
        checking.fault((*path, "networks"), "has `none` beside others; leave it out")


ACCOUNT = {
    "auth_url": "it is the URL of the account's keystone",
    "username": "it is the user of the account",
    "password": "it is the user's",
    "project": "servers belong to one; `openstack project list` shows those of the user",
}
"""Who we are, where that is said in the file itself: nothing of it is then looked up elsewhere."""


def _check_account(checking: Faults, path: Path, config: OpenStack) -> None:
    given = [name for name in ACCOUNT if getattr(config, name)]
    for name, what in ACCOUNT.items():
        if given and not getattr(config, name):
            checking.fault(
                (*path, name),
                f"is missing beside {given[0]}; {what} (or name an entry of clouds.yaml by `cloud`, or give an "
                "application credential)",
            )
