//! Pools of buffers that are reused.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::kernels::threads::lock;

/// Pool of idle buffers. Fresh memory costs more than most of the work that is done in it, since the system clears each
/// page when it is first touched.
pub(crate) struct BufferPool<T> {
    /// Idle buffers, each with the thread that used it last, in whose core's cache it may still be.
    free: Mutex<Vec<(usize, T)>>,
    /// Greatest number of idle buffers. Buffers that are returned beyond it are freed.
    max_idle: usize,
}

impl<T: Default> BufferPool<T> {
    /// Creates an empty pool that keeps at most `max_idle` idle buffers.
    pub(crate) fn new(max_idle: usize) -> Self {
        Self {
            free: Mutex::default(),
            max_idle,
        }
    }

    /// Takes a buffer, preferably the one that this thread used last, whose memory may still be in its core's cache,
    /// and creates one if none is idle. Dropping the guard returns the buffer.
    pub(crate) fn take(&self) -> PoolGuard<'_, T> {
        let mut free = lock(&self.free);
        let index = free
            .iter()
            .rposition(|(thread, _)| *thread == this_thread());
        let value = match index {
            Some(index) => free.swap_remove(index).1,
            None => free.pop().map(|(_, value)| value).unwrap_or_default(),
        };
        PoolGuard { value, pool: self }
    }
}

impl<T> fmt::Debug for BufferPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool(of {})", self.max_idle)
    }
}

/// Buffer taken from a [`BufferPool`], which gets it back when the guard is dropped.
pub(crate) struct PoolGuard<'a, T: Default> {
    value: T,
    pool: &'a BufferPool<T>,
}

impl<T: Default> Deref for PoolGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for PoolGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for PoolGuard<'_, T> {
    fn drop(&mut self) {
        let mut free = lock(&self.pool.free);
        if free.len() < self.pool.max_idle {
            free.push((this_thread(), std::mem::take(&mut self.value)));
        }
    }
}

/// Returns a number that no other living thread has.
fn this_thread() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn buffers_are_reused_and_at_most_max_idle_are_kept() {
        let pool = BufferPool::<Vec<u8>>::new(2);
        let mut guards: Vec<_> = (0..3).map(|_| pool.take()).collect();
        for (number, value) in (1u8..).zip(&mut guards) {
            assert!(value.is_empty());
            value.push(number);
        }
        drop(guards);
        let again: Vec<_> = (0..3).map(|_| pool.take()).collect();
        assert_eq!(again.iter().filter(|value| value.is_empty()).count(), 1);
    }

    #[test]
    fn each_thread_gets_its_last_buffer() {
        let pool = BufferPool::<Vec<u8>>::new(2);
        let mut value = pool.take();
        value.push(1);
        let turn = Barrier::new(2);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut value = pool.take();
                value.push(2);
                turn.wait(); // both threads have a buffer
                turn.wait(); // the main thread has returned its buffer
            });
            turn.wait();
            drop(value);
            turn.wait();
            other.join().unwrap();
        });
        // The other thread returned its buffer last.
        assert_eq!(*pool.take(), [1]);
    }
}
