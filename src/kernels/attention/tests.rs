//! Attention against the formula in f64, on every instruction set.

use super::{Attention, Projection, RelativeBias, attention};
use crate::kernels::gemm::Dtype;
use crate::kernels::{Cpu, ExecContext, Threads};

fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 500.0 - 2.0)
        .collect()
}

/// Creates an input whose rows hold queries, keys and values side by side.
fn joined<'a>(
    qkv: &'a [f32],
    starts: &'a [usize],
    (heads, head_dim): (usize, usize),
    dtype: Dtype,
) -> Attention<'a> {
    let width = heads * head_dim;
    let part = |index| Projection {
        data: qkv,
        stride: 3 * width,
        offset: index * width,
    };
    Attention {
        query: part(0),
        key: part(1),
        value: part(2),
        starts,
        out_starts: starts,
        heads,
        head_dim,
        bias: None,
        dtype,
    }
}

/// Attention of one query in f64, straight from the formula.
fn oracle(input: &Attention<'_>, sequence: usize, head: usize, query: usize) -> Vec<f64> {
    let (first, end) = (input.starts[sequence], input.starts[sequence + 1]);
    let at = |p: Projection<'_>, row: usize, d: usize| {
        f64::from(p.data[p.offset + row * p.stride + head * input.head_dim + d])
    };
    let scores: Vec<f64> = (first..end)
        .map(|key| {
            let dot: f64 = (0..input.head_dim)
                .map(|d| at(input.query, first + query, d) * at(input.key, key, d))
                .sum();
            let bias = input.bias.map_or(0.0, |bias| {
                let distance = bias.max_len - 1 + (key - first) - query;
                f64::from(bias.data[head * (2 * bias.max_len - 1) + distance])
            });
            dot / (input.head_dim as f64).sqrt() + bias
        })
        .collect();
    let max = scores.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
    (0..input.head_dim)
        .map(|d| {
            (first..end)
                .zip(&scores)
                .map(|(key, s)| (s - max).exp() / sum * at(input.value, key, d))
                .sum()
        })
        .collect()
}

/// Number types, and the greatest error of outputs relative to the largest value. An i16 head of size six has 14 bits,
/// which scores up to 10 turn into 5e-4. Values of a sequence of 50 have 11 bits: 2e-4.
const TOLERANCES: [(Dtype, f64); 3] =
    [(Dtype::F32, 4e-6), (Dtype::Bf16, 1e-3), (Dtype::Int8, 1e-3)];

#[test]
fn agrees_with_the_formula_on_ragged_rows() {
    for (heads, head_dim) in [(3, 6), (2, 16), (2, 26), (1, 33)] {
        let starts = [0, 1, 1, 18, 34, 84];
        let (rows, width) = (84, heads * head_dim);
        let qkv = numbers(rows * 3 * width, 1);
        let max_len = 60;
        let bias = numbers(heads * (2 * max_len - 1), 2);
        for (with_bias, (dtype, bound)) in [false, true]
            .into_iter()
            .flat_map(|with| TOLERANCES.map(|form| (with, form)))
        {
            let input = Attention {
                bias: with_bias.then_some(RelativeBias {
                    data: &bias,
                    max_len,
                }),
                ..joined(&qkv, &starts, (heads, head_dim), dtype)
            };
            for cpu in Cpu::supported() {
                let mut first_out: Option<Vec<f32>> = None;
                for threads in [1, 4] {
                    let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
                    let mut out = vec![f32::NAN; rows * width];
                    attention(&exec, &input, &mut out);
                    for sequence in 0..starts.len() - 1 {
                        for query in 0..starts[sequence + 1] - starts[sequence] {
                            for head in 0..heads {
                                let row = starts[sequence] + query;
                                let got = &out[row * width + head * head_dim..][..head_dim];
                                let expected = oracle(&input, sequence, head, query);
                                for (a, b) in got.iter().zip(expected) {
                                    // The largest value is 2.
                                    assert!(
                                        (f64::from(*a) - b).abs() < 2.0 * bound,
                                        "{cpu:?}: {a} {b}"
                                    );
                                }
                            }
                        }
                    }
                    // The number of threads must not change a bit.
                    match &first_out {
                        None => first_out = Some(out),
                        Some(first) => assert_eq!(first, &out),
                    }
                }
            }
        }
    }
}

