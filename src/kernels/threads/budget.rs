//! How the helpers of a pool are shared out among passes that run at the same time.

use std::sync::{Arc, Mutex};

use super::sync::lock;

/// The passes of one pool.
#[derive(Debug)]
pub(super) struct HelperBudget {
    /// Threads that the machine is to be kept busy with, a caller's counted.
    threads: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Passes that run, each on its caller's thread.
    running: usize,
    /// Helpers that these passes have together.
    leased: usize,
}

impl HelperBudget {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            state: Mutex::default(),
        }
    }

    /// Begins a pass, which gets as many helpers as are its share and free.
    ///
    /// Every caller brings a thread. What is left of `threads` is shared out evenly: a single caller has all helpers, and
    /// of callers as many as threads each works alone, which is what keeps every thread busy with the least waiting. A
    /// pass keeps what it has to its end, so a change in the number of callers shows with the passes that follow.
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

/// A pass that runs; dropped, its helpers are free for the next.
#[derive(Debug)]
pub(super) struct HelperLease {
    budget: Arc<HelperBudget>,
    helpers: usize,
}

impl HelperLease {
    /// How many helpers it has.
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
        // The first caller's next pass finds another one running: each has a helper from then on.
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
    fn threads_and_helpers_together_are_never_more_than_there_are() {
        // From the second round on callers come and go as equals, and all threads have work.
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
