//! Products of bf16 on every instruction set: against the formula in f64 and, bit for bit, against f32 sums in the
//! documented order.

use crate::kernels::gemm::tests::numbers;
use crate::kernels::gemm::{Dtype, Epilogue, PackedWeights, gemm};
use crate::kernels::{Activation, Cpu, ExecContext, Threads};

fn rounded(numbers: &[f32]) -> Vec<f32> {
    let round = |&x: &f32| half::bf16::from_f32(x).to_f32();
    numbers.iter().map(round).collect()
}

/// Sums in f32 in the documented order: of each pair first the second product, then the first.
fn in_order(x: &[f32], weights: &[f32], k: usize, bias: &[f32]) -> Vec<f32> {
    let (x, weights) = (rounded(x), rounded(weights));
    let mut out = Vec::new();
    for row in x.chunks(k) {
        for (w, bias) in weights.chunks(k).zip(bias) {
            let mut sum = *bias;
            for (x, w) in row.chunks(2).zip(w.chunks(2)) {
                for (x, w) in x.iter().zip(w).rev() {
                    sum += x * w; // the product is exact
                }
            }
            out.push(sum);
        }
    }
    out
}

/// Product of the rounded operands in f64. Each sum comes with the sum of its terms' magnitudes.
fn in_f64(x: &[f32], weights: &[f32], k: usize) -> Vec<(f64, f64)> {
    let (x, weights) = (rounded(x), rounded(weights));
    let mut out = Vec::new();
    for row in x.chunks(k) {
        for w in weights.chunks(k) {
            let products = row
                .iter()
                .zip(w)
                .map(|(&x, &w)| f64::from(x) * f64::from(w));
            out.push(products.fold((0.0, 0.0), |(sum, all), p| (sum + p, all + p.abs())));
        }
    }
    out
}

fn agrees(x: &[f32], w: &[f32], n: usize, k: usize, what: &str) {
    let packed = PackedWeights::pack(Dtype::Bf16, w, n, k);
    assert_eq!(packed.unpack(), rounded(w), "{what}");
    let expected = in_order(x, w, k, &vec![0.0; n]);
    for (sum, (exact, magnitude)) in expected.iter().zip(in_f64(x, w, k)) {
        // Each of k additions is off by at most half a unit in the last place of the sum of all magnitudes.
        let bound = magnitude * k as f64 * f64::from(f32::EPSILON) / 2.0;
        assert!(
            (f64::from(*sum) - exact).abs() <= bound,
            "{sum} {exact}, {what}"
        );
    }
    for cpu in Cpu::supported() {
        for threads in [1, 3] {
            let exec = ExecContext::new(cpu, &Threads::new(threads).unwrap());
            let mut out = vec![f32::NAN; expected.len()];
            gemm(&exec, x, &packed, Epilogue::NONE, &mut out);
            assert_eq!(out, expected, "{cpu:?}, {threads} threads, {what}");
        }
    }
}

#[test]
fn agrees_with_the_formula_bit_for_bit_at_interesting_sizes() {
    for k in [1, 2, 3, 26, 31, 312] {
        for n in [1, 15, 16, 17, 312] {
            for rows in [1, 2, 3, 5, 7, 13, 14, 30] {
                if n * k * rows > 312 * 312 * 7 {
                    continue;
                }
                let (x, w) = (numbers(rows * k, 1), numbers(n * k, 2));
                agrees(&x, &w, n, k, &format!("{rows} x {n} x {k}"));
            }
        }
    }
}

#[test]
fn floats_of_any_magnitude_agree() {
    let (n, k) = (20, 37);
    let w = numbers(n * k, 3);
    let sizes: [fn(f32) -> f32; 5] = [
        |x| x + 100.0,
        |_| 0.0,
        |x| x * 1e-30,
        |x| x * 1e30,
        |x| x.max(-0.05) * 8.0,
    ];
    let numbers = numbers(k, 4);
    let rows = sizes.iter().flat_map(|f| numbers.iter().copied().map(f));
    let x: Vec<f32> = rows.collect();
    agrees(&x, &w, n, k, "rows of any size");
    agrees(&w, &x, sizes.len(), k, "weights of any size");
}

#[test]
fn epilogue_begins_with_bias_applies_activation_then_adds_residual() {
    let (rows, n, k) = (7, 20, 9);
    let (x, w) = (numbers(rows * k, 8), numbers(n * k, 9));
    let (bias, residual) = (numbers(n, 10), numbers(rows * n, 11));
    let sums = in_order(&x, &w, k, &bias);
    let packed = PackedWeights::pack(Dtype::Bf16, &w, n, k);
    for cpu in Cpu::supported() {
        let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
        for (activation, least) in [(Activation::Relu, 0.0), (Activation::Identity, f32::MIN)] {
            let mut out = vec![f32::NAN; rows * n];
            let epilogue = Epilogue {
                bias: Some(&bias),
                activation,
                residual: Some(&residual),
            };
            gemm(&exec, &x, &packed, epilogue, &mut out);
            for (index, value) in out.iter().enumerate() {
                let expected = sums[index].max(least) + residual[index];
                assert_eq!(*value, expected, "{cpu:?} at {index}");
            }
        }
    }
}

#[test]
fn leftovers_of_an_earlier_product_do_not_matter() {
    // A row of odd length is followed by a leftover value, which is multiplied by zero. NaN times zero is NaN, so it
    // would show.
    let (n, k) = (17, 31);
    let w = numbers(n * 64, 16);
    let x = numbers(3 * k, 17);
    for cpu in Cpu::supported() {
        let exec = ExecContext::new(cpu, &Threads::new(1).unwrap());
        let mut out = vec![0.0; 3 * n];
        let wide = PackedWeights::pack(Dtype::Bf16, &w, n, 64);
        gemm(&exec, &[f32::NAN; 3 * 64], &wide, Epilogue::NONE, &mut out);
        let narrow = PackedWeights::pack(Dtype::Bf16, &w[..n * k], n, k);
        gemm(&exec, &x, &narrow, Epilogue::NONE, &mut out);
        assert_eq!(out, in_order(&x, &w[..n * k], k, &[0.0; 17]), "{cpu:?}");
    }
}
