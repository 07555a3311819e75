//! Positions of texts among the rows of a batch.

/// Positions of texts among a layer's input rows and its output rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    /// First row of each text, and the number of rows.
    pub(crate) starts: &'a [usize],
    /// First output row of each text, and the number of output rows. A text's output rows are its first ones.
    pub(crate) out_starts: &'a [usize],
}

impl<'a> Texts<'a> {
    /// Moves the output rows to the front and returns them; `rows` is (rows, width).
    pub(crate) fn compact_outputs(self, rows: &mut [f32], width: usize) -> &mut [f32] {
        let texts = self.starts.iter().zip(self.out_starts.windows(2));
        for (&start, out) in texts {
            // A text's rows never move back, so no row is overwritten before it is copied.
            if start != out[0] {
                let outputs = start * width..(start + out[1] - out[0]) * width;
                rows.copy_within(outputs, out[0] * width);
            }
        }
        let count = self.out_starts[self.out_starts.len() - 1];
        &mut rows[..count * width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_rows_move_to_the_front() {
        let rows = [1, 2, 3, 4, 5, 6].map(|x| x as f32);
        let outputs = |starts: &[usize], out_starts: &[usize], width| {
            Texts { starts, out_starts }
                .compact_outputs(&mut rows.clone(), width)
                .to_vec()
        };
        assert_eq!(outputs(&[0, 2, 3, 6], &[0, 1, 2, 3], 1), [1.0, 3.0, 4.0]);
        assert_eq!(outputs(&[0, 1, 3], &[0, 1, 2], 2), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(outputs(&[0, 2, 3], &[0, 2, 2], 2), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(outputs(&[0, 2, 6], &[0, 2, 6], 1), rows);
        assert!(outputs(&[0], &[0], 1).is_empty());
    }
}
