//! Loss of hidden states of a student narrower than its teacher, through a projection that is trained with it.

use ndarray::{ArrayView2, linalg::general_mat_mul};

use super::mean_squared_error;

/// The loss of a projection, with gradients of the student's rows and of the projection.
#[derive(Clone, Debug)]
pub(crate) struct Projected {
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f32>,
    pub(crate) weight: Vec<f32>,
}

/// Computes `mean((x W^T - teacher)^2)` (TinyBERT, Jiao et al. 2020, equation 8). `x` is (rows, width), `weight` (wide, width),
/// as a linear layer stores it, `teacher` (rows, wide).
pub(crate) fn projected_mean_squared_error(
    x: &[f32],
    width: usize,
    weight: &[f32],
    teacher: &[f32],
) -> Projected {
    let (rows, wide) = (x.len() / width, weight.len() / width);
    assert_eq!(teacher.len(), rows * wide, "{rows} rows of {wide}");
    let mut projected = vec![0.0; rows * wide];
    // x W^T
    product(
        &mut projected,
        matrix(x, rows, width),
        matrix(weight, wide, width).reversed_axes(),
    );
    let loss = mean_squared_error(&projected, teacher);
    let slope = matrix(&loss.gradient, rows, wide);
    let mut found = Projected {
        value: loss.value,
        gradient: vec![0.0; x.len()],
        weight: vec![0.0; weight.len()],
    };
    product(&mut found.gradient, slope, matrix(weight, wide, width));
    product(
        &mut found.weight,
        slope.reversed_axes(),
        matrix(x, rows, width),
    );
    found
}

/// Views a slice as a matrix.
pub(super) fn matrix(of: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns), of).expect("as many values as the shape has")
}

/// Computes `out = a b`.
fn product(out: &mut [f32], a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) {
    let mut out = ndarray::ArrayViewMut2::from_shape((a.nrows(), b.ncols()), out)
        .expect("as many values as the product has");
    general_mat_mul(1.0, &a, &b, 0.0, &mut out);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences};
    use super::*;

    #[test]
    fn the_projection_learns_as_in_pytorch() {
        let golden = Golden::of("projected_mean_squared_error");
        let (x, weight) = (golden.floats("x"), golden.floats("weight"));
        let teacher = golden.floats("teacher");
        let loss = projected_mean_squared_error(&x, 3, &weight, &teacher);
        golden.check_value(loss.value, 1e-6);
        golden.check_gradient("gradient", &loss.gradient, 1e-6);
        golden.check_gradient("weight_gradient", &loss.weight, 1e-6);
    }

    #[test]
    fn gradients_are_slopes() {
        // Whole numbers, whose products f32 has exactly, and steps that are powers of two.
        let x = [1.0, -2.0, 0.5, 3.0];
        let weight = [1.0, 0.5, -1.0, 2.0, 0.25, -3.0];
        let teacher = [1.0, 0.0, -2.0, 4.0, 1.0, 0.5];
        let loss = projected_mean_squared_error(&x, 2, &weight, &teacher);
        let value = |x: &[f32], w: &[f32]| projected_mean_squared_error(x, 2, w, &teacher).value;
        differences(&x, &loss.gradient, |x| value(x, &weight));
        differences(&weight, &loss.weight, |weight| value(&x, weight));
    }
}
