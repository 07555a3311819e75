//! Limits of processor time and memory, by cgroups of version 1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// Period of the quota of processor time, in microseconds. Lambda's is 20 ms.
const PERIOD_US: u64 = 20_000;
/// Memory for which Lambda grants one processor, in MB.
const MEMORY_PER_CPU: u64 = 1769;

/// Cgroup in the controllers `cpu` and `memory`. Dropping it removes the group, once no process is left in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folders: [PathBuf; 2],
}

impl Cgroup {
    /// Makes a group with the memory and the share of processor time that Lambda grants at this memory size.
    pub(crate) fn with_memory(megabytes: u32) -> Result<Self> {
        let name = format!("bertless-{}", std::process::id());
        let group = Self {
            folders: ["cpu", "memory"]
                .map(|controller| Path::new(ROOT).join(controller).join(&name)),
        };
        for folder in &group.folders {
            let made = fs::create_dir_all(folder);
            made.with_context(|| {
                format!("{}: needs root and cgroups of version 1", folder.display())
            })?;
        }
        let [cpu, memory] = &group.folders;
        let quota = PERIOD_US * u64::from(megabytes) / MEMORY_PER_CPU;
        write(&cpu.join("cpu.cfs_period_us"), PERIOD_US)?;
        write(&cpu.join("cpu.cfs_quota_us"), quota)?;
        write(
            &memory.join("memory.limit_in_bytes"),
            u64::from(megabytes) << 20,
        )?;
        Ok(group)
    }

    /// Files to which a process writes its id to enter the group.
    pub(crate) fn process_files(&self) -> impl Iterator<Item = PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join("cgroup.procs"))
    }

    /// Returns whether the kernel has killed a process of the group because its memory ran out.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        let control = fs::read_to_string(self.folders[1].join("memory.oom_control"));
        control.is_ok_and(|text| {
            let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            count.is_some_and(|count| count.trim() != "0")
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A process that has just been killed takes a moment to leave the group.
            for _ in 0..100 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

fn write(path: &Path, value: u64) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("{}: {value}", path.display()))
}
