"""`asyncluster config`: what is wrong with both files, what holds and from where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import config as config_verbs
from asyncluster.cli.main import main
from asyncluster.config.elastic_explain import loads
from asyncluster.personal.paths import below
from asyncluster.supply.pilot_template import TEMPLATE

DATA = Path(__file__).parents[2] / "data"
GOOD = "[common]\nserver password = master-secret\n[client]\nhost = a, b:81\nuser = node\npassword = node-secret\n"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own folders are empty ones; which libraries are installed here is for one test to say."""
    monkeypatch.setattr("asyncluster.config.elastic_here.LIBRARIES", {})
    monkeypatch.setattr(config_verbs, "own_places", lambda: below(tmp_path / "own"))
    for name in ("ASYNCLUSTER_CONF", "ASYNCLUSTER_YAML"):
        monkeypatch.delenv(name, raising=False)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, words)])


def written(folder: Path, conf: str = GOOD, yaml: str = "") -> Path:
    """The configuration file, with the other beside it."""
    path = folder / "asyncluster.conf"
    for name, text in ((path, conf), (folder / "asyncluster.yaml", yaml)):
        name.write_text(text)
        name.chmod(0o600)
    return path


def test_both_files_are_checked(tmp_path: Path) -> None:
    """The YAML is the one beside the other; all that is wrong with either is told."""
    path = written(tmp_path)
    found = call("check", "--config", path)
    assert (found.exit_code, found.output.count("good for a master")) == (0, 2)
    written(tmp_path, GOOD.replace("node-secret", ""), "cluster: {type: slrum}\n")
    found = call("check", "--config", path)
    assert found.exit_code == 1
    assert "[client] password: is missing" in found.output
    assert "asyncluster.yaml:1: [cluster] type: there is no such type; did you mean slurm?" in found.output
    told = json.loads(call("check", "--config", path, "--json").output)
    assert (told["good"], len(told["faults"])) == ([], 2)
    assert call("check", "--config", path, "--for", "client").exit_code == 0


def test_the_yaml_alone(tmp_path: Path) -> None:
    """Where only that is named."""
    userdata = tmp_path / "userdata.sh"
    userdata.write_text("#!/bin/sh\n")
    text = (DATA / "dynamiccluster.yaml").read_text()
    written(tmp_path, yaml=text.replace("/etc/dynamiccluster/userdata_salt.sh", str(userdata)))
    found = call("check", "--yaml", tmp_path / "asyncluster.yaml")
    assert found.exit_code == 0
    (tmp_path / "asyncluster.yaml").chmod(0o644)
    assert "chmod 600" in call("check", "--yaml", tmp_path / "asyncluster.yaml").output


def test_user_data_are_rendered(tmp_path: Path) -> None:
    """A variable that there is not is a fault, with file and line; examples are good, for nodes of each kind."""
    template = tmp_path / "node.sh"
    text = (
        "cluster: {{type: {}}}\n"
        "cloud: {{burst: {{type: aws, quantity: {{max: 1}}, price: 1, "
        "config: {{image_id: a, instance_type: b, userdata_file: {}}}}}}}\n"
    )
    written(tmp_path, yaml=text.format("asyncluster", template))
    template.write_text("#!/bin/sh\necho {{ name }}\necho {{ master }}\n")
    found = call("check", "--yaml", tmp_path / "asyncluster.yaml")
    assert found.exit_code == 1
    assert f"[cloud] burst.config.userdata_file: {template}, line 3: 'master' is undefined" in found.output
    template.write_bytes(b"\xff")
    told = json.loads(call("check", "--yaml", tmp_path / "asyncluster.yaml", "--json").output)
    assert "cannot be read: it is not UTF-8" in told["faults"][0]
    examples = Path(__file__).parents[3] / "etc" / "userdata"
    for cluster, name in (("asyncluster", "node.sh"), ("slurm", "slurm-node.sh"), ("sge", "sge-node.sh")):
        written(tmp_path, yaml=text.format(cluster, examples / name))
        found = call("check", "--yaml", tmp_path / "asyncluster.yaml")
        assert found.exit_code == 0, found.output


