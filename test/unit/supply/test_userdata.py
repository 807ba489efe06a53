"""User data out of templates: what can be named, and what is said of a template that is wrong."""

from __future__ import annotations

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


def test_representations_hold_no_secret() -> None:
    """Neither configuration nor secret."""
    assert "hush" not in repr(WHAT)
