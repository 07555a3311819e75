//! Dense products on every instruction set of this processor, against matrixmultiply and f64, at the edges of tiles,
//! panels and blocks.

use super::{Dtype, Epilogue, PackedWeights, Panels, gemm};
use crate::kernels::{Activation, Cpu, ExecContext, Threads};

/// Reproducible pseudo-random floats from -1 to 1.
pub(super) fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// All number types of packed weights.
pub(super) const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::Bf16, Dtype::Int8];

fn levels_and_types() -> impl Iterator<Item = (Cpu, Dtype)> {
    let all = Cpu::supported().into_iter();
    all.flat_map(|cpu| DTYPES.map(|dtype| (cpu, dtype)))
}

/// All bytes of packed weights, with scales and sums.
pub(super) fn bits(packed: &PackedWeights) -> Vec<u8> {
    match packed.panels() {
        Panels::F32(panels) | Panels::Bf16(panels) => bytemuck::cast_slice(panels).to_vec(),
        Panels::Int8(panels) => {
            let bytes: [&[u8]; 3] = [
                bytemuck::cast_slice(panels.bytes()),
                bytemuck::cast_slice(panels.scales()),
                bytemuck::cast_slice(panels.channel_sums()),
            ];
            bytes.concat()
        }
    }
}

fn oracle(x: &[f32], weights: &[f32], rows: usize, n: usize, k: usize) -> Vec<f32> {
    assert_eq!((x.len(), weights.len()), (rows * k, n * k));
    let mut out = vec![0.0; rows * n];
    // SAFETY: the three buffers hold rows x k, n x k (read transposed) and rows x n floats, as the strides say.
    #[allow(unsafe_code, reason = "the oracle takes raw pointers")]
    unsafe {
        matrixmultiply::sgemm(
            rows,
            k,
            n,
            1.0,
            x.as_ptr(),
            k as isize,
            1,
            weights.as_ptr(),
            1,
            k as isize,
            0.0,
            out.as_mut_ptr(),
            n as isize,
            1,
        );
    }
    out
}

fn every_context() -> Vec<ExecContext> {
    let mut all = Vec::new();
    for cpu in Cpu::supported() {
        for threads in [1, 2, 5] {
            all.push(ExecContext::new(cpu, &Threads::new(threads).unwrap()));
        }
    }
    all
}

