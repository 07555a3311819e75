//! Threads of one pass: the caller, and helpers that stay with it until the pass ends.
//!
//! A pass through an encoder is a sequence of steps: short parallel loops, some of a few microseconds. Waking threads
//! for each step would cost as much as the step. So helpers join once per pass, and between steps they wait by polling
//! one atomic. Starting and ending a step takes less than a microsecond.
//!
//! (OpenMP uses the word "team" in this sense.)

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::budget::HelperLease;
use super::sync::{Arc, AtomicBool, AtomicU64, Ordering, UnsafeCell, lock, pause};

/// Threads of one pass: the caller's and its helpers'.
#[derive(Debug)]
pub(crate) struct Team {
    /// State shared with the helpers; `None` if there are none.
    shared: Option<Arc<TeamState>>,
    /// Lease of the helpers. Dropped after the helpers are told that the pass is over.
    _lease: Option<HelperLease>,
    /// Makes a team `Send` and not `Sync`, so only one thread at a time can start a step.
    callers: PhantomData<Cell<()>>,
}

/// State that the threads of a team share.
struct TeamState {
    /// Number of the current step, in the high 32 bits. In the low bits: whether helpers may still join it ([`OPEN`]),
    /// and how many are at work on it ([`AT_WORK`]).
    state: AtomicU64,
    /// Closure that the current step calls. Written by [`TeamState::run_step`] while no helper is at work, read by
    /// [`TeamState::join`].
    job: UnsafeCell<Option<TeamJob>>,
    /// Remaining tasks of each member: the index of the first in the low 32 bits, the end in the high 32 bits.
    queues: Vec<AtomicU64>,
    /// Whether the pass is over.
    shutdown: AtomicBool,
    /// Whether a helper's task has panicked.
    panicked: AtomicBool,
}

/// Bit of [`TeamState::state`] that is set while helpers may join the step.
const OPEN: u64 = 1 << 31;
/// Bits of [`TeamState::state`] that count helpers at work.
const AT_WORK: u64 = OPEN - 1;

/// Reference to a closure on the caller's stack, without its type and lifetime.
#[derive(Clone, Copy)]
struct TeamJob {
    /// The closure.
    closure: *const (),
    /// Calls the closure with the index of a member.
    ///
    /// # Safety
    /// The first argument must be the `closure` beside this function, and that closure must still be alive.
    call: unsafe fn(*const (), usize),
}

#[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
// SAFETY: `job` is the only field that is neither `Send` nor `Sync`. Only `TeamState::run_step` writes it, while
// `state` says that no helper is at work and none may join. Only `TeamState::join` reads it, after it has counted its
// helper as at work. The closure behind it is `Sync`, as `TeamState::run_step` demands. `tests/loom` checks this in
// every order of events.
unsafe impl Sync for TeamState {}
#[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
// SAFETY: the closure of `job` is used only as described above, whichever thread owns the other fields.
unsafe impl Send for TeamState {}

impl std::fmt::Debug for TeamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TeamState({} members)", self.queues.len())
    }
}

impl Team {
    /// Creates a team of the caller alone.
    pub(in crate::kernels) fn solo() -> Self {
        Self::of(None, None)
    }

    /// Creates a team from its parts.
    fn of(shared: Option<Arc<TeamState>>, pass: Option<HelperLease>) -> Self {
        Self {
            shared,
            _lease: pass,
            callers: PhantomData,
        }
    }

