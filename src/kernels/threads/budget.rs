//! Distribution of a pool's helper threads among passes that run at the same time.

use std::sync::{Arc, Mutex};

use super::sync::lock;

/// Helpers of one pool, and the passes that have leased them.
#[derive(Debug)]
pub(super) struct HelperBudget {
    /// Greatest number of threads that should be busy at once, those of callers included.
    threads: usize,
    state: Mutex<BudgetState>,
}

/// Passes that are running, and their helpers.
#[derive(Debug, Default)]
struct BudgetState {
    /// Number of running passes, each on its caller's thread.
    running: usize,
    /// Number of helpers that these passes have in total.
    leased: usize,
}

impl HelperBudget {
    /// Creates the budget of a pool that keeps at most `threads` threads busy, those of callers included.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            state: Mutex::default(),
        }
    }

    /// Starts a pass and leases it helpers: an even share of the threads that no caller occupies, or fewer if fewer are
    /// free.
    ///
    /// Every caller brings a thread. The rest of `threads` is divided evenly: a single caller gets every helper, and
    /// with as many callers as threads each works alone, which keeps every thread busy with the least waiting. A pass
    /// keeps its helpers until it ends, so a change in the number of callers affects only later passes.
    pub(super) fn lease(budget: &Arc<Self>) -> HelperLease {
        let mut state = lock(&budget.state);
        state.running += 1;
        let spare = budget.threads.saturating_sub(state.running);
        let free = budget.threads.saturating_sub(state.running + state.leased);
        let helpers = spare.div_ceil(state.running).min(free);
        state.leased += helpers;
        drop(state);
        HelperLease {
            budget: Arc::clone(budget),
            helpers,
        }
    }
}

/// Helpers of a running pass. Dropping it ends the pass and frees them for the next.
#[derive(Debug)]
pub(super) struct HelperLease {
    budget: Arc<HelperBudget>,
    helpers: usize,
}

impl HelperLease {
    /// Returns the number of helpers.
    pub(super) fn helpers(&self) -> usize {
        self.helpers
    }
}

impl Drop for HelperLease {
    fn drop(&mut self) {
        let mut state = lock(&self.budget.state);
        state.running -= 1;
        state.leased -= self.helpers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_at_once_share_the_helpers() {
        let budget = Arc::new(HelperBudget::new(4));
        let first = HelperBudget::lease(&budget);
        let second = HelperBudget::lease(&budget);
        assert_eq!((first.helpers(), second.helpers()), (3, 0));
        // The first caller's next pass finds another pass running: from then on each has one helper.
        drop(first);
        let first = HelperBudget::lease(&budget);
        drop(second);
        let second = HelperBudget::lease(&budget);
        assert_eq!((first.helpers(), second.helpers()), (1, 1));
        let third = HelperBudget::lease(&budget);
        assert_eq!(third.helpers(), 0);
        drop((first, second, third));
        assert_eq!(HelperBudget::lease(&budget).helpers(), 3);
    }

    #[test]
    fn callers_and_helpers_never_exceed_the_threads() {
        // From the second round on callers come and go in equal numbers, and all threads have work.
        for threads in 1..=9 {
            for callers in 1..=9 {
                let budget = Arc::new(HelperBudget::new(threads));
                let mut running: Vec<HelperLease> =
                    (0..callers).map(|_| HelperBudget::lease(&budget)).collect();
                for round in 0..3 {
                    for at in 0..callers {
                        drop(running.remove(0));
                        running.push(HelperBudget::lease(&budget));
                        let helpers: usize = running.iter().map(HelperLease::helpers).sum();
                        assert!(helpers <= threads.saturating_sub(callers), "{round} {at}");
                    }
                }
                let helpers: usize = running.iter().map(HelperLease::helpers).sum();
                assert_eq!(
                    helpers,
                    threads.saturating_sub(callers),
                    "{threads} {callers}"
                );
            }
        }
    }

    #[test]
    fn two_callers_of_two_threads_work_alone() {
        let budget = Arc::new(HelperBudget::new(2));
        let first = HelperBudget::lease(&budget);
        for _ in 0..3 {
            assert_eq!(HelperBudget::lease(&budget).helpers(), 0);
        }
        drop(first);
    }
}
