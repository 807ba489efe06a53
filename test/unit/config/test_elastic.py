"""asyncluster.yaml: Dynamic Cluster's file as it is, and every fault by its name, all at once."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.config import clouds_yaml
from asyncluster.config.cloud_conf import CUSTOM, POOLS, Custom, shape_of
from asyncluster.config.cluster_conf import CLUSTERS
from asyncluster.config.elastic_explain import examine, loads
from asyncluster.config.elastic_here import LIBRARIES, without_library
from asyncluster.config.elastic_load import find_elastic, load_elastic
from asyncluster.config.elastic_reference import blocks, reference, sample
from asyncluster.config.elastic_section import keys
from asyncluster.config.elastic_values import Elastic
from asyncluster.config.explain import ConfigFaultsError
from asyncluster.config.fields import Secret
from asyncluster.config.showing import shown_elastic
from asyncluster.errors import SecretExposedError
from asyncluster.model.elastic_options import CheckOptions, ClusterOptions, EngineOptions, HookOptions
from asyncluster.model.supply import Reservation
from asyncluster.model.supply_options import BatchUnit, CustomUnit, HostsUnit, LocalUnit

TOP = Path(__file__).parents[3]
ORIGINAL = (TOP / "test" / "data" / "dynamiccluster.yaml").read_text()
ACCOUNT = frozenset({"auth_url: 'http://a'", "username: a", "password: b", "project: c"})
BATCH = """
cloud:
  night:
    type: batch
    quantity: {min: 1, max: 20}
    price: 0.25
    config:
      system: sge
      queue: long.q
      account: 0123
      cores: 8
      environment: smp
      memory: 16 GiB
      walltime: 12:00:00
      max_nodes: 20
      max_processors_per_node: 8
      directives: ["-R y"]
      setup: [module load python]
      master: [head.ib, "head:9081", "[fd00::1]:9080"]
"""


def faults(text: str) -> list[str]:
    """What is said about a text, line by line."""
    with pytest.raises(ConfigFaultsError) as caught:
        loads(text, "x.yaml")
    return str(caught.value).split("\n")


def pool(body: str) -> str:
    """A file with one pool."""
    return "cloud:\n  one:\n" + "".join(f"    {line}\n" for line in body.strip().split("\n"))


def test_the_originals_file_means_what_its_documentation_says() -> None:
    """Every variable of Dynamic Cluster's deployment page, unchanged."""
    found = loads(ORIGINAL, "dynamiccluster.yaml")
    hooks = HookOptions(
        "/the/path/some.sh {0} {1} {2}",
        "/the/path/some.sh {0} {1} {2}",
        "/the/path/some.sh {0} {1}",
        "/the/path/some.sh {0} {1}",
    )
    assert found.engine == EngineOptions(workers=2, check=CheckOptions(port=15002), hooks=hooks)
    assert (found.cluster.kind, found.cluster.queues, found.cluster.shown) == ("torque", ("short", "long"), 30)
    assert found.cluster.commands["releaseres_command"].endswith("| awk '{{print $3}}' `")
    first, second = (each.pool for each in found.pools)
    assert (first.name, first.kind, first.least, first.most, first.priority) == ("os-res", "openstack", 1, 3, 1)
    assert (first.prefix, first.reservation) == ("dynamicwn-", Reservation(queue="long"))
    assert second.reservation == Reservation(account="0042")
    openstack, aws = (each.unit for each in found.pools)
    assert openstack.password.reveal() == "0123"  # type: ignore[union-attr]  # it is an OpenStack's
    assert aws.spot_bid == 0.02  # type: ignore[union-attr]  # it is an AWS's
    assert found.plugins[0].arguments == {"hostname": "localhost", "port": "2003", "prefix": "headnode.dynamiccluster"}
    assert (found.logging.level, found.logging.largest, found.admin_port) == (3, 2097152, 8001)
    assert found.warnings == ()


