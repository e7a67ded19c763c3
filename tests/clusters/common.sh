# What the scripts of both clusters share; sourced by them, not executed.

script=${0##*/}
here=$(dirname "$(readlink -f "$0")")
base=${CAF_CLUSTERS_DIR:-/var/tmp/caf-clusters-$(id -u)}
lap_began=$(date +%s%N)

say() { printf '%s: %s\n' "$script" "$*" >&2; }
die() { say "$*"; exit 1; }

# Say what was done, and how long it took since the last time.
lap() {
    local now
    now=$(date +%s%N)
    say "$(awk -v ns=$((now - lap_began)) 'BEGIN { printf "%6.2f s", ns / 1e9 }')  $*"
    lap_began=$now
}

need() {
    local word
    for word; do
        command -v "$word" >/dev/null || die "the command '$word' is missing; install the package that has it."
    done
}

# The instance is named by the first word that is no option; every instance has daemons and a folder of its own.
instance=main
options=()
for word; do
    case $word in
        --*) options+=("$word") ;;
        *[!a-z0-9-]*) die "an instance is named by small letters, digits and dashes, not '$word'." ;;
        *) instance=$word ;;
    esac
done

# Takes "--known ..." and sets a variable of that name to 1 for each option that was given, else to 0.
take_options() {
    local known option
    for known; do printf -v "${known#--}" 0; done
    for option in ${options[@]+"${options[@]}"}; do
        [[ " $* " == *" $option "* ]] || die "there is no option $option; there are: $*."
        printf -v "${option#--}" 1
    done
}

# Wait for the others that start or stop clusters below the same folder; the lock goes with this process.
alone() {
    mkdir -p "$base" || die "cannot make the folder $base; set CAF_CLUSTERS_DIR to one that can be written."
    exec 9>"$base/lock"
    flock -w 600 9 || die "something else has been starting or stopping clusters in $base for ten minutes."
}

# alive PIDFILE PROGRAM: is the process in the file that program? (A number may have gone to another, and a
# zombie has no program.)
alive() {
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$2" ]
}

# within SECONDS COMMAND...: ask ten times a second until the command succeeds.
within() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$limit" ] || return 1
        sleep 0.1
    done
}

# send SIGNAL PID...: some of them may have gone.
send() {
    local signal=$1 pid
    shift
    for pid; do kill "-$signal" "$pid" 2>/dev/null || true; done
}

# install_packages PACKAGE...: install those of Debian's packages that are missing; this needs root, and "alone".
install_packages() {
    # What is there already must not be removed in favour of these (other schedulers have commands of the same
    # name), and no daemon may be started with a configuration that is not ours.
    local log=$base/apt.log policy=/usr/sbin/policy-rc.d ours=0 status=1 package attempt missing=()
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    for package; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ ! -e $policy ]; then
        ours=1
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    for attempt in 1 2 3; do
        # The lists of packages may be missing, or older than the archive.
        if DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends --no-remove "${missing[@]}" >"$log" 2>&1; then
            status=0
            break
        fi
        "${apt[@]}" update >>"$log" 2>&1 || sleep $((2 * attempt))
    done
    [ $ours = 0 ] || rm -f $policy
    [ $status = 0 ] || {
        tail -n 5 "$log" >&2
        die "the packages ${missing[*]} could not be installed; is this Debian, and is there a network?"
    }
    lap "installed ${missing[*]}"
}
