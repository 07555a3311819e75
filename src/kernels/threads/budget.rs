//! How the helpers of a pool are shared out among passes that run at the same time.

use std::sync::{Arc, Mutex};

use super::sync::lock;

/// The passes of one pool.
#[derive(Debug)]
pub(super) struct Passes {
    /// Threads that the machine is to be kept busy with, a caller's counted.
    threads: usize,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    /// Passes that run, each on its caller's thread,
    running: usize,
    /// and how many helpers they have together.
    lent: usize,
}

impl Passes {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            now: Mutex::default(),
        }
    }

    /// Begins a pass, which gets as many helpers as are its share and free.
    ///
    /// Every caller brings a thread. What is left of `threads` is shared out evenly: a single caller has all helpers, and
    /// of callers as many as threads each works alone, which is what keeps every thread busy with the least waiting. A
    /// pass keeps what it has to its end, so a change in the number of callers shows with the passes that follow.
    pub(super) fn begin(passes: &Arc<Self>) -> Pass {
        let mut now = lock(&passes.now);
        now.running += 1;
        let left = passes.threads.saturating_sub(now.running);
        let free = passes.threads.saturating_sub(now.running + now.lent);
        let helpers = left.div_ceil(now.running).min(free);
        now.lent += helpers;
        drop(now);
        Pass {
            passes: Arc::clone(passes),
            helpers,
        }
    }
}

/// A pass that runs; dropped, its helpers are free for the next.
#[derive(Debug)]
pub(super) struct Pass {
    passes: Arc<Passes>,
    helpers: usize,
}

impl Pass {
    /// How many helpers it has.
    pub(super) fn helpers(&self) -> usize {
        self.helpers
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut now = lock(&self.passes.now);
        now.running -= 1;
        now.lent -= self.helpers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_at_once_share_the_helpers() {
        let passes = Arc::new(Passes::new(4));
        let first = Passes::begin(&passes);
        let second = Passes::begin(&passes);
        assert_eq!((first.helpers(), second.helpers()), (3, 0));
        // The first caller's next pass finds another one running: each has a helper from then on.
        drop(first);
        let first = Passes::begin(&passes);
        drop(second);
        let second = Passes::begin(&passes);
        assert_eq!((first.helpers(), second.helpers()), (1, 1));
        let third = Passes::begin(&passes);
        assert_eq!(third.helpers(), 0);
        drop((first, second, third));
        assert_eq!(Passes::begin(&passes).helpers(), 3);
    }

    #[test]
    fn threads_and_helpers_together_are_never_more_than_there_are() {
        // From the second round on callers come and go as equals, and all threads have work.
        for threads in 1..=9 {
            for callers in 1..=9 {
                let passes = Arc::new(Passes::new(threads));
                let mut running: Vec<Pass> = (0..callers).map(|_| Passes::begin(&passes)).collect();
                for round in 0..3 {
                    for at in 0..callers {
                        drop(running.remove(0));
                        running.push(Passes::begin(&passes));
                        let helpers: usize = running.iter().map(Pass::helpers).sum();
                        assert!(helpers <= threads.saturating_sub(callers), "{round} {at}");
                    }
                }
                let helpers: usize = running.iter().map(Pass::helpers).sum();
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
        let passes = Arc::new(Passes::new(2));
        let first = Passes::begin(&passes);
        for _ in 0..3 {
            assert_eq!(Passes::begin(&passes).helpers(), 0);
        }
        drop(first);
    }
}
