"""Pilots: names by which they are known again, job scripts, and the cloud that a batch system is."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface.verify import verifyObject

from asyncluster.config.explain import loads
from asyncluster.errors import CloudError, ConfigError, NoAnswerError, QuotaError, SubmissionError
from asyncluster.interfaces import ICloud
from asyncluster.model.batch import BatchJob, BatchState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order
from asyncluster.model.supply_options import BatchUnit
from asyncluster.supply import leftovers
from asyncluster.supply.batch import BatchCloud
from asyncluster.supply.naming import job_name, read_job_name, tags
from asyncluster.supply.node_conf import Account
from asyncluster.supply.pilot_template import TEMPLATE
from asyncluster.supply.script import Pilot, directives, pilot_conf, script
from asyncluster.testing.pilots import FakeQueue

UNIT = BatchUnit(
    "slurm",
    queue="long",
    account="proj",
    cores=8,
    memory=(16 << 30) + 1,
    gpus=2,
    walltime=90061.0,
    environment="smp",
    directives=("--exclusive",),
    setup=("module load python",),
    interpreter="/opt/my venv/bin/python",
    masters=("head.ib", "10.0.0.1"),
)
PILOT = Pilot("night-1", "night-1.abcd012345", "night", UNIT, "/home/s/night.conf", "/home/s/night-1.log", 90061.0)
ORDER = Order("night-1", "one-salt-night-1", "night", 1800.0, 3600.0)
ACCOUNT = Account("node", "node-secret-word", "server-secret-word", 9080)


def of(system: str, **more: Any) -> Pilot:
    return attrs.evolve(PILOT, unit=attrs.evolve(UNIT, system=system, **more))


def run(deferred: Deferred[Any]) -> Any:
    """The answer of what has one already; raises its error."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


# Names


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True), st.text(), st.text())
def test_names_of_jobs_are_read_back(node: str, realm: str, token: str) -> None:
    """And tell the realm and the order from others."""
    order = Order(node, token, "p", 1.0)
    name = job_name(order, realm)
    assert read_job_name(str(name)) == name
    assert name.node == node
    other = job_name(attrs.evolve(order, token=token + "x"), realm + "x")
    assert (other.token, other.realm) != (name.token, name.realm)  # marks are short: one alone may be the same


@pytest.mark.parametrize("name", ["", "-a", "1a", "a b", "a;b", "a/b", "a.b", "ä", "a" * 64, "a-", "a\n"])
def test_what_cannot_be_a_nodes_name_is_refused(name: str) -> None:
    """It would get into commands and host names."""
    with pytest.raises(CloudError, match="instance_name_prefix"):
        job_name(Order(name, "t", "p", 1.0), "r")


@pytest.mark.parametrize(
    "text", ["", "night-1", "night-1.abcd", "night-1.ABCD012345", "x.night-1.abcd012345", "my job"]
)
def test_names_of_others_are_not_taken_for_ours(text: str) -> None:
    """A job that a person called so."""
    assert read_job_name(text) is None


def test_tags_for_clouds_that_have_them() -> None:
    """All that is needed to know an instance again, and when anybody may end it."""
    assert tags(ORDER, "one", 12.6) == {
        "asyncluster-name": "night-1",
        "asyncluster-pool": "night",
        "asyncluster-realm": "one",
        "asyncluster-token": "one-salt-night-1",
        "asyncluster-expires": "13",
    }


# Scripts


