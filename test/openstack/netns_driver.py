"""A driver for nova: each server is a process tree in a network namespace of its own, which runs its user data.

A server's first port gives its address; it hangs on a bridge in this process's namespace.  Files in the folder of
servers hurt them: while there is `on-fire`, each build is given up; while there is `stuck`, none gets on.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid

from nova import exception
from nova.compute import power_state
from nova.virt import event, fake, hardware

FOLDER = os.environ["NETNS_FOLDER"]  # for what servers leave
PREFIX = os.environ["NETNS_PREFIX"]  # of the names of their namespaces
BRIDGE = os.environ["NETNS_BRIDGE"]
GATEWAY = os.environ["NETNS_GATEWAY"]  # the bridge's own address, with /24


def ip(*words: str, check: bool = True) -> str:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


class NetnsDriver(fake.PredictableNodeUUIDDriver):
    """See the module."""

    vcpus, memory_mb, local_gb = 256, 262144, 1000

    def __init__(self, virtapi, read_only=False) -> None:
        super().__init__(virtapi, read_only)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def init_host(self, host) -> None:
        super().init_host(host)
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", GATEWAY, "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")

    def get_nodenames_by_uuid(self, refresh=False):
        return {str(uuid.uuid5(uuid.NAMESPACE_DNS, name)): name for name in self.get_available_nodes()}

    def spawn(
        self, context, instance, image_meta, injected_files, admin_password, allocations,
        network_info=None, block_device_info=None, power_on=True, accel_info=None,
    ) -> None:  # fmt: skip
        if os.path.exists(os.path.join(FOLDER, "on-fire")):
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason="the host is on fire")
        while os.path.exists(os.path.join(FOLDER, "stuck")):
            time.sleep(0.1)
        super().spawn(
            context, instance, image_meta, injected_files, admin_password, allocations,
            network_info, block_device_info, power_on, accel_info,
        )  # fmt: skip
        addresses = [each["address"] for vif in network_info or [] for each in vif.fixed_ips()]
        space = self._make_space(instance, [each for each in addresses if ":" not in each])
        folder = os.path.join(FOLDER, instance.uuid)
        os.makedirs(folder, exist_ok=True)
        script = os.path.join(folder, "user_data")
        with open(script, "wb") as file:
            file.write(base64.b64decode(instance.user_data or b"") or b"#!/bin/sh\nexec sleep 86400\n")
        os.chmod(script, 0o755)
        with open(os.path.join(folder, "console.log"), "wb") as log:
            self.processes[instance.uuid] = subprocess.Popen(
                ["ip", "netns", "exec", space, "unshare", "-u", "sh", "-c", 'hostname "$0"; exec "$1"',
                 instance.hostname or "server", script],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": folder},
            )  # fmt: skip
        with open(os.path.join(folder, "pid"), "w") as file:
            file.write(str(self.processes[instance.uuid].pid))

        threading.Thread(target=self._watch, args=(instance.uuid, self.processes[instance.uuid]), daemon=True).start()

    def _watch(self, key, process) -> None:
        """Tell nova when a server ends by itself, as libvirt does."""
        process.wait()
        if self.processes.get(key) is process:
            self.emit_event(event.LifecycleEvent(key, event.EVENT_LIFECYCLE_STOPPED))

    def _make_space(self, instance, addresses) -> str:
        space, port = self._space(instance), f"v{instance.uuid[:8]}"
        ip("netns", "add", space)
        ip("-n", space, "link", "set", "lo", "up")
        if addresses:
            ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", port, "master", BRIDGE, "up")
            ip("-n", space, "addr", "add", f"{addresses[0]}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
        return space

    def _space(self, instance) -> str:
        return f"{PREFIX}-{instance.uuid[:8]}"

    def destroy(
        self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True
    ) -> None:
        process = self.processes.pop(instance.uuid, None)
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        for pid in ip("netns", "pids", self._space(instance), check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if process is not None:
            process.wait()
        ip("netns", "del", self._space(instance), check=False)
        if instance.uuid in self.instances:
            super().destroy(context, instance, network_info, block_device_info, destroy_disks)

    def get_info(self, instance, use_cache=True):
        process = self.processes.get(instance.uuid)
        if process is None:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        return hardware.InstanceInfo(state=power_state.RUNNING if process.poll() is None else power_state.SHUTDOWN)
