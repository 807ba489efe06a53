"""What goes wrong in a real OpenStack, and on the way to it; and the ways to say who one is."""

from __future__ import annotations

import functools
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from asyncluster.errors import CloudError, NoAnswerError, QuotaError
from asyncluster.model.supply import Instance, InstanceState, Order
from asyncluster.supply.openstack import OpenStackCloud
from asyncluster.testing import openstack
from asyncluster.testing.faultproxy import Fault, Kind
from asyncluster.testing.openstack import IMAGE, PASSWORD, PROJECT, SMALL, USER, ControlPlane
from asyncluster.testing.openstack_ground import OpenStackGround, openstack_ground

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.openstack, pytest.mark.timeout(600)]

SCRIPTS = Path(__file__).parents[1] / "openstack"
MISSING = openstack.missing(SCRIPTS)
GROUND = openstack_ground(functools.partial(openstack.shared, SCRIPTS))
LIMIT = 120.0


def order(number: int = 1) -> Order:
    """Of one server."""
    return Order(f"pool-{number}", f"token-{number}", "pool", 3600.0)


class OnOpenStack(TestCase):
    """A ground, and a pool's cloud on it."""

    skip = MISSING or None
    timeout = 300.0
    ground: OpenStackGround

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.ground = stack.enter_context(GROUND(self.folder))
        self.cloud = self.ground.cloud(reactor, "pool", "realm")

    def tearDown(self) -> None:
        self.ground.clear()

    @property
    def plane(self) -> ControlPlane:
        """The real thing."""
        return self.ground.plane

    def servers(self) -> list[Any]:
        """All that there are, as an administrator sees them."""
        return list(self.plane.admin().compute.servers(all_projects=True))

    def other(self, **more: Any) -> OpenStackCloud:
        """The same pool, with other settings."""
        return self.ground.cloud(reactor, "pool", "realm", **more)

    async def until(self, true: Callable[[Instance | None], object], cloud: OpenStackCloud | None = None) -> Any:
        """What is listed of the only one, once it is so."""
        end = time.monotonic() + LIMIT
        while True:
            found = (await (cloud or self.cloud).list()).instances
            one = next((each for each in found if each.state is not InstanceState.GONE), None)
            if true(one):
                return one
            assert time.monotonic() < end, (found, self.plane.log("nova")[-3000:])
            await task.deferLater(reactor, 0.1)

    async def refused(self, doing: Deferred[Any]) -> str:
        """What a CloudError says that it fails with."""
        try:
            await doing
        except CloudError as error:
            return f"{type(error).__name__}: {error}"
        raise AssertionError("nothing was refused")


class TestLimits(OnOpenStack):
    """What the cloud does not give."""

    async def test_quota(self) -> None:
        """The limit is named, and what is there is not touched."""
        cloud = self.other(project=SMALL, networks=("none",))
        made = await cloud.launch(order(1))
        await self.until(lambda one: one and one.state is InstanceState.ACTIVE, cloud)  # nova counts what has a host
        said = await self.refused(cloud.launch(order(2)))
        assert said.startswith(QuotaError.__name__), said
        assert "(limit instances)" in said
        assert [each.id for each in self.servers()] == [made.id]

    async def test_no_host_has_room(self) -> None:
        """Nova takes the order all the same; the server then tells why it came to nothing."""
        cloud = self.other(flavor="vast", networks=("none",))
        await cloud.launch(order())
        one = await self.until(lambda one: one and one.state is InstanceState.ERROR, cloud)
        assert "No valid host was found" in one.said
        assert one.token == order().token
        await cloud.destroy(one)
        await self.until(lambda one: one is None, cloud)

    async def test_what_is_not_there_is_named_with_its_key(self) -> None:
        """Image, flavor, key, group, zone and network: the key, its value, and no server."""
        nowhere = "00000000-0000-4000-8000-000000000000"
        for key, value in {
            "image_uuid": nowhere,
            "flavor": "m1.enormous",
            "key_name": "lost-key",
            "security_groups": ("strangers",),
            "availability_zone": "atlantis",
            "networks": ("nowhere-net",),
        }.items():
            said = await self.refused(self.other(**{key: value}).launch(order()))
            assert f"pool.config.{key} in asyncluster.yaml" in said, said
            assert (value if isinstance(value, str) else value[0]) in said, said
        assert self.servers() == []

    async def test_a_build_that_is_given_up(self) -> None:
        """It is told with the cloud's own reason, and can be ended."""
        self.plane.hurt("on-fire")
        await self.cloud.launch(order())
        one = await self.until(lambda one: one and one.state is InstanceState.ERROR)
        assert "aborted" in one.said
        await self.cloud.destroy(one)
        await self.until(lambda one: one is None)

    async def test_one_that_is_stuck_while_it_is_built(self) -> None:
        """It is starting, for as long as it takes; who gives it up leaves nothing."""
        self.plane.hurt("stuck")
        made = await self.cloud.launch(order())
        one = await self.until(lambda one: one and "spawning" in one.said)
        assert one.state is InstanceState.STARTING
        await self.cloud.destroy(made)
        await self.until(lambda one: one is None or one.state is InstanceState.DELETING)
        self.plane.mend()
        await self.until(lambda one: one is None)

    async def test_deleted_by_hand(self) -> None:
        """It is not listed any more, and to end it is success."""
        made = await self.other(networks=("none",)).launch(order())
        self.plane.admin().compute.delete_server(made.id)
        await self.until(lambda one: one is None)
        await self.cloud.destroy(made)