def test_the_defaults_are_the_documented_ones() -> None:
    """An empty file, or none, is the engine's own defaults; and a file with only the type has its commands."""
    assert loads("", "") == Elastic(
        engine=EngineOptions(), cluster=loads("", "").cluster, logging=loads("", "").logging
    )
    assert loads("dynamic-cluster:\n", "").engine == EngineOptions()
    assert (EngineOptions().max_idle, EngineOptions().max_down, EngineOptions().max_launch) == (600, 480, 1200)
    assert loads("cluster: {type: torque}", "").cluster.commands == loads(ORIGINAL, "").cluster.commands
    sge = loads("cluster: {type: sge}", "").cluster.commands
    assert sge["qconf_sp_command"] == (
        "/opt/sge/bin/lx-amd64/qconf -sp {0} | grep allocation_rule | awk '{{print $2}}'"
    )
    assert set(loads("cluster: {type: slurm}", "").cluster.commands) == {
        f"{name}_command" for name in ("squeue", "scontrol", "sbatch", "scancel")
    }
    assert loads("", "").cluster == ClusterOptions()


def test_a_pool_of_pilots() -> None:
    """The unit of one worker as SWAMP's administrators package it."""
    (found,) = loads(BATCH, "").pools
    assert (found.pool.least, found.pool.most, found.pool.lifetime) == (1, 20, 43200.0)
    assert (found.pool.flavor.cores, found.pool.flavor.memory, found.pool.flavor.price) == (8, 1 << 34, 0.25)
    assert found.pool.prefix == "night-"
    assert isinstance(found.unit, BatchUnit)
    assert (found.unit.system, found.unit.queue, found.unit.account) == ("sge", "long.q", "0123")
    assert (found.unit.directives, found.unit.setup) == (("-R y",), ("module load python",))
    assert found.unit.masters == ("head.ib", "head:9081", "[fd00::1]:9080")


def test_the_other_kinds_of_pool() -> None:
    """Local processes, machines by ssh, a class of the site's own; machines say themselves how many there are."""
    text = (
        "cloud:\n  a: {type: local, quantity: {max: 2}, config: {cores: 2}}\n"
        "  b: {type: hosts, config: {hosts: [desk1, root@desk2]}}\n"
        "  c: {type: 'site.clouds:Mine', quantity: {max: 1}, config: {cores: 2, arguments: {zone: a, api_key: b}}}\n"
    )
    units = [each.unit for each in loads(text, "").pools]
    assert units[:2] == [LocalUnit(cores=2), HostsUnit(hosts=("desk1", "root@desk2"))]
    assert units[2] == CustomUnit("site.clouds:Mine", {"zone": "a", "api_key": Secret("b")})
    assert "'b'" not in repr(units[2])
    assert [each.pool.most for each in loads(text, "").pools] == [2, 2, 1]