def test_what_each_batch_system_is_asked_for() -> None:
    """The administrator's own lines come last."""
    assert directives(of("slurm")) == [
        *("--job-name=night-1.abcd012345", "--nodes=1", "--ntasks=1", "--cpus-per-task=8", "--no-requeue"),
        *("--partition=long", "--account=proj", "--mem=16385M", "--gres=gpu:2", "--time=25:01:01"),
        *("--output=/home/s/night-1.log", "--open-mode=append", "--export=HOME,USER,LOGNAME,SHELL,PATH,LANG"),
        "--exclusive",
    ]
    assert directives(of("sge")) == [
        *("-N night-1.abcd012345", "-S /bin/sh", "-r n", "-notify", "-j y", "-o /home/s/night-1.log"),
        *("-q long", "-P proj", "-pe smp 8", "-l h_vmem=2049M", "-l gpu=2", "-l h_rt=25:01:01", "--exclusive"),
    ]
    plain = directives(of("sge", memory_resource="mem_free", gpu_resource="none"))
    assert [line for line in plain if line.startswith("-l")] == ["-l mem_free=2049M", "-l h_rt=25:01:01"]
    assert directives(of("torque")) == [
        *("-N night-1.abcd012345", "-S /bin/sh", "-r n", "-j oe", "-o /home/s/night-1.log", "-l nodes=1:ppn=8:gpus=2"),
        *("-q long", "-A proj", "-l mem=16385mb", "-l walltime=25:01:01", "--exclusive"),
    ]


def test_what_is_not_said_is_not_asked_for() -> None:
    """The batch system's own defaults hold."""
    bare = attrs.evolve(PILOT, unit=BatchUnit("slurm"))
    assert not any(
        line.startswith(("--partition", "--account", "--mem", "--gres", "--time")) for line in directives(bare)
    )
    bare = attrs.evolve(PILOT, unit=BatchUnit("torque"))
    assert [line for line in directives(bare) if line.startswith("-l")] == ["-l nodes=1:ppn=1"]


@pytest.mark.parametrize("system", ["slurm", "sge", "torque"])
def test_the_script_is_a_shells(system: str) -> None:
    """Directives right under the first line, where all three look; values are quoted; no password is in it."""
    text = script(of(system))
    prefix = {"slurm": "#SBATCH", "sge": "#$", "torque": "#PBS"}[system]
    lines = text.split("\n")
    assert lines[0] == "#!/bin/sh"
    asked = directives(of(system))
    assert lines[1 : 1 + len(asked)] == [f"{prefix} {line}" for line in asked]
    assert "'/opt/my venv/bin/python' -m asyncluster.node --config /home/s/night.conf &" in lines
    assert "module load python" in lines
    assert "ASYNCLUSTER_NODE_LIFETIME=90061" in lines
    assert subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert "secret" not in text


def test_templates_of_administrators() -> None:
    """All that ours uses is there; what is not there is an error that names the setting."""
    own = (
        "#!/bin/bash\n{{ prefix }} {{ directives[0] }}\n# {{ unit.cores }} {{ unit.queue }}\n{{ interpreter|quote }}\n"
    )
    assert script(PILOT, own).endswith("# 8 long\n'/opt/my venv/bin/python'\n")
    for wrong in ("{{ quue }}", "{{ unit.quue }}", "{% if %}", "{{ name | qoute }}"):
        with pytest.raises(ConfigError, match=r"\[cloud\] night\.config\.template"):
            script(PILOT, "a\n" + wrong)


@given(st.text(max_size=30))
def test_no_value_gets_out_of_its_quotes(text: str) -> None:
    """Whatever an interpreter or a file is called."""
    if "\0" in text:
        return
    pilot = attrs.evolve(PILOT, unit=attrs.evolve(UNIT, interpreter=text, setup=()), name="n")
    command = script(pilot).split("XCPU\n", 1)[1].split(" &\nnode=$!")[0]
    assert shlex.split(command) == [text, "-m", "asyncluster.node", "--config", "/home/s/night.conf"]


@pytest.mark.parametrize("path", ["/a b/x.log", "/a%j/x.log", "/a$HOME/x.log"])
def test_paths_that_batch_systems_would_read_are_refused(path: str) -> None:
    """Slurm fills in what follows a %."""
    with pytest.raises(ConfigError, match="name another folder"):
        script(attrs.evolve(PILOT, log=path))


def test_the_configuration_of_pilots_loads() -> None:
    """And says what the unit says."""
    found = loads(pilot_conf(attrs.evolve(UNIT, features=("big",)), ACCOUNT, 600.0), "pilot.conf", "node").client
    assert found.host == (("head.ib", 0), ("10.0.0.1", 0))
    assert (found.slots, found.features) == (8, ("big",))
    assert (found.retry_every, found.give_up_after, found.lease) == (10.0, 1800.0, 600.0)
    assert (found.user, found.password.reveal()) == ("node", "node-secret-word")
    assert "secret" not in repr(ACCOUNT)


