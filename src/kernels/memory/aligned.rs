//! Buffers of floats that start at a cache line.

use bytemuck::{Pod, Zeroable};

/// Sixteen floats: one cache line, and one AVX-512 register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

// SAFETY: a line of zero bytes is sixteen floats of value zero.
#[allow(unsafe_code, reason = "bytemuck's promises are made by hand")]
unsafe impl Zeroable for Line {}
const _: () = assert!(size_of::<Line>() == size_of::<[f32; 16]>());

// SAFETY: sixteen floats fill the line without padding, as asserted, and any bit pattern is a valid float.
#[allow(unsafe_code, reason = "bytemuck's promises are made by hand")]
unsafe impl Pod for Line {}

/// Buffer of floats whose address is a multiple of 64, so that no vector load crosses a cache line.
#[derive(Clone, Default)]
pub(crate) struct AlignedFloats {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedFloats {
    /// Creates a buffer of `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }

    /// Returns the first `len` floats, after growing the buffer to hold them. They hold values of earlier use.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            self.lines.resize(len.div_ceil(16), Line([0.0; 16]));
            self.len = len;
        }
        &mut self[..len]
    }
}

impl std::ops::Deref for AlignedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl std::ops::DerefMut for AlignedFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl std::fmt::Debug for AlignedFloats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedFloats({})", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_cache_line_and_has_the_length() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let floats = AlignedFloats::zeros(len);
            assert_eq!(floats.len(), len);
            assert_eq!(floats.as_ptr() as usize % 64, 0);
        }
    }

    #[test]
    fn growing_keeps_the_contents() {
        let mut floats = AlignedFloats::zeros(3);
        floats[2] = 7.0;
        assert_eq!(floats.at_least(40)[2], 7.0);
        assert_eq!(floats.at_least(3).len(), 3);
        assert_eq!(floats.len(), 40);
    }
}
