//! How many threads a model has, and which of them help a pass.

mod budget;
mod sync;
mod team;

use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use budget::HelperBudget;
pub(crate) use sync::lock;
pub(in crate::kernels) use team::Team;

/// Memory for which AWS Lambda grants one CPU, in MB.
const LAMBDA_MEMORY_PER_CPU: usize = 1769;

/// The threads of one model: none beside its callers', or a pool of its own.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pool: Option<Pool>,
}

#[derive(Debug)]
struct Pool {
    threads: ThreadPool,
    budget: Arc<HelperBudget>,
}

impl Threads {
    /// `count` threads for a pass at most, of which the caller's is one; no pool where that is all.
    pub(crate) fn new(count: usize) -> Result<Self, ThreadPoolBuildError> {
        let helpers = count.saturating_sub(1);
        let pool = match helpers {
            0 => None,
            _ => Some(Pool {
                threads: ThreadPoolBuilder::new()
                    .num_threads(helpers)
                    .thread_name(|index| format!("bertless-{index}"))
                    .build()?,
                budget: Arc::new(HelperBudget::new(count)),
            }),
        };
        Ok(Self { pool })
    }

    /// How many threads a pass has at most, the caller's included.
    pub(crate) fn count(&self) -> usize {
        let helpers = |pool: &Pool| pool.threads.current_num_threads();
        1 + self.pool.as_ref().map_or(0, helpers)
    }

    /// The caller and its share of the threads; none waits for another.
    pub(crate) fn team(&self) -> Team {
        let Some(pool) = &self.pool else {
            return Team::alone();
        };
        let lease = HelperBudget::lease(&pool.budget);
        Team::spawn(lease, |help| pool.threads.spawn(help))
    }
}

/// The number of threads that the bill pays for: what the CPU quota of the container grants, and on AWS Lambda, which
/// shows two CPUs at every memory size and no quota, one for each 1,769 MB of memory, rounded to the nearest: at 3,008 MB
/// there are two, which are default_thread_count 1.7 CPUs.
pub(crate) fn default_thread_count() -> usize {
    let visible = processors();
    match std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") {
        Ok(memory) => lambda_vcpus(&memory).unwrap_or(visible),
        Err(_) => visible,
    }
}

/// Returns the number of processors that the CPU quota of the container grants. It is read once: on Linux that takes several
/// files.
pub(super) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn lambda_vcpus(memory: &str) -> Option<usize> {
    let megabytes: usize = memory.trim().parse().ok()?;
    let nearest = megabytes.saturating_add(LAMBDA_MEMORY_PER_CPU / 2) / LAMBDA_MEMORY_PER_CPU;
    Some(nearest.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_runs_once_at_any_count() {
        for count in [0, 1, 2, 5] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count.max(1));
            let team = threads.team();
            for tasks in (0..300).chain([1000]) {
                let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                team.run(
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
    fn helpers_do_help() {
        let threads = Threads::new(3).unwrap();
        let team = threads.team();
        // HelperBudget only if three threads are in a task at the same time.
        let together = Barrier::new(3);
        team.run(
            3,
            || (),
            |(), _| {
                together.wait();
            },
        );
    }

    #[test]
    fn a_second_caller_is_alone_and_the_next_has_help_again() {
        let threads = Threads::new(4).unwrap();
        let first = threads.team();
        assert_eq!((first.count(), threads.team().count()), (4, 1));
        drop(first);
        assert_eq!(threads.team().count(), 4);
    }

    #[test]
    fn a_panic_reaches_the_caller_whoever_ran_the_task() {
        let threads = Threads::new(2).unwrap();
        for bad in [0, 99] {
            let team = threads.team();
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                team.run(100, || (), |(), index| assert_ne!(index, bad));
            }));
            assert!(ran.is_err());
            drop(team);
        }
    }

    #[test]
    fn a_step_inside_a_step_is_refused() {
        thread_local! {
            static TEAM: std::cell::RefCell<Option<Team>> = const { std::cell::RefCell::new(None) };
        }
        let threads = Threads::new(2).unwrap();
        TEAM.set(Some(threads.team()));
        // Both threads are in a task at the same time, so the caller, whose team it is, has one.
        let together = Barrier::new(2);
        let ran = std::panic::catch_unwind(|| {
            TEAM.with_borrow(|team| {
                let outer = |_: &mut (), _| {
                    together.wait();
                    TEAM.with_borrow(|team| {
                        if let Some(team) = team {
                            team.run(2, || (), |(), _| ());
                        }
                    });
                };
                team.as_ref().unwrap().run(2, || (), outer);
            });
        });
        TEAM.take();
        let message = *ran.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(message, "a step inside a step");
    }

    #[test]
    fn lambda_grants_by_memory() {
        assert_eq!(lambda_vcpus("128"), Some(1));
        assert_eq!(lambda_vcpus("1769"), Some(1));
        assert_eq!(lambda_vcpus("2653"), Some(1));
        assert_eq!(lambda_vcpus("2654"), Some(2));
        assert_eq!(lambda_vcpus("3008"), Some(2));
        assert_eq!(lambda_vcpus("3538"), Some(2));
        assert_eq!(lambda_vcpus("10240"), Some(6));
        assert_eq!(
            lambda_vcpus(&usize::MAX.to_string()),
            Some(usize::MAX / 1769)
        );
        assert_eq!(lambda_vcpus("many"), None);
    }
}
