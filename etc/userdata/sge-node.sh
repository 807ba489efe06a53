#!/bin/sh
# A compute node of Grid Engine out of a plain image: user data for cloud-init, or for whatever runs a script at the
# first boot.
#
# A jinja2 template; `userdata_file` of a pool in asyncluster.yaml names a copy of it.  It can name: name, pool, realm,
# token, lease and lifetime (seconds), masters (each host:port of our master), features.  What it names and does not exist
# is an error.  Comments that are not to get into the instance are written {#! so !#}.
#
# The head node has to know this host as an administrative one (`qconf -ah`) before its execution daemon may begin: the
# master adds it.  Host names have to be resolved both ways, by DNS or by what is added to /etc/hosts below.
set -u

HEAD={{ masters[0].rpartition(':')[0] | quote }}  # where sge_qmaster runs: the first of the pool's `master`
CELL=/var/lib/gridengine/default
LOG=/var/log/asyncluster-userdata.log
exec >>"$LOG" 2>&1

# No machine left behind: a batch system knows of no leases, so this looks at the tag that the master writes anew while
# it wants this machine.  When its time is past and no job runs, the machine ends.  Where the tag could never be read, it
# stays until the master, or `asyncluster cloud orphans --destroy`, ends it.  It begins with each boot, since user data
# are run at the first one only.
mkdir -p /var/lib/asyncluster
cat >/var/lib/asyncluster/watch <<'WATCH'
#!/bin/sh
exec >>/var/log/asyncluster-userdata.log 2>&1
METADATA=${METADATA:-http://169.254.169.254}
GRACE=300  # seconds that clocks may differ

leave() {
    echo "$(date): this machine ends: $1"
    sync
    shutdown -P now || poweroff -f
}

expires() {
    found=$(curl -sfm 5 "$METADATA/openstack/latest/meta_data.json" |
        sed -n 's/.*"asyncluster-expires": *"\([0-9][0-9]*\)".*/\1/p')
    if [ -z "$found" ]; then
        token=$(curl -sfm 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$METADATA/latest/api/token") || return 0
        found=$(curl -sfm 5 -H "X-aws-ec2-metadata-token: $token" \
            "$METADATA/latest/meta-data/tags/instance/asyncluster-expires")
    fi
    echo "$found" | grep -x '[0-9][0-9]*' || :
}

watch() {
    last=
    while sleep 60; do
        found=$(expires)
        [ -z "$found" ] || last=$found
        [ -n "$last" ] && [ "$(date +%s)" -gt $((last + GRACE)) ] || continue
        busy || { leave "its lease was over at $last, and no job runs"; return; }
    done
}

busy() {
    pgrep -x sge_shepherd >/dev/null
}

watch
WATCH
if [ -d /run/systemd/system ]; then
    mkdir -p /etc/systemd/system/multi-user.target.wants
    cat >/etc/systemd/system/asyncluster.service <<'UNIT'
[Unit]
Description=AsynCluster: the lease of this machine
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/bin/sh /var/lib/asyncluster/watch
[Install]
WantedBy=multi-user.target
UNIT
    ln -sf ../asyncluster.service /etc/systemd/system/multi-user.target.wants/asyncluster.service
else
    mkdir -p /etc/cron.d
    echo '@reboot root /bin/sh /var/lib/asyncluster/watch' >/etc/cron.d/asyncluster
fi
sh /var/lib/asyncluster/watch </dev/null &

set -e
hostname {{ name | quote }}
echo {{ name | quote }} >/etc/hostname
if ! command -v sge_execd >/dev/null; then
    echo "gridengine-common shared/gridenginemaster string $HEAD" | debconf-set-selections
    echo "gridengine-common shared/gridenginecell string default" | debconf-set-selections
    apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install gridengine-exec curl procps
fi
mkdir -p "$CELL/common"
echo "$HEAD" >"$CELL/common/act_qmaster"
until sge_execd; do
    sleep 10  # the master has not made this host known yet
done
