"""What a plain, non-editable install gives; runs in the environment that `bin/test` made that way."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import asyncluster

pytestmark = pytest.mark.real

PROGRAMS = Path(sys.executable).parent


def text_of(*command: str) -> str:
    """The output of a program, which must end well."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd="/").stdout


@pytest.fixture(autouse=True)
def installed() -> None:
    """Elsewhere than in an environment with a plain install there is nothing to see."""
    if "site-packages" not in str(asyncluster.__file__):
        pytest.skip("this Python runs AsynCluster from its tree; bin/test installs it")


def test_twistd_knows_both_services() -> None:
    """The plugin is found after a plain install."""
    text = text_of(str(PROGRAMS / "twistd"), "--help")
    assert "asyncluster-master" in text
    assert "asyncluster-node" in text


def test_plugin_folder_is_no_package() -> None:
    """Twisted stays whole: neither twisted/__init__.py nor twisted/plugins/__init__.py comes from us."""
    files = {str(file) for file in distribution("asyncluster").files or ()}
    assert "twisted/plugins/asyncluster_plugin.py" in files
    assert not files & {"twisted/__init__.py", "twisted/plugins/__init__.py"}
    assert importlib.util.find_spec("twisted.plugins.twisted_core") is not None


def test_distribution_is_typed_and_whole() -> None:
    """The marker of types is there, and no test or bench is installed."""
    files = {str(file) for file in distribution("asyncluster").files or ()}
    assert "asyncluster/py.typed" in files
    assert not [name for name in files if name.startswith(("test/", "bench/", "build/"))]


def test_command_is_installed() -> None:
    """`asyncluster --version` says the release."""
    assert distribution("asyncluster").version in text_of(str(PROGRAMS / "asyncluster"), "--version")


def test_migrations_are_installed() -> None:
    """A database is made by what was installed, out of reach of the tree."""
    words = "from asyncluster.store.keeper import keeper_for; print(keeper_for('sqlite://').open().next_job)"
    assert text_of(sys.executable, "-I", "-c", words) == "1\n"