/// Runs attention over queries and keys up to `range` and values up to one. Returns the largest score and the largest
/// error, of every seventh query.
fn sweep(dtype: Dtype, len: usize, head_dim: usize, range: f32) -> (f64, f64) {
    let mut qkv = numbers(len * 3 * head_dim, 5);
    for row in qkv.chunks_exact_mut(3 * head_dim) {
        let (queries_and_keys, values) = row.split_at_mut(2 * head_dim);
        queries_and_keys.iter_mut().for_each(|x| *x *= range / 2.0);
        values.iter_mut().for_each(|x| *x /= 2.0);
    }
    let starts = [0, len];
    let input = joined(&qkv, &starts, (1, head_dim), dtype);
    let queries: Vec<usize> = (0..len).step_by(7).collect();
    let score = |query: usize, key: usize| {
        let row = |row: usize, part: usize| &qkv[(3 * row + part) * head_dim..][..head_dim];
        let pairs = row(query, 0).iter().zip(row(key, 1));
        let dot: f64 = pairs.map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
        (dot / (head_dim as f64).sqrt()).abs()
    };
    let scores = queries
        .iter()
        .flat_map(|&query| (0..len).map(move |key| score(query, key)));
    let largest = scores.fold(0.0, f64::max);
    let expected: Vec<_> = queries
        .iter()
        .map(|&query| oracle(&input, 0, 0, query))
        .collect();
    let mut worst = 0.0f64;
    for cpu in Cpu::supported() {
        let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
        let mut out = vec![f32::NAN; len * head_dim];
        attention(&exec, &input, &mut out);
        for (&query, expected) in queries.iter().zip(&expected) {
            let row = &out[query * head_dim..][..head_dim];
            let errors = row
                .iter()
                .zip(expected)
                .map(|(&a, b)| (f64::from(a) - b).abs());
            assert!(row.iter().all(|x| x.is_finite()));
            worst = errors.fold(worst, f64::max);
        }
    }
    (largest, worst)
}

#[test]
fn is_as_exact_as_documented() {
    for (len, head_dim) in [(8, 32), (128, 32), (300, 33), (512, 32), (512, 64)] {
        // In i16: values have 10 bits where 512 of them are summed, and scores have errors of 1e-3 of the largest.
        for (dtype, range, scores, bound) in [
            (Dtype::F32, 2.0, 13.0, 1.5e-6),
            (Dtype::F32, 4.0, 50.0, 4e-6),
            (Dtype::Int8, 2.0, 13.0, 1e-3),
            (Dtype::Int8, 4.0, 50.0, 1e-3),
        ] {
            let (largest, error) = sweep(dtype, len, head_dim, range);
            assert!(largest < scores, "{len} x {head_dim}: a score of {largest}");
            assert!(
                error < bound,
                "{len} x {head_dim}, scores {largest}: {error:e}"
            );
        }
    }
}

#[test]
fn a_sequence_does_not_see_its_neighbours() {
    let (heads, head_dim) = (2, 16);
    let width = heads * head_dim;
    let qkv = numbers(40 * 3 * width, 3);
    let run = |dtype, data: &[f32], starts: &[usize]| {
        let mut out = vec![0.0; starts[starts.len() - 1] * width];
        let input = joined(data, starts, (heads, head_dim), dtype);
        attention(&ExecContext::serial(), &input, &mut out);
        out
    };
    for (dtype, _) in TOLERANCES {
        let together = run(dtype, &qkv, &[0, 11, 40]);
        let alone = run(dtype, &qkv[11 * 3 * width..], &[0, 29]);
        assert_eq!(together[11 * width..], alone, "{dtype}");
    }
}

#[test]
fn first_rows_are_the_same_for_any_number_of_output_rows() {
    let (heads, head_dim) = (2, 20);
    let width = heads * head_dim;
    let starts = [0, 1, 1, 18, 34, 84];
    let out_starts = [0, 1, 1, 4, 20, 21];
    let qkv = numbers(84 * 3 * width, 6);
    for (dtype, _) in TOLERANCES {
        for cpu in Cpu::supported() {
            let exec = ExecContext::new(cpu, &Threads::new(2).unwrap());
            let all = joined(&qkv, &starts, (heads, head_dim), dtype);
            let (mut whole, mut some) = (vec![0.0; 84 * width], vec![0.0; 21 * width]);
            attention(&exec, &all, &mut whole);
            let few = Attention {
                out_starts: &out_starts,
                ..all
            };
            attention(&exec, &few, &mut some);
            for (start, out) in starts.into_iter().zip(out_starts.windows(2)) {
                let rows = &some[out[0] * width..out[1] * width];
                assert_eq!(
                    rows,
                    &whole[start * width..][..rows.len()],
                    "{cpu:?} {dtype}"
                );
            }
        }
    }
}