#[test]
fn agrees_with_matrixmultiply_at_interesting_sizes() {
    let contexts = every_context();
    for n in [1, 15, 16, 17, 26, 48, 312] {
        for k in [1, 3, 16, 26, 384] {
            for rows in [0, 1, 2, 5, 6, 7, 13, 14, 64, 131] {
                // Large products of many rows test nothing that smaller ones do not.
                if n * k * rows > 312 * 384 * 16 {
                    continue;
                }
                let (x, w) = (numbers(rows * k, 1), numbers(n * k, 2));
                let packed = PackedWeights::new(&w, n, k);
                let expected = oracle(&x, &w, rows, n, k);
                for exec in &contexts {
                    let mut out = vec![f32::NAN; rows * n];
                    gemm(exec, &x, &packed, Epilogue::NONE, &mut out);
                    for (index, (a, b)) in out.iter().zip(&expected).enumerate() {
                        // Two orders of summing k products below 1 differ by far less than k units in the last place.
                        let bound = 1e-6 + k as f32 * 6e-8;
                        assert!(
                            (a - b).abs() <= bound,
                            "{exec:?} {rows}x{n}x{k} at {index}: {a} {b}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn epilogue_adds_bias_applies_activation_then_adds_residual() {
    let (rows, n, k) = (7, 20, 9);
    let (x, w) = (numbers(rows * k, 3), numbers(n * k, 4));
    let (bias, residual) = (numbers(n, 5), numbers(rows * n, 6));
    let product = oracle(&x, &w, rows, n, k);
    for exec in every_context() {
        let mut out = vec![f32::NAN; rows * n];
        let epilogue = Epilogue {
            bias: Some(&bias),
            activation: Activation::Relu,
            residual: Some(&residual),
        };
        gemm(&exec, &x, &PackedWeights::new(&w, n, k), epilogue, &mut out);
        for (index, value) in out.iter().enumerate() {
            let expected = (product[index] + bias[index % n]).max(0.0) + residual[index];
            assert!((value - expected).abs() < 2e-6, "{exec:?} at {index}");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_with_any_other_rows_and_any_number_of_threads() {
    // An odd length, so that the last k-step of two or four channels is not full.
    let (rows, n, k) = (150, 70, 383);
    let (x, w) = (numbers(rows * k, 7), numbers(n * k, 8));
    let epilogue = Epilogue {
        activation: Activation::Gelu,
        ..Epilogue::NONE
    };
    for (cpu, dtype) in levels_and_types() {
        let packed = PackedWeights::pack(dtype, &w, n, k);
        let mut alone = Vec::new();
        let serial = ExecContext::new(cpu, &Threads::new(1).unwrap());
        for row in x.chunks(k) {
            let mut out = vec![0.0; n];
            gemm(&serial, row, &packed, epilogue, &mut out);
            alone.extend(out);
        }
        for threads in [1, 2, 3, 8] {
            let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
            // Fewer rows follow more: what an earlier product left in the buffers must not matter.
            for count in [150, 1, 2, 8, 33, 150] {
                let mut out = vec![0.0; count * n];
                gemm(&exec, &x[..count * k], &packed, epilogue, &mut out);
                assert_eq!(
                    out,
                    alone[..count * n],
                    "{cpu:?}, {dtype}, {threads} threads, {count} rows"
                );
            }
        }
    }
}

#[test]
fn nan_and_infinity_reach_all_of_their_row_and_no_other() {
    let (n, k) = (17, 40);
    let w = numbers(n * k, 14);
    for (cpu, dtype) in levels_and_types() {
        let packed = PackedWeights::pack(dtype, &w, n, k);
        let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 15, 16, 39] {
                let mut x = numbers(3 * k, 15);
                x[k + at] = bad;
                let mut out = vec![0.0; 3 * n];
                gemm(&exec, &x, &packed, Epilogue::NONE, &mut out);
                let (before, rest) = out.split_at(n);
                let (row, after) = rest.split_at(n);
                assert!(
                    row.iter().all(|y| !y.is_finite()),
                    "{cpu:?}, {dtype}: {row:?}"
                );
                let others = before.iter().chain(after);
                assert!(others.clone().all(|y| y.is_finite()), "{cpu:?}, {dtype}");
            }
        }
    }
}

#[test]
fn packing_interleaves_sixteen_channels() {
    let weights = numbers(18 * 5, 9);
    let packed = PackedWeights::new(&weights, 18, 5);
    let Panels::F32(panels) = packed.panels() else {
        panic!("packed as bytes");
    };
    assert_eq!(panels.len(), 2 * 16 * 5);
    for channel in 0..18 {
        for step in 0..5 {
            let at = (channel / 16) * 16 * 5 + step * 16 + channel % 16;
            assert_eq!(panels[at], weights[channel * 5 + step]);
        }
    }
    assert!(
        panels[80..]
            .chunks(16)
            .all(|lanes| lanes[2..].iter().all(|&x| x == 0.0))
    );
}

#[test]
fn nan_passes_gelu_in_its_row_and_no_other() {
    let mut x = vec![1.0; 8];
    x[3] = f32::NAN;
    let mut out = vec![0.0; 8];
    let epilogue = Epilogue {
        activation: Activation::Gelu,
        ..Epilogue::NONE
    };
    let weights = PackedWeights::new(&[0.5; 16], 4, 4);
    gemm(&ExecContext::serial(), &x, &weights, epilogue, &mut out);
    assert!(out[..4].iter().all(|x| x.is_nan()));
    assert!(out[4..].iter().all(|x| x.is_finite()));
}