def test_user_data_that_are_not_here(tmp_path: Path) -> None:
    """No master would start, so it is a fault, told once, and the file is not called good; the other one is."""
    aws = "{type: aws, quantity: {max: 1}, config: {image_id: a, instance_type: b, userdata_file: /no/such.sh}}"
    path = written(tmp_path, yaml=f"cloud: {{a: {aws}}}\n")
    found = call("check", "--config", path)
    assert found.exit_code == 1
    assert found.output.count("/no/such.sh") == 1
    assert "\n[cloud] a.config.userdata_file: /no/such.sh cannot be read" in found.output
    assert f"{path}: good for a master" in found.output
    assert "asyncluster.yaml: good" not in found.output
    written(tmp_path, yaml=f"cloud:\n  a: {aws}\n  b: {{type: asw}}\n")
    found = call("check", "--config", path)
    assert "warning: [cloud] a.config.userdata_file: /no/such.sh does not exist here" in found.output


def test_a_library_that_a_master_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a master does not start, so the file is not good for one."""
    monkeypatch.setattr("asyncluster.config.elastic_here.LIBRARIES", {"aws": ("no_such_module", "no_such_library")})
    path = written(
        tmp_path,
        yaml="cloud: {a: {type: aws, quantity: {max: 1}, price: 1, config: {image_id: a, instance_type: b}}}\n",
    )
    found = call("check", "--config", path)
    assert found.exit_code == 1
    assert "[cloud] a.type: aws needs no_such_library" in found.output


@pytest.mark.parametrize("template", ["{% if %}", "{{ name.foo() }}", "{{ 1 / 0 }}"])
def test_a_template_that_is_none(tmp_path: Path, template: str) -> None:
    """Whatever is wrong with it, it is told with file and line."""
    file = tmp_path / "node.sh"
    file.write_text(f"#!/bin/sh\n{template}\n")
    aws = f"{{type: aws, quantity: {{max: 1}}, config: {{image_id: a, instance_type: b, userdata_file: {file}}}}}"
    found = call("check", "--config", written(tmp_path, yaml=f"cloud: {{a: {aws}}}\n"))
    assert found.exit_code == 1
    assert f"[cloud] a.config.userdata_file: {file}, line 2" in found.output


def test_what_holds_and_from_where(tmp_path: Path) -> None:
    """Secrets masked."""
    path = written(tmp_path, yaml="dynamic-cluster: {max_idle_time: 5m}\n")
    lines = call("show", "--config", path, "--origin").output.split("\n")
    assert f"[client] host: a, b:81   # {path}:4" in lines
    assert f"[client] password: ***   # {path}:6" in lines
    assert any(line.startswith("[client] slots: ") and line.endswith("# default") for line in lines)
    assert f"[dynamic-cluster] max_idle_time: 300   # {tmp_path}/asyncluster.yaml:1" in lines
    assert "[dynamic-cluster] max_down_time: 480   # default" in lines
    values = json.loads(call("show", "--config", path, "--json").output)
    assert {"place": "[cluster] type", "value": "asyncluster", "origin": "default"} in values
    assert "secret" not in "".join(value["value"] for value in values)


def test_dynamic_torques_files_become_yaml() -> None:
    """Which loads."""
    found = call("import", DATA / "dynamic_torque.conf", DATA / "cloud_resources.conf")
    assert found.exit_code == 0
    assert [each.pool.name for each in loads(found.output, "").pools] == ["default-mel", "default-mon", "tenant1"]
    assert "is no dynamic_torque.conf" in call("import", DATA / "user-guide.conf").output


def test_the_template_is_ours() -> None:
    """To begin with."""
    assert call("template").output == TEMPLATE


def test_without_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to name one."""
    monkeypatch.setattr("asyncluster.config.load.SYSTEM_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert "--config or --yaml" in call("check").output


@pytest.mark.parametrize(
    ("conf", "yaml", "key"),
    [
        (GOOD, "cloud: {night: {type: batch, quantity: {max: 1}}}\n", "subnets"),
        (GOOD + "[server]\nsubnets = 10.0.0.0/8\nlisten = 127.0.0.1\n", "cloud: {n: {type: batch}}\n", "listen"),
        (GOOD + "[server]\nlisten = 127.0.0.1\n", "cloud: {n: {type: batch}}\n", "subnets listen"),
        (GOOD + "[server]\nsubnets = 10.0.0.0/8, 127.0.0.1\n", "cloud: {n: {type: batch}}\n", ""),
        (GOOD, "cloud: {here: {type: local}}\n", ""),
        (GOOD, "cluster: {type: slurm}\ncloud: {n: {type: batch}}\n", ""),
    ],
)
def test_a_master_that_lets_none_of_its_nodes_in_is_a_warning(tmp_path: Path, conf: str, yaml: str, key: str) -> None:
    """Machines would be paid for and never register: said before they are launched."""
    yaml = yaml.replace("{type: batch}", "{type: batch, quantity: {max: 1}}").replace(
        "{type: local}", "{type: local, quantity: {max: 1}}"
    )
    path = written(tmp_path, conf, yaml)
    found = call("check", "--config", path, "--json")
    warned = [text for text in json.loads(found.output)["warnings"] if text.startswith("[server]")]
    assert [text.partition(":")[0] for text in warned] == [f"[server] {each}" for each in key.split()]


def test_what_this_machine_does_not_have_is_a_warning(tmp_path: Path) -> None:
    """The file may be another machine's: folders, group and user are named, and the exit code stays 0."""
    text = GOOD.replace(
        "[client]\n", "log file = /nonexist/x.log\nsocket = {0}/sock\n[client]\nrun tasks as = no-such\n"
    )
    locked = tmp_path / "file"
    locked.write_text("")
    text = text.format(locked) + "[server]\nadministrators = no-such-group\n"
    found = call("check", "--config", written(tmp_path, text))
    assert found.exit_code == 0, found.output
    for part in ("[common] log file: there is no folder /nonexist here", f"[common] socket: {locked} is no folder"):
        assert f"warning: {part}" in found.output
    assert "[server] administrators: this machine knows no group no-such-group" in found.output
    assert "run tasks as" not in found.output  # of nodes
    found = call("check", "--for", "node", "--config", tmp_path / "asyncluster.conf")
    assert "[client] run tasks as: this machine knows no user no-such" in found.output
    good = call("check", "--config", written(tmp_path, GOOD.replace("[client]", f"socket = {tmp_path}/s\n[client]")))
    assert "warning: [common] socket" not in good.output


def test_all_hosts_that_are_none_are_told_at_once(tmp_path: Path) -> None:
    """Not only the first."""
    yaml = "cloud: {desks: {type: hosts, config: {hosts: ['-oProxyCommand=x', good, 'a b']}}}\n"
    found = call("check", "--config", written(tmp_path, yaml=yaml))
    assert found.exit_code == 1
    assert '"-oProxyCommand=x" is not a host name' in found.output
    assert '"a b" is not a host name' in found.output


def test_what_is_not_here_is_told_beside_other_faults(tmp_path: Path) -> None:
    """Of pools that are right themselves."""
    night = "{type: batch, quantity: {max: 1}, config: {walltime: 2h, template: /nonexist}}"
    yaml = f"cloud:\n  night: {night}\n  day: {{type: btach}}\n"
    found = call("check", "--config", written(tmp_path, yaml=yaml))
    assert found.exit_code == 1
    assert "warning: [cloud] night.config.template: /nonexist does not exist here" in found.output
    assert "did you mean batch?" in found.output


def test_a_template_without_an_end_is_not_read(tmp_path: Path) -> None:
    """A device would be read until no memory is left."""
    aws = "{type: aws, quantity: {max: 1}, config: {image_id: a, instance_type: b, userdata_file: /dev/zero}}"
    found = call("check", "--config", written(tmp_path, yaml=f"cloud: {{a: {aws}}}\n"))
    assert found.exit_code == 1
    assert "[cloud] a.config.userdata_file: /dev/zero cannot be read: it is no ordinary file" in found.output