def test_all_faults_at_once_each_with_its_line() -> None:
    """Sections, keys, values and what must hold between them."""
    text = BATCH.replace("environment: smp", "queu: x").replace("max: 20}", "max: 30}")
    text += "dynamic-cluster:\n  max_idl_time: 5\n  max_down_time: soon\ncluter: 1\n"
    said = "\n".join(faults(text))
    for part in (
        "x.yaml:5: [cloud] night.quantity.max: is 30, and the site allows 20 ([cloud] night.config.max_nodes)",
        "[cloud] night.config.environment: is missing; SGE gives 8 cores",
        "x.yaml:12: [cloud] night.config.queu: there is no such key; did you mean `queue`?",
        "x.yaml:21: [dynamic-cluster] max_idl_time: there is no such key; did you mean `max_idle_time`?",
        'x.yaml:22: [dynamic-cluster] max_down_time: "soon" is not a duration',
        "x.yaml:23: [cluter]: there is no such section; did you mean `cluster`?",
    ):
        assert part in said
    assert len(faults(text)) == 6


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cluster: {type: slrum}", "did you mean slurm?"),
        ("cluster: {type: pbs}", "there are asyncluster, torque, sge, slurm"),
        ("dynamic-cluster: {post_add_node_command: /a}", "belongs in `cluster: config:`"),
        ("cluster: {type: sge, config: {pbsnodes_command: /a}}", "belongs in `cluster: config:` of type torque"),
        ("cluster: {config: {queue_to_monitor: ['a b']}}", "is not a name"),
        ("cluster: {config: {queue_to_monitor: [-x]}}", "is not a name"),
        ("cluster: {type: torque, config: {qstat_command: qstat -x}}", "full path"),
        ("cluster: {type: torque, config: {add_node_command: '/q {1}'}}", "the arguments here are {0}"),
        ("cluster: {type: torque, config: {add_node_command: '/q {x}'}}", "write {{ for a brace"),
        ("cluster: {type: slurm, config: {scontrol_command: '/usr/bin/scontrol; id'}}", "needs a shell"),
        ("cluster: {type: slurm, config: {squeue_command: '/usr/bin/squeue | grep x'}}", "needs a shell"),
        ("cluster: {type: torque, config: {qstat_command: '/usr/bin/qstat -x > /tmp/x'}}", "needs a shell"),
        ("dynamic-cluster: {post_vm_destroy_command: '/bin/nosuch {0} | tee x'}", "needs a shell"),
        ("dynamic-cluster: {post_vm_destroy_command: '/bin/echo `id`'}", "needs a shell"),
        ("dynamic-cluster: {post_vm_destroy_command: \"/bin/echo | awk '{{print $3}}'\"}", "needs a shell"),
        (BATCH.replace("system: sge", "system: slurm"), "slurm knows no parallel environments"),
        ("dynamic-cluster: {auto_mode: perhaps}", "neither True nor False"),
        ("dynamic-cluster: {worker_number: 0}", "whole number from 1 to 64"),
        ("dynamic-cluster: 5", "needs keys of its own"),
        ("dynamic-cluster: {max_idle_time: {a: 1}}", "is one value"),
        ("dynamic-cluster: {config-checker: {prot: {number: 1}}}", "did you mean `port`?"),
        (pool("type: openstack\nquantity: {max: 1}\nconfig: {flavor: a}"), "`openstack image list` shows"),
        (pool("type: openstack\nquantity: {max: 1}\nconfig: {image_uuid: a}"), "`openstack flavor list` shows"),
        (pool("type: openstack\nconfig: {username: a}"), "is missing beside username"),
        *(
            (
                pool(f"type: openstack\nquantity: {{max: 1}}\nconfig: {{{', '.join(sorted(ACCOUNT - {key}))}}}"),
                f"config.{key.partition(':')[0]}: is missing beside",
            )
            for key in sorted(ACCOUNT)
        ),
        (pool("type: openstack\nconfig: {username: a, application_credential_id: b}"), "leave one of them out"),
        (pool("type: openstack\nconfig: {application_credential_id: b}"), "missing beside application_credential_id"),
        (pool("type: openstack\nconfig: {networks: [none, a]}"), "has `none` beside others"),
        (pool("type: ec2"), "there are openstack, aws, local, batch, hosts, and package.module:Class"),
        (pool("quantity: {max: 1}"), "type: is missing"),
        (pool("type: local"), "say how many nodes this pool may ever have"),
        (pool("type: local\nquantity: {min: 3, max: 2}"), "is 3, above the maximum of 2"),
        (pool("type: local\nquantity: {max: 2}\nmax_nodes: 4"), "belongs in the `config:` of a pool of type batch"),
        (pool("type: batch\nquantity: {max: 2}\nconfig: {cores: 8, max_processors_per_node: 4}"), "site allows 4"),
        (pool("type: batch\nquantity: {max: 2}\nconfig: {walltime: 12:99:00}"), "is not a time"),
        (pool("type: batch\nquantity: {max: 2}\nconfig: {master: 'a b'}"), "is not a name"),
        (pool("type: batch\nquantity: {max: 2}\nconfig: {system: lsf}"), "is not one of slurm, sge, torque"),
        (pool("type: hosts"), "list the machines"),
        (pool("type: hosts\nconfig: {hosts: [a, b@a]}"), "names a twice"),
        (pool("type: hosts\nconfig: {hosts: [a], user: -x}"), "is not the name of a user"),
        (pool("type: hosts\nconfig: {hosts: [a], port: 99999}"), "65535"),
        (pool("type: hosts\nconfig: {hosts: [a], config_file: /c, master: [b]}"), "is not used beside config_file"),
        (pool("type: hosts\nquantity: {max: 3}\nconfig: {hosts: [a]}"), "there are 1 machines"),
        (
            "cloud:\n  a: {type: local, quantity: {max: 1}, config: {instance_name_prefix: w}}\n"
            "  b: {type: local, quantity: {max: 1}, config: {instance_name_prefix: w-}}\n",
            "is the same as that of a",
        ),
        (
            "cloud: {check: {type: local, quantity: {max: 1}}}",
            "is what the pilots of `asyncluster pool check` are called",
        ),
        ("cloud: {'a b': {type: local, quantity: {max: 1}}}", "is no name for a pool"),
        ("plugins: {mine: {arguments: {a: b}}}", "is missing; it names the class"),
        ("plugins: {graphite: {class_name: x.GraphiteReporter, arguments: {prot: 1}}}", "did you mean `port`?"),
        ("cluster: {type: sge}\ncluster: {type: torque}", "is given twice, first on line 1"),
        ("a:\n\tb: 1", "tab"),
        ("a: b: c", "second `: `"),
        ("a: *b", "put it in quotes"),
        ("a: 1\n---\nb: 2", "second document"),
        ("- a", "does not begin with a section"),
        ("dynamic-cluster: {max_idle_time: !!python/object:x 1}", "quote the value where"),
        ("a: &a [*a]", "contains itself"),
    ],
)
def test_each_fault_says_what_is_right(text: str, part: str) -> None:
    """A sentence for whoever wrote it."""
    assert any(part in line for line in faults(text)), faults(text)