# The cloud


@pytest.fixture
def queue() -> FakeQueue:
    """An empty one."""
    return FakeQueue()


@pytest.fixture
def cloud(queue: FakeQueue, tmp_path: Path) -> BatchCloud:
    """A pool of pilots in it."""
    return make(queue, tmp_path)


def make(queue: FakeQueue, folder: Path, realm: str = "one", prefix: str = "night-") -> BatchCloud:
    return BatchCloud(
        pool="night",
        prefix=prefix,
        unit=UNIT,
        queue=queue,
        realm=realm,
        has=Flavor(8),
        folder=folder / "pilots",
        conf_text=lambda lease: pilot_conf(UNIT, ACCOUNT, lease),
        seconds=lambda: 5.0,
        in_thread=maybeDeferred,
    )


def listed(cloud: BatchCloud) -> tuple[Instance, ...]:
    listing: Listing = run(cloud.list())
    assert (listing.pool, listing.seen) == ("night", 5.0)
    return listing.instances


def test_it_is_a_cloud(cloud: BatchCloud) -> None:
    """As the engine expects one."""
    assert verifyObject(ICloud, cloud)
    assert run(cloud.flavor()) == Flavor(8)


def test_a_pilots_life(cloud: BatchCloud, queue: FakeQueue) -> None:
    """Queued, running, ending, gone."""
    born = run(cloud.launch(ORDER))
    assert (born.id, born.name, born.state, born.token) == ("1", "night-1", InstanceState.PENDING, ORDER.token)
    queue.state("1", BatchState.RUNNING, "node17")
    (found,) = listed(cloud)
    assert (found.id, found.name, found.state, found.address) == ("1", "night-1", InstanceState.ACTIVE, "node17")
    assert (found.ours, found.owner) == (True, "one")
    queue.state("1", BatchState.BROKEN, reason="launch failed")
    assert (listed(cloud)[0].state, listed(cloud)[0].said) == (InstanceState.ERROR, "broken: launch failed")
    run(cloud.destroy(found))
    assert queue.cancelled == ["1"]
    assert [each.state for each in listed(cloud)] == [InstanceState.GONE]
    run(cloud.destroy(found))


def test_the_configuration_is_written_for_its_owner_only(cloud: BatchCloud, queue: FakeQueue) -> None:
    """Once, again when it changed or was removed; not where the compute nodes have one."""
    run(cloud.launch(ORDER))
    conf = Path(cloud.config_file)
    assert conf.stat().st_mode & 0o777 == 0o600
    assert conf.parent.stat().st_mode & 0o777 == 0o700
    assert "lease = 1800s" in conf.read_text()
    assert f"--config {conf}" in queue.scripts["1"]
    conf.unlink()
    run(cloud.launch(attrs.evolve(ORDER, name="night-2", token="2", lease=60.0)))
    assert "lease = 60s" in conf.read_text()
    conf.unlink()
    there = attrs.evolve(cloud, unit=attrs.evolve(UNIT, config_file="/etc/asyncluster.conf"))
    run(there.launch(attrs.evolve(ORDER, name="night-3", token="3")))
    assert not conf.exists()
    assert "--config /etc/asyncluster.conf" in queue.scripts["3"]


def test_the_same_order_twice_is_one_pilot(cloud: BatchCloud, queue: FakeQueue, tmp_path: Path) -> None:
    """Also when the answer to the first was lost, and when another process asks again."""
    queue.deaf = True
    with pytest.raises(NoAnswerError):
        run(cloud.launch(ORDER))
    queue.deaf = False
    assert run(cloud.launch(ORDER)).id == "1"
    assert run(make(queue, tmp_path).launch(ORDER)).id == "1"
    assert len(queue.scripts) == 1
    assert run(cloud.launch(attrs.evolve(ORDER, token="another"))).id == "2"
    queue.state("1", BatchState.ENDING)
    assert run(cloud.launch(ORDER)).id == "3"