#[test]
fn nan_and_infinity_stay_in_their_sequence() {
    let (heads, head_dim) = (2, 16);
    let width = heads * head_dim;
    for (dtype, _) in TOLERANCES {
        for at in [0, width, 2 * width] {
            // The last one is NaN with payload bits.
            let with_low_bits = f32::from_bits(0x7fc0_1234);
            for poison in [f32::NAN, f32::INFINITY, with_low_bits] {
                let mut qkv = numbers(20 * 3 * width, 4);
                qkv[5 * 3 * width + at] = poison;
                let input = joined(&qkv, &[0, 9, 20], (heads, head_dim), dtype);
                for cpu in Cpu::supported() {
                    let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
                    let mut out = vec![0.0; 20 * width];
                    attention(&exec, &input, &mut out);
                    let (first, second) = out.split_at(9 * width);
                    assert!(first.iter().any(|x| !x.is_finite()), "{cpu:?} {dtype} {at}");
                    assert!(second.iter().all(|x| x.is_finite()), "{cpu:?} {dtype} {at}");
                }
            }
        }
    }
}

#[test]
fn i16_are_multiplied_exactly_at_their_extremes() {
    // Every float is its head's largest, and all are equal, so products and sums are as large as possible, with one
    // sign and with the other. With scales one step larger they would overflow.
    for (len, head_dim) in [(512, 32), (512, 64), (33, 26), (2, 1)] {
        for sign in [1.0f32, -1.0] {
            let mut qkv = vec![1.0; len * 3 * head_dim];
            for row in qkv.chunks_exact_mut(3 * head_dim) {
                row[2 * head_dim..].fill(sign);
            }
            let starts = [0, len];
            let input = joined(&qkv, &starts, (1, head_dim), Dtype::Int8);
            for cpu in Cpu::supported() {
                let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
                let mut out = vec![0.0; len * head_dim];
                attention(&exec, &input, &mut out);
                // All keys are equal, so the context is their value. 1e-6 covers the rounding of the scales.
                let worst = out.iter().fold(0.0, |a: f32, x| a.max((x - sign).abs()));
                assert!(worst < 1e-6, "{cpu:?} {len} x {head_dim}: {worst:e}");
            }
        }
    }
}

/// Tests scores far beyond those of any trained model. Rounding must not lift the largest above its own exponential,
/// which is as large as an i16 can be.
#[test]
fn exponentials_fit_i16_however_large_scores_are() {
    let head_dim = 16;
    for len in [1, 2, 5, 8, 9, 40] {
        for scale in 1..200 {
            let mut qkv = vec![0.75 * scale as f32; len * 3 * head_dim];
            for row in qkv.chunks_exact_mut(3 * head_dim) {
                row[2 * head_dim..].fill(1.0);
            }
            let starts = [0, len];
            let input = joined(&qkv, &starts, (1, head_dim), Dtype::Int8);
            for cpu in Cpu::supported() {
                let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
                let mut out = vec![0.0; len * head_dim];
                attention(&exec, &input, &mut out);
                let worst = out.iter().fold(0.0, |a: f32, x| a.max((x - 1.0).abs()));
                assert!(worst < 1e-6, "{cpu:?} {len} keys, {scale}: {worst:e}");
            }
        }
    }
}

/// Runs heads of size 4 on three sequences with the given starts.
fn attend(starts: &[usize], out_starts: &[usize], heads: usize) {
    let threads = Threads::new(2).unwrap();
    let exec = ExecContext::new(Cpu::detect(), &threads);
    let qkv = numbers(8 * 12, 3);
    let mut input = joined(&qkv, starts, (1, 4), Dtype::F32);
    (input.out_starts, input.heads) = (out_starts, heads);
    attention(&exec, &input, &mut [0.0; 8 * 4]);
}

#[test]
#[should_panic(expected = "sequences overlap")]
fn sequences_that_overlap_are_refused() {
    attend(&[0, 5, 3, 8], &[0, 5, 6, 8], 1);
}

#[test]
#[should_panic(expected = "outputs of sequences overlap")]
fn outputs_that_overlap_are_refused() {
    attend(&[0, 5, 6, 8], &[0, 5, 3, 8], 1);
}

#[test]
#[should_panic(expected = "output rows")]
fn output_rows_whose_size_overflows_are_refused() {
    let half = 1 << (usize::BITS - 1);
    // 2^63 + 4 rows of two heads of 4 are 32 floats, modulo 2^64.
    attend(&[0, 4, 6, half + 4], &[0, 4, 6, half + 4], 2);
}