def test_a_belongs_elsewhere_key_is_not_taken_for_a_misspelt_one() -> None:
    """An exact name wins over a near one."""
    (line,) = faults("dynamic-cluster: {post_remove_node_command: /a}")
    assert "did you mean" not in line


SECRET = "hunter-two-and-more"


@pytest.mark.parametrize(
    "text",
    [
        pool(f"type: openstack\nquantity: {{max: x}}\nconfig: {{password: {SECRET}}}"),
        pool(f"type: openstack\nconfig: {{password: {SECRET}, passwrod: {SECRET}}}"),
        pool(f"type: openstack\nconfig: {{password: [{SECRET}"),
        pool(f"type: openstack\nconfig: {{password: {{{SECRET}: 1}}}}"),
        f"password {SECRET}: 1",
        f"cloud: {{password {SECRET}: 1}}",
        f"password: *{SECRET}",
        f"password: !{SECRET} x",
        f"plugins: {{a: {{class_name: a.b, token: {SECRET}}}}}",
    ],
)
def test_no_message_shows_a_secret(text: str) -> None:
    """Neither faults nor tracebacks, whatever else is wrong; and such a text counts as secret."""
    with pytest.raises(ConfigFaultsError) as caught:
        loads(text, "x.yaml")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert examine(text, "x.yaml").secrets


def test_secrets_are_masked_wherever_they_are_shown(tmp_path: Path) -> None:
    """In the values' text, and in `config show`."""
    found = loads(ORIGINAL, "")
    assert "0123" not in repr(found.pools[0].unit)
    assert "not/a+secret" not in repr(found)
    check = "plugin: {name: a.Check, arguments: {password: let-me-in, word: tea}}"
    told = repr(loads(f"dynamic-cluster: {{config-checker: {{{check}}}}}", "").engine.check)
    assert "let-me-in" not in told
    assert "tea" in told
    path = tmp_path / "asyncluster.yaml"
    path.write_text(ORIGINAL)
    path.chmod(0o600)
    shown = shown_elastic(str(path))
    assert "not/a+secret" not in repr(shown)
    masked = [each.place for each in shown if each.value == "***"]
    assert masked == ["[cloud] os-res.config.password", "[cloud] aws-res.config.secret_access_key"]
    origins = {each.place: each.origin for each in shown}
    assert origins["[cloud] os-res.price"] == "default"
    assert origins["[cluster] type"] == f"{path}:22"


