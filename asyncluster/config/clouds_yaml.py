"""Whether OpenStack's own files and variables say who we are, for a pool that leaves it to them.

Told as warnings: the master may run as another user, in another environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from asyncluster.model.supply_options import OpenStackUnit

FOLDERS = (".", "~/.config/openstack", "/etc/openstack")
"""Where OpenStack's programs look for clouds.yaml."""


def unsaid(where: str, unit: OpenStackUnit) -> Iterator[str]:
    """A sentence where nothing here says who we are.  where: the pool's `config:`, for people."""
    files = _files()
    if unit.cloud:
        names = [name for file in files for name in _entries(file)]
        if not files:
            yield f"{where}.cloud: there is no clouds.yaml for this account here, in none of {', '.join(FOLDERS)}"
        elif unit.cloud not in names:
            yield f"{where}.cloud: {files[0]} has no entry {unit.cloud}; it has {', '.join(names) or 'none'}"
    elif not (unit.auth_url or files or os.environ.get("OS_AUTH_URL") or os.environ.get("OS_CLOUD")):
        yield (
            f"{where}: nothing says who we are: auth_url, username, password and project are not set, nor is cloud or "
            "application_credential_id, there is no clouds.yaml here, and no OS_AUTH_URL in the environment"
        )


def _files() -> list[Path]:
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    found = [Path(named)] if named else []
    found += [Path(folder).expanduser() / f"clouds.{end}" for folder in FOLDERS for end in ("yaml", "yml")]
    return [path for path in found if path.is_file()]


def _entries(path: Path) -> list[str]:
    """What it names; nothing of a file that cannot be read, of which OpenStack's library will complain itself."""
    try:
        clouds = yaml.safe_load(path.read_text(encoding="utf-8"))["clouds"]
        return [str(name) for name in clouds]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return []
