//! MobileBERT's layer (Sun et al. 2020, section 3): attention and feed-forward networks between two bottlenecks.

use crate::config::{EncoderConfig, MobileConfig};
use crate::error::Result;
use crate::kernels::ExecContext;
use crate::kernels::attention::{Attention, Projection, attention};
use crate::kernels::memory::AlignedFloats;
use crate::layers::{FeedForward, Linear, Norm, Scratch, parallel_row_blocks};
use crate::weights::Weights;

/// Layer whose input and output have `hidden_size` columns. Between its bottlenecks rows have `width` columns.
#[derive(Debug)]
pub(super) struct MobileLayer {
    bottleneck: Option<Bottleneck>,
    /// Projects to queries and keys in one product.
    query_key: Linear,
    value: Linear,
    /// Whether values, too, are computed from the narrowed input.
    value_from_bottleneck: bool,
    attention_output: Linear,
    attention_norm: Norm,
    /// All feed-forward networks except the last.
    ffns: Vec<FeedForward>,
    output_ffn: FeedForward,
    width: usize,
    num_attention_heads: usize,
}

/// Projections from `hidden_size` to `width`, and back.
#[derive(Debug)]
struct Bottleneck {
    input: BottleneckLayer,
    query_input: QueryInput,
    output: Linear,
    output_norm: Norm,
}

/// Input of the projection to queries and keys.
#[derive(Debug)]
enum QueryInput {
    /// Rows that a separate bottleneck layer narrows.
    Separate(BottleneckLayer),
    /// Narrowed input, which values may share.
    Bottleneck,
    /// Input of the whole layer.
    Hidden,
}

/// Dense layer with a norm that narrows rows to `width`.
#[derive(Debug)]
struct BottleneckLayer {
    dense: Linear,
    norm: Norm,
}

impl BottleneckLayer {
    fn load(
        weights: &Weights<'_>,
        width: usize,
        hidden_size: usize,
        eps: Option<f32>,
    ) -> Result<Self> {
        Ok(Self {
            dense: Linear::load(weights, "dense", width, hidden_size)?,
            norm: Norm::load(weights, "LayerNorm", width, eps)?,
        })
    }

    fn forward(&self, exec: &ExecContext, rows: &[f32], out: &mut [f32]) {
        self.dense.forward(exec, rows, out);
        self.norm.forward(exec, out);
    }
}

impl Bottleneck {
    fn load(
        weights: &Weights<'_>,
        mobile: &MobileConfig,
        hidden_size: usize,
        eps: Option<f32>,
    ) -> Result<Self> {
        let width = mobile.true_hidden_size;
        let attention = "bottleneck.attention";
        if mobile.key_query_shared_bottleneck && mobile.use_bottleneck_attention {
            weights.ignore(attention);
        }
        let layer = |name| BottleneckLayer::load(&weights.scope(name), width, hidden_size, eps);
        Ok(Self {
            input: layer("bottleneck.input")?,
            query_input: if mobile.use_bottleneck_attention {
                QueryInput::Bottleneck
            } else if mobile.key_query_shared_bottleneck {
                QueryInput::Separate(layer(attention)?)
            } else {
                QueryInput::Hidden
            },
            output: Linear::load(weights, "output.bottleneck.dense", hidden_size, width)?,
            output_norm: Norm::load(weights, "output.bottleneck.LayerNorm", hidden_size, eps)?,
        })
    }
}

