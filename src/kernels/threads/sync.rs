//! Synchronisation primitives of a team: the standard library's, or loom's where `tests/loom` checks the protocol.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(loom))]
pub(super) use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Locks a mutex, whether or not it is poisoned: a panic of another thread leaves nothing half changed in this crate.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of checks that spin before a waiting thread yields the processor: some 20 microseconds.
#[cfg(not(loom))]
const SPIN_LIMIT: u32 = 2_000;

/// Pauses a waiting thread after `checks` failed checks.
#[cfg(not(loom))]
pub(super) fn pause(checks: u32) {
    if checks < SPIN_LIMIT {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Lets other threads run. Two waiting threads could take turns for ever, and loom would follow them. A failed check
/// changes nothing, so what may follow the second is what may follow the first, and is not explored again.
#[cfg(loom)]
pub(super) fn pause(checks: u32) {
    if checks > 1 {
        loom::skip_branch();
    }
    loom::thread::yield_now();
}

/// Cell that is accessed through pointers, with the interface of loom's cell.
#[cfg(not(loom))]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// Creates a cell that holds `value`.
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `read` with a pointer to the value, for reading only.
    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Calls `write` with a pointer to the value, for reading and writing.
    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
