//! Detection of NaN and infinity.

/// Returns whether all floats are finite. The exponent bits of infinity and NaN are all ones. There is no early exit,
/// since that would keep the compiler from vectorising: 68 GB/s instead of 5.
pub(crate) fn all_finite(numbers: &[f32]) -> bool {
    let exponent = f32::INFINITY.to_bits();
    numbers
        .iter()
        .fold(true, |all, x| all & (x.to_bits() & exponent != exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_found_anywhere() {
        let numbers = [f32::MAX, f32::MIN, -0.0, 1e-45, 1.0];
        assert!(all_finite(&[]) && all_finite(&numbers));
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..100 {
                let mut numbers: Vec<f32> = numbers.into_iter().cycle().take(100).collect();
                numbers[at] = wrong;
                assert!(!all_finite(&numbers), "{wrong} at {at}");
            }
        }
    }
}
