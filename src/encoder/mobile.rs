//! MobileBERT's layer (Sun et al. 2020, section 3): everything happens between two bottlenecks.

use crate::config::{EncoderConfig, MobileConfig};
use crate::error::Result;
use crate::kernels::Compute;
use crate::kernels::attention::{Attention, Projection, attention};
use crate::layers::{FeedForward, Linear, Norm, Scratch};
use crate::weights::Weights;

/// What a norm of torch adds to the variance if it is not told.
const TORCH_EPS: f32 = 1e-5;

/// A layer of width `hidden` outside and `width` inside.
#[derive(Debug)]
pub(super) struct MobileLayer {
    bottleneck: Option<Bottleneck>,
    /// Queries and keys in one product.
    query_key: Linear,
    value: Linear,
    /// Whether values come from the narrowed input, as queries and keys do.
    narrow_value: bool,
    attended: Linear,
    attended_norm: Norm,
    /// All but the last feed-forward network.
    stack: Vec<FeedForward>,
    /// The last one.
    last: FeedForward,
    width: usize,
    heads: usize,
}

/// The ways into a narrow layer and out of it.
#[derive(Debug)]
struct Bottleneck {
    input: Narrowing,
    /// What queries and keys are computed from, where it is not the narrowed input itself.
    shared: Option<Narrowing>,
    output: Linear,
    output_norm: Norm,
}

#[derive(Debug)]
struct Narrowing {
    dense: Linear,
    norm: Norm,
}

impl Narrowing {
    fn load(weights: &Weights<'_>, width: usize, hidden: usize, eps: Option<f32>) -> Result<Self> {
        Ok(Self {
            dense: Linear::load(weights, "dense", width, hidden)?,
            norm: Norm::load(weights, "LayerNorm", width, eps)?,
        })
    }

    fn forward(&self, compute: &Compute, rows: &[f32], out: &mut [f32]) {
        self.dense.forward(compute, rows, out);
        self.norm.forward(compute, out);
    }
}

impl Bottleneck {
    fn load(
        weights: &Weights<'_>,
        mobile: &MobileConfig,
        hidden: usize,
        eps: Option<f32>,
    ) -> Result<Self> {
        let width = mobile.inner;
        let shared = mobile.shared_bottleneck && !mobile.bottleneck_attention;
        let attention = weights.at("bottleneck.attention");
        if mobile.shared_bottleneck && !shared {
            weights.pass_over("bottleneck.attention");
        }
        Ok(Self {
            input: Narrowing::load(&weights.at("bottleneck.input"), width, hidden, eps)?,
            shared: match shared {
                true => Some(Narrowing::load(&attention, width, hidden, eps)?),
                false => None,
            },
            output: Linear::load(weights, "output.bottleneck.dense", hidden, width)?,
            output_norm: Norm::load(weights, "output.bottleneck.LayerNorm", hidden, eps)?,
        })
    }
}

impl MobileLayer {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &EncoderConfig,
        mobile: &MobileConfig,
    ) -> Result<Self> {
        let (hidden, width) = (config.hidden, mobile.inner);
        let eps = (!mobile.no_norm).then_some(config.eps);
        let torch_eps = (!mobile.no_norm).then_some(TORCH_EPS);
        let feed_forward = |weights: &Weights<'_>, eps| {
            FeedForward::load(weights, width, config.intermediate, config.activation, eps)
        };
        let attention = weights.at("attention");
        let value_inputs = if mobile.bottleneck_attention {
            width
        } else {
            hidden
        };
        Ok(Self {
            bottleneck: match mobile.bottleneck {
                true => Some(Bottleneck::load(weights, mobile, hidden, eps)?),
                false => None,
            },
            query_key: Linear::load_joined(&attention, &["self.query", "self.key"], width, width)?,
            value: Linear::load(&attention, "self.value", width, value_inputs)?,
            narrow_value: mobile.bottleneck_attention,
            attended: Linear::load(&attention, "output.dense", width, width)?,
            attended_norm: Norm::load(&attention, "output.LayerNorm", width, eps)?,
            stack: (1..mobile.feed_forwards)
                .map(|index| feed_forward(&weights.at(&format!("ffn.{}", index - 1)), eps))
                .collect::<Result<_>>()?,
            last: feed_forward(weights, torch_eps)?,
            width,
            heads: config.heads,
        })
    }

    /// From `scratch.rows` to `scratch.rows`, whose first `len` numbers are the rows.
    pub(super) fn forward(
        &self,
        compute: &Compute,
        starts: &[usize],
        scratch: &mut Scratch,
        len: usize,
    ) {
        let width = self.width;
        let count = starts[starts.len() - 1];
        let rows = &mut scratch.rows[..len];
        let narrow = scratch.narrow.at_least(count * width);
        let shared = scratch.shared.at_least(count * width);
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.input.forward(compute, rows, narrow),
            None => narrow.copy_from_slice(rows),
        }
        // What queries and keys see: a narrowing of their own, the common one, or the rows as they are.
        let attending: &[f32] = match &self.bottleneck {
            Some(bottleneck) => match &bottleneck.shared {
                Some(narrowing) => {
                    narrowing.forward(compute, rows, shared);
                    shared
                }
                None if self.narrow_value => narrow,
                None => rows,
            },
            None => rows,
        };
        let (query_key, value) = scratch
            .projections
            .at_least(3 * count * width)
            .split_at_mut(2 * count * width);
        self.query_key.forward(compute, attending, query_key);
        let valued: &[f32] = if self.narrow_value { narrow } else { rows };
        self.value.forward(compute, valued, value);
        let part = |data, stride, offset| Projection {
            data,
            stride,
            offset,
        };
        let input = Attention {
            query: part(query_key, 2 * width, 0),
            key: part(query_key, 2 * width, width),
            value: part(value, width, 0),
            starts,
            out_starts: starts,
            heads: self.heads,
            head_dim: width / self.heads,
            bias: None,
            dtype: self.query_key.dtype(),
        };
        let context = scratch.context.at_least(count * width);
        attention(compute, &input, context);
        let mut x = scratch.attended.at_least(count * width);
        self.attended.forward_onto(compute, context, narrow, x);
        self.attended_norm.forward(compute, x);

        // From here on the narrowed inputs are not needed, so networks write to and fro.
        let mut next = narrow;
        for network in &self.stack {
            network.forward(compute, x, &mut scratch.inner, next);
            std::mem::swap(&mut x, &mut next);
        }
        self.last.forward(compute, x, &mut scratch.inner, next);
        match &self.bottleneck {
            Some(bottleneck) => {
                let wide = scratch.embedded.at_least(len);
                bottleneck.output.forward_onto(compute, next, rows, wide);
                bottleneck.output_norm.forward(compute, wide);
                rows.copy_from_slice(wide);
            }
            None => rows.copy_from_slice(next),
        }
    }
}
