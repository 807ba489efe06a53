"""What AWS's quotas leave: by family of instance types, spot instances apart, and without the right to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws.ec2 import Ec2
from asyncluster.supply.aws.quota import QUOTAS, RIGHT, examine, family

# as `aws service-quotas get-service-quota --service-code ec2 --quota-code L-1216C47A` has it
STANDARD = {
    "ServiceCode": "ec2",
    "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "QuotaCode": "L-1216C47A",
    "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "Value": 20.0,
    "Unit": "None",
    "Adjustable": True,
}
SIZES = {"m5.large": 2, "c5.4xlarge": 16, "p3.2xlarge": 8}


@attrs.define
class Aws:
    """asked: codes; told: the quota, None = we may not ask, or a fault."""

    told: Mapping[str, Any] | Exception | None
    runs: tuple[tuple[str, bool], ...] = ()
    asked: list[str] = attrs.field(factory=list)

    def quota(self, code: str) -> Mapping[str, Any] | None:
        self.asked.append(code)
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def running(self) -> Sequence[tuple[str, bool]]:
        return self.runs

    def vcpus(self, types: Sequence[str]) -> Mapping[str, int]:
        return {name: SIZES[name] for name in types}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m5.large", "standard"), ("c7gn.medium", "standard"), ("im4gn.large", "standard"), ("t3a.nano", "standard"),
        ("z1d.large", "standard"), ("d3en.xlarge", "standard"), ("dl1.24xlarge", "dl"), ("g4dn.xlarge", "g"),
        ("vt1.3xlarge", "g"), ("gr6.4xlarge", "g"), ("inf2.xlarge", "inf"), ("trn1.2xlarge", "trn"),
        ("p5en.48xlarge", "p"), ("x2idn.16xlarge", "x"), ("f2.6xlarge", "f"), ("hpc7a.12xlarge", "hpc"),
        ("u-6tb1.metal", "u"), ("mac2.metal", ""), ("", ""), ("9x", ""),
    ],
)  # fmt: skip
def test_families(name: str, kind: str) -> None:
    """By the letters before the number, not by the first of them alone."""
    assert family(name) == kind
    assert not kind or kind in QUOTAS


def test_what_is_left() -> None:
    """Of that family only, and not of spot instances; anybody's in the account count."""
    runs = (("m5.large", False), ("c5.4xlarge", False), ("p3.2xlarge", False), ("m5.large", True))
    aws = Aws(STANDARD, runs)
    found = examine(aws, "m5.large", spot=False)
    assert (found.ok, aws.asked) == (True, ["L-1216C47A"])
    assert found.text == f"1 node more: 18 of 20 vCPUs are in use ({STANDARD['QuotaName']})"
    aws = Aws(STANDARD, runs)
    assert examine(aws, "m5.large", spot=True).text.startswith("9 nodes more: 2 of 20 vCPUs")
    assert aws.asked == ["L-34B43A08"]


def test_nothing_is_left() -> None:
    """The code of the quota that is to be raised."""
    found = examine(Aws(STANDARD, (("c5.4xlarge", False), ("m5.large", False))), "c5.4xlarge", spot=False)
    assert found.ok is False
    assert "Service Quotas, L-1216C47A" in found.mend


def test_what_is_not_known_is_no_fault() -> None:
    """Without the right, without an answer, of a type that is counted otherwise."""
    found = examine(Aws(None), "m5.large", spot=False)
    assert (found.ok, RIGHT in found.text) == (None, True)
    assert examine(Aws(NoAnswerError("503")), "m5.large", spot=False).text == "cannot be asked: 503"
    own = examine(Aws(CloudError("nobody is there")), "m5.large", spot=False, endpoint="http://cloud.example.org")
    assert (own.ok, own.text.endswith("of its own: nobody is there")) == (None, True)
    assert own.text.startswith("not known: the pool has an endpoint of its own")
    assert examine(Aws(STANDARD), "mac2.metal", spot=False).ok is None
    assert examine(Aws(STANDARD), "hpc7a.12xlarge", spot=True).ok is None


def test_who_is_not_amazon_is_not_asked_after_at_amazons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes to AWS for a pool whose endpoint is a cloud of one's own; that a VPC's endpoint is, is AWS."""
    made: list[str] = []

    class Client:
        def __init__(self, url: str) -> None:
            self.meta = SimpleNamespace(endpoint_url=url)

        def get_service_quota(self, **more: str) -> dict[str, Any]:
            made.append(self.meta.endpoint_url)
            return {"Quota": {"Value": 8.0}}

    at_amazons = "https://servicequotas.eu-west-1.amazonaws.com"
    for endpoint, quotas, asked in (
        ("http://cloud.example.org:8773", at_amazons, False),
        ("http://amazonaws.com.example.org", at_amazons, False),
        ("http://cloud.example.org:8773", "http://quotas.example.org", True),
        ("https://vpce-1.ec2.eu-west-1.vpce.amazonaws.com", at_amazons, True),
    ):
        made.clear()
        by_service = {"ec2": endpoint, "service-quotas": quotas}
        monkeypatch.setattr(
            "asyncluster.supply.aws.sdk.make_client",
            lambda pool, unit, connections, service="ec2", urls=by_service: Client(urls[service]),
        )
        ec2 = Ec2("burst", AwsUnit("ami-1", "t3.small", endpoint=endpoint), 1)
        finding = examine(ec2, "t3.small", False, endpoint) if not asked else None
        if finding is None:
            assert ec2.quota("L-1216C47A") == {"Value": 8.0}
        else:
            assert (finding.ok, "was not asked" in finding.text) == (None, True)
        assert bool(made) is asked
