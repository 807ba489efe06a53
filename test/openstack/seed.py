"""What a site's OpenStack has, made over its real HTTP interfaces: `seed.py AUTH-URL NETWORK`."""

from __future__ import annotations

import sys

import openstack

URLS = {
    "nova": ("compute", "http://127.0.0.1:18774/v2.1"),
    "placement": ("placement", "http://127.0.0.1:18778"),
    "glance": ("image", "http://127.0.0.1:19292"),
    "neutron": ("network", "http://127.0.0.1:19696"),
}
IMAGE = "6f1d7a10-2c52-4d0b-9f5e-3d1b8f5c0a01"
FLAVORS = {
    "small": (2, 2048, {}),
    "gpus": (4, 4096, {"pci_passthrough:alias": "tesla-gpu:2"}),
    "vast": (2, 1000000, {}),  # no host has so much memory
}


def connect(auth_url: str, **auth: str) -> openstack.connection.Connection:
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    return openstack.connect(auth={"auth_url": auth_url, **auth, **domains}, region_name="RegionOne")


def main(auth_url: str, network: str) -> None:
    admin = connect(auth_url, username="admin", password="secret", project_name="admin")
    for name, (kind, url) in URLS.items():
        service = admin.identity.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            admin.identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id="RegionOne")
    member = admin.identity.find_role("member")
    admin.identity.assign_project_role_to_user(
        admin.identity.find_project("admin"), admin.identity.find_user("admin"), admin.identity.find_role("service")
    )
    user = admin.identity.create_user(name="burst", password="secret-of-burst", domain_id="default")
    projects = {name: admin.identity.create_project(name=name, domain_id="default") for name in ("site", "small")}
    for project in projects.values():
        admin.identity.assign_project_role_to_user(project, user, member)
    admin = connect(auth_url, username="admin", password="secret", project_name="admin")
    admin.compute.update_quota_set(projects["small"], instances=1)
    for name, (cores, memory, extra) in FLAVORS.items():
        flavor = admin.compute.create_flavor(name=name, vcpus=cores, ram=memory, disk=1)
        if extra:
            admin.compute.create_flavor_extra_specs(flavor, extra)
    net = admin.network.create_network(name="nodes", is_shared=True)
    admin.network.create_subnet(
        network_id=net.id, ip_version=4, cidr=f"{network}.0/24", gateway_ip=None, is_dhcp_enabled=False,
        allocation_pools=[{"start": f"{network}.10", "end": f"{network}.250"}],
    )  # fmt: skip
    admin.network.create_subnet(
        network_id=net.id, ip_version=6, cidr="fd78::/64", gateway_ip=None, is_dhcp_enabled=False
    )
    admin.image.create_image(
        id=IMAGE,
        name="plain",
        filename=__file__,
        disk_format="raw",
        container_format="bare",
        visibility="public",
        wait=True,
    )
    mine = connect(auth_url, username="burst", password="secret-of-burst", project_name="site")
    mine.compute.create_keypair(
        name="admin-key",
        public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGoodnessgraciousme0000000000000000000000000 a@b",
    )
    mine.network.create_security_group(name="nodes")


if __name__ == "__main__":
    main(*sys.argv[1:])
