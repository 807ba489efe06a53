"""What virtual machines are told: where the master is, with which account, and what is wrong with a template."""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from asyncluster.config import elastic_here
from asyncluster.config.explain import loads
from asyncluster.config.outcome import Here
from asyncluster.errors import CloudError, ConfigError
from asyncluster.master.clouds import CloudMeans, Machine, cloud_of, text_for, trial, userdata
from asyncluster.model.supply import Flavor, Order, Pool
from asyncluster.supply.node_conf import Account

ACCOUNT = Account("nodes", "common-password", "master-password", 9080, "10.0.0.1, fd00::1, head", "", 30.0)
ORDER = Order("burst-1", "t1", "burst", 1800.0)
ALL = "{{ name }}|{{ masters | join(' ') }}|{{ features | join(' ') }}|{{ secret }}|{{ lease }}\n{{ conf }}"


def machine(**changes: object) -> Machine:
    """Of a pool of ours."""
    return attrs.evolve(
        Machine("node.sh", (), ("cloud", "big"), ACCOUNT, "r", lambda order: succeed(("", ""))), **changes
    )


def test_a_node_of_ours() -> None:
    """Its own account, nobody's passwords, and a configuration that loads."""
    text = text_for(machine(), ALL, ORDER, ("~burst-1", "its-secret"))
    first, _, conf = text.partition("\n")
    assert first == "burst-1|10.0.0.1:9080 [fd00::1]:9080 head:9080|cloud big|its-secret|1800.0"
    assert "common-password" not in text
    assert "master-password" not in text
    here = Here(host="burst-1", cores=2, home="/root", state="/var/lib/asyncluster")
    client = loads(conf, "node.conf", "node", here).client
    assert (client.user, client.password.reveal(), client.name) == ("~burst-1", "its-secret", "burst-1")
    assert client.host == (("10.0.0.1", 9080), ("fd00::1", 9080), ("head", 9080))
    assert (client.features, client.lease, client.state_folder) == (("cloud", "big"), 1800.0, "/var/lib/asyncluster")


def test_a_node_of_a_batch_system() -> None:
    """There is nothing secret."""
    text = text_for(machine(issue=None, masters=("head:9000", "[fd00::2]:1", "10.0.0.9")), ALL, ORDER, ("", ""))
    assert text == "burst-1|head:9000 [fd00::2]:1 10.0.0.9:9080|cloud big||1800.0\n"


class UserDataTests(SynchronousTestCase):
    """With files."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "node.sh"

    def test_a_secret_is_issued_for_each_that_is_made(self) -> None:
        """And for none before."""
        asked: list[str] = []

        def issue(order: Order) -> Deferred[tuple[str, str]]:
            asked.append(order.name)
            return succeed((f"~{order.name}", "hush"))

        self.path.write_text("{{ secret }} of {{ name }}")
        told = userdata("burst", machine(file=str(self.path), issue=issue), maybeDeferred)
        assert asked == []
        assert self.successResultOf(told(ORDER)) == "hush of burst-1"
        assert asked == ["burst-1"]

    def test_a_file_that_was_changed_is_the_next_instances(self) -> None:
        """It is the one that `cloud check` renders; one that is wrong is no launch, and no secret is issued for it."""
        asked: list[str] = []

        def issue(order: Order) -> Deferred[tuple[str, str]]:
            asked.append(order.name)
            return succeed((f"~{order.name}", "hush"))

        self.path.write_text("one {{ name }}")
        told = userdata("burst", machine(file=str(self.path), issue=issue), maybeDeferred)
        assert self.successResultOf(told(ORDER)) == "one burst-1"
        self.path.write_text("two {{ name }}")
        assert self.successResultOf(told(ORDER)) == "two burst-1"
        self.path.write_text("{{ three }} {{ secret }}")
        said = self.failureResultOf(told(ORDER), CloudError)
        assert "burst-1 was not asked for" in said.getErrorMessage()
        assert "'three' is undefined" in said.getErrorMessage()
        assert "hush" not in said.getTraceback()
        self.path.unlink()
        asked.clear()
        assert "userdata_file" in self.failureResultOf(told(ORDER), CloudError).getErrorMessage()
        assert asked == []

    def test_no_file_no_user_data(self) -> None:
        """The image is a node already."""
        assert self.successResultOf(userdata("burst", machine(file=""))(ORDER)) == ""

    def test_what_is_wrong_is_told_before_anything_is_launched(self) -> None:
        """With the key, or the file and line."""
        with pytest.raises(ConfigError, match=r"burst.config.userdata_file: .* cannot be read: No such file"):
            userdata("burst", machine(file=str(self.path)))
        self.path.write_text("one\n{{ two }}")
        with pytest.raises(ConfigError, match="line 2: 'two' is undefined"):
            userdata("burst", machine(file=str(self.path)))
        self.path.write_bytes(b"\xff")
        with pytest.raises(ConfigError, match="it is not UTF-8"):
            userdata("burst", machine(file=str(self.path)))


@pytest.mark.parametrize(("kind", "library"), [("aws", "boto3"), ("openstack", "openstacksdk")])
def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch, kind: str, library: str) -> None:
    """It is named with the pool's key and the extra that brings it, before anything is imported or asked."""
    monkeypatch.setattr(elastic_here.importlib.util, "find_spec", lambda name: None)
    means = CloudMeans(None, Pool("burst", kind, Flavor(1)), None, "r", Path(), None, None)  # type: ignore[arg-type]  # as much as is needed
    said = rf"\[cloud\] burst.type: {kind} needs {library}, .* `pip install 'asyncluster\[{kind}\]'`"
    with pytest.raises(ConfigError, match=said):
        cloud_of(means)


class Trials(TestCase):
    """What `cloud check` tells of a template."""

    async def test_what_is_packed_may_be_longer(self) -> None:
        """Where the cloud's user data are packed, only what is too long all the same is told as that."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "node.sh"
            file.write_text("#!/bin/sh\n" + "true\n" * 1000)
            of = machine(file=str(file))
            assert await trial("burst", of, 6000)() == f"{file} renders to 5010 bytes"
            assert "5010 bytes, " in await trial("burst", of, 1000, packs=True)()
            with pytest.raises(ConfigError, match="gives 5010 bytes, and the cloud takes 1000"):
                await trial("burst", of, 1000)()
            with pytest.raises(ConfigError, match=r"gives 5010 bytes, \d+ when packed, and the cloud takes 10"):
                await trial("burst", of, 10, packs=True)()
