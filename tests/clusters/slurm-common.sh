# Where a Slurm instance has what; sourced by slurm-up and -down.

place=$base/slurm-$instance
config=$place/etc/slurm.conf
munge_socket=$place/munge/socket

[ "$(id -u)" = 0 ] || die "Slurm's packages and daemons need root here; the other cluster, htcondor-up, does not."

# What stands in /usr/sbin is a link to one of several variants.
slurm_alive() { alive "$place/run/$1.pid" "$(readlink -f "/usr/sbin/$1")"; }
slurm_gone() { ! slurm_alive "$1"; }

stop_daemon() { # stop_daemon NAME
    slurm_alive "$1" || return 0
    local pid
    pid=$(cat "$place/run/$1.pid")
    send TERM "$pid"
    within 10 slurm_gone "$1" || send KILL "$pid"
    within 5 slurm_gone "$1" || die "$1 (process $pid) cannot be ended."
}

# The processes of this instance's jobs, and those that watch over them: our configuration is in the environment
# of the former, our folder for logs is the working directory of the latter.
processes_of_jobs() {
    local watcher
    watcher=$(readlink -f /usr/sbin/slurmstepd)
    {
        find /proc/[0-9]*/cwd -maxdepth 0 -lname "$place/log" 2>/dev/null | cut -d/ -f3 | while read -r pid; do
            [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" != "$watcher" ] || echo "$pid"
        done
        grep -lszF "SLURM_JOB_ID=" $(grep -lszxF "SLURM_CONF=$config" /proc/[0-9]*/environ 2>/dev/null) /dev/null 2>/dev/null | cut -d/ -f3
    } || true
}
none_left() { [ -z "$(processes_of_jobs)" ]; }

# A job outlives its slurmd, so jobs are ended first; by their processes if slurmctld cannot be asked.
stop_jobs() {
    local ids
    if slurm_alive slurmctld; then
        ids=$(SLURM_CONF=$config timeout 20 squeue -h -o %F 2>/dev/null | sort -u || true)
        # shellcheck disable=SC2086 # several words are meant
        [ -z "$ids" ] || SLURM_CONF=$config timeout 20 scancel $ids 2>/dev/null || true
        within 10 none_left || true
    fi
    # shellcheck disable=SC2046
    none_left || send KILL $(processes_of_jobs)
}

stop_slurm() {
    stop_jobs
    stop_daemon slurmd
    stop_daemon slurmctld
}