def test_unquoted_values_stay_what_was_written() -> None:
    """YAML's own ideas of numbers, times and dates do not get at names and passwords."""
    words = "password: 0123, project: 1_0, username: 2026-01-01, auth_url: 'http://a', image_uuid: 1e3, flavor: yes"
    text = pool(f"type: openstack\nquantity: {{max: 1}}\nconfig: {{{words}}}")
    unit = loads(text, "").pools[0].unit
    assert unit.password.reveal() == "0123"  # type: ignore[union-attr]  # it is an OpenStack's
    assert (unit.project, unit.username) == ("1_0", "2026-01-01")  # type: ignore[union-attr]  # likewise
    assert (unit.image_uuid, unit.flavor) == ("1e3", "yes")  # type: ignore[union-attr]  # likewise


def test_anchors_and_merges_work_as_in_any_yaml() -> None:
    """What several pools have in common may be written once; own keys win."""
    text = (
        "cloud:\n  a: &a\n    type: local\n    quantity: {max: 1}\n    priority: 3\n  b:\n    <<: *a\n    priority: 5\n"
    )
    assert [each.pool.priority for each in loads(text, "").pools] == [3, 5]


def test_a_file_that_others_can_read_is_refused_when_it_holds_secrets(tmp_path: Path) -> None:
    """With the chmod; without secrets anybody may read it."""
    path = tmp_path / "asyncluster.yaml"
    path.write_text(ORIGINAL)
    path.chmod(0o644)
    with pytest.raises(SecretExposedError, match=r"chmod 600"):
        load_elastic(str(path))
    path.chmod(0o600)
    assert len(load_elastic(str(path)).pools) == 2
    path.write_text("cluster: {type: slurm}\n")
    path.chmod(0o644)
    assert load_elastic(str(path)).cluster.kind == "slurm"
    with pytest.raises(ConfigFaultsError, match=r"etc/asyncluster\.yaml"):
        load_elastic(str(tmp_path / "none.yaml"))
    assert load_elastic(None) == Elastic()


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    """The named one, the environment's, the one beside asyncluster.conf."""
    conf = tmp_path / "asyncluster.conf"
    assert find_elastic(None, beside=str(conf), environment={}) is None
    (tmp_path / "asyncluster.yaml").touch()
    assert find_elastic(None, beside=str(conf), environment={}) == str(tmp_path / "asyncluster.yaml")
    assert find_elastic(None, beside=str(conf), environment={"ASYNCLUSTER_YAML": "/x"}) == "/x"
    assert find_elastic("/y", beside=str(conf), environment={"ASYNCLUSTER_YAML": "/x"}) == "/y"


def test_filters_that_are_not_applied_are_warned_of() -> None:
    """Those of the manual choose what the master chooses by itself, wherever its programs are."""
    usual = '{showres_command: "/opt/maui/showres -n | grep {0}", releaseres_command: %s}'
    inside = "/opt/releaseres `/opt/showres -n | grep User | grep {0} | grep {1} | awk '{{print $3}}'`"
    text = "cluster: {type: torque, config: %s}"
    assert not loads(text % (usual % f'"{inside}"'), "").warnings
    (warning,) = loads(text % '{showres_command: "/opt/showres -n | grep {0} | grep mine"}', "").warnings
    assert "[cluster] config.showres_command: `| grep {0} | grep mine` is not applied" in warning
    sge = """cluster: {type: sge, config: {qconf_sp_command: "/opt/qconf -sp {0} | grep rule | awk '{{print $2}}'"}}"""
    assert not loads(sge, "").warnings


def test_page_and_sample_are_up_to_date() -> None:
    """After a change, as `elastic_reference` says."""
    assert (TOP / "docs" / "elastic-configuration.md").read_text() == reference()
    assert (TOP / "etc" / "asyncluster.yaml").read_text() == sample()


