"""What the probe executes on a node: a script for any POSIX shell, and how its words are read."""

SCRIPT = r"""
talk=$1; python=$2; rounds=$3
import='import caf_core.jobs.call, importlib.metadata as m; print(m.version("caf-core"))'
say() { printf '%s=%s\n' "$1" "$(printf %s "$2" | tr '\n' ' ')"; }
now() { date +%s.%N | sed 's/\.*%*N$//'; }
memory() {
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup 2>/dev/null)
    while [ "${group#/sys/fs/cgroup}" != "$group" ]; do
        [ -r "$group/memory.max" ] && cat "$group/memory.max"
        group=${group%/*}
    done
    group=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup 2>/dev/null)
    cat "/sys/fs/cgroup/memory$group/memory.limit_in_bytes"
}
{
    say host "$(uname -n)"
    say system "$(uname -sr)"
    say user "$(id -un 2>/dev/null || id -u)"
    say cpus "$(OMP_NUM_THREADS='' nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
    say memory_bytes "$(memory 2>/dev/null | grep -v max | sort -n | head -n 1)"
    say address_space_kb "$(ulimit -v)"
    say machine_kb "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
    for one in "$python" python3 /usr/bin/python3; do
        version=$("$one" -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        say python "$(command -v "$one")"
        say python_version "$version"
        say caf "$("$one" -P -c "$import" 2>&1 | tail -n 1)"
        break
    done
    if [ -d "$talk" ]; then say sees yes; else say sees no; fi
    if now >"$talk/.hello" && mv "$talk/.hello" "$talk/hello"; then say writes yes; else say writes no; fi
    say home "$(if [ -d "$HOME" ]; then echo yes; else echo no; fi)"
} >facts.txt 2>/dev/null
i=0
while [ -e "$talk/hello" ] && [ $i -lt "$rounds" ]; do
    # A pattern makes the shell read the directory afresh.
    for file in "$talk"/pin*; do
        if [ -e "$file" ]; then
            now >"$talk/.pong" && mv "$talk/.pong" "$talk/pong"
            i=$rounds
        fi
    done
    i=$((i + 1))
    sleep 0.1 2>/dev/null || sleep 1
done
exit 0
"""
"""Arguments: a folder to talk through, the interpreter to look for, for how many tenths of a second to wait
for an answer. It leaves ``facts.txt`` in its working directory."""

FACTS = "facts.txt"


def read_facts(text: str) -> dict[str, str]:
    """What the script said: ``key=value`` lines; anything else is left out."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value.strip() for key, sign, value in pairs if sign and value.strip()}


def read_time(text: str) -> float | None:
    """What ``now`` wrote; ``None`` if the node's ``date`` cannot tell."""
    try:
        return float(text.strip())
    except ValueError:
        return None
