"""A master that grows into AWS: moto makes the instances, and what they would run at their first boot is run here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

import asyncluster
from asyncluster import Cluster
from asyncluster.client.pools import Pools
from asyncluster.testing import aws
from asyncluster.testing.aws import Moto
from asyncluster.testing.site import Daemon, Site

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(aws.missing()), reason=aws.missing() or "-"),
]

SECTIONS = """\
dynamic-cluster: {{max_idle_time: 2, auto_provision_interval: 0.5s, cloud_poller_interval: 0.5s}}
cluster: {{type: asyncluster}}
cloud:
  burst:
    type: aws
    price: 0.1
    quantity: {{min: 0, max: 2}}
    config:
      access_key_id: test
      secret_access_key: test
      region_name: us-east-1
      endpoint: {endpoint}
      image_id: {image}
      instance_type: m5.large
      spot_bid: 0.05
      spot_metadata: {metadata}
      userdata_file: {template}
      master: 127.0.0.1
"""
LIMIT = 90.0


class Metadata:
    """What an instance sees of itself: nothing, or that it is taken back."""

    def __init__(self) -> None:
        self.notice = self.advice = b""
        self.told = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.say(b"token")

            def do_GET(self) -> None:
                body = outer.notice if self.path.endswith("/spot/instance-action") else b""
                self.say(outer.advice if self.path.endswith("/events/recommendations/rebalance") else body)
                if body:
                    outer.told.set()

            def say(self, body: bytes) -> None:
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def advise(self) -> None:
        """It may be ended one of these days."""
        self.advice = json.dumps({"noticeTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()

    def take_back(self, seconds: float) -> None:
        """So many seconds from now it is ended."""
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        self.notice = json.dumps({"action": "terminate", "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()

    def close(self) -> None:
        """No more."""
        self.server.shutdown()
        self.server.server_close()


@attrs.define
class Region:
    """The site, the endpoint, and its machines: a node daemon each, which has what the user data say."""

    folder: Path
    moto: Moto
    site: Site
    metadata: Metadata
    master: Daemon
    machines: dict[str, Daemon] = attrs.field(factory=dict)

    def work(self) -> None:
        """Boot what was launched and is not running, end what was terminated, terminate what has ended itself."""
        there = {one["InstanceId"]: one for one in self.moto.run()}
        for id_ in there.keys() - self.machines.keys():
            self.machines[id_] = self.boot(id_, {tag["Key"]: tag["Value"] for tag in there[id_]["Tags"]})
        for id_, machine in self.machines.items():
            if machine.process.poll() is not None and id_ in there:
                self.moto.client().terminate_instances(InstanceIds=[id_])
            elif machine.process.poll() is None and id_ not in there:
                machine.process.kill()

    def boot(self, id_: str, tags: dict[str, str]) -> Daemon:
        """As the image would do with its user data."""
        told = self.moto.client().describe_instance_attribute(InstanceId=id_, Attribute="userData")["UserData"]["Value"]
        conf = base64.b64decode(told).decode().replace("/var/lib/asyncluster", str(self.folder / id_))
        path = self.folder / f"{id_}.conf"
        path.touch(mode=0o600)
        path.write_text(conf + ("run tasks as = root\n" if os.geteuid() == 0 and "run tasks as" not in conf else ""))
        words = {"NAME": tags["asyncluster-name"], "POOL": tags["asyncluster-pool"], "BIRTHPLACE": "instance"}
        log = path.with_suffix(".log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "asyncluster.node", "--config", str(path)],
                env=os.environ | {f"ASYNCLUSTER_NODE_{key}": value for key, value in words.items()},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        self.site.daemons.append(Daemon(process, log))
        return self.site.daemons[-1]

    def until(self, true: Callable[[], object]) -> None:
        """Let the machines work until it is so."""
        end = time.monotonic() + LIMIT
        while not true():
            logs = "".join(machine.text()[-1500:] for machine in self.machines.values())
            assert time.monotonic() < end, self.master.text()[-3000:] + logs
            self.work()
            time.sleep(0.1)

    def left(self) -> bool:
        """Whether there is a machine, or a node in the book."""
        with Pools(socket=self.site.socket) as pools:
            return bool(self.moto.run() or pools.status()["nodes"])

    def told(self, *words: str) -> Any:
        """What the command line says as JSON."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", self.site.socket, *words, "--json"],
            env=kept | {"PYTHONPATH": str(Path(asyncluster.__file__).parent.parent)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """A master with a pool of spot instances, none of which runs."""
    metadata = Metadata()
    try:
        with Moto(tmp_path / "moto.log") as moto, Site(tmp_path) as site:
            template = tmp_path / "node.conf.in"
            template.write_text("{{ conf }}")
            text = SECTIONS.format(endpoint=moto.url, image=moto.image, metadata=metadata.url, template=template)
            (tmp_path / "master.yaml").touch(mode=0o600)
            (tmp_path / "master.yaml").write_text(text)
            yield Region(tmp_path, moto, site, metadata, site.start_master())
    finally:
        metadata.close()
        shutil.rmtree(tmp_path, ignore_errors=True)


def make_wait(begun: Path, over: Path) -> Callable[[], str]:
    """A task that says where it runs, and ends when it is let; it travels by value."""

    def wait() -> str:
        with begun.open("a") as told:
            told.write(os.environ["ASYNCLUSTER_NODE"] + "\n")
        while not over.exists():
            time.sleep(0.05)
        return os.environ["ASYNCLUSTER_NODE"]

    return wait


def test_work_brings_spot_instances_and_their_end_charges_nothing(region: Region) -> None:
    """One comes; it is taken back while its task runs, which another one does, uncharged; then none is left.

    One lost attempt would fail the task.
    """
    begun, over = region.folder / "begun", region.folder / "over"
    begun.touch()
    with Cluster(socket=region.site.socket, crash_limit=1) as cluster:
        future = cluster.submit(make_wait(begun, over))
        region.until(lambda: begun.read_text().split())
        (first,) = begun.read_text().split()
        (one,) = region.moto.run()
        assert one["InstanceLifecycle"] == "spot"
        machine = region.machines[one["InstanceId"]]

        region.metadata.take_back(21.0)  # one second for what runs, by what a node keeps of the two minutes
        region.until(lambda: machine.process.poll() is not None)
        region.metadata.notice = b""
        assert "its spot instance is taken back (terminate at" in machine.text()
        assert f"node {first} is leaving: its spot instance is taken back" in region.master.text()

        region.until(lambda: len(begun.read_text().split()) == 2)
        over.touch()
        region.until(future.done)
        assert future.result(LIMIT) != first
    region.until(lambda: not region.left())
    assert region.told("cluster", "nodes") == {}


def test_a_recommendation_that_comes_true_charges_nothing_either(region: Region) -> None:
    """The node takes nothing more and finishes what runs; when it is taken back all the same, that runs elsewhere."""
    begun, over = region.folder / "begun", region.folder / "over"
    begun.touch()
    with Cluster(socket=region.site.socket, crash_limit=1) as cluster:
        future = cluster.submit(make_wait(begun, over))
        region.until(lambda: begun.read_text().split())
        (first,) = begun.read_text().split()
        (one,) = region.moto.run()
        machine = region.machines[one["InstanceId"]]

        region.metadata.advise()
        region.until(
            lambda: f"node {first} is leaving: its spot instance may be taken back soon" in region.master.text()
        )
        assert machine.process.poll() is None
        region.metadata.take_back(21.0)
        region.until(lambda: machine.process.poll() is not None)
        region.metadata.notice = region.metadata.advice = b""

        region.until(lambda: len(begun.read_text().split()) == 2)
        over.touch()
        region.until(future.done)
        assert future.result(LIMIT) != first
    region.until(lambda: not region.left())


def test_what_ec2_says_of_a_type_is_what_is_planned_with(region: Region) -> None:
    """An m5.large has two cores: what asks for three is told so at once, what asks for two has its node."""
    findings = {each["name"]: each for each in region.told("cloud", "check", "burst")["burst"]}
    assert [name for name, each in findings.items() if not each["ok"]] == ["quota", "master"]  # not told; loopback
    assert "2 cores" in findings["flavor"]["text"]
    with Cluster(socket=region.site.socket) as cluster:
        future = cluster.options(cores=2).submit(pow, 2, 5)
        region.until(future.done)
        assert future.result(LIMIT) == 32
        with pytest.raises(asyncluster.AsynClusterError, match="cores"):
            cluster.options(cores=3).submit(pow, 2, 5).result(LIMIT)
    region.until(lambda: not region.moto.run())
