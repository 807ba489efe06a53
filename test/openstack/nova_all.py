"""All of nova in one process, API, conductor, scheduler and compute: `nova_all.py PORT NOVA.CONF API-PASTE.INI`.

The transport `fake://` stays inside of the process, so no message broker is needed; nova's native threads, so no
eventlet either.  Prints `ready` once a server can be asked for.
"""

from __future__ import annotations

import os
import sys

port, conf, paste = int(sys.argv[1]), sys.argv[2], sys.argv[3]
here = os.path.dirname(os.path.abspath(__file__))
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
os.environ["OS_NOVA_CONFIG_DIR"] = os.path.dirname(conf)
os.environ["OS_NOVA_CONFIG_FILES"] = f"{paste};{conf}"  # nova takes the first for its paste file
sys.argv = ["nova", "--config-file", conf]
sys.path.insert(0, here)

from serve import hold, serve, wait_for_databases  # noqa: E402 - what is above has to stand before

held = hold(port)

from nova import monkey_patch  # noqa: E402

monkey_patch.patch(backend="threading")

import netns_driver  # noqa: E402
import nova.compute.manager  # noqa: E402
import nova.conductor.manager  # noqa: E402
import nova.conf  # noqa: E402
import nova.scheduler.manager  # noqa: E402
import nova.virt  # noqa: E402
import os_vif  # noqa: E402
from nova import context, service  # noqa: E402
from nova.api.openstack import wsgi_app  # noqa: E402
from nova.compute import rpcapi as compute  # noqa: E402
from nova.conductor import rpcapi as conductor  # noqa: E402
from nova.objects import host_mapping  # noqa: E402
from nova.scheduler import rpcapi as scheduler  # noqa: E402

sys.modules["nova.virt.netns_driver"] = nova.virt.netns_driver = netns_driver  # nova loads drivers only from there
wait_for_databases()
app = wsgi_app.init_application("osapi_compute", "nova-api")
os_vif.initialize()
kept = []
for binary, topic, more in (
    ("nova-conductor", conductor.RPC_TOPIC, {}),
    ("nova-scheduler", scheduler.RPC_TOPIC, {}),
    ("nova-compute", compute.RPC_TOPIC, {"topic_alt": getattr(compute, "RPC_TOPIC_ALT", None)}),
):
    one = service.Service.create(binary=binary, topic=topic, **more)
    one.start()
    kept.append(one)
    print("started", binary, flush=True)
host_mapping.discover_hosts(context.get_admin_context())
print("ready", flush=True)
serve(held, app)
