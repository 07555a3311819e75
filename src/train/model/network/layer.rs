//! The layer of BERT and DistilBERT: `a = norm(x + W_o attention(x))`, `out = norm(a + W_2 activation(W_1 a))`.

use super::parts::{Dense, NormIds, PassContext};
use super::scratch::NetworkScratch;
use crate::kernels::Activation;
use crate::kernels::gemm::StoreMode;
use crate::kernels::memory::AlignedFloats;
use crate::train::model::ops::attention::{self, Attention};
use crate::train::model::ops::dropout::{Dropout, Mask};
use crate::train::model::ops::layer_norm::NormGradient;
use crate::train::model::ops::pooling::{self, Pool};
use crate::train::model::ops::{activation, residual};
use crate::train::model::parameters::Gradients;

/// Parameters of a layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) projections: [Dense; 3],
    pub(super) output: Dense,
    pub(super) attention_norm: NormIds,
    pub(super) up: Dense,
    pub(super) down: Dense,
    pub(super) output_norm: NormIds,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    /// Whether attention's output has dropout, as in BERT but not in DistilBERT.
    pub(super) drops_attention_output: bool,
    /// First of the layer's three dropout sites, which are numbered in sequence.
    pub(super) site: u64,
}

/// Intermediate results of a layer's forward pass.
#[derive(Debug, Default)]
pub(super) struct LayerTape {
    /// First row of each text, where only those are computed.
    first: AlignedFloats,
    pub(super) query: AlignedFloats,
    pub(super) key: AlignedFloats,
    pub(super) value: AlignedFloats,
    context: AlignedFloats,
    /// Input of the first norm.
    attention_sum: AlignedFloats,
    /// Output of the first norm.
    attended: AlignedFloats,
    /// Input of the activation in the feed-forward network: (rows, intermediate).
    inner: AlignedFloats,
    /// Input of the second norm.
    output_sum: AlignedFloats,
}

/// Input and intermediate results of a layer's forward pass.
#[derive(Clone, Copy)]
pub(super) struct LayerRecord<'a> {
    /// Input, (rows, hidden).
    pub(super) x: &'a [f32],
    pub(super) tape: &'a LayerTape,
}

impl Layer {
    fn masks(&self, dropout: &Dropout) -> (Mask, Mask, Mask) {
        let attended = if self.drops_attention_output {
            dropout.hidden
        } else {
            0.0
        };
        (
            dropout.mask(self.site, dropout.attention),
            dropout.mask(self.site + 1, attended),
            dropout.mask(self.site + 2, dropout.hidden),
        )
    }

    /// Forward pass from `x`, (rows, hidden), to `out`, which has as many rows, or only the first one of each text.
    pub(super) fn forward(
        &self,
        pass: &PassContext<'_>,
        x: &[f32],
        tape: &mut LayerTape,
        scratch: &mut NetworkScratch,
        out: &mut [f32],
    ) {
        let (probs_mask, attended_mask, output_mask) = self.masks(&pass.dropout);
        let PassContext {
            exec,
            parameters,
            starts,
            ..
        } = *pass;
        let len = out.len();
        let hidden = self.output.outputs;
        // Input of the query projection, to which attention's output is added.
        let query_input = match pass.firsts {
            None => x,
            Some(_) => {
                let first = tape.first.at_least(len);
                pooling::forward(exec, Pool::Cls, x, starts, hidden, first);
                first
            }
        };
        let query = tape.query.at_least(len);
        let [key, value] = [&mut tape.key, &mut tape.value].map(|rows| rows.at_least(x.len()));
        let outs = [(query_input, &mut *query), (x, &mut *key), (x, &mut *value)];
        for (dense, (x, out)) in self.projections.iter().zip(outs) {
            dense.forward(pass, x, out);
        }
        let input = Attention {
            query,
            query_starts: pass.out_starts(),
            key,
            value,
            starts,
            heads: self.heads,
            mask: probs_mask,
        };
        let context = tape.context.at_least(len);
        attention::forward(exec, &input, context);
        let sum = tape.attention_sum.at_least(len);
        self.output.forward(pass, context, sum);
        let attended = tape.attended.at_least(len);
        let norm = self.attention_norm.of(parameters);
        residual::forward(exec, query_input, attended_mask, norm, sum, attended);

        let wide = pass.out_rows() * self.up.outputs;
        let inner = tape.inner.at_least(wide);
        self.up.forward(pass, attended, inner);
        let activated = scratch.inner.at_least(wide);
        activation::forward(exec, self.activation, inner, activated);
        let sum = tape.output_sum.at_least(len);
        self.down.forward(pass, activated, sum);
        let norm = self.output_norm.of(parameters);
        residual::forward(exec, attended, output_mask, norm, sum, out);
    }

