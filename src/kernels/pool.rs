//! Memory that is lent out and used again.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers that nobody is using: fresh memory costs more than most of what is done in it, since the system clears each
/// page at its first touch.
pub(crate) struct Pool<T> {
    free: Mutex<Vec<T>>,
    /// How many are kept: what more users at once leave behind is given back to the system.
    most: usize,
}

impl<T: Default> Pool<T> {
    /// An empty pool that will keep so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            free: Mutex::default(),
            most,
        }
    }

    /// One that was used before, or a new one; the pool has it back when it is dropped.
    pub(crate) fn lend(&self) -> Lent<'_, T> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let value = free.pop().unwrap_or_default();
        Lent { value, pool: self }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool(of {})", self.most)
    }
}

/// A value of a [`Pool`], for as long as it is needed.
pub(crate) struct Lent<'a, T: Default> {
    value: T,
    pool: &'a Pool<T>,
}

impl<T: Default> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let mut free = self
            .pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.most {
            free.push(std::mem::take(&mut self.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_lent_again_and_no_more_is_kept_than_was_said() {
        let pool = Pool::<Vec<u8>>::new(2);
        let mut lent: Vec<_> = (0..3).map(|_| pool.lend()).collect();
        for (number, value) in (1u8..).zip(&mut lent) {
            assert!(value.is_empty());
            value.push(number);
        }
        drop(lent);
        let again: Vec<_> = (0..3).map(|_| pool.lend()).collect();
        assert_eq!(again.iter().filter(|value| value.is_empty()).count(), 1);
    }
}
