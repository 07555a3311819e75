//! Pooling of a text's rows to one vector, by the first row or the mean of all; and normalization of vectors to length one.

use crate::kernels::ExecContext;
use crate::kernels::output::{OutputChunks, for_each_chunk};

/// Minimum length that a vector is divided by, as in torch's `normalize`.
const MIN_LENGTH: f64 = 1e-12;

/// Pooling of the rows of a text to one vector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pool {
    /// The first row, that of `[CLS]`.
    Cls,
    /// The mean of all rows.
    Mean,
}

/// Pools `rows`, (tokens, width), to a vector per text, (texts, width). A text without rows gives zeros.
pub(crate) fn forward(
    exec: &ExecContext,
    pool: Pool,
    rows: &[f32],
    starts: &[usize],
    width: usize,
    out: &mut [f32],
) {
    let outs = [OutputChunks::uniform(width, out)];
    for_each_chunk(exec, starts.len() - 1, outs, |_, text, [out]| {
        let rows = &rows[starts[text] * width..starts[text + 1] * width];
        match pool {
            _ if rows.is_empty() => out.fill(0.0),
            Pool::Cls => out.copy_from_slice(&rows[..width]),
            Pool::Mean => {
                let count = (rows.len() / width) as f64;
                for (column, out) in out.iter_mut().enumerate() {
                    let column = rows[column..].iter().step_by(width);
                    let sum: f64 = column.map(|&x| f64::from(x)).sum();
                    *out = (sum / count) as f32;
                }
            }
        }
    });
}

/// Backward pass: adds to the gradient of each row its share of the vectors' gradients, `d` of (texts, width).
pub(crate) fn backward(
    exec: &ExecContext,
    pool: Pool,
    d: &[f32],
    starts: &[usize],
    width: usize,
    d_rows: &mut [f32],
) {
    let outs = [OutputChunks::by_sequence(starts, d_rows)];
    for_each_chunk(exec, starts.len() - 1, outs, |_, text, [rows]| {
        let d = &d[text * width..][..width];
        let (taken, factor) = match pool {
            Pool::Cls => (1, 1.0),
            Pool::Mean => (usize::MAX, width as f32 / rows.len().max(1) as f32),
        };
        for row in rows.chunks_exact_mut(width).take(taken) {
            row.iter_mut()
                .zip(d)
                .for_each(|(sum, d)| *sum += d * factor);
        }
    });
}

/// Divides each vector by its length.
pub(crate) fn normalize(x: &[f32], width: usize, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let length = length(x);
        let elements = out.iter_mut().zip(x);
        elements.for_each(|(out, &x)| *out = (f64::from(x) / length) as f32);
    }
}

/// Backward pass of [`normalize`]: replaces the gradients of the unit vectors in `d` by those of `x`. With y = x / |x|, `d_x =
/// (d - y (y . d)) / |x|`.
pub(crate) fn normalize_backward(x: &[f32], width: usize, d: &mut [f32]) {
    for (x, d) in x.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
        let length = length(x);
        let elements = x.iter().zip(&*d);
        let dot: f64 = elements.map(|(&x, &d)| f64::from(x) * f64::from(d)).sum();
        let along = dot / (length * length);
        for (d, &x) in d.iter_mut().zip(x) {
            *d = ((f64::from(*d) - f64::from(x) * along) / length) as f32;
        }
    }
}

fn length(x: &[f32]) -> f64 {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    squares.sqrt().max(MIN_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{GradientCheck, random};
    use super::*;

    #[test]
    fn both_passes_agree_with_differences() {
        let (starts, width) = ([0, 3, 4, 9], 5);
        let x = random(1, 9 * width);
        let d_out = random(2, 3 * width);
        for pool in [Pool::Cls, Pool::Mean] {
            let mut out = vec![0.0; d_out.len()];
            forward(&ExecContext::serial(), pool, &x, &starts, width, &mut out);
            let check = GradientCheck::of(&d_out, |[x]| {
                let vector = |text: &[usize]| -> Vec<f64> {
                    let rows = match pool {
                        Pool::Cls => text[0]..text[0] + 1,
                        Pool::Mean => text[0]..text[1],
                    };
                    let count = rows.len() as f64;
                    let sum = |column| rows.clone().map(|row| x[row * width + column]).sum::<f64>();
                    (0..width).map(|column| sum(column) / count).collect()
                };
                starts.windows(2).flat_map(vector).collect()
            });
            check.forward([&x], &out);
            let before = random(3, x.len());
            let mut d = before.clone();
            backward(&ExecContext::serial(), pool, &d_out, &starts, width, &mut d);
            d.iter_mut()
                .zip(&before)
                .for_each(|(d, before)| *d -= before);
            check.backward([&x], [&d]);
        }
    }

    #[test]
    fn length_one_and_its_gradient() {
        let (x, d_out, width) = (random(1, 12), random(2, 12), 4);
        let mut out = vec![0.0; 12];
        normalize(&x, width, &mut out);
        let check = GradientCheck::of(&d_out, |[x]| {
            let vectors = x.chunks(width).map(|x| {
                let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                x.iter().map(|x| x / length).collect::<Vec<_>>()
            });
            vectors.flatten().collect()
        });
        check.forward([&x], &out);
        let mut d = d_out.clone();
        normalize_backward(&x, width, &mut d);
        check.backward([&x], [&d]);
    }
}
