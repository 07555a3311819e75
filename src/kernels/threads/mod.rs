//! Threads of a model, and how many of them help a pass.

mod budget;
mod sync;
mod team;

use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use budget::HelperBudget;
pub(crate) use sync::lock;
pub(in crate::kernels) use team::Team;

/// Megabytes of memory for which AWS Lambda grants one CPU.
const LAMBDA_MEMORY_PER_CPU: usize = 1769;

/// Threads of one model: those of its callers, and a pool of helpers if there is more than one.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pool: Option<Pool>,
}

/// Helper threads and their distribution among passes.
#[derive(Debug)]
struct Pool {
    threads: ThreadPool,
    budget: Arc<HelperBudget>,
}

impl Threads {
    /// Creates a model's threads: at most `count` for a pass, of which the caller's is one. There is no pool if `count`
    /// is at most 1.
    ///
    /// # Errors
    /// If the system refuses to start a thread.
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

    /// Returns the greatest number of threads of a pass, the caller's included.
    pub(crate) fn count(&self) -> usize {
        let helpers = |pool: &Pool| pool.threads.current_num_threads();
        1 + self.pool.as_ref().map_or(0, helpers)
    }

    /// Returns the team of a new pass: the caller and its share of the helpers. Does not wait for other passes to end.
    pub(crate) fn team(&self) -> Team {
        let Some(pool) = &self.pool else {
            return Team::solo();
        };
        let lease = HelperBudget::lease(&pool.budget);
        Team::spawn(lease, |help| pool.threads.spawn(help))
    }
}

/// Returns the default number of threads: as many as the CPU quota of the container grants. AWS Lambda shows two CPUs
/// at every memory size and no quota, so there it is one for each 1,769 MB of memory, rounded to the nearest: two at
/// 3,008 MB, where Lambda grants 1.7 CPUs.
pub(crate) fn default_thread_count() -> usize {
    let visible = processors();
    match std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") {
        Ok(memory) => lambda_vcpus(&memory).unwrap_or(visible),
        Err(_) => visible,
    }
}

/// Returns the number of processors that the CPU quota of the container grants. It is determined once per process: on
/// Linux that takes reading several files.
pub(super) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Returns the number of CPUs that AWS Lambda grants for `memory` megabytes, rounded to the nearest but at least 1;
/// `None` if `memory` is not a number.
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
                team.parallel_for(
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
    fn helpers_take_tasks() {
        let threads = Threads::new(3).unwrap();
        let team = threads.team();
        // The barrier opens only if three threads are in a task at the same time.
        let together = Barrier::new(3);
        team.parallel_for(
            3,
            || (),
            |(), _| {
                together.wait();
            },
        );
    }

    #[test]
    fn a_second_caller_has_no_helpers_until_the_first_is_done() {
        let threads = Threads::new(4).unwrap();
        let first = threads.team();
        assert_eq!((first.count(), threads.team().count()), (4, 1));
        drop(first);
        assert_eq!(threads.team().count(), 4);
    }

    #[test]
    fn a_panic_of_any_thread_reaches_the_caller() {
        let threads = Threads::new(2).unwrap();
        for bad in [0, 99] {
            let team = threads.team();
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                team.parallel_for(100, || (), |(), index| assert_ne!(index, bad));
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
        // Both threads are in a task at the same time, so one of the tasks is run by the caller, whose team it is.
        let together = Barrier::new(2);
        let ran = std::panic::catch_unwind(|| {
            TEAM.with_borrow(|team| {
                let outer = |_: &mut (), _| {
                    together.wait();
                    TEAM.with_borrow(|team| {
                        if let Some(team) = team {
                            team.parallel_for(2, || (), |(), _| ());
                        }
                    });
                };
                team.as_ref().unwrap().parallel_for(2, || (), outer);
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
