"""A pool's cloud by the name of its class: one that a site has written, or a package of somebody else's."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from asyncluster.config.fields import Secret
from asyncluster.errors import ConfigError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Pool
from asyncluster.model.supply_options import CustomUnit


def make_cloud(unit: CustomUnit, reactor: Any, pool: Pool, realm: str, folder: Path) -> ICloud:
    """An instance of the unit's class, which is code that the administrator has named, so that it is run.

    realm: whose tag its instances are to bear; folder: for what has to outlive the master, not made yet.
    Raises ConfigError where there is no such class, it cannot be made of these arguments, or is no ICloud.
    """
    place = f"[cloud] {pool.name}"
    module, _, name = unit.class_name.partition(":")
    try:
        kind = getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"{place}.type: {module} cannot be imported by the master's Python: {error}; install it there"
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{place}.type: the module {module} has no {name}") from error
    arguments = {key: text.reveal() if isinstance(text, Secret) else text for key, text in unit.arguments.items()}
    try:
        cloud = kind(reactor, pool, realm, folder, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}.config.arguments: {unit.class_name} does not take them: {error}") from error
    try:
        verifyObject(ICloud, cloud)
    except Invalid as error:
        raise ConfigError(f"{place}.type: {unit.class_name} is no cloud: {error}") from error
    return cloud  # type: ignore[no-any-return] # just verified