def test_two_calls_at_a_time_are_one_pilot(queue: FakeQueue, tmp_path: Path) -> None:
    """The second waits for the first, and both are told."""
    waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def later(function: Callable[..., Any], *args: object) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        waiting.append((deferred, lambda: function(*args)))
        return deferred

    cloud = attrs.evolve(make(queue, tmp_path), in_thread=later)
    first, second = cloud.launch(ORDER), cloud.launch(ORDER)
    while waiting:
        deferred, function = waiting.pop()
        deferred.callback(function())
    assert run(first) == run(second)
    assert len(queue.scripts) == 1
    queue.refuse = "no"
    both = [cloud.launch(attrs.evolve(ORDER, token="x")) for _ in range(2)]
    for deferred, function in waiting:
        deferred.callback(function())
    for each in both:
        with pytest.raises(SubmissionError):
            run(each)


def test_jobs_of_others_are_told_apart(cloud: BatchCloud, queue: FakeQueue, tmp_path: Path) -> None:
    """Of another realm, of a person who called one so, of a pool whose name begins like ours."""
    other = make(queue, tmp_path, realm="two")
    run(other.launch(ORDER))
    queue.jobs["p"] = BatchJob("p", BatchState.RUNNING, name="night-shift", owner="jane")
    run(make(queue, tmp_path, prefix="night-gpu-").launch(attrs.evolve(ORDER, name="night-gpu-1")))
    run(cloud.launch(ORDER))
    found = {instance.id: (instance.ours, instance.owner) for instance in listed(cloud)}
    assert found["p"] == (False, "jane")
    assert found["1"][0] is False
    assert [key for key, (ours, _) in found.items() if ours] == ["3"]
    assert [instance.ours for instance in listed(other)] == [True, False, False]


def test_a_pilot_that_has_ended_is_told_to_be_gone(cloud: BatchCloud, queue: FakeQueue) -> None:
    """At once, so that another may take its place; not because of one listing that leaves it out."""
    run(cloud.launch(ORDER))
    hidden = queue.jobs.pop("1")
    queue.after_listing = lambda: queue.jobs.update({"1": hidden})  # it is there when asked again
    assert [instance.state for instance in listed(cloud)] == [InstanceState.PENDING]
    queue.after_listing = lambda: None
    queue.end("1")
    assert [(each.id, each.name, each.state) for each in listed(cloud)] == [("1", "night-1", InstanceState.GONE)]
    assert [each.state for each in listed(cloud)] == [InstanceState.GONE]
    queue.jobs["1"] = hidden  # and it was not
    assert [each.state for each in listed(cloud)] == [InstanceState.PENDING]
    assert listed(make(queue, cloud.folder.parent, realm="two"))[0].ours is False
    queue.end("1")
    assert listed(make(queue, cloud.folder.parent)) == ()  # another master has never known it


def test_files_of_failures_are_kept_for_a_while(cloud: BatchCloud, queue: FakeQueue) -> None:
    """The newest few; those of pilots that live, of other masters and of other things are left alone."""
    cloud.folder.mkdir()
    old = [cloud.folder / f"{job_name(attrs.evolve(ORDER, name=f'night-{n}'), 'one')}.log" for n in range(2, 20)]
    for age, path in enumerate(old):
        path.write_text("it went wrong")
        os.utime(path, (1e9 - age, 1e9 - age))
    others = [cloud.folder / name for name in ("notes.log", f"{job_name(ORDER, 'two')}.log", "night.conf")]
    run(cloud.launch(ORDER))
    mine = cloud.folder / f"{job_name(ORDER, 'one')}.log"
    for path in (*others, mine):
        path.write_text("")
        os.utime(path, (1e8, 1e8))
    listed(cloud)
    assert {path for path in old if path.exists()} == set(old[: leftovers.KEPT])
    assert all(path.exists() for path in (*others, mine))
    queue.end("1")
    listed(cloud)
    assert not mine.exists()


