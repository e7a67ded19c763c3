# Where an HTCondor instance has what, and which processes are its own; sourced by htcondor-up and -down.

software=$base/htcondor-software
place=$base/htcondor-$instance
config=$place/etc/condor_config
pidfile=$place/master.pid
master=$software/usr/sbin/condor_master

# The daemons of this instance: they execute our software and were started with our configuration.
daemons() {
    local environ pid
    grep -lszxF "CONDOR_CONFIG=$config" /proc/[0-9]*/environ 2>/dev/null | while read -r environ; do
        pid=${environ#/proc/} pid=${pid%/environ}
        case $(readlink "/proc/$pid/exe" 2>/dev/null) in
            "$software"/usr/sbin/* | "$software"/usr/libexec/condor/*) echo "$pid" ;;
        esac
    done || true
}

# What jobs of this instance have left behind.
jobs_left() {
    grep -lszF "_CONDOR_SCRATCH_DIR=$place/execute/" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true
}

no_daemons() { [ -z "$(daemons)" ]; }

stop_pool() {
    local left
    # QUIT is HTCondor's fast shutdown: the starters end their jobs before they go.
    if alive "$pidfile" "$master"; then
        send QUIT "$(cat "$pidfile")"
        within 15 no_daemons || true
    fi
    # Without a master, or with a stuck one, each has to be told.
    if ! no_daemons; then
        send QUIT $(daemons)
        within 5 no_daemons || send KILL $(daemons)
        within 5 no_daemons || die "these daemons cannot be ended: $(echo $(daemons))."
    fi
    left=$(jobs_left)
    [ -z "$left" ] || send KILL $left
    rm -f "$pidfile"
}