impl MobileLayer {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &EncoderConfig,
        mobile: &MobileConfig,
    ) -> Result<Self> {
        let (hidden_size, width) = (config.hidden_size, mobile.true_hidden_size);
        let eps = (!mobile.no_norm).then_some(config.eps);
        let torch_eps = (!mobile.no_norm).then_some(Norm::TORCH_EPS);
        let (inner, activation) = (config.intermediate_size, config.hidden_act);
        let feed_forward =
            |weights: &Weights<'_>, eps| FeedForward::load(weights, width, inner, activation, eps);
        let attention = weights.scope("attention");
        let from_bottleneck = mobile.use_bottleneck_attention;
        let value_inputs = if from_bottleneck { width } else { hidden_size };
        Ok(Self {
            bottleneck: mobile
                .use_bottleneck
                .then(|| Bottleneck::load(weights, mobile, hidden_size, eps))
                .transpose()?,
            query_key: Linear::load_joined(&attention, &["self.query", "self.key"], width, width)?,
            value: Linear::load(&attention, "self.value", width, value_inputs)?,
            value_from_bottleneck: from_bottleneck,
            attention_output: Linear::load(&attention, "output.dense", width, width)?,
            attention_norm: Norm::load(&attention, "output.LayerNorm", width, eps)?,
            ffns: (1..mobile.feed_forwards)
                .map(|index| feed_forward(&weights.scope(&format!("ffn.{}", index - 1)), eps))
                .collect::<Result<_>>()?,
            output_ffn: feed_forward(weights, torch_eps)?,
            width,
            num_attention_heads: config.num_attention_heads,
        })
    }

    /// Computes the layer in place, on the first `len` floats of `scratch.rows`. `starts` has the first row of each
    /// text, and the number of rows.
    pub(super) fn forward(
        &self,
        exec: &ExecContext,
        starts: &[usize],
        scratch: &mut Scratch,
        len: usize,
    ) {
        let width = self.width;
        let count = starts[starts.len() - 1];
        let hidden_size = len / count.max(1);
        let rows = &mut scratch.rows[..len];
        let narrowed = scratch.bottleneck.at_least(count * width);
        let (query_key, value) = scratch
            .query_key_value
            .at_least(3 * count * width)
            .split_at_mut(2 * count * width);
        let outs = [&mut *narrowed, &mut *query_key, &mut *value];
        parallel_row_blocks(
            exec,
            count,
            self.input_linears(),
            outs,
            |exec, buffer, block, outs| {
                let rows = &rows[block.start * hidden_size..block.end * hidden_size];
                self.project(exec, rows, buffer, outs);
            },
        );
        let projection = |data, stride, offset| Projection {
            data,
            stride,
            offset,
        };
        let input = Attention {
            query: projection(query_key, 2 * width, 0),
            key: projection(query_key, 2 * width, width),
            value: projection(value, width, 0),
            starts,
            out_starts: starts,
            heads: self.num_attention_heads,
            head_dim: width / self.num_attention_heads,
            bias: None,
            dtype: self.query_key.dtype(),
        };
        let context = scratch.context.at_least(count * width);
        attention(exec, &input, context);
        parallel_row_blocks(
            exec,
            count,
            self.output_linears(),
            [rows],
            |exec, buffer, block, [rows]| {
                let block = block.start * width..block.end * width;
                let (context, narrowed) = (&context[block.clone()], &narrowed[block]);
                self.finish(exec, context, narrowed, buffer, rows);
            },
        );
    }

    /// Returns all feed-forward networks, in the order in which they run.
    fn feed_forwards(&self) -> impl Iterator<Item = &FeedForward> {
        self.ffns.iter().chain([&self.output_ffn])
    }

    /// Returns the dense layers of [`project`](Self::project).
    fn input_linears(&self) -> impl Iterator<Item = &Linear> {
        let bottleneck_linears = self.bottleneck.iter().flat_map(|bottleneck| {
            let separate = match &bottleneck.query_input {
                QueryInput::Separate(layer) => Some(&layer.dense),
                QueryInput::Bottleneck | QueryInput::Hidden => None,
            };
            separate.into_iter().chain([&bottleneck.input.dense])
        });
        bottleneck_linears.chain([&self.query_key, &self.value])
    }

    /// Returns the dense layers of [`finish`](Self::finish).
    fn output_linears(&self) -> impl Iterator<Item = &Linear> {
        let output = self.bottleneck.iter().map(|bottleneck| &bottleneck.output);
        self.feed_forwards()
            .flat_map(FeedForward::linears)
            .chain([&self.attention_output])
            .chain(output)
    }

    /// Computes the narrowed input, queries and keys, and values of `rows`, (rows, hidden_size).
    fn project(
        &self,
        exec: &ExecContext,
        rows: &[f32],
        buffer: &mut AlignedFloats,
        [narrowed, query_key, value]: [&mut [f32]; 3],
    ) {
        let mut query_input = rows;
        if let Some(bottleneck) = &self.bottleneck {
            bottleneck.input.forward(exec, rows, narrowed);
            query_input = match &bottleneck.query_input {
                QueryInput::Separate(layer) => {
                    let query_rows = buffer.at_least(narrowed.len());
                    layer.forward(exec, rows, query_rows);
                    query_rows
                }
                QueryInput::Bottleneck => narrowed,
                QueryInput::Hidden => rows,
            };
        } else {
            narrowed.copy_from_slice(rows);
        }
        self.query_key.forward(exec, query_input, query_key);
        let value_input = if self.value_from_bottleneck {
            narrowed
        } else {
            rows
        };
        self.value.forward(exec, value_input, value);
    }

    /// Computes the layer's output from the context of attention. `rows` is the layer's input, which the output
    /// replaces.
    fn finish(
        &self,
        exec: &ExecContext,
        context: &[f32],
        narrowed: &[f32],
        buffer: &mut AlignedFloats,
        rows: &mut [f32],
    ) {
        let len = narrowed.len();
        // Networks of different number types take different numbers of rows at a time.
        let scratch = self
            .feed_forwards()
            .map(|feed_forward| feed_forward.scratch_len(len / self.width))
            .max();
        let (mut x, rest) = buffer
            .at_least(2 * len + rows.len() + scratch.unwrap_or(0))
            .split_at_mut(len);
        let (mut next, rest) = rest.split_at_mut(len);
        let (wide, scratch) = rest.split_at_mut(rows.len());
        self.attention_output
            .forward_residual(exec, context, narrowed, x);
        self.attention_norm.forward(exec, x);
        for feed_forward in &self.ffns {
            feed_forward.forward_block(exec, x, scratch, next);
            std::mem::swap(&mut x, &mut next);
        }
        self.output_ffn.forward_block(exec, x, scratch, next);
        match &self.bottleneck {
            Some(bottleneck) => {
                bottleneck.output.forward_residual(exec, next, rows, wide);
                bottleneck.output_norm.forward(exec, wide);
                rows.copy_from_slice(wide);
            }
            None => rows.copy_from_slice(next),
        }
    }
}
