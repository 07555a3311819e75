//! The forward pass in f64, composed of the operations' oracles.

use super::head::Head;
use super::parts::{Dense, NormIds};
use super::{EMBEDDINGS, Network, Retain};
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::kernels::math::tests::gelu_oracle;
use crate::train::model::ops::dropout::{Dropout, Mask};
use crate::train::model::ops::oracle;
use crate::train::model::ops::pooling::Pool;
use crate::train::model::parameters::ParamId;

/// Outputs of a pass.
pub(super) struct Outputs {
    pub(super) head: Vec<f64>,
    pub(super) hidden: Vec<Vec<f64>>,
    pub(super) projections: Vec<[Vec<f64>; 3]>,
}

/// Runs the forward pass. `values` are those of the parameters, in order. If only the head's output is retained, values that
/// depend on rows that the network does not compute are meaningless.
pub(super) fn forward(
    network: &Network,
    values: &[Vec<f64>],
    batch: &Batch,
    dropout: &Dropout,
    retain: Retain,
) -> Outputs {
    // Where only first rows are computed, masks have a row per text.
    let all: Vec<usize> = (0..batch.rows()).collect();
    let text_of = |row: &usize| batch.starts.partition_point(|start| start <= row) - 1;
    let texts: Vec<usize> = all.iter().map(text_of).collect();
    let hidden = network.config.hidden_size;
    let of = |id: ParamId| &values[id.index()][..];
    let dense = |dense: &Dense, x: &[f64]| oracle::linear(x, of(dense.weight), of(dense.bias));
    let norm = |norm: &NormIds, x: &[f64]| {
        oracle::layer_norm(x, of(norm.weight), of(norm.bias), norm.eps.into())
    };

    let mut rows = Vec::new();
    for text in batch.starts.windows(2) {
        for token in text[0]..text[1] {
            for column in 0..hidden {
                let entry = |table: ParamId, row: usize| of(table)[row * hidden + column];
                let types = network.tables.types;
                let kind = types.map_or(0.0, |table| entry(table, batch.type_ids[token] as usize));
                let word = entry(network.tables.words, batch.ids[token] as usize);
                rows.push(word + kind + entry(network.tables.positions, token - text[0]));
            }
        }
    }
    let rows = norm(&network.norm, &rows);
    let mut rows = dropped(&rows, dropout.mask(EMBEDDINGS, dropout.hidden), &all);
    let mut out = Outputs {
        head: Vec::new(),
        hidden: vec![rows.clone()],
        projections: Vec::new(),
    };
    for (index, layer) in network.layers.iter().enumerate() {
        let places = if network.is_narrow(index, retain) {
            &texts
        } else {
            &all
        };
        let [query, key, value] = layer.projections.each_ref().map(|part| dense(part, &rows));
        let mask = dropout.mask(layer.site, dropout.attention);
        let factor = |row: usize, column| {
            let (row, head) = (row / layer.heads, row % layer.heads);
            f64::from(mask.row(places[row] * layer.heads + head).factor(column))
        };
        let (starts, inputs) = (&batch.starts[..], [&query[..], &key, &value]);
        let context = oracle::attention(inputs, starts, starts, layer.heads, factor);
        out.projections.push([query, key, value]);
        let rate = if layer.drops_attention_output {
            dropout.hidden
        } else {
            0.0
        };
        let attended = dense(&layer.output, &context);
        let attended = dropped(&attended, dropout.mask(layer.site + 1, rate), places);
        let attended = norm(&layer.attention_norm, &sum(&rows, &attended));
        let inner = dense(&layer.up, &attended);
        let inner: Vec<f64> = inner
            .iter()
            .map(|&x| activation(layer.activation, x))
            .collect();
        let down = dense(&layer.down, &inner);
        let down = dropped(&down, dropout.mask(layer.site + 2, dropout.hidden), places);
        rows = norm(&layer.output_norm, &sum(&attended, &down));
        out.hidden.push(rows.clone());
    }
    let mask = dropout.mask(u64::MAX, dropout.head);
    let pooled = |pool: Pool| -> Vec<f64> {
        let text = |text: &[usize]| -> Vec<f64> {
            let taken = match pool {
                Pool::Cls => text[0]..text[0] + 1,
                Pool::Mean => text[0]..text[1],
            };
            let count = taken.len() as f64;
            let total = |column| {
                taken
                    .clone()
                    .map(|row| rows[row * hidden + column])
                    .sum::<f64>()
            };
            (0..hidden).map(|column| total(column) / count).collect()
        };
        batch.starts.windows(2).flat_map(text).collect()
    };
    out.head = match &network.head {
        Head::None => Vec::new(),
        Head::Sequence {
            inner,
            activation: function,
            classifier,
        } => {
            let inner = dense(inner, &pooled(Pool::Cls));
            let inner: Vec<f64> = inner.iter().map(|&x| activation(*function, x)).collect();
            dense(
                classifier,
                &dropped(&inner, mask, &all[..batch.starts.len() - 1]),
            )
        }
        Head::Tokens {
            classifier,
            has_dropout,
        } => {
            if *has_dropout {
                dense(classifier, &dropped(&rows, mask, &all))
            } else {
                dense(classifier, &rows)
            }
        }
        Head::Embedding { pool, normalize } => {
            let mut vectors = pooled(*pool);
            if *normalize {
                for vector in vectors.chunks_mut(hidden) {
                    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
                    vector.iter_mut().for_each(|x| *x /= length);
                }
            }
            vectors
        }
    };
    out
}

fn activation(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Gelu => gelu_oracle(x),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
    }
}

/// Applies a dropout mask; `places` are the indices of its rows.
fn dropped(rows: &[f64], mask: Mask, places: &[usize]) -> Vec<f64> {
    let width = rows.len() / places.len();
    let factor = |at: usize| f64::from(mask.row(places[at / width]).factor(at % width));
    rows.iter()
        .enumerate()
        .map(|(at, x)| x * factor(at))
        .collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
