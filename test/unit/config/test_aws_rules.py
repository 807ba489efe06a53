"""What a pool in AWS may say, and what it is told of the rest: each fault under the key that mends it."""

from __future__ import annotations

import pytest

from asyncluster.config.elastic_explain import examine, loads
from asyncluster.model.supply_options import AwsUnit

POOL = "cloud:\n  burst:\n    type: aws\n    price: 0.1\n    quantity: {{max: 5}}\n    config: {{{}}}\n"
NEEDED = "image_id: ami-0123, instance_type: m5.large"


def test_all_keys_reach_the_cloud() -> None:
    """As values, with lists where a list is meant."""
    (pool,) = loads(
        POOL.format(
            f"{NEEDED}, access_key_id: AKIA, secret_access_key: hush, profile: night, region_name: eu-west-1, "
            'endpoint: "https://ec2.example.org", key_name: a key, security_groups: [sg-0123, nodes], '
            "availability_zone: eu-west-1a, subnet_id: subnet-0123, use_public_ip_address: True, "
            'disk_map: ["/dev/sda1=40:gp3", "sdb=ephemeral0"], validate_certs: False, spot_bid: 0.02, '
            'spot_timeout: 10m, spot_on_demand: True, spot_metadata: "http://127.0.0.1:1338", '
            "proxy: proxy.example.org, proxy_port: 3128, master: [10.0.0.1], "
            "features: [fast], userdata_file: /etc/node.sh, instance_name_prefix: night"
        ),
        "",
    ).pools
    unit = pool.unit
    assert isinstance(unit, AwsUnit)
    assert unit.secret_access_key.reveal() == "hush"
    assert "hush" not in repr(unit)
    assert unit == AwsUnit(
        "ami-0123", "m5.large", "eu-west-1", "AKIA", unit.secret_access_key, "night", "https://ec2.example.org",
        "a key", ("sg-0123", "nodes"), "eu-west-1a", "subnet-0123", True, ("/dev/sda1=40:gp3", "sdb=ephemeral0"), False,
        0.02, 600.0, True, "http://127.0.0.1:1338", "proxy.example.org", 3128, ("10.0.0.1",), ("fast",), "/etc/node.sh",
    )  # fmt: skip
    assert (pool.pool.prefix, pool.pool.flavor.price) == ("night-", 0.1)


def test_only_spot_instances_look_for_their_notice() -> None:
    """Others have none."""
    (pool,) = loads(POOL.format(NEEDED), "").pools
    assert isinstance(pool.unit, AwsUnit)
    assert pool.unit.spot_metadata == ""


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("instance_type: m5.large", "image_id"),
        ("image_id: ami-0123", "instance_type"),
        (f"{NEEDED}, access_key_id: AKIA", "secret_access_key"),
        (f"{NEEDED}, secret_access_key: hush", "access_key_id"),
        (f"{NEEDED}, proxy_port: 3128", "proxy"),
        (f"{NEEDED}, endpoint: ec2.example.org", "endpoint"),
        (f"{NEEDED}, spot_on_demand: True", "spot_bid"),
        (f"{NEEDED}, spot_on_demand: True, spot_bid: 0.1", "spot_timeout"),
        (f"{NEEDED}, disk_map: [/dev/sda1]", "disk_map"),
        (f'{NEEDED}, disk_map: ["/dev/sda1=0"]', "disk_map"),
        (f'{NEEDED}, disk_map: ["sdb=8", "sdb=9"]', "disk_map"),
        (f"{NEEDED}, spot_bit: 0.1", "spot_bit"),
    ],
)
def test_faults(config: str, key: str) -> None:
    """One each, and nothing secret in it."""
    (fault,) = examine(POOL.format(config), "").faults
    assert fault.key.endswith(f"config.{key}"), fault
    assert "hush" not in str(fault)
