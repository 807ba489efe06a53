"""The engine's options and scheduler are what asyncluster.yaml says."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from asyncluster.config.elastic_explain import loads
from asyncluster.config.elastic_values import PoolSettings
from asyncluster.errors import ConfigError
from asyncluster.master.batch_systems import make_scheduler
from asyncluster.master.growth import engine_options, patient, pool_for_engine, threads_for
from asyncluster.model.supply import Flavor, Pool, Reservation
from asyncluster.model.supply_options import LocalUnit
from asyncluster.schedulers.sge.adapter import GridEngine
from asyncluster.schedulers.slurm.adapter import Slurm

POOL = "cloud: {p: {type: local, quantity: {max: 1}, reservation: {account: a}}}\n"


def test_commands_are_those_of_the_file() -> None:
    """The others are the documented defaults, which are full paths."""
    text = "cluster: {type: slurm, config: {squeue_command: /opt/slurm/squeue, command_time_limit: 7}}\n"
    slurm = make_scheduler(None, loads(text, ""))
    assert isinstance(slurm, Slurm)
    assert slurm.commands.squeue.argv() == ("/opt/slurm/squeue",)
    assert slurm.commands.scontrol.argv() == ("/usr/bin/scontrol",)
    assert slurm.runner.limit == 7.0


def test_grid_engine_is_asked_for_accounts_where_a_pool_needs_them() -> None:
    """It costs a second listing; a script in front of qstat stays in front."""
    text = "cluster: {type: sge, config: {qstat_command: /usr/local/bin/sge qstat -xml -r}}\n"
    plain, wise = make_scheduler(None, loads(text, "")), make_scheduler(None, loads(text + POOL, ""))
    assert isinstance(plain, GridEngine)
    assert isinstance(wise, GridEngine)
    assert (plain.with_accounts, wise.with_accounts) == (False, True)
    assert wise.commands.details() == ("/usr/local/bin/sge", "qstat", "-xml", "-j", "*")
    assert all(word.startswith("/") for word in (wise.commands.add_host.words[0], wise.commands.reschedule.words[0]))


def test_slurm_knows_accounts_in_small_letters_only() -> None:
    """A pool that is kept for projA serves its jobs, which squeue shows as those of proja."""
    settings = PoolSettings(Pool("p", "local", Flavor(1), Reservation(account="projA", queue="Late")), LocalUnit())
    assert pool_for_engine(settings, "slurm").reservation == Reservation(account="proja", queue="Late")
    assert pool_for_engine(settings, "sge").reservation == settings.pool.reservation
    assert pool_for_engine(settings, "sge").bears == ("@projA",)  # the group of hosts that its jobs ask for


def test_a_command_that_needs_a_shell_is_refused() -> None:
    """With the section and the reason."""
    text = "cluster: {type: slurm, config: {squeue_command: /bin/squeue; /bin/true}}\n"
    with pytest.raises(ConfigError, match="needs a shell"):
        make_scheduler(None, loads(text, ""))


def test_answers_grow_old_by_the_intervals_of_the_file() -> None:
    """A site that asks every two minutes is not silent in between; one that asks every second notices at once."""
    text = (
        "dynamic-cluster: {cluster_poller_interval: 120, cloud_poller_interval: 1, passive_mode: True}\n"
        "cluster: {type: slurm, config: {command_time_limit: 5, queue_to_monitor: [a, b]}}\n"
    )
    elastic = loads(text, "")
    options = engine_options(elastic.engine, elastic.cluster, "realm")
    assert (options.max_snapshot_age, options.max_listing_age) == (365.0, 8.0)
    assert (options.passive_mode, options.queues) == (True, ("a", "b"))


@pytest.mark.parametrize(("interval", "pause"), [("0.5s", 0.5), ("10", 10.0), ("120", 10.0)])
def test_a_late_node_is_looked_at_as_often_as_the_cluster_is_asked(interval: str, pause: float) -> None:
    """And every ten seconds where that is asked less often."""
    text = f"dynamic-cluster: {{cluster_poller_interval: {interval}}}\ncluster: {{type: sge}}\n"
    elastic = loads(text, "")
    assert engine_options(elastic.engine, elastic.cluster, "realm").check_pause == pause


def test_a_cloud_may_take_as_long_as_its_pool_says() -> None:
    """Whoever waits for it waits as long; a short limit takes nobody's patience away."""
    unit = "type: openstack, quantity: {max: 1}, config: {time_limit: %d, cloud: c, image_uuid: i, flavor: f}"
    text = "cloud: {p: {%s}, q: {type: local, quantity: {max: 1}}}"
    slow, quick = (loads(text % (unit % limit), "") for limit in (300, 5))
    given = engine_options(slow.engine, slow.cluster, "realm")
    options = patient(given, slow.pools)
    assert options.action_limit == 1200.0
    assert options.max_listing_age == given.max_listing_age + 1200.0 - given.action_limit
    assert patient(given, quick.pools) == patient(given, ()) == given
    assert [threads_for(Clock(), found.pools[0]).limit for found in (slow, quick)] == [600.0, 60.0]


def test_pools_bear_the_words_that_they_are_kept_by() -> None:
    """In Torque a queue's jobs ask for its property by themselves, and a pool kept for the queue has it."""
    text = "cloud: {p: {type: local, quantity: {max: 2}, reservation: {queue: late, account: a}}}"
    (settings,) = loads(text, "").pools
    assert pool_for_engine(settings, "torque").bears == ("late", "a")
    assert pool_for_engine(settings, "sge").bears == ("@a",)
    assert pool_for_engine(settings, "slurm").bears == ()