class TestAnswers(OnOpenStack):
    """What may go wrong between us and nova."""

    async def test_a_lost_answer_makes_no_second_server(self) -> None:
        """Reset, half a body, an error after all was done: one server, and the launch tells of it."""
        cloud = self.other(networks=("none",))
        for number, kind in enumerate((Kind.RESET_AFTER, Kind.HALF, Kind.STATUS_AFTER), 1):
            self.ground.nova.add("POST /v2.1/servers ", Fault(kind, 500))
            made = await cloud.launch(order(number))
            assert [each.id for each in self.servers() if each.name == f"pool-{number}"] == [made.id]
            assert (await cloud.launch(order(number))).id == made.id
        assert len(self.servers()) == 3

    async def test_an_answer_that_never_came_is_asked_for_again_by_the_next_order(self) -> None:
        """Even by a master that knows nothing of the first."""
        self.ground.nova.add("POST /v2.1/servers ", Fault(Kind.RESET_AFTER))
        self.ground.nova.add("GET /v2.1/servers/detail?name=%5Epool%5C-1%24", Fault())
        self.ground.nova.add("GET /v2.1/servers/detail?name=%5Epool%5C-1%24", Fault(Kind.RESET))
        with pytest.raises(NoAnswerError):
            await self.other(networks=("none",)).launch(order())
        made = await self.other(networks=("none",)).launch(order())
        assert [each.id for each in self.servers()] == [made.id]

    async def test_two_for_one_order(self) -> None:
        """Both are listed, the elder first; the order given again is the elder."""
        cloud = self.other(networks=("none",))
        made = await cloud.launch(order())
        twin = self.servers()[0]
        await task.deferLater(reactor, 1.1)  # nova counts in seconds
        self.plane.user().compute.create_server(
            name=twin.name, image_id=IMAGE, flavor_id=(cloud._look_flavor())[0], networks="none", metadata=twin.metadata
        )
        found = (await cloud.list()).instances
        assert [each.token for each in found] == [order().token] * 2
        assert found[0].id == made.id == (await cloud.launch(order())).id

    async def test_patience_that_is_asked_for_is_kept(self) -> None:
        """After a 429 nothing is asked for as long as it says."""
        await self.cloud.list()
        self.ground.nova.add("GET", Fault(Kind.STATUS, 429, retry_after=3600))
        for said in ("asks us to wait 3600 s, and is asked again after 300 s", "300 s more"):
            with pytest.raises(NoAnswerError, match=said):
                await self.cloud.list()
        asked = len(self.ground.seen)
        with pytest.raises(NoAnswerError):
            await self.cloud.launch(order())
        assert len(self.ground.seen) == asked

    async def test_no_sense_is_no_answer(self) -> None:
        """An error of the cloud's, half a list, a reset: nothing is taken for gone."""
        await self.other(networks=("none",)).launch(order())
        for fault in (
            Fault(Kind.STATUS, 500),
            Fault(Kind.STATUS, 503, retry_after=0),
            Fault(Kind.HALF),
            Fault(Kind.RESET),
        ):
            self.ground.nova.add("GET /v2.1/servers/detail", fault)
            with pytest.raises(NoAnswerError):
                await self.cloud.list()
        assert len((await self.cloud.list()).instances) == 1

    async def test_a_token_that_has_expired_is_renewed_silently(self) -> None:
        """One 401 is not told to anybody."""
        await self.cloud.list()
        self.ground.nova.add("GET /v2.1/servers/detail", Fault(Kind.STATUS, 401))
        assert (await self.cloud.list()).instances == ()

    async def test_keystone_is_away(self) -> None:
        """Also before anything was ever asked."""
        self.ground.keystone.add("", Fault(Kind.RESET), 1000)
        with pytest.raises(NoAnswerError):
            await self.cloud.list()
        self.ground.keystone.calm()
        assert (await self.cloud.list()).instances == ()


