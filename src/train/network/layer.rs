//! The layer of BERT and DistilBERT: `a = norm(x + W_o attention(x))`, `out = norm(a + W_2 activation(W_1 a))`.

use super::parts::{Dense, NormIds, Pass};
use super::tape::Scratch;
use crate::kernels::Activation;
use crate::kernels::aligned::AlignedFloats;
use crate::kernels::gemm::Sum;
use crate::train::ops::attention::{self, Attention};
use crate::train::ops::dropout::{Dropout, Mask};
use crate::train::ops::layer_norm::NormGradient;
use crate::train::ops::{activation, residual};
use crate::train::parameters::Gradients;

/// The parameters of a layer.
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
    /// Whether what attention puts out is dropped: in BERT, not in DistilBERT.
    pub(super) drops_attended: bool,
    /// The first of its three places where numbers are dropped.
    pub(super) site: u64,
}

/// What the forward pass of a layer leaves behind.
#[derive(Debug, Default)]
pub(super) struct LayerTape {
    pub(super) query: AlignedFloats,
    pub(super) key: AlignedFloats,
    pub(super) value: AlignedFloats,
    context: AlignedFloats,
    /// Ahead of the first norm,
    attention_sum: AlignedFloats,
    /// and after it.
    attended: AlignedFloats,
    /// Inside the feed-forward network, ahead of the activation: (rows, intermediate).
    inner: AlignedFloats,
    /// Ahead of the second norm.
    output_sum: AlignedFloats,
}

impl Layer {
    fn masks(&self, dropout: &Dropout) -> (Mask, Mask, Mask) {
        let attended = match self.drops_attended {
            true => dropout.hidden,
            false => 0.0,
        };
        (
            dropout.mask(self.site, dropout.attention),
            dropout.mask(self.site + 1, attended),
            dropout.mask(self.site + 2, dropout.hidden),
        )
    }

    /// From `x` to `out`, both (rows, hidden).
    pub(super) fn forward(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        tape: &mut LayerTape,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let (shares_mask, attended_mask, output_mask) = self.masks(&pass.dropout);
        let Pass {
            compute,
            parameters,
            starts,
            ..
        } = *pass;
        let len = x.len();
        let [query, key, value] =
            [&mut tape.query, &mut tape.key, &mut tape.value].map(|buffer| buffer.at_least(len));
        for (dense, out) in self
            .projections
            .iter()
            .zip([&mut *query, &mut *key, &mut *value])
        {
            dense.forward(pass, x, out);
        }
        let input = Attention {
            query,
            key,
            value,
            starts,
            heads: self.heads,
            mask: shares_mask,
        };
        let context = tape.context.at_least(len);
        attention::forward(compute, &input, context);
        let sum = tape.attention_sum.at_least(len);
        self.output.forward(pass, context, sum);
        let attended = tape.attended.at_least(len);
        let norm = self.attention_norm.of(parameters);
        residual::forward(compute, x, attended_mask, norm, sum, attended);

        let wide = pass.rows() * self.up.outputs;
        let inner = tape.inner.at_least(wide);
        self.up.forward(pass, attended, inner);
        let activated = scratch.inner.at_least(wide);
        activation::forward(compute, self.activation, inner, activated);
        let sum = tape.output_sum.at_least(len);
        self.down.forward(pass, activated, sum);
        let norm = self.output_norm.of(parameters);
        residual::forward(compute, attended, output_mask, norm, sum, out);
    }

    /// From the gradient of `out`, in `d`, to that of `x` in its place. `outputs` are gradients of the projections that
    /// come from a loss.
    pub(super) fn backward(
        &self,
        pass: &Pass<'_>,
        (x, tape, outputs): (&[f32], &LayerTape, Option<&[Vec<f32>; 3]>),
        scratch: &mut Scratch,
        (d, gradients): (&mut [f32], &mut Gradients),
    ) {
        let (shares_mask, attended_mask, output_mask) = self.masks(&pass.dropout);
        let Pass {
            compute,
            parameters,
            starts,
            ..
        } = *pass;
        let len = x.len();
        let wide = pass.rows() * self.up.outputs;
        let transposed = &mut scratch.transposed;
        let d_branch = scratch.d_branch.at_least(len);

        // out = norm(attended + dropout(down))
        let norm = self.output_norm.of(parameters);
        let [weight, bias] = gradients.many_mut(self.output_norm.ids());
        residual::backward(
            compute,
            (&tape.output_sum[..len], norm),
            output_mask,
            (d, d_branch),
            NormGradient { weight, bias },
            &mut scratch.sums,
        );
        // down = W_2 activation(inner)
        let d_inner = scratch.d_inner.at_least(wide);
        self.down
            .backward_input(pass, d_branch, Sum::Alone, d_inner);
        let activated = scratch.inner.at_least(wide);
        activation::backward(
            compute,
            self.activation,
            &tape.inner[..wide],
            d_inner,
            activated,
        );
        self.down
            .backward_parameters(pass, activated, d_branch, gradients, transposed);
        // inner = W_1 attended; `attended` has gone two ways.
        let attended = &tape.attended[..len];
        self.up
            .backward_parameters(pass, attended, d_inner, gradients, transposed);
        self.up.backward_input(pass, d_inner, Sum::Accumulated, d);

        // attended = norm(x + dropout(output))
        let norm = self.attention_norm.of(parameters);
        let [weight, bias] = gradients.many_mut(self.attention_norm.ids());
        residual::backward(
            compute,
            (&tape.attention_sum[..len], norm),
            attended_mask,
            (d, d_branch),
            NormGradient { weight, bias },
            &mut scratch.sums,
        );
        // output = W_o context
        let context = &tape.context[..len];
        self.output
            .backward_parameters(pass, context, d_branch, gradients, transposed);
        let d_context = scratch.d_context.at_least(len);
        self.output
            .backward_input(pass, d_branch, Sum::Alone, d_context);
        // context = attention(query, key, value)
        let input = Attention {
            query: &tape.query[..len],
            key: &tape.key[..len],
            value: &tape.value[..len],
            starts,
            heads: self.heads,
            mask: shares_mask,
        };
        let mut d_projections = scratch.d_projections.each_mut().map(|d| d.at_least(len));
        attention::backward(
            compute,
            &input,
            d_context,
            d_projections.each_mut().map(|d| &mut **d),
        );
        for (index, (dense, d_out)) in self.projections.iter().zip(d_projections).enumerate() {
            let from_loss = outputs.into_iter().flat_map(|all| &all[index]);
            d_out
                .iter_mut()
                .zip(from_loss)
                .for_each(|(sum, x)| *sum += x);
            // query = W_q x, and so on; `x` has gone four ways.
            dense.backward_parameters(pass, x, d_out, gradients, transposed);
            dense.backward_input(pass, d_out, Sum::Accumulated, d);
        }
    }
}
