"""What stands for AWS in tests: moto's server on loopback, behind a proxy that can misbehave.

Where moto is not like EC2: it ignores `ClientToken` and gives `MinCount` instances; `pending` lasts for one answer;
spot instances are there at once; there are always room and quota, and nobody is throttled (the proxy says so when
told to); images, key pairs and instance types are looked at only with the switches that are set here, in no dry run,
and an image that was deregistered will do.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request as Ask
from urllib.request import urlopen

import attrs
from twisted.internet.defer import Deferred, succeed

from asyncluster.config.fields import Secret
from asyncluster.model.supply import Flavor, Instance, Order
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws import AwsCloud
from asyncluster.supply.blocking import Blocking
from asyncluster.testing.faultproxy import Fault, FaultProxy, Kind, Scripted, aws_body, aws_error

REGION = "us-east-1"
TYPE = "m5.large"

QUOTAS = "AWS_ENDPOINT_URL_SERVICE_QUOTAS"

_SWITCHES = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # they take seconds
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
}
LIMIT = 60.0

_NOTHING = (
    b'<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>0</requestId>'
    b"<reservationSet/></DescribeInstancesResponse>"
)


def missing() -> str:
    """Why it cannot run here, "" = it can."""
    lacking = [name for name in ("moto", "flask", "boto3") if importlib.util.find_spec(name) is None]
    return f"there is no {', '.join(lacking)}: pip install 'asyncluster[test]'" if lacking else ""


class Moto:
    """The server, while it is entered.  client: boto3's, past every proxy; image: one that is there."""

    def __init__(self, log: Path) -> None:
        self.port = 0
        self.image = ""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    def __enter__(self) -> Moto:
        self.port = self.port or _free_port()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env=os.environ | _SWITCHES,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + LIMIT
        while not self._answers():
            code = self._process.poll()
            assert code is None, f"moto ended with {code}: {self._log.read_text()[-2000:]}"
            assert time.monotonic() < end, f"moto does not answer: {self._log.read_text()[-2000:]}"
            time.sleep(0.1)
        self.reset()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def url(self) -> str:
        """Of the server itself."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """boto3's, with credentials that the server takes; past every proxy."""
        if self._client is None:
            import boto3

            self._client = boto3.client(
                "ec2",
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 - of a server in a test
            )
        return self._client

    def reset(self) -> None:
        """Forget everything, and have an image again."""
        self.enforce_keys(False)
        self._post("/moto-api/reset")
        self.image = self.client().register_image(Name="node", RootDeviceName="/dev/sda1")["ImageId"]

    def enforce_keys(self, enforced: bool = True) -> None:
        """Whether only keys are taken that it has made."""
        self._post("/moto-api/reset-auth", b"0" if enforced else b"inf", "text/plain")

    def run(self) -> list[dict[str, Any]]:
        """All instances that are not over, as it tells of them."""
        groups = self.client().describe_instances()["Reservations"]
        found = [one for group in groups for one in group["Instances"]]
        return [one for one in found if one["State"]["Name"] not in ("terminated", "shutting-down")]

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/moto-api/data.json", timeout=5) as answer:  # noqa: S310 - our own, on loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def _post(self, path: str, body: bytes = b"", kind: str = "application/json") -> None:
        ask = Ask(f"{self.url}{path}", body, {"Content-Type": kind}, method="POST")  # noqa: S310 - likewise
        with urlopen(ask, timeout=LIMIT) as answer:  # noqa: S310 - likewise
            answer.read()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@attrs.define(eq=False)
class AwsGround:
    """A ground for `cloud_contract` and `cloud_troubles`, and for tests that hurt more.

    faults: what the proxy does; `says` has it answer with an error of EC2's.
    """

    folder: Path
    most: int = 0
    looks: bool = True
    moto: Moto = attrs.field(init=False)
    faults: Scripted = attrs.field(factory=Scripted, init=False)
    proxy: FaultProxy = attrs.field(init=False)
    unit: AwsUnit = attrs.field(init=False)
    bodies: dict[int, bytes] = attrs.field(factory=dict, init=False)
    _before: str | None = attrs.field(default=None, init=False)
    _made: list[Blocking] = attrs.field(factory=list, init=False)
    _stack: contextlib.ExitStack = attrs.field(factory=contextlib.ExitStack, init=False)

    def __enter__(self) -> AwsGround:
        self.moto = self._stack.enter_context(Moto(self.folder / "moto.log"))
        self.proxy = self._stack.enter_context(FaultProxy(self.moto.port, self.faults, errors=self._error))
        self.unit = self.plain_unit()
        # the SDK's own word for where another service is: none of Amazon's is ever asked
        self._before = os.environ.get(QUOTAS)
        os.environ[QUOTAS] = self.proxy.url
        return self

    def __exit__(self, *exc: object) -> None:
        for blocking in self._made:
            blocking.stopService()
        if self._before is None:
            os.environ.pop(QUOTAS, None)
        else:
            os.environ[QUOTAS] = self._before
        self._stack.close()

    def _error(self, status: int) -> tuple[str, bytes]:
        return ("text/xml", self.bodies[status]) if status in self.bodies else aws_error(status)

    def says(self, word: str, code: str, message: str, status: int = 400, times: int = 1) -> None:
        """That many requests with that word in them are answered by that error, and are not carried out."""
        self.bodies[status] = aws_body(code, message)
        self.faults.add(word, Fault(Kind.STATUS, status), times)

    def sees_nothing(self, word: str, times: int = 1) -> None:
        """That many requests are answered by a list of instances that is empty: what EC2 shows may be old."""
        self.bodies[200] = _NOTHING
        self.faults.add(word, Fault(Kind.STATUS, 200), times)

    def plain_unit(self, **more: Any) -> AwsUnit:
        """A unit that works here, through the proxy."""
        settings: dict[str, Any] = {
            "image_id": self.moto.image,
            "instance_type": TYPE,
            "region_name": REGION,
            "access_key_id": "test",
            "secret_access_key": Secret("test"),
            "endpoint": self.proxy.url,
        }
        return AwsUnit(**settings | more)

    def cloud(self, reactor: Any, pool: str, realm: str) -> AwsCloud:
        """See CloudGround and TroubledGround."""
        blocking = Blocking(reactor, f"pool {pool}")
        blocking.startService()
        self._made.append(blocking)

        def userdata(order: Order) -> Deferred[str]:
            return succeed(f"#!/bin/sh\n# {order.name}\n")

        return AwsCloud(
            pool, "pool-", self.unit, Flavor(1, price=0.1), realm, reactor, blocking.call, userdata, time.time
        )

    def die(self, instance: Instance) -> None:
        """See TroubledGround."""
        self.moto.client().terminate_instances(InstanceIds=[instance.id])

    def stop(self) -> None:
        """See TroubledGround."""
        self.faults.rules.insert(0, ("", Fault(Kind.RESET), 1_000_000))

    def start(self) -> None:
        """See TroubledGround."""
        self.faults.calm()

    def clear(self) -> None:
        """See CloudGround and TroubledGround."""
        self.faults.calm()
        self.bodies.clear()
        self.moto.reset()
        self.unit = self.plain_unit()


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Moto]:
    """A server for the time of a block."""
    with Moto(folder / "moto.log") as server:
        yield server
