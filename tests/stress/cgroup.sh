# Functions for scripts that need control groups (version 1, as root), which source this file.
[[ -d /sys/fs/cgroup/memory && -d /sys/fs/cgroup/cpu && $(id -u) == 0 ]] || {
    echo "not run: this needs root and control groups of version 1"
    exit 1
}
group=bertless-stress-$$

remove_groups() {
    local folder
    for folder in /sys/fs/cgroup/{memory,cpu}/$group; do
        [[ ! -d $folder ]] || rmdir "$folder"
    done
}
at_exit+=(remove_groups)

# limit_memory BYTES: limits the memory of the group.
limit_memory() {
    local folder=/sys/fs/cgroup/memory/$group
    [[ ! -d $folder ]] || rmdir "$folder"
    mkdir "$folder"
    echo "$1" > "$folder/memory.limit_in_bytes"
}

# limit_processors QUOTA PERIOD: grants the group QUOTA microseconds of processor time in each PERIOD. A quota of -1 is no limit.
limit_processors() {
    local folder=/sys/fs/cgroup/cpu/$group
    [[ ! -d $folder ]] || rmdir "$folder"
    mkdir "$folder"
    # With this weight the group gets nearly all processor time, even if other programs run.
    echo 262144 > "$folder/cpu.shares"
    echo "$2" > "$folder/cpu.cfs_period_us"
    echo "$1" > "$folder/cpu.cfs_quota_us"
}

# grouped COMMAND..: runs a command in the group, with the limits that have been set.
grouped() {
    bash -c 'for folder in /sys/fs/cgroup/{memory,cpu}/'$group'; do
        [[ ! -d $folder ]] || echo $$ > "$folder/tasks"
    done
    exec "$@"' grouped "$@"
}

# throttled KEY: prints a number of the group's scheduler statistics, such as nr_throttled.
throttled() {
    sed -n "s/^$1 //p" "/sys/fs/cgroup/cpu/$group/cpu.stat"
}