def test_a_log_is_kept_where_something_went_wrong(tmp_path: Path) -> None:
    """The script removes that of a node that ended well."""
    for code in (0, 3):
        log = tmp_path / f"{code}.log"
        log.write_text("what it wrote")
        node = tmp_path / f"node{code}"
        node.write_text(f"#!/bin/sh\nexit {code}\n")
        node.chmod(0o755)
        text = script(attrs.evolve(PILOT, log=str(log), unit=attrs.evolve(UNIT, interpreter=str(node), setup=())))
        done = subprocess.run(["/bin/sh"], input=text, text=True, check=False, env={"TMPDIR": str(tmp_path)})
        assert done.returncode == code
        assert log.exists() is (code != 0)


SAID = [
    ("slurm", "sbatch: error: invalid partition specified: nosuch", "queue"),
    ("slurm", "sbatch: error: Batch job submission failed: Invalid account or account/partition combination", "queue"),
    ("slurm", "sbatch: error: Batch job submission failed: Requested time limit is invalid", "walltime"),
    ("slurm", "sbatch: error: Memory specification can not be satisfied", "memory"),
    ("slurm", "sbatch: error: Batch job submission failed: Requested node configuration is not available", "cores"),
    ("slurm", "sbatch: unrecognized option '--bad'", "directives"),
    ("sge", 'Unable to run job: Job was rejected because job requests unknown queue "nosuch.q"', "queue"),
    ("sge", 'job rejected: the requested parallel environment "nosuch" does not exist', "environment"),
    ("sge", 'Unable to run job: unknown resource "gpu"', "gpu_resource"),
    ("sge", 'Unable to run job: unknown resource "mem_free"', "memory_resource"),
    ("torque", "qsub: submit error (Unknown queue MSG=requested queue not found)", "queue"),
    ("torque", "qsub: submit error (cannot locate feasible nodes (nodes file is empty))", "cores"),
    ("torque", "something that nobody has ever seen", "directives"),
]


@pytest.mark.parametrize(("system", "said", "setting"), SAID)
def test_a_refusal_tells_all_that_one_needs(
    cloud: BatchCloud, queue: FakeQueue, system: str, said: str, setting: str
) -> None:
    """Command, exit code, what it said, the setting to change, the script."""
    queue.refuse = said
    with pytest.raises(SubmissionError) as caught:
        run(cloud.launch(ORDER))
    text = str(caught.value)
    path = Path(caught.value.path)
    for part in ("submit", "ended with 1", said, f"[cloud] night.config.{setting}", f"The script is {path}"):
        assert part in text
    assert path.read_text() == caught.value.script
    assert "#SBATCH --job-name=night-1." in caught.value.script
    assert path.stat().st_mode & 0o077 == 0
    assert (caught.value.code, caught.value.setting, caught.value.stderr) == (1, setting, said)
    assert "secret" not in text


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "sbatch: error: AssocMaxSubmitJobLimit",
        "qsub: submit error (Maximum number of jobs already in queue for user MSG=...)",
        "Unable to run job: job rejected: Only 100 jobs are allowed per user",
    ],
)
def test_limits_of_the_site_are_quotas(cloud: BatchCloud, queue: FakeQueue, said: str) -> None:
    """Waiting or another pool helps, not another setting."""
    queue.refuse = said
    with pytest.raises(QuotaError, match="takes no more"):
        run(cloud.launch(ORDER))


def test_silence_is_no_empty_list(cloud: BatchCloud, queue: FakeQueue) -> None:
    """And a folder that cannot be written is told with the setting."""
    queue.silent = True
    for call in (cloud.list(), cloud.launch(ORDER)):
        with pytest.raises(NoAnswerError):
            run(call)
    queue.silent = False
    wrong = attrs.evolve(cloud, folder=Path("/proc/nowhere"))
    with pytest.raises(NoAnswerError, match=r"night\.config\.folder"):
        run(wrong.launch(ORDER))


def test_a_rehearsal_is_held(cloud: BatchCloud, queue: FakeQueue) -> None:
    """It never runs unless somebody releases it."""
    job = run(Deferred.fromCoroutine(cloud.rehearse(ORDER, cloud.text(ORDER))))
    assert queue.jobs[job].state is BatchState.HELD
    assert cloud.text(ORDER) == queue.scripts[job]
    assert TEMPLATE.startswith("#!/bin/sh\n")
