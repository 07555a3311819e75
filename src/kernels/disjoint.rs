//! One output, written by many tasks at once.

use std::marker::PhantomData;

/// A slice that is handed out in pieces to tasks that run at the same time.
///
/// The pieces of one task are strided (some columns of every row), which `split_at_mut` cannot say.
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

#[allow(
    unsafe_code,
    reason = "a raw pointer is neither Send nor Sync by itself"
)]
// SAFETY: a `Disjoint` is a `&mut [f32]` whose pieces are handed out by `piece` and `pieces` alone, and their contract says that no
// two living pieces overlap; so no float is reached by two threads at once. `f32` itself may be sent between threads.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// All of `out`, to be handed out.
    pub(crate) fn new(out: &'a mut [f32]) -> Self {
        Self {
            start: out.as_mut_ptr(),
            len: out.len(),
            borrowed: PhantomData,
        }
    }

    /// The number of floats.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The `len` floats from `start` on.
    ///
    /// # Safety
    /// As long as the piece lives, no other piece that overlaps it may exist or be made.
    #[allow(
        unsafe_code,
        clippy::mut_from_ref,
        reason = "handing out exclusive pieces of a shared whole is what this type is for"
    )]
    #[inline(always)]
    pub(crate) unsafe fn piece(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(
            start <= self.len && len <= self.len - start,
            "piece {start} + {len} of {}",
            self.len
        );
        // SAFETY: the assertion keeps the piece inside the borrowed slice, which lives for 'a and so at least as long
        // as `self`; the caller promises that nobody else holds a part of it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// `R` pieces of `P` x `L` floats, `stride` apart, the first of which begins at `start`; checked once for all.
    ///
    /// # Safety
    /// As of [`piece`](Self::piece), for each of them.
    #[allow(
        unsafe_code,
        clippy::mut_from_ref,
        reason = "handing out exclusive pieces of a shared whole is what this type is for"
    )]
    #[inline(always)]
    pub(crate) unsafe fn pieces<const L: usize, const P: usize, const R: usize>(
        &self,
        start: usize,
        stride: usize,
    ) -> [&mut [[f32; L]; P]; R] {
        let last = stride.checked_mul(R - 1);
        let end = last.and_then(|last| last.checked_add(start)?.checked_add(P * L));
        assert!(
            end.is_some_and(|end| end <= self.len) && (R == 1 || P * L <= stride),
            "{R} pieces of {P} x {L}, {stride} apart, from {start} on, of {}",
            self.len
        );
        // SAFETY: the assertion keeps all of them inside the borrowed slice, as in `piece`, and apart from each other; the
        // caller promises that nobody else holds a part of them.
        std::array::from_fn(|row| unsafe { &mut *self.start.add(start + row * stride).cast() })
    }
}
