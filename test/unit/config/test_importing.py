"""Dynamic Torque's two files become one asyncluster.yaml that loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from asyncluster.config.elastic_explain import loads
from asyncluster.config.elastic_values import Elastic
from asyncluster.config.importing import import_torque
from asyncluster.errors import ConfigError
from asyncluster.model.supply import Reservation
from asyncluster.schedulers.torque.site import look

DATA = Path(__file__).parents[2] / "data"
MAIN = (DATA / "dynamic_torque.conf").read_text()
TENANTS = (DATA / "cloud_resources.conf").read_text()


def imported(text: str = MAIN, more: str = TENANTS) -> tuple[str, Elastic]:
    """The YAML, and what it means."""
    found = import_torque(text, "dynamic_torque.conf", more, "cloud_resources.conf" if more else "")
    return found, loads(found, "imported")


def test_times_commands_and_queues() -> None:
    """Under their new names, the others as they are by default."""
    _, found = imported()
    assert (found.engine.max_idle, found.engine.max_launch, found.engine.cluster_interval) == (300, 900, 15)
    assert (found.engine.max_down, found.engine.auto, found.engine.passive) == (480, True, False)
    assert found.engine.hooks.post_add_node == "/usr/local/sbin/added {0} {1}"
    assert (found.cluster.kind, found.cluster.queues) == ("torque", ("long", "short"))
    assert found.cluster.commands["add_node_command"] == '/opt/torque/bin/qmgr -c "create node {0}"'
    assert found.cluster.commands["setres_command"] == "/usr/bin/setres {0} {1} {2}"


def test_static_and_dynamic_numbers_zones_and_tenants() -> None:
    """A pool for each zone of the default tenant, its home zone first, and one for each further tenant."""
    _, found = imported()
    pools = {each.pool.name: each for each in found.pools}
    assert list(pools) == ["default-mel", "default-mon", "tenant1"]
    numbers = {name: (each.pool.least, each.pool.most) for name, each in pools.items()}
    assert numbers == {"default-mel": (2, 6), "default-mon": (1, 5), "tenant1": (2, 3)}
    assert [each.pool.priority for each in found.pools] == sorted(each.pool.priority for each in found.pools)
    assert pools["default-mon"].unit.availability_zone == "monash-01"  # type: ignore[union-attr]  # an OpenStack's
    assert pools["default-mel"].pool.reservation == Reservation(property="PRODUCTION")  # home: jobs that name no zone
    assert pools["default-mon"].pool.reservation == Reservation(property="MON")
    assert pools["tenant1"].pool.reservation == Reservation(account="bio", property="PRODUCTION")
    assert pools["tenant1"].unit.password.reveal() == "another secret"  # type: ignore[union-attr]  # likewise
    assert pools["default-mel"].unit.password.reveal() == "0x1"  # type: ignore[union-attr]  # likewise


def test_an_untouched_file() -> None:
    """Dynamic Torque's own sample leaves the numbers empty: its defaults, and no node that stays."""
    text = MAIN.replace("static_worker_nodes: 2+1:MON", "static_worker_nodes:")
    text = text.replace("number_of_dynamic_worker_nodes: 4", "number_of_dynamic_worker_nodes:")
    _, found = imported(text, "")
    assert [(each.pool.least, each.pool.most) for each in found.pools] == [(0, 2), (0, 2)]


def test_its_commands_are_ones_that_run() -> None:
    """Pipelines and all: the adapter makes argument lists of them."""
    text = MAIN.replace("[cloud]", "releaseres_command: /usr/bin/releaseres {0}\n[cloud]", 1)
    for _, found in (imported(), imported(text)):
        here = look(found.cluster.commands, lambda program: program)
        assert here.maui
        assert here.commands.keep_for_account("n1", "bio") == ("/usr/bin/setres", "-a", "bio", "n1")
        assert here.commands.release("bio.3") == ("/usr/bin/releaseres", "bio.3")
        assert here.commands.add_node.argv("n1")[0] == "/opt/torque/bin/qmgr"


def test_a_single_zone_keeps_name_prefix_and_property() -> None:
    """The usual small site: its running instances are known again by their prefix."""
    text = MAIN.replace(",MON:monash-01", "").replace("2+1:MON", "3")
    _, found = imported(text, "")
    (only,) = found.pools
    assert (only.pool.name, only.pool.prefix, only.pool.least, only.pool.most) == ("default", "pbsdynwn-", 3, 7)
    assert only.pool.reservation == Reservation(property="PRODUCTION")


def test_what_has_no_place_is_told() -> None:
    """In comments on top."""
    text, _ = imported()
    comments = [line for line in text.split("\n") if line.startswith("#")]
    for part in ("cloud_private_key_location", "persistent_file_location", "[unfinished]", "look at `quantity: max`"):
        assert any(part in line for line in comments)
    text, _ = imported(MAIN + "[torque2]\nodd: 1\n", "")
    assert "[torque2] odd: is not known" in text
    assert "give that file, too" in text
    assert "secret" not in "\n".join(comments)


def test_passive_mode_and_queue_reservations() -> None:
    """Both were there."""
    text = MAIN.replace("job_mode: active", "job_mode: passive")
    _, found = imported(text, TENANTS.replace("reservation_type: account", "reservation_type: queue"))
    assert found.engine.passive
    assert found.pools[-1].pool.reservation.queue == "bio"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[x]\na: 1\n", "is no dynamic_torque.conf"),
        ("rubbish", "is no `key: value`"),
        (MAIN.replace("max_idle_time: 300", "max_idle_time: soon"), '"soon" is not a whole number'),
        (MAIN.replace("2+1:MON", "two"), "static_worker_nodes"),
    ],
)
def test_what_is_no_such_file_is_told(text: str, part: str) -> None:
    """By name of the place."""
    with pytest.raises(ConfigError, match=part):
        import_torque(text, "dynamic_torque.conf")


def test_a_file_without_a_cloud_has_no_pool() -> None:
    """None is invented, and no password is spoken of where there is none."""
    text = import_torque("[torque]\ntorque_queue_to_monitor: short\n", "torque.conf")
    assert "cloud" not in yaml.safe_load(text)
    assert "password" not in text
    assert "[cloud]: is not there" in text
