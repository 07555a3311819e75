//! MobileBERT's layer (Sun et al. 2020, section 3): everything happens between two bottlenecks.

use crate::config::{EncoderConfig, MobileConfig};
use crate::error::Result;
use crate::kernels::Compute;
use crate::kernels::attention::{Attention, Projection, attention};
use crate::kernels::memory::AlignedFloats;
use crate::layers::{FeedForward, Linear, Norm, Scratch, by_rows};
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
            shared: shared
                .then(|| Narrowing::load(&attention, width, hidden, eps))
                .transpose()?,
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
            bottleneck: mobile
                .bottleneck
                .then(|| Bottleneck::load(weights, mobile, hidden, eps))
                .transpose()?,
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
        let hidden = len / count.max(1);
        let rows = &mut scratch.rows[..len];
        let narrow = scratch.narrow.at_least(count * width);
        let (query_key, value) = scratch
            .projections
            .at_least(3 * count * width)
            .split_at_mut(2 * count * width);
        let outs = [&mut *narrow, &mut *query_key, &mut *value];
        by_rows(
            compute,
            count,
            self.ahead(),
            outs,
            |compute, buffer, block, outs| {
                let rows = &rows[block.start * hidden..block.end * hidden];
                self.project(compute, rows, buffer, outs);
            },
        );
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
        by_rows(
            compute,
            count,
            self.behind(),
            [rows],
            |compute, buffer, block, [rows]| {
                let block = block.start * width..block.end * width;
                self.finish(
                    compute,
                    &context[block.clone()],
                    &narrow[block],
                    buffer,
                    rows,
                );
            },
        );
    }

    /// All feed-forward networks, in their order.
    fn networks(&self) -> impl Iterator<Item = &FeedForward> {
        self.stack.iter().chain([&self.last])
    }

    /// What [`project`](Self::project) multiplies by.
    fn ahead(&self) -> impl Iterator<Item = &Linear> {
        let narrowings = self.bottleneck.iter().flat_map(|bottleneck| {
            let shared = bottleneck.shared.iter();
            shared
                .chain([&bottleneck.input])
                .map(|narrowing| &narrowing.dense)
        });
        narrowings.chain([&self.query_key, &self.value])
    }

    /// What [`finish`](Self::finish) multiplies by.
    fn behind(&self) -> impl Iterator<Item = &Linear> {
        let output = self.bottleneck.iter().map(|bottleneck| &bottleneck.output);
        self.networks()
            .flat_map(FeedForward::layers)
            .chain([&self.attended])
            .chain(output)
    }

    /// From `rows`, (rows, hidden), to what attention reads and to the narrowed input.
    fn project(
        &self,
        compute: &Compute,
        rows: &[f32],
        buffer: &mut AlignedFloats,
        [narrow, query_key, value]: [&mut [f32]; 3],
    ) {
        match &self.bottleneck {
            Some(bottleneck) => bottleneck.input.forward(compute, rows, narrow),
            None => narrow.copy_from_slice(rows),
        }
        // What queries and keys see: a narrowing of their own, the common one, or the rows as they are.
        let attending: &[f32] = match &self.bottleneck {
            Some(bottleneck) => match &bottleneck.shared {
                Some(narrowing) => {
                    let shared = buffer.at_least(narrow.len());
                    narrowing.forward(compute, rows, shared);
                    shared
                }
                None if self.narrow_value => narrow,
                None => rows,
            },
            None => rows,
        };
        self.query_key.forward(compute, attending, query_key);
        let valued: &[f32] = if self.narrow_value { narrow } else { rows };
        self.value.forward(compute, valued, value);
    }

    /// From what attention puts out to the layer's output, in the place of its input.
    fn finish(
        &self,
        compute: &Compute,
        context: &[f32],
        narrow: &[f32],
        buffer: &mut AlignedFloats,
        rows: &mut [f32],
    ) {
        let len = narrow.len();
        // Networks of another type take another number of rows at once.
        let inner = self
            .networks()
            .map(|network| network.inner(len / self.width))
            .max();
        let (mut x, rest) = buffer
            .at_least(2 * len + rows.len() + inner.unwrap_or(0))
            .split_at_mut(len);
        let (mut next, rest) = rest.split_at_mut(len);
        let (wide, inner) = rest.split_at_mut(rows.len());
        self.attended.forward_onto(compute, context, narrow, x);
        self.attended_norm.forward(compute, x);
        for network in &self.stack {
            network.forward_within(compute, x, inner, next);
            std::mem::swap(&mut x, &mut next);
        }
        self.last.forward_within(compute, x, inner, next);
        match &self.bottleneck {
            Some(bottleneck) => {
                bottleneck.output.forward_onto(compute, next, rows, wide);
                bottleneck.output_norm.forward(compute, wide);
                rows.copy_from_slice(wide);
            }
            None => rows.copy_from_slice(next),
        }
    }
}
