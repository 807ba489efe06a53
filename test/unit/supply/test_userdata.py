"""User data out of templates: what can be named, and what is said of a template that is wrong."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import attrs
import pytest

from asyncluster.errors import ConfigError
from asyncluster.supply.userdata import UserData, render

WHAT = UserData(
    name="burst-1",
    pool="burst",
    realm="r",
    token="t",
    lease=1800.0,
    lifetime=0.0,
    masters=("head:9080", "10.0.0.1:9080"),
    conf="[client]\npassword = it's hush\n",
    secret="hush",
    features=("cloud", "big"),
)


def test_everything_can_be_named() -> None:
    """Each attribute, and a shell's quotes."""
    text = render(
        "{{ name }} {{ masters | join(' ') }} {{ lease | int }} {{ conf | quote }}{% if lifetime %}!{% endif %}", WHAT
    )
    assert text == "burst-1 head:9080 10.0.0.1:9080 1800 '[client]\npassword = it'\"'\"'s hush\n'"


def test_shell_that_looks_like_jinja_stays() -> None:
    """`${#list[@]}` is no comment."""
    shell = 'echo ${#list[@]} ${name##*/} ${x%%.*} "#}"\n'
    assert render(shell, WHAT) == shell
    assert render("a{#! not there !#}b", WHAT) == "ab"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("\n\n{{ nobody }}\n", "node.sh, line 3: 'nobody' is undefined"),
        ("{% if %}", "node.sh, line 1: Expected an expression"),
        ("\n{{ conf.nothing }}", "node.sh, line 2: 'str object' has no attribute 'nothing'"),
        ("\n{{ 1 // 0 }}", "node.sh, line 2: an expression there fails with ZeroDivisionError"),
        ("{{ 1 + conf }}", "node.sh, line 1: an expression there fails with TypeError"),
    ],
)
def test_faults_name_file_and_line_and_nothing_secret(template: str, said: str) -> None:
    """Of templates that are none, that name what there is not, or that fail."""
    with pytest.raises(ConfigError) as caught:
        render(template, WHAT, "node.sh")
    assert said in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("template", ["{{ none[secret] }}", "{{ features[secret] }}", "{{ {}[conf] }}"])
def test_what_is_looked_up_by_a_secret_is_not_told(template: str) -> None:
    """Jinja's own words would hold it."""
    with pytest.raises(ConfigError, match="line 1: an expression there names what there is not") as caught:
        render(template, WHAT, "node.sh")
    assert "hush" not in str(caught.value)


def test_representations_hold_no_secret() -> None:
    """Neither configuration nor secret."""
    assert "hush" not in repr(WHAT)