    /// Creates a team of the caller and the leased helpers. Calls `start` once for each helper with the closure that
    /// the helper's thread must run soon.
    pub(super) fn spawn(
        lease: HelperLease,
        mut start: impl FnMut(Box<dyn FnOnce() + Send>),
    ) -> Self {
        let helpers = lease.helpers();
        if helpers == 0 {
            return Self::of(None, Some(lease));
        }
        let shared = Arc::new(TeamState {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            queues: (0..=helpers).map(|_| AtomicU64::new(0)).collect(),
            shutdown: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        for helper in 1..=helpers {
            let shared = Arc::clone(&shared);
            start(Box::new(move || shared.help(helper)));
        }
        Self::of(Some(shared), Some(lease))
    }

    /// Returns the number of members, the caller included.
    pub(crate) fn count(&self) -> usize {
        self.shared.as_ref().map_or(1, |shared| shared.queues.len())
    }

    /// Calls `task(scratch, index)` once for each index below `tasks`, on the threads of all members. `scratch` creates
    /// the value that a member keeps from one task to the next.
    ///
    /// Each member starts with a range of neighbouring tasks, in ascending order. When it has none left it takes tasks
    /// from the end of another member's range.
    ///
    /// # Panics
    /// If a task panics. With helpers also for 2^32 tasks or more, and if a task calls this function on its own team.
    pub(crate) fn parallel_for<S>(
        &self,
        tasks: usize,
        scratch: impl Fn() -> S + Sync,
        task: impl Fn(&mut S, usize) + Sync,
    ) {
        let alone = || {
            let mut scratch = scratch();
            (0..tasks).for_each(|index| task(&mut scratch, index));
        };
        match &self.shared {
            Some(shared) if tasks > 1 => {
                assert!(u32::try_from(tasks).is_ok(), "{tasks} tasks");
                // A task cannot borrow its team, which is not `Sync`, but could find it in a thread-local variable.
                let state = shared.state.load(Ordering::Relaxed);
                assert!(state & (OPEN | AT_WORK) == 0, "a step inside a step");
                let members = shared.queues.len() as u64;
                for (member, queue) in (0..).zip(&shared.queues) {
                    let share = |member: u64| member * tasks as u64 / members;
                    queue.store(share(member) | share(member + 1) << 32, Ordering::Relaxed);
                }
                let work = |member: usize| {
                    let mut kept = None;
                    while let Some(index) = shared.take(member) {
                        task(kept.get_or_insert_with(&scratch), index);
                    }
                };
                #[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
                // SAFETY: `shared` belongs to this team, which is neither `Sync` nor `Clone`, so no other thread starts
                // a step. This thread has no step open, as asserted.
                unsafe {
                    shared.run_step(&work);
                }
            }
            _ => alone(),
        }
    }

    /// Calls `work(index, part)` once for each of `parts`, on the threads of all members. Parts are handed out in
    /// order, each to the next free member. There must be at most `tasks` parts.
    ///
    /// # Panics
    /// Under the conditions of [`parallel_for`](Self::parallel_for).
    pub(crate) fn for_each_part<P: Send>(
        &self,
        tasks: usize,
        parts: impl Iterator<Item = P> + Send,
        work: impl Fn(usize, P) + Sync,
    ) {
        let parts = Mutex::new(parts.enumerate());
        self.parallel_for(
            tasks,
            || (),
            |(), _| {
                let next = lock(&parts).next();
                if let Some((index, part)) = next {
                    work(index, part);
                }
            },
        );
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.shutdown.store(true, Ordering::Release);
        }
    }
}

impl TeamState {
    /// Runs one step: calls `closure` with 0 on the caller's thread, and with the index of each helper that joins in
    /// time on the helper's thread.
    ///
    /// # Safety
    /// No other call of this function on the same value may be running, on any thread.
    #[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
    unsafe fn run_step<F: Fn(usize) + Sync>(&self, closure: &F) {
        /// Closes the step and waits for its helpers when dropped, even if the caller's part panics: the closure is on
        /// the caller's stack.
        struct WaitForHelpers<'a>(&'a TeamState);
        impl Drop for WaitForHelpers<'_> {
            fn drop(&mut self) {
                self.0.state.fetch_and(!OPEN, Ordering::Relaxed);
                wait_until(|| self.0.state.load(Ordering::Acquire) & AT_WORK == 0);
            }
        }
        let job = TeamJob {
            closure: std::ptr::from_ref(closure).cast(),
            call: |closure, member| {
                // SAFETY: by the contract of `call`, `closure` is the reference above without its type, for which this
                // function was made, and it is still alive.
                let closure = unsafe { &*closure.cast::<F>() };
                closure(member);
            },
        };
        self.job.with_mut(|place| {
            // SAFETY: `place` points into the cell. Nothing else accesses it. By the contract of `run_step` its last
            // call is over: it closed its step and waited for its helpers. No helper may join before the store below.
            unsafe { *place = Some(job) }
        });
        let number = (self.state.load(Ordering::Relaxed) >> 32) + 1;
        self.state.store(number << 32 | OPEN, Ordering::Release);
        let closing = WaitForHelpers(self);
        closure(0);
        drop(closing);
        assert!(
            !self.panicked.load(Ordering::Relaxed),
            "a helper's task panicked"
        );
    }

    /// Runs helper number `helper` until the pass is over.
    fn help(&self, helper: usize) {
        let mut done = 0;
        loop {
            let mut joined = None;
            wait_until(|| {
                joined = self.join(done);
                joined.is_some() || self.shutdown.load(Ordering::Acquire)
            });
            let Some((number, job)) = joined else {
                return;
            };
            done = number;
            // SAFETY: `join` returned both together. Between that and the subtraction below the caller is in
            // `run_step`, where the closure is alive.
            #[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
            let called = catch_unwind(AssertUnwindSafe(|| unsafe {
                (job.call)(job.closure, helper);
            }));
            if called.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Joins the open step, unless it is step `done`. Returns its number and closure.
    fn join(&self, done: u64) -> Option<(u64, TeamJob)> {
        let state = self.state.load(Ordering::Relaxed);
        let number = state >> 32;
        if state & OPEN == 0 || number == done {
            return None;
        }
        self.state
            .compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        let job = self.job.with(|place| {
            // SAFETY: `place` points into the cell. The exchange found the step open and counts this helper as at work.
            // The caller wrote the step before opening it, and does not write again until this helper has ended it.
            #[allow(unsafe_code, reason = "the closure of a step is shared by hand")]
            unsafe {
                *place
            }
        });
        job.map(|job| (number, job))
    }

    /// Takes the next task of a member: the first of its own range, or else the last of another member's.
    fn take(&self, member: usize) -> Option<usize> {
        const LOW: u64 = u32::MAX as u64;
        let own = self.queues[member].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left & LOW < left >> 32).then_some(left + 1)
        });
        if let Ok(left) = own {
            return Some((left & LOW) as usize);
        }
        let others = (1..self.queues.len()).map(|ahead| (member + ahead) % self.queues.len());
        for other in others {
            let taken =
                self.queues[other].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    (left & LOW < left >> 32).then(|| left - (1 << 32))
                });
            if let Ok(left) = taken {
                return Some((left >> 32) as usize - 1);
            }
        }
        None
    }
}

/// Waits until `holds` returns true because of another thread.
fn wait_until(mut holds: impl FnMut() -> bool) {
    let mut checks = 0;
    while !holds() {
        checks += 1;
        pause(checks);
    }
}
