//! What the threads of a team share: the standard library's, and loom's where `tests/loom` checks the protocol.

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

/// Locks a mutex. What it guards is used even after a panic of another thread: nothing in this crate leaves it half
/// changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at a number that is about to change before the processor is offered to others: some 20 microseconds.
#[cfg(not(loom))]
const SPIN_LIMIT: u32 = 2_000;

/// Lets some time pass after a wait's look number `looks`, counted from 1, has found nothing.
#[cfg(not(loom))]
pub(super) fn pause(looks: u32) {
    if looks < SPIN_LIMIT {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Lets other threads go on. Two threads that wait could take turns for ever, and loom would follow them: a look that finds
/// nothing changes nothing, so what may follow a second one is what may follow the first, and is not explored again.
#[cfg(loom)]
pub(super) fn pause(looks: u32) {
    if looks > 1 {
        loom::skip_branch();
    }
    loom::thread::yield_now();
}

/// A cell that is used through pointers, in the form that loom's has.
#[cfg(not(loom))]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `read` with a pointer to the value, to read it.
    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Calls `write` with a pointer to the value, to write it.
    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
