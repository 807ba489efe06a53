#!/bin/sh
# An AsynCluster node out of a plain image: user data for cloud-init, or for whatever runs a script at the first boot.
#
# A jinja2 template; `userdata_file` of a pool in asyncluster.yaml names a copy of it.  It can name: name, pool, realm,
# token, lease and lifetime (seconds), masters (each host:port), conf (the node's asyncluster.conf), secret (serves one
# registration), features, slots.  What it names and does not exist is an error, and so is shown by
# `asyncluster cloud check`.  Comments that are not to get into the instance are written {#! so !#}.
#
# Whose uid: tasks are run as their owners where this machine knows them.  A plain image knows nobody, so all are run as
# RUN_AS, which is made here; with `run tasks as` in the master's configuration that user is taken, and has to be there.
set -u
umask 077

PACKAGE=asyncluster          # what pip installs where AsynCluster is not there: name the master's release, or a wheel
HOME_OF_IT=/opt/asyncluster  # a virtual environment; one that the image has already is used as it is
STATE=/var/lib/asyncluster   # both are named below, in what each boot begins with, as well
RUN_AS=asyncluster

mkdir -p "$STATE"
exec >>"$STATE/userdata.log" 2>&1
rm -f "$STATE/began"  # of a former node that the image was made of
cat /sys/class/dmi/id/product_uuid /etc/machine-id 2>/dev/null | head -n 1 >"$STATE/machine"

# What each boot begins with, since user data are run at the first one only: whatever goes wrong, this machine does not
# outlive its lease without a node on it, and a node that cannot reach its master for so long ends, and the machine with it.
cat >"$STATE/boot" <<'BOOT'
#!/bin/sh
set -u
umask 077
STATE=/var/lib/asyncluster
IDS="/sys/class/dmi/id/product_uuid /etc/machine-id"
exec >>"$STATE/userdata.log" 2>&1

leave() {
    echo "$(date): this machine ends: $1"
    sync
    shutdown -P now || poweroff -f
    exit
}

# An image made of a former node has its state, and runs this before it is set up itself: that is not this machine's.
if [ -s "$STATE/machine" ]; then
    [ "$(cat $IDS 2>/dev/null | head -n 1)" = "$(cat "$STATE/machine")" ] || exit 0
fi
if [ ! -e "$STATE/began" ]; then
    sleep {{ lease | int }}
    [ -e "$STATE/began" ] || leave "no node within {{ lease | int }} s"
    exit
fi
export ASYNCLUSTER_NODE_NAME={{ name | quote }} ASYNCLUSTER_NODE_POOL={{ pool | quote }}
export ASYNCLUSTER_NODE_BIRTHPLACE=instance
{% if lifetime %}
export ASYNCLUSTER_NODE_LIFETIME={{ lifetime | int }} ASYNCLUSTER_NODE_BEGAN=$(cat "$STATE/began")
{% endif %}
for again in 1 2 3 4 5; do
    code=0
    /opt/asyncluster/bin/python -m asyncluster.node --config "$STATE/asyncluster.conf" || code=$?
    [ "$code" -gt 128 ] || break  # it ended by itself; one that was killed begins anew
    echo "$(date): the node was ended by signal $((code - 128)), attempt $again"
done
leave "its node has ended with $code"
BOOT
if [ -d /run/systemd/system ]; then
    mkdir -p /etc/systemd/system/multi-user.target.wants
    cat >/etc/systemd/system/asyncluster.service <<'UNIT'
[Unit]
Description=AsynCluster: a node
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/bin/sh /var/lib/asyncluster/boot
[Install]
WantedBy=multi-user.target
UNIT
    ln -sf ../asyncluster.service /etc/systemd/system/multi-user.target.wants/asyncluster.service
else
    mkdir -p /etc/cron.d
    echo '@reboot root /bin/sh /var/lib/asyncluster/boot' >/etc/cron.d/asyncluster
fi
sh "$STATE/boot" </dev/null &

leave() {
    echo "$(date): this machine ends: $1"
    sync
    shutdown -P now || poweroff -f
}

trap 'leave "it could not be set up"' EXIT
set -e
hostname {{ name | quote }} || :
PYTHON=$HOME_OF_IT/bin/python
if ! "$PYTHON" -c 'import asyncluster' 2>/dev/null; then
    if ! python3 -m venv --help >/dev/null 2>&1 || ! python3 -c 'import ensurepip' 2>/dev/null; then
        if command -v apt-get >/dev/null; then
            apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install python3-venv
        else
            dnf -qy install python3
        fi
    fi
    (umask 022; python3 -m venv "$HOME_OF_IT"; "$HOME_OF_IT/bin/pip" -q install "$PACKAGE")
fi

printf %s {{ conf | quote }} >"$STATE/asyncluster.conf"
if ! grep -q '^run tasks as' "$STATE/asyncluster.conf"; then
    id "$RUN_AS" >/dev/null 2>&1 || useradd --system --create-home --shell /bin/sh "$RUN_AS"
    echo "run tasks as = $RUN_AS" >>"$STATE/asyncluster.conf"
fi

trap - EXIT
date +%s >"$STATE/began"
sh "$STATE/boot" </dev/null &
