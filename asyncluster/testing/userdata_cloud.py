"""A cloud whose machines run the user data that they are given, as a plain image does at its first boot.

    cloud: {burst: {type: "asyncluster.testing.userdata_cloud:UserDataCloud", config: {userdata_file: …, arguments: …}}}

A machine is a network namespace with a file system of its own over this one's: what is written to /etc, /opt, /root and
/var is its alone.  `shutdown` ends it.  What the image has besides is made by a script `before` in its folder.  The
Python of the tests stands for one that the image has in /opt/asyncluster.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

import asyncluster
from asyncluster.model.supply import Instance, Order, Pool
from asyncluster.personal.files import write_private
from asyncluster.supply.naming import check_name
from asyncluster.testing.namespaces import NamespaceCloud

PYTHON = f"""#!/bin/sh
PYTHONPATH={Path(asyncluster.__file__).parent.parent} exec {os.path.abspath(sys.executable)} "$@"
"""

MACHINE = r"""#!/bin/sh
set -e
folder=$1
mkdir -p "$folder/own"
mount -t tmpfs none "$folder/own"
for place in etc opt root var; do
    mkdir "$folder/own/$place" "$folder/own/$place.work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$folder/own/$place,workdir=$folder/own/$place.work" overlay "/$place"
done
mkdir -p /opt/asyncluster/bin /opt/fake
cp "$folder/python" /opt/asyncluster/bin/python
printf '#!/bin/sh\ntouch "%s/halted"\n' "$folder" >/opt/fake/shutdown
chmod 755 /opt/asyncluster/bin/python /opt/fake/shutdown
cp /opt/fake/shutdown /opt/fake/poweroff
[ ! -e "$folder/before" ] || . "$folder/before"
PATH=/opt/fake:$PATH sh "$folder/user-data" &
until [ -e "$folder/halted" ]; do sleep 0.1; done
for pid in $(ip netns pids "$(ip netns identify $$)"); do
    [ "$pid" = $$ ] || [ "$pid" = "$PPID" ] || kill -9 "$pid" 2>/dev/null || :
done
echo gone >"$folder/state"
"""


class UserDataCloud(NamespaceCloud):
    """One pool of such machines, beside the hosts of a `BatchHosts`.  prefix: see there; userdata: see `Custom`."""

    def __init__(
        self, reactor: Any, pool: Pool, realm: str, folder: Path, prefix: str, userdata: Any, environment: str = ""
    ) -> None:
        """environment: NAME=VALUE words that the machines' scripts find."""
        super().__init__(reactor, pool, realm, folder, prefix, "sh -c :")
        self._userdata = userdata
        self._environment = shlex.split(environment)

    def launch(self, order: Order) -> Deferred[Instance]:
        """Write what the machine is told, then begin to boot it."""
        return Deferred.fromCoroutine(self._begin(order))

    async def _begin(self, order: Order) -> Instance:
        folder = self._folder / check_name(order.name)
        if not (folder / "user-data").exists():
            text = await self._userdata(order)
            folder.mkdir(parents=True, exist_ok=True)
            write_private(folder / "user-data", text)
            write_private(folder / "machine", MACHINE)
            write_private(folder / "python", PYTHON)
        self._daemon = ["env", *self._environment, "sh", str(folder / "machine"), str(folder)]
        return await super().launch(order)
