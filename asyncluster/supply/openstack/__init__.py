"""A pool of OpenStack's servers: what its interfaces say (`words`), what they refuse (`faults`), how they are asked
(`asking`), and the cloud (`cloud`).  openstacksdk is imported when the first pool of this type is made.
"""

from __future__ import annotations

from asyncluster.supply.openstack.cloud import OpenStackCloud

__all__ = ["OpenStackCloud"]
