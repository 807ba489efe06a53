"""The job script of a pilot, for administrators to copy and change: a jinja2 template whose variables have to exist.

The passwords are not in it, nor in the environment that is handed to the batch system: command lines are seen by
everybody on the machine, and scripts and environments of jobs are kept in spool folders and shown by `scontrol show
job`, `qstat -j` and `qstat -f`.  They are in an asyncluster.conf of mode 0600 in a folder that the compute nodes see,
of which only the path is here.
"""

TEMPLATE = """\
#!/bin/sh
{% for directive in directives %}
{{ prefix }} {{ directive }}
{% endfor %}
#
# A pilot of AsynCluster: a node of pool {{ pool }}, for the master at {{ masters | join(', ') }}.
# It ends by itself when it finds no master, when its master is silent for too long, and before its walltime is over.

{{ variables.began }}=$(date +%s)
{{ variables.name }}={{ name | quote }}
{{ variables.pool }}={{ pool | quote }}
{{ variables.birthplace }}=pilot
{{ variables.lifetime }}={{ lifetime | quote }}
{{ variables.stagger }}={{ stagger | quote }}
export {{ variables.values() | join(' ') }}
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
STATE_DIRECTORY=$(mktemp -d "${TMPDIR:-/tmp}/asyncluster.XXXXXXXX") || exit 1
export PATH STATE_DIRECTORY

{% for line in setup %}
{{ line }}
{% endfor %}

# A batch system that is about to end the job says so by a signal; the node then gives back what it has.
trap 'kill -TERM "$node" 2>/dev/null' TERM INT USR1 USR2 XCPU
{{ interpreter | quote }} -m asyncluster.node --config {{ config_file | quote }} &
node=$!
wait "$node"
code=$?
while kill -0 "$node" 2>/dev/null; do
    wait "$node"
    code=$?
done
rm -rf "$STATE_DIRECTORY"
# What went well need not be kept; the master removes all but the last logs of what did not.
[ "$code" -eq 0 ] && rm -f {{ log | quote }}
exit "$code"
"""
