"""A client of boto3's for one pool, made in a thread, without holding up anybody else's.

boto3 describes its 700 calls of EC2 in a JSON file of 4 MB.  Read as it does, by one call in C, that holds up every
thread of the interpreter for 60 ms, and the values are kept for good.  Here large files are read by Python's own
JSON decoder, which lets others have their turn, and of each only what we call is kept.
"""

from __future__ import annotations

import functools
import gzip
import json
import json.decoder
import json.scanner
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncluster.errors import CloudError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.version import VERSION

OPERATIONS = frozenset({
    "CreateTags", "DescribeAvailabilityZones", "DescribeImages", "DescribeInstanceTypes", "DescribeInstances",
    "DescribeKeyPairs", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs", "RunInstances",
    "TerminateInstances",
})  # fmt: skip
"""Of EC2's, those that we call."""

TOLD = {
    "Reservation": frozenset({"Instances"}),
    "Instance": frozenset({
        "InstanceId", "InstanceLifecycle", "InstanceType", "LaunchTime", "PrivateIpAddress", "PublicIpAddress", "State",
        "StateReason", "StateTransitionReason", "Tags",
    }),
    "InstanceTypeInfo": frozenset({"GpuInfo", "InstanceType", "MemoryInfo", "VCpuInfo"}),
}  # fmt: skip
"""What is read of an answer's values; a listing of thousands then costs a third of the time."""

SERVICES = frozenset({"ec2", "servicequotas", "sts", "sso", "sso-oidc", "portal.sso", "oidc"})
"""Whose endpoints are kept: EC2's, of its quotas, and those from which a profile may take its credentials."""

CONNECT_LIMIT, READ_LIMIT = 10.0, 30.0
"""Seconds for one connection, and between two pieces of an answer."""

LARGE = 100_000
"""Bytes of a data file, unpacked or not, from which on it is read so that others have their turn."""


def make_client(pool: str, unit: AwsUnit, connections: int, service: str = "ec2") -> Any:
    """The client.  Call it in a thread; raises CloudError for what boto3 does not take."""
    import boto3  # heavy: 0.3 s
    import botocore.config
    import botocore.exceptions
    import botocore.session

    try:
        core = botocore.session.Session(profile=unit.profile or None)
        core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
        session = boto3.session.Session(
            botocore_session=core,
            aws_access_key_id=unit.access_key_id or None,
            aws_secret_access_key=unit.secret_access_key.reveal() if unit.secret_access_key else None,
            region_name=unit.region_name or None,
        )
        options = botocore.config.Config(
            connect_timeout=CONNECT_LIMIT,
            read_timeout=READ_LIMIT,
            # who asks again is to know what became of the last try
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=connections,
            proxies=_proxies(unit),
            user_agent_extra=f"asyncluster/{VERSION}",
        )
        return session.client(
            service,
            endpoint_url=(service == "ec2" and unit.endpoint) or None,  # of others, as the SDK's own settings say
            verify=None if unit.validate_certs else False,
            config=options,
        )
    except botocore.exceptions.ProfileNotFound:
        raise CloudError(
            f"[cloud] {pool}.config.profile: the master's user has no AWS profile {unit.profile!r} (~/.aws/config)"
        ) from None
    except botocore.exceptions.NoRegionError:
        raise CloudError(
            f"[cloud] {pool}.config.region_name: is missing, and neither the environment nor ~/.aws/config names one"
        ) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise CloudError(
            f"[cloud] {pool}.config: boto3 cannot be set up: {error} (region_name, endpoint, profile)"
        ) from None


def is_amazons(url: str) -> bool:
    """Whether that is an endpoint of AWS itself, as all that it has outside of China, and all there."""
    return (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def _proxies(unit: AwsUnit) -> dict[str, str] | None:
    """None: as the environment says."""
    if not unit.proxy:
        return None
    url = f"http://{unit.proxy}:{unit.proxy_port}" if unit.proxy_port else f"http://{unit.proxy}"
    return {"http": url, "https": url}


@functools.cache
def _loader(data_path: str | None) -> Any:
    """botocore's loader of its data files, reading as above; it keeps what it read, for the clients of all pools."""
    import botocore.loaders

    class Files(botocore.loaders.JSONFileLoader):  # type: ignore[misc]  # the library is not annotated
        def load_file(self, file_path: str) -> Any:
            text = read_text(file_path)
            if text is None or len(text) < LARGE:
                return super().load_file(file_path)
            return pruned(Path(file_path), slowly(text))

    loader = botocore.loaders.create_loader(data_path)
    loader.file_loader = Files()
    return loader


def read_text(path: str) -> str | None:
    """Of a data file without its ending, packed or not; None where there is none."""
    plain, packed = Path(f"{path}.json"), Path(f"{path}.json.gz")
    if plain.is_file():
        return plain.read_text(encoding="utf-8")
    return gzip.decompress(packed.read_bytes()).decode("utf-8") if packed.is_file() else None


def slowly(text: str) -> Any:
    """What the JSON says, with turns for other threads; in its order, as botocore wants it."""
    decoder: Any = json.JSONDecoder(object_pairs_hook=OrderedDict)
    decoder.parse_object, decoder.parse_array = json.decoder.JSONObject, json.decoder.JSONArray  # type: ignore[attr-defined]  # the part written in Python
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]  # likewise
    return decoder.decode(text)


def pruned(path: Path, data: Any) -> Any:
    """Without what we never ask for."""
    if path.name == "endpoints":
        for partition in data.get("partitions", ()):
            _keep(partition.get("services", {}), SERVICES)
    elif path.name == "service-2" and "ec2" in path.parts:
        _keep(data["operations"], OPERATIONS)
        for name, members in TOLD.items():
            _keep(data["shapes"].get(name, {}).get("members", {}), members)
        _keep(data["shapes"], _reached(data))
        for shape in data["shapes"].values():
            shape.pop("documentation", None)
    return data


def _keep(mapping: Any, names: frozenset[str]) -> None:
    """One at a time: to free it all at once would hold up the others again."""
    for name in list(mapping):
        if name not in names:
            del mapping[name]


def _reached(data: Any) -> frozenset[str]:
    """The shapes that the operations that are left are made of."""
    found: set[str] = set()
    left: list[Any] = list(data["operations"].values())
    while left:
        each = left.pop()
        if isinstance(each, dict):
            name = each.get("shape")
            if isinstance(name, str) and name not in found and name in data["shapes"]:
                found.add(name)
                left.append(data["shapes"][name])
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)
    return frozenset(found)
