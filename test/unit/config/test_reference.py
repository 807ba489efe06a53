"""The reference page, the template and the service files say what the models say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncluster.config.base_conf import REQUIRED, SECTIONS, Here
from asyncluster.config.explain import loads
from asyncluster.config.ini import Reading
from asyncluster.config.reference import reference
from asyncluster.units import parse_duration

TOP = Path(__file__).parents[3]
TEMPLATE = (TOP / "etc" / "asyncluster.conf").read_text()
KEYS = [(section, name.replace("_", " ")) for section, model in SECTIONS.items() for name in model.model_fields]


def part(section: str) -> str:
    """The template's text of one section."""
    return TEMPLATE.split(f"\n[{section}]\n")[1].split("\n#---")[0]


def test_the_page_in_docs_is_up_to_date() -> None:
    """After a change: python -m asyncluster.config.reference > docs/configuration.md."""
    assert (TOP / "docs" / "configuration.md").read_text() == reference()


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_explained(section: str, key: str) -> None:
    """It has a sentence, and an example that loads where it gives one."""
    field = SECTIONS[section].model_fields[key.replace(" ", "_")]
    assert field.description is not None
    assert field.description.endswith(".")
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    if extra["example"]:
        loads(f"[{section}]\n{key} = {extra['example']}\n", "example", "client")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_template_has_every_key_with_its_default(section: str, key: str) -> None:
    """Commented out, or given; the default is the model's."""
    found = re.search(rf"^#?{key} =(.*)$", part(section), re.MULTILINE)
    assert found, f"[{section}] {key} is not in etc/asyncluster.conf"
    if not any((section, key) in pairs for pairs in REQUIRED.values()):
        assert found[1].strip() == SECTIONS[section].model_fields[key.replace(" ", "_")].default


def test_the_template_loads_once_its_passwords_are_chosen() -> None:
    """And with every commented default taken in, it means the same."""
    chosen = TEMPLATE.replace("YOU-MUST-CHANGE-THIS-TOO", "0123456789").replace("YOU-MUST-CHANGE-THIS", "9876543210")
    found = loads(chosen, "etc", "master", Here())
    assert found.warnings == ()
    assert loads(re.sub(r"^#(?=[a-z][a-z ]* =)", "", chosen, flags=re.MULTILINE), "etc", "master", Here()) == found
    assert len(loads(chosen, "etc", "node", Here()).client.name) > 0


def test_the_template_as_it_is_has_two_faults() -> None:
    """The two passwords, nothing else."""
    reading = Reading("etc", TEMPLATE)
    assert reading.faults == []
    assert sum(value.startswith("YOU-MUST") for values in reading.raw.values() for value in values.values()) == 2


@pytest.mark.parametrize("service", ["master", "node"])
def test_systemd_waits_longer_than_a_drain(service: str) -> None:
    """Otherwise a stop would kill tasks that may still finish; and the two keep to folders of their own."""
    unit = (TOP / "etc" / "systemd" / f"asyncluster-{service}.service").read_text()
    options = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    drain = SECTIONS["server" if service == "master" else "client"].model_fields["drain_limit"].default
    assert parse_duration(options["TimeoutStopSec"]) >= parse_duration(drain) + 15
    assert f"asyncluster-{service} --config /etc/asyncluster.conf" in options["ExecStart"]
    assert ("NoNewPrivileges" in options) == (service == "master")
    assert options["StateDirectory"] == {"master": "asyncluster", "node": "asyncluster-node"}[service]
