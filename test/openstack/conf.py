"""Configuration files of the services: `conf.py FOLDER VENV PORTS`, where PORTS is `keystone=15000,nova=18774,…`."""

from __future__ import annotations

import sys
from pathlib import Path

folder, venv = Path(sys.argv[1]), sys.argv[2]
ports = dict(each.split("=") for each in sys.argv[3].split(","))
keystone = f"http://127.0.0.1:{ports['keystone']}"
auth = f"""\
auth_url = {keystone}/v3
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = admin
username = admin
password = secret
region_name = RegionOne
"""
token = f"[keystone_authtoken]\nwww_authenticate_uri = {keystone}\n{auth}service_token_roles_required = false\n"


def database(name: str) -> str:
    return f"mysql+pymysql://root@localhost/{name}?unix_socket={folder}/db.socket"


def write(name: str, text: str) -> None:
    (folder / name).write_text(text)


write("keystone.conf", f"""\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = {database("keystone")}
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
""")  # fmt: skip
write("placement.conf", f"""\
[DEFAULT]
log_file = {folder}/placement.log
[placement_database]
connection = {database("placement")}
[api]
auth_strategy = keystone
{token}""")  # fmt: skip
write("glance-api.conf", f"""\
[DEFAULT]
log_file = {folder}/glance.log
enabled_backends = f:file
enabled_import_methods = []
transport_url = fake://
workers = 1
[database]
connection = {database("glance")}
[glance_store]
default_backend = f
[f]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
flavor = keystone
config_file = {venv}/etc/glance/glance-api-paste.ini
[oslo_policy]
enforce_scope = false
[oslo_limit]
{auth}{token}""")  # fmt: skip
write("neutron.conf", f"""\
[DEFAULT]
log_file = {folder}/neutron.log
core_plugin = ml2
service_plugins =
transport_url = fake://
auth_strategy = keystone
api_paste_config = {venv}/etc/neutron/api-paste.ini
state_path = {folder}/neutron
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
api_workers = 1
rpc_workers = 0
[oslo_concurrency]
lock_path = {folder}/neutron/lock
[database]
connection = {database("neutron")}
[ml2]
type_drivers = local,flat
tenant_network_types = local
project_network_types = local
mechanism_drivers = any_bind
extension_drivers = port_security
[quotas]
quota_driver = neutron.db.quota.driver_nolock.DbQuotaNoLockDriver
{token}""")  # fmt: skip
write("nova.conf", f"""\
[DEFAULT]
log_file = {folder}/nova.log
transport_url = fake://
state_path = {folder}/nova
my_ip = 127.0.0.1
host = host-of-servers
compute_driver = netns_driver.NetnsDriver
sync_power_state_interval = 2
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
periodic_fuzzy_delay = 0
service_down_time = 120
osapi_compute_workers = 1
instance_name_template = i-%08x
[quota]
cores = 1000
ram = 10000000
instances = 200
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = {venv}/etc/nova/api-paste.ini
[api_database]
connection = {database("nova_api")}
[database]
connection = {database("nova_cell1")}
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 10
[filter_scheduler]
track_instance_changes = false
[oslo_concurrency]
lock_path = {folder}/nova/lock
[glance]
endpoint_override = http://127.0.0.1:{ports["glance"]}
[neutron]
{auth}[placement]
{auth}[service_user]
send_service_user_token = true
{auth}[cinder]
{auth}[vnc]
enabled = false
{token}""")  # fmt: skip