def test_every_key_is_explained() -> None:
    """It has a sentence, and an example that loads where it gives one."""
    for block in blocks():
        for name, field in keys(block.model).items():
            assert (field.description or "").endswith("."), name
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            if extra["example"]:
                value = examine(f"x: {extra['example']}", "").faults
                assert [fault.section for fault in value] == ["x"], name  # it is YAML


def test_the_sample_as_it_is_means_the_defaults() -> None:
    """Nothing is set."""
    found = loads(sample(), "")
    assert found == loads("", "")


GIVEN = {
    "hosts": "[desk]",
    "image_id": "ami-0123",
    "instance_type": "m5.large",
    "image_uuid": "uuid-1",
    "flavor": "small",
}
"""What has to be given."""


def taken_in(cluster: str, kind: str) -> str:
    """The sample with everything uncommented, for one type of cluster and of pool."""
    lines, skipping = [], False
    for line in sample().split("\n"):
        titled = re.match(r"\s*# type: (\S+):\s", line)
        if titled:
            skipping = titled[1] not in (cluster, kind, "asyncluster")
        elif re.match(r"\S", line):
            skipping = False
        bare = re.sub(r"^(\s*)#(?=[\w-]+:)", r"\1", line)
        if bare.strip() == "config:" or not skipping:
            lines.append(bare)
    text = "\n".join(lines).replace("type: asyncluster", f"type: {cluster}").replace("type: batch", f"type: {kind}")
    text = text.replace("max: 0", "max: 5").replace("class_name:", "class_name: x.GraphiteReporter")
    for key, value in GIVEN.items():
        text = text.replace(f" {key}:\n", f" {key}: {value}\n")
    return text


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("kind", [*POOLS, CUSTOM])
def test_the_sample_has_every_key_with_its_default(cluster: str, kind: str) -> None:
    """With all of it taken in it means the same as with nothing but the types."""
    most = 1 if kind == "hosts" else 5
    text = taken_in(cluster, kind).replace("max: 5", f"max: {most}")
    found = loads(text, "")
    given = ", ".join(f"{key}: {value}" for key, value in GIVEN.items() if key in keys(shape_of(kind) or Custom))
    more = f"config: {{{given}}}" if given else ""
    plain = loads(
        f"cluster: {{type: {cluster}}}\ncloud:\n  NAME:\n    type: {kind}\n    quantity: {{max: {most}}}\n    {more}\n"
        "plugins: {NAME: {class_name: x.GraphiteReporter}}\n",
        "",
    )
    assert found == plain
    for name in (*keys(CLUSTERS[cluster]), *keys(shape_of(kind) or Custom)):
        assert re.search(rf"^ +{name}:", text, re.MULTILINE), name


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.sampled_from("ab:-{}[]&*!|>'\"%@`#,?\n\t cloudtype12\0\x85"), max_size=80))
def test_any_text_gives_values_or_faults(text: str) -> None:
    """Never another error."""
    findings = examine(text, "x.yaml")
    assert (findings.elastic is None) == bool(findings.faults)


def test_the_shape_is_frozen() -> None:
    """Nobody changes the configuration of another part."""
    with pytest.raises(AttributeError):
        loads("", "").engine.max_idle = 5  # type: ignore[misc]  # that is the test


def test_paths_below_home_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file is read; a text alone knows no home."""
    monkeypatch.setenv("HOME", "/home/anna")
    path = tmp_path / "asyncluster.yaml"
    path.write_text(pool("type: batch\nquantity: {max: 1}\nconfig: {folder: ~/pilots, template: /etc/pilot.sh}"))
    unit = load_elastic(str(path)).pools[0].unit
    assert isinstance(unit, BatchUnit)
    assert (unit.folder, unit.template, unit.config_file) == ("/home/anna/pilots", "/etc/pilot.sh", "")


def test_what_is_not_on_this_machine_is_a_warning(tmp_path: Path) -> None:
    """Programs, files and modules that the file names, and times that leave nothing to work in; each by its place."""
    path = tmp_path / "asyncluster.yaml"
    path.write_text("""
dynamic-cluster:
  lease: 1s
  post_vm_destroy_command: /bin/nosuch {0}
  config-checker: {plugin: {name: no_such_package.Checker}}