EXAMPLES = sorted((Path(__file__).parents[3] / "etc" / "userdata").glob("*.sh"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("lifetime", [0.0, 7200.0])
def test_examples_render_to_shell(path: Path, lifetime: float) -> None:
    """What a shell reads; a node's has its configuration and its lease, a batch system's node no secret at all."""
    text = render(path.read_text(), attrs.evolve(WHAT, lifetime=lifetime), path.name)
    for shell in ("sh", "bash"):
        done = subprocess.run([shell, "-n"], input=text, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert "{{" not in text
    assert "burst-1" in text
    assert len(text.encode()) < 12_000  # 16 KiB is all that EC2 takes
    if path.name == "node.sh":
        assert "sleep 1800\n" in text
        assert ("ASYNCLUSTER_NODE_LIFETIME=7200" in text) == bool(lifetime)
        (conf,) = (word for word in shlex.split(text, comments=True) if word.startswith("[client]"))
        assert conf == WHAT.conf
    else:
        assert "HEAD=head" in text
        assert "hush" not in text


def test_there_are_examples() -> None:
    """For our nodes, and for those of each batch system."""
    assert [path.name for path in EXAMPLES] == ["node.sh", "sge-node.sh", "slurm-node.sh", "torque-node.sh"]


def file_in(text: str, end: str) -> str:
    """What a script writes to a file, up to that word."""
    return text.partition(f"<<'{end}'\n")[2].partition(f"\n{end}\n")[0] + "\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("systemd", [True, False])
def test_what_ends_a_machine_begins_with_each_boot(path: Path, systemd: bool, tmp_path: Path) -> None:
    """User data are run at the first one only: by a unit, or by cron where there is no systemd."""
    text = render(path.read_text(), WHAT, path.name)
    begin = text.index("if [ -d /run/systemd/system ]")
    script = text[begin : text.index("\nfi\n", begin) + 4].replace("/etc/", f"{tmp_path}/")
    script = script.replace("[ -d /run/systemd/system ]", "true" if systemd else "false")
    subprocess.run(["sh", "-eu"], input=script, text=True, timeout=60, check=True)
    told = "boot" if path.name == "node.sh" else "watch"
    if systemd:
        unit = tmp_path / "systemd" / "system" / "multi-user.target.wants" / "asyncluster.service"
        assert f"ExecStart=/bin/sh /var/lib/asyncluster/{told}\n" in unit.read_text()
    else:
        (line,) = (tmp_path / "cron.d" / "asyncluster").read_text().splitlines()
        assert line == f"@reboot root /bin/sh /var/lib/asyncluster/{told}"
    assert any(
        re.search(f"cat >>?{re.escape(place)} <<", text)
        for place in (f'"$STATE/{told}"', f"/var/lib/asyncluster/{told}")
    )


@pytest.mark.parametrize(
    ("began", "codes", "said"),
    [
        ("", "", "no node within 1800 s"),  # it was rebooted before it was set up
        ("99", "0", "its node has ended with 0"),  # as when no master has answered for the lease
        ("99", "137 137 3", "its node has ended with 3"),
        ("99", "137 137 137 137 137", "its node has ended with 137"),
    ],
)
def test_a_machine_that_was_rebooted_ends_itself(began: str, codes: str, said: str, tmp_path: Path) -> None:
    """A node begins again, and when that ends since it reaches no master, the machine does; it has the time it had."""
    text = render((EXAMPLES[0]).read_text(), attrs.evolve(WHAT, lifetime=7200.0), "node.sh")
    if began:
        (tmp_path / "began").write_text(began)
    (tmp_path / "codes").write_text(codes)
    node = tmp_path / "python"
    node.write_text(
        f"#!/bin/sh\nset -- $(cat {tmp_path}/codes)\ncode=$1; shift; echo $* >{tmp_path}/codes\n"
        "echo $ASYNCLUSTER_NODE_NAME $ASYNCLUSTER_NODE_BEGAN $ASYNCLUSTER_NODE_LIFETIME\nexit $code\n"
    )
    node.chmod(0o755)
    script = file_in(text, "BOOT").replace("/var/lib/asyncluster", str(tmp_path))
    script = script.replace("/opt/asyncluster/bin/python", str(node))
    fakes = 'sleep() { echo "slept $1"; }\nshutdown() { echo "shutdown $*"; }\nsync() { :; }\n'
    subprocess.run(["sh"], input=fakes + script, text=True, timeout=60, check=True)
    lines = (tmp_path / "userdata.log").read_text().splitlines()
    assert lines[-2].endswith(f"this machine ends: {said}")
    assert lines[-1] == "shutdown -P now"
    assert lines.count("burst-1 99 7200") == len(codes.split())
    assert ("slept 1800" in lines) != bool(began)


WATCHED = """
sleep() { n=$((n + 1)); [ $n -lt 9 ] || { echo "still here"; exit; }; }
date() { [ "$1" = +%s ] && echo $((1000 + n * 100)) || echo now; }
curl() { TOLD; }
pgrep() { [ $n -lt JOBS ]; }
ls() { [ $n -lt JOBS ]; }
shutdown() { echo "ended at $n"; exit; }
sync() { :; }
n=0
"""


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.name != "node.sh"], ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("told", "jobs", "said"),
    [
        ('echo \'{"meta": {"asyncluster-expires": "1100"}, "name": "x"}\'', 0, "ended at 5"),  # 1100 and 300 s of grace
        ('echo \'{"meta": {"asyncluster-expires": "1100"}}\'', 7, "ended at 7"),  # not while a job runs
        ('echo \'{"meta": {"asyncluster-expires": "9999"}}\'', 0, "still here"),
        ("return 22", 0, "still here"),  # it cannot be read
        ("echo '{\"meta\": {}}'", 0, "still here"),
        ('case "$*" in *openstack*) return 22;; *api/token*) echo t;; *) echo 1100;; esac', 0, "ended at 5"),  # EC2's
        ('[ $n -lt 3 ] && echo \'{"asyncluster-expires": "1100"}\' || return 22', 0, "ended at 5"),  # no answer later
    ],
)
def test_a_batch_systems_node_ends_itself(path: Path, told: str, jobs: int, said: str) -> None:
    """When the time on its tag is past and no job runs; with a clock, a cloud and jobs that are played."""
    text = render(path.read_text(), WHAT, path.name)
    watch = file_in(text, "WATCH").replace("exec >>/var/log/asyncluster-userdata.log 2>&1\n", "")
    script = WATCHED.replace("TOLD", told).replace("JOBS", str(jobs)) + watch
    done = subprocess.run(["sh"], input=script, text=True, capture_output=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == said, done.stdout + done.stderr


def test_what_batch_nodes_have_in_common_is_the_same() -> None:
    """Each file is copied by itself, so they say it all; a mend of one is one of all."""
    commons = set()
    for path in EXAMPLES:
        if path.name == "node.sh":
            continue
        text = path.read_text()
        watch = file_in(text, "WATCH").removeprefix("#!/bin/sh\n")
        told, _, jobs = watch.partition("busy() {\n")
        begins = text[text.index("\nWATCH\n") : text.index("if ! command -v")]
        notes = text[text.index("# No machine left behind") : text.index("mkdir -p /var/lib/asyncluster")]
        commons.add((notes, told, jobs.partition("\n")[2], begins))
    assert len(commons) == 1
    assert all(commons.pop())


def test_torques_spool_is_set_at_one_place(tmp_path: Path) -> None:
    """The watch looks for jobs where the daemon keeps them."""
    (path,) = (path for path in EXAMPLES if path.name == "torque-node.sh")
    text = render(path.read_text(), WHAT, path.name)
    assert text.count("/var/spool/torque") == 1
    text = text.replace("SPOOL=/var/spool/torque", f"SPOOL='{tmp_path}/a spool'")
    begin, end = text.index("SPOOL="), text.index("\nWATCH\n") + 7
    script = text[begin:end].replace("/var/lib/asyncluster", str(tmp_path)).replace("exec >>", ": ")
    subprocess.run(["sh", "-eu"], input=script.replace("LOG=/var/log/", f"LOG={tmp_path}/"), text=True, check=True)
    watch = (tmp_path / "watch").read_text().removesuffix("watch\n").replace("exec >>", ": ")
    for there in (False, True):
        jobs = tmp_path / "a spool" / "mom_priv" / "jobs"
        jobs.mkdir(parents=True, exist_ok=True)
        if there:
            (jobs / "7.head.JB").touch()
        done = subprocess.run(["sh"], input=f"{watch}\nbusy\n", text=True, timeout=60, check=False)
        assert (done.returncode == 0) is there


@pytest.mark.parametrize(("written", "goes"), [("this one", True), ("another", False), ("", True)])
def test_an_image_made_of_a_node_does_not_go_on_as_that_node(written: str, goes: bool, tmp_path: Path) -> None:
    """What its first boot begins with is the former node's; a machine that cannot be told from it goes on."""
    path = next(path for path in EXAMPLES if path.name == "node.sh")
    (tmp_path / "uuid").write_text("this one\n")
    text = file_in(render(path.read_text(), WHAT, path.name), "BOOT")
    text = text.replace("/sys/class/dmi/id/product_uuid", f"{tmp_path}/uuid").replace(
        "/var/lib/asyncluster", f"{tmp_path}"
    )
    (tmp_path / "machine").write_text(written and f"{written}\n")
    begin = text[: text.index('if [ ! -e "$STATE/began" ]')]
    subprocess.run(["sh"], input=begin + 'touch "$STATE/goes"\n', text=True, timeout=60, check=True)
    assert (tmp_path / "goes").exists() is goes
