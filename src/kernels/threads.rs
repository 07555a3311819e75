//! How many threads, and how work is spread over them.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Memory for which AWS Lambda grants one CPU, in MB.
const LAMBDA_MEMORY_PER_CPU: usize = 1769;

/// The threads of one model: none beside the caller's, or a pool of its own.
#[derive(Debug)]
pub(crate) struct Threads {
    pool: Option<ThreadPool>,
}

impl Threads {
    /// The caller's thread alone.
    #[cfg(test)]
    pub(crate) fn serial() -> Self {
        Self { pool: None }
    }

    /// A pool of `count` threads; none where `count` is at most one.
    pub(crate) fn new(count: usize) -> Result<Self, ThreadPoolBuildError> {
        let pool = match count {
            0 | 1 => None,
            _ => Some(
                ThreadPoolBuilder::new()
                    .num_threads(count)
                    .thread_name(|index| format!("bertless-{index}"))
                    .build()?,
            ),
        };
        Ok(Self { pool })
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.pool
            .as_ref()
            .map_or(1, ThreadPool::current_num_threads)
    }

    /// Calls `task` with each number below `tasks`, in any order, on any thread; `scratch` makes what a thread keeps
    /// from one task to the next.
    pub(crate) fn run<S>(
        &self,
        tasks: usize,
        scratch: impl Fn() -> S + Sync + Send,
        task: impl Fn(&mut S, usize) + Sync + Send,
    ) {
        match &self.pool {
            Some(pool) if tasks > 1 => pool.install(|| {
                (0..tasks)
                    .into_par_iter()
                    .with_max_len(1)
                    .for_each_init(scratch, |scratch, index| task(scratch, index));
            }),
            _ => {
                let mut scratch = scratch();
                for index in 0..tasks {
                    task(&mut scratch, index);
                }
            }
        }
    }
}

/// The number of threads that the bill pays for: what the CPU quota of the container grants, and on AWS Lambda, which
/// shows two CPUs at every memory size and no quota, one for each 1,769 MB of memory.
pub(crate) fn granted() -> usize {
    let visible = std::thread::available_parallelism().map_or(1, usize::from);
    match std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") {
        Ok(memory) => lambda_grant(&memory).unwrap_or(visible),
        Err(_) => visible,
    }
}

fn lambda_grant(memory: &str) -> Option<usize> {
    let megabytes: usize = memory.trim().parse().ok()?;
    Some((megabytes / LAMBDA_MEMORY_PER_CPU).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_runs_once_at_any_count() {
        for count in [0, 1, 2, 5] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count.max(1));
            for tasks in [0, 1, 2, 100] {
                let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                threads.run(
                    tasks,
                    || (),
                    |(), index| {
                        runs[index].fetch_add(1, Ordering::Relaxed);
                    },
                );
                assert!(runs.iter().all(|run| run.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn lambda_grants_by_memory() {
        assert_eq!(lambda_grant("128"), Some(1));
        assert_eq!(lambda_grant("1769"), Some(1));
        assert_eq!(lambda_grant("3538"), Some(2));
        assert_eq!(lambda_grant("10240"), Some(5));
        assert_eq!(lambda_grant("many"), None);
    }
}