cluster: {type: slurm, config: {scontrol_command: /no/such/scontrol}}
cloud:
  here: {type: local, quantity: {max: 1}, config: {cores: 1, interpreter: /no/such/python}}
  night: {type: batch, quantity: {max: 1}, config: {walltime: 10s, template: /no/such/template, list_command: /no/ls}}
  desks: {type: hosts, config: {hosts: [a], key: /no/such/key, known_hosts: /no/such/hosts}}
  own: {type: "no_such_package:Cloud", quantity: {max: 1}, config: {userdata_file: /no/such/userdata}}
""")
    told = "\n".join(load_elastic(str(path)).warnings)
    for place in (
        *("[dynamic-cluster] lease", "[dynamic-cluster] post_vm_destroy_command: /bin/nosuch"),
        *("config-checker.plugin.name", "[cluster] config.scontrol_command: /no/such/scontrol"),
        *("here.config.interpreter: /no/such/python", "night.config.walltime", "night.config.template: /no/such"),
        *("night.config.list_command: /no/ls", "desks.config.key: /no/such/key", "desks.config.known_hosts"),
        *("own.type: there is no module no_such_package",),
    ):
        assert place in told, (place, told)


def test_what_is_here_is_no_warning(tmp_path: Path) -> None:
    """Nor is what the file leaves as it is, and what a class of Dynamic Cluster's was."""
    path, template = tmp_path / "asyncluster.yaml", tmp_path / "pilot.sh"
    template.write_text("#!/bin/sh\n")
    path.write_text(f"""
dynamic-cluster:
  post_vm_destroy_command: /bin/sh {{0}}
  config-checker: {{plugin: {{name: dynamiccluster.salt.SaltChecker}}}}
cluster: {{type: torque}}
cloud:
  night: {{type: batch, quantity: {{max: 1}}, config: {{walltime: 2h, template: {template}}}}}
  own: {{type: "asyncluster.supply.local:LocalCloud", quantity: {{max: 1}}}}
""")
    assert load_elastic(str(path)).warnings == ()


def test_a_library_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it; no warning, as a master does not start without."""
    path = tmp_path / "asyncluster.yaml"
    path.write_text(pool("type: aws\nquantity: {max: 1}\nconfig: {image_id: ami-1, instance_type: m5.large}"))
    monkeypatch.setitem(LIBRARIES, "aws", ("no_such_module", "no_such_library"))
    elastic = load_elastic(str(path))
    assert elastic.warnings == ()
    told = without_library(elastic.pools[0])
    assert "type: aws needs no_such_library" in told
    assert "asyncluster[aws]" in told


def test_who_we_are_in_openstack_may_be_said_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In clouds.yaml, or in the environment; where neither is here, that is a warning."""
    monkeypatch.setattr(clouds_yaml, "FOLDERS", (str(tmp_path / "config"),))
    for name in ("OS_CLIENT_CONFIG_FILE", "OS_AUTH_URL", "OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)

    def told(config: str) -> str:
        path = tmp_path / "asyncluster.yaml"
        path.write_text(pool(f"type: openstack\nquantity: {{max: 1}}\nconfig: {{image_uuid: a, flavor: b{config}}}"))
        path.chmod(0o600)
        return "".join(load_elastic(str(path)).warnings)

    assert "[cloud] one.config: nothing says who we are" in told("")
    assert "nothing says who we are" in told(", application_credential_id: x, application_credential_secret: y")
    assert told(", auth_url: 'http://k', application_credential_id: x, application_credential_secret: y") == ""
    assert told(", auth_url: 'http://k', username: u, password: p, project: q") == ""
    assert "one.config.cloud: there is no clouds.yaml" in told(", cloud: site")
    monkeypatch.setenv("OS_AUTH_URL", "http://k")
    assert told("") == ""
    monkeypatch.delenv("OS_AUTH_URL")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "clouds.yaml").write_text("clouds: {night: {}, day: {}}")
    assert told("") == ""
    assert told(", cloud: night") == ""
    assert "clouds.yaml has no entry site; it has night, day" in told(", cloud: site")
