//! Relative positions of MPNet: a bias for each head and distance, shared by all layers.

use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::kernels::attention::RelativeBias;
use crate::weights::Weights;

/// Number of buckets of distances, fixed in the reference implementation.
const BUCKETS: usize = 32;
/// Distance from which on all distances share a bucket.
const MAX_DISTANCE: f32 = 128.0;

/// Bias that attention adds to its scores.
#[derive(Debug)]
pub(super) struct RelativePositions {
    /// Biases of (heads, 2 * max_len - 1), by head and key position minus query position.
    bias: Vec<f32>,
    /// Greatest length of a text.
    max_len: usize,
}

impl RelativePositions {
    /// Loads `encoder.relative_attention_bias`, (buckets, heads), and expands it to all distances within a text.
    ///
    /// # Errors
    /// `Config` if that takes more memory than there is.
    pub(super) fn load(weights: &Weights<'_>, config: &EncoderConfig) -> Result<Self> {
        let (heads, max_len) = (config.num_attention_heads, config.max_tokens());
        let table = weights.tensor("encoder.relative_attention_bias.weight", &[BUCKETS, heads])?;
        let mut bias = reserve(heads, max_len).ok_or_else(|| Error::Config {
            file: "config.json".to_owned(),
            key: "max_position_embeddings".to_owned(),
            reason: format!("no memory for {heads} heads by {max_len} positions both ways"),
        })?;
        for head in 0..heads {
            let distances = 1 - max_len as i64..max_len as i64;
            bias.extend(distances.map(|distance| table[bucket(distance) * heads + head]));
        }
        Ok(Self { bias, max_len })
    }

    /// Returns the bias as attention takes it.
    pub(super) fn bias(&self) -> RelativeBias<'_> {
        RelativeBias {
            data: &self.bias,
            max_len: self.max_len,
        }
    }
}

/// Returns an empty vector with capacity for (heads, 2 * max_len - 1); `None` if there is not enough memory.
fn reserve(heads: usize, max_len: usize) -> Option<Vec<f32>> {
    let len = max_len.checked_mul(2)?.checked_sub(1)?.checked_mul(heads)?;
    let mut bias = Vec::new();
    bias.try_reserve_exact(len).ok()?;
    Some(bias)
}

/// Returns the bucket of a key `distance` positions after its query (Raffel et al. 2020, section 2.1, two-sided form).
///
/// Half of the buckets are for keys after the query. Each half has one bucket for each short distance, and then buckets
/// of growing width.
fn bucket(distance: i64) -> usize {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let side = if distance > 0 { half } else { 0 };
    let distance = distance.unsigned_abs() as usize;
    if distance < exact {
        return side + distance;
    }
    // In f32 and in this order, so that rounding is the reference's.
    let scale = (MAX_DISTANCE / exact as f32).ln();
    let beyond_exact = (distance as f32 / exact as f32).ln() / scale * (half - exact) as f32;
    side + (exact + beyond_exact as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_positions_than_memory_do_not_panic() {
        assert!(reserve(12, 514).is_some_and(|bias| bias.capacity() >= 12 * 1027));
        assert!(reserve(1 << 16, 1 << 45).is_none());
        assert!(reserve(12, usize::MAX).is_none());
    }

    #[test]
    fn buckets_equal_the_reference() {
        // `MPNetEncoder.relative_position_bucket` of transformers, over 0..=512.
        for distance in 0..=512i64 {
            let expected = EDGES.iter().filter(|&&edge| edge <= distance).count();
            assert_eq!(bucket(-distance), expected, "{distance}");
            let after = if distance == 0 {
                0
            } else {
                expected + BUCKETS / 2
            };
            assert_eq!(bucket(distance), after, "{distance}");
        }
    }

    /// Distances at which the bucket changes.
    const EDGES: [i64; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
}
