#!/bin/bash
# Starts Docker by hand. usage: dockerd.sh LAB DATA_ROOT; writes LAB/dockerd.pid and LAB/dockerd.log
set -eu
if ! mountpoint -q /sys/fs/cgroup; then mount -t tmpfs cgroup /sys/fs/cgroup; fi
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    for name in $(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups); do
        mountpoint -q "/sys/fs/cgroup/$name" && continue
        mkdir -p "/sys/fs/cgroup/$name"
        mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" || rmdir "/sys/fs/cgroup/$name"
    done
fi
setsid dockerd --data-root "$2" -p "$1/dockerd.pid" >"$1/dockerd.log" 2>&1 </dev/null &
