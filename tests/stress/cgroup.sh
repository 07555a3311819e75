# Sourced by the scripts that need control groups (version 1, as root).
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

# Limits what runs in the group: memory in bytes.
limit_memory() {
    local folder=/sys/fs/cgroup/memory/$group
    [[ ! -d $folder ]] || rmdir "$folder"
    mkdir "$folder"
    echo "$1" > "$folder/memory.limit_in_bytes"
}

# Grants so many microseconds of processor time in each period of so many; -1 is no limit.
limit_processors() {
    local folder=/sys/fs/cgroup/cpu/$group
    [[ ! -d $folder ]] || rmdir "$folder"
    mkdir "$folder"
    # Against others that want the processors, the group has them nearly to itself.
    echo 262144 > "$folder/cpu.shares"
    echo "$2" > "$folder/cpu.cfs_period_us"
    echo "$1" > "$folder/cpu.cfs_quota_us"
}

# Runs a command in the group, of those controllers that it has been made for.
grouped() {
    bash -c 'for folder in /sys/fs/cgroup/{memory,cpu}/'$group'; do
        [[ ! -d $folder ]] || echo $$ > "$folder/tasks"
    done
    exec "$@"' grouped "$@"
}

# What the scheduler says of the group: throttled KEY, such as nr_throttled.
throttled() {
    sed -n "s/^$1 //p" "/sys/fs/cgroup/cpu/$group/cpu.stat"
}
