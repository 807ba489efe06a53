"""Finds asyncluster.yaml, reads it, and refuses one whose secrets others can get at.

What the text means is decided in `elastic_explain.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from asyncluster.config.elastic_explain import examine
from asyncluster.config.elastic_here import missing, missing_of
from asyncluster.config.elastic_values import Elastic, PoolSettings
from asyncluster.config.explain import ConfigFaultsError, ExposedFaultsError
from asyncluster.config.ini import Fault
from asyncluster.config.load import exposure, read_text
from asyncluster.model.supply_options import BatchUnit, HostsUnit

VARIABLE = "ASYNCLUSTER_YAML"


def find_elastic(
    path: str | None = None, *, beside: str | None = None, environment: Mapping[str, str] | None = None
) -> str | None:
    """The file to use: the named one, $ASYNCLUSTER_YAML, the one beside the asyncluster.conf in use, or None.

    The named one and that of the environment are returned whether or not they exist, so that `load_elastic` can
    complain.  beside: that asyncluster.conf; its .conf becomes .yaml.
    """
    environment = os.environ if environment is None else environment
    named = path or environment.get(VARIABLE)
    if named:
        return os.path.expanduser(named)
    if beside is None:
        return None
    candidate = os.path.splitext(beside)[0] + ".yaml"
    return candidate if os.path.lexists(candidate) else None


def load_elastic(path: str | None) -> Elastic:
    """The elastic part of the configuration; None: the defaults, the own queue and no pools.

    Raises ConfigError with all faults (attribute `faults`); SecretExposedError when one of them is that others can read
    or change the secrets in the file.
    """
    if path is None:
        return Elastic()
    text, status = read_text(path, "asyncluster.yaml")
    findings = examine(text, path)
    exposed = exposure(path, status, os.geteuid()) if findings.secrets else ""
    if exposed:
        raise ExposedFaultsError((Fault(path, exposed), *findings.faults))
    pools = tuple(map(_at_home, findings.pools))
    if findings.elastic is None:
        raise ConfigFaultsError(findings.faults, tuple(missing_of(pools)))
    found = attrs.evolve(findings.elastic, pools=pools)
    return attrs.evolve(found, warnings=(*found.warnings, *missing(found)))


def _at_home(settings: PoolSettings) -> PoolSettings:
    """With its paths below ~/ made whole; compute nodes have the same home, machines of their own have another."""
    unit = settings.unit
    if not isinstance(unit, BatchUnit | HostsUnit):
        return settings
    names = ("template", "folder", "config_file") if isinstance(unit, BatchUnit) else ("key", "known_hosts")
    paths = {name: os.path.expanduser(getattr(unit, name)) for name in names}
    return attrs.evolve(settings, unit=attrs.evolve(unit, **paths))