class TestMany(OnOpenStack):
    """More than one page, and more than one thread."""

    async def test_many_at_a_time(self) -> None:
        """All are in the list, with our tags; a lease is renewed on all; all go."""
        cloud = self.other(networks=("none",))
        made = await gatherResults([cloud.launch(order(number)) for number in range(1, 13)])
        listed = {each.id: each for each in (await cloud.list()).instances}
        assert listed.keys() == {each.id for each in made}
        assert all((each.ours, each.owner, each.pool) == (True, "realm", "pool") for each in listed.values())
        end = time.monotonic() + LIMIT
        while not all(each.state is InstanceState.ACTIVE for each in listed.values()):
            assert time.monotonic() < end, listed
            listed = {each.id: each for each in (await cloud.list()).instances}
        expires = float(int(time.time()) + 7200)
        await cloud.renew(list(listed.values()), expires)
        assert {each.expires for each in (await cloud.list()).instances} == {expires}
        assert {each.id for each in (await self.other().everything()).instances} == listed.keys()
        await gatherResults([cloud.destroy(each) for each in listed.values()])
        await self.until(lambda one: one is None)
        await cloud.renew(list(listed.values()), expires)

    async def test_a_stranger_with_our_prefix_is_told_of_as_one(self) -> None:
        """And what another pool made is not listed."""
        await self.other(networks=("none",)).launch(order())
        pools = self.ground.cloud(reactor, "pool-b", "realm", networks=("none",))
        await pools.launch(Order("pool-b-1", "token-b", "pool-b", 60.0))
        self.plane.user().compute.create_server(
            name="pool-99", image_id=IMAGE, flavor_id=(self.cloud._look_flavor())[0], networks="none"
        )
        found = {each.name: each.ours for each in (await self.cloud.list()).instances}
        assert found == {"pool-1": True, "pool-99": False}


class TestWhoWeAre(OnOpenStack):
    """All ways to say it, and a wrong one."""

    async def test_a_wrong_password_names_the_settings(self) -> None:
        """And not the password."""
        said = await self.refused(self.other(password="not-the-one").list())
        assert "pool.config.username, password and project" in said
        assert "not-the-one" not in said

    async def test_a_url_that_is_not_keystones(self) -> None:
        """It is named."""
        with pytest.raises(NoAnswerError, match=r"pool\.config\.auth_url"):
            await self.other(auth_url=self.plane.url("nova") + "/v9").list()

    async def test_application_credentials(self) -> None:
        """In place of user, password and project."""
        user = self.plane.user()
        made = user.identity.create_application_credential(user.current_user_id, name=f"pool-{time.time_ns()}")
        cloud = self.other(
            username="", password="", project="", application_credential_id=made.id,
            application_credential_secret=made.secret,
        )  # fmt: skip
        assert (await cloud.flavor()).cores == 2

    async def test_clouds_yaml_and_the_environment(self) -> None:
        """An entry by its name; OS_* where the pool says nothing; a name that is not there."""
        auth = {
            "auth_url": self.plane.auth_url, "username": USER, "password": PASSWORD, "project_name": PROJECT,
            "user_domain_name": "Default", "project_domain_name": "Default",
        }  # fmt: skip
        path = self.folder / "clouds.yaml"
        path.write_text(json.dumps({"clouds": {"site": {"auth": auth, "region_name": "RegionOne"}}}))
        nothing = {"auth_url": "", "username": "", "password": "", "project": ""}
        self.ground.auth_url = ""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
            assert (await self.other(**nothing, cloud="site").flavor()).memory == 2 * 1024**3
            said = await self.refused(self.other(**nothing, cloud="sight").flavor())
            assert "sight" in said
            assert "pool.config.cloud" in said
            for key, value in auth.items():
                patch.setenv(f"OS_{key.upper()}", value)
            assert (await self.other(**nothing).flavor()).price == 0.25

    async def test_gpus_of_a_flavor(self) -> None:
        """As its extra specs tell."""
        assert (await self.other(flavor="gpus").flavor()).gpus == 2


class TestDoctor(OnOpenStack):
    """What `cloud check` tells."""

    async def test_all_is_well(self) -> None:
        """Each thing by its name."""
        cloud = self.other(key_name="admin-key", security_groups=("nodes",), networks=("nodes",))
        found = {each.name: each for each in await cloud.check()}
        assert all(each.ok for each in found.values()), found
        assert "2 cores, 2048 MiB" in found["flavor"].text
        assert found["quota"].text.endswith("servers more, by the limit of instances")

    async def test_what_is_wrong_is_told_with_its_mend(self) -> None:
        """All at a time."""
        cloud = self.other(
            image_uuid="00000000-0000-4000-8000-000000000000", key_name="lost-key", security_groups=("strangers",),
            availability_zone="atlantis", networks=("nowhere-net",), project=SMALL,
        )  # fmt: skip
        await self.other(project=SMALL, networks=("none",)).launch(order())
        found = {each.name: each for each in await cloud.check()}
        assert {name for name, each in found.items() if each.ok} == {"endpoint", "credentials", "flavor"}
        for name, key in (
            ("key", "key_name"), ("network", "security_groups"), ("network", "availability_zone"),
            ("network", "networks"),
        ):  # fmt: skip
            assert f"pool.config.{key}" in found[name].text + found[name].mend

    async def test_nothing_is_looked_at_where_we_are_not_let_in(self) -> None:
        """The password is the finding."""
        answers, first, *others = await self.other(password="not-the-one").check()
        assert (answers.name, answers.ok, first.name, first.ok) == ("endpoint", True, "credentials", False)
        assert "pool.config.username, password and project" in first.text
        assert others
        assert all(each.ok is None for each in others)