    /// Backward pass: replaces the gradient of `out` in `d_rows` by that of `x`, (rows, hidden). `projection_gradients` are a
    /// loss's gradients of queries, keys and values.
    pub(super) fn backward(
        &self,
        pass: &PassContext<'_>,
        LayerRecord { x, tape }: LayerRecord<'_>,
        projection_gradients: Option<&[Vec<f32>; 3]>,
        scratch: &mut NetworkScratch,
        d_rows: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let (probs_mask, attended_mask, output_mask) = self.masks(&pass.dropout);
        let PassContext {
            exec,
            parameters,
            starts,
            ..
        } = *pass;
        let hidden = self.output.outputs;
        let len = pass.out_rows() * hidden;
        let wide = pass.out_rows() * self.up.outputs;
        let transposed = &mut scratch.transposed;
        let d_branch = scratch.d_branch.at_least(len);
        let d = &mut d_rows[..len];

        // out = norm(attended + dropout(down))
        let norm = self.output_norm.of(parameters);
        let [weight, bias] = gradients.many_mut(self.output_norm.ids());
        let sums = &mut scratch.sums;
        let gradient = NormGradient { weight, bias, sums };
        let sum = &tape.output_sum[..len];
        residual::backward(exec, sum, norm, output_mask, d, d_branch, gradient);
        // down = W_2 activation(inner)
        let d_inner = scratch.d_inner.at_least(wide);
        self.down
            .backward_input(pass, d_branch, StoreMode::Overwrite, d_inner);
        let activated = scratch.inner.at_least(wide);
        let inner = &tape.inner[..wide];
        activation::backward(exec, self.activation, inner, d_inner, activated);
        self.down
            .backward_parameters(pass, activated, d_branch, gradients, transposed);
        // inner = W_1 attended; the gradient of `attended` has two terms.
        let attended = &tape.attended[..len];
        self.up
            .backward_parameters(pass, attended, d_inner, gradients, transposed);
        self.up
            .backward_input(pass, d_inner, StoreMode::Accumulate, d);

        // attended = norm(query_input + dropout(output))
        let norm = self.attention_norm.of(parameters);
        let [weight, bias] = gradients.many_mut(self.attention_norm.ids());
        let sums = &mut scratch.sums;
        let gradient = NormGradient { weight, bias, sums };
        let sum = &tape.attention_sum[..len];
        residual::backward(exec, sum, norm, attended_mask, d, d_branch, gradient);
        // output = W_o context
        let context = &tape.context[..len];
        self.output
            .backward_parameters(pass, context, d_branch, gradients, transposed);
        let d_context = scratch.d_context.at_least(len);
        self.output
            .backward_input(pass, d_branch, StoreMode::Overwrite, d_context);
        // context = attention(query, key, value)
        let input = Attention {
            query: &tape.query[..len],
            query_starts: pass.out_starts(),
            key: &tape.key[..x.len()],
            value: &tape.value[..x.len()],
            starts,
            heads: self.heads,
            mask: probs_mask,
        };
        let [d_query, d_key, d_value] = &mut scratch.d_projections;
        let d_query = d_query.at_least(len);
        let [d_key, d_value] = [d_key, d_value].map(|d| d.at_least(x.len()));
        let d_projections = [&mut *d_query, &mut *d_key, &mut *d_value];
        attention::backward(exec, &input, d_context, d_projections);
        let d_projections = [d_query, d_key, d_value];
        for (d, from_loss) in d_projections
            .into_iter()
            .zip(projection_gradients.into_iter().flatten())
        {
            assert!(from_loss.is_empty() || from_loss.len() == d.len());
            d.iter_mut().zip(from_loss).for_each(|(sum, x)| *sum += x);
        }

        // query = W_q query_input, key = W_k x, value = W_v x; `query_input` is x, or its first rows.
        let [query, key, value] = &self.projections;
        let query_input = match pass.firsts {
            None => x,
            Some(_) => &tape.first[..len],
        };
        let [d_query, d_key, d_value] = &scratch.d_projections;
        let (d_query, d_key) = (&d_query[..len], &d_key[..x.len()]);
        let d_value = &d_value[..x.len()];
        query.backward_parameters(pass, query_input, d_query, gradients, transposed);
        query.backward_input(pass, d_query, StoreMode::Accumulate, d);
        key.backward_parameters(pass, x, d_key, gradients, transposed);
        value.backward_parameters(pass, x, d_value, gradients, transposed);
        match pass.firsts {
            None => key.backward_input(pass, d_key, StoreMode::Accumulate, d_rows),
            Some(_) => {
                d_branch.copy_from_slice(d);
                key.backward_input(pass, d_key, StoreMode::Overwrite, d_rows);
                pooling::backward(exec, Pool::Cls, d_branch, starts, hidden, d_rows);
            }
        }
        value.backward_input(pass, d_value, StoreMode::Accumulate, d_rows);
    }
}
