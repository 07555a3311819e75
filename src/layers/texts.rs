//! Where texts lie among the rows of a batch.

/// The texts of a batch, and how many of each one's rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    /// Where each text starts, and the end.
    pub(crate) starts: &'a [usize],
    /// The same of the rows that come out of a layer: as many of each text's first ones.
    pub(crate) out_starts: &'a [usize],
}

impl<'a> Texts<'a> {
    /// Moves the rows that come out to the front, and gives them; `rows` is (rows, width).
    pub(crate) fn asked(self, rows: &mut [f32], width: usize) -> &mut [f32] {
        let texts = self.starts.iter().zip(self.out_starts.windows(2));
        for (&start, out) in texts {
            // No text's rows come out behind its start, so none is overwritten ahead of its turn.
            if start != out[0] {
                let asked = start * width..(start + out[1] - out[0]) * width;
                rows.copy_within(asked, out[0] * width);
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
        let asked = |starts: &[usize], out_starts: &[usize], width| {
            Texts { starts, out_starts }
                .asked(&mut rows.clone(), width)
                .to_vec()
        };
        assert_eq!(asked(&[0, 2, 3, 6], &[0, 1, 2, 3], 1), [1.0, 3.0, 4.0]);
        assert_eq!(asked(&[0, 1, 3], &[0, 1, 2], 2), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(asked(&[0, 2, 3], &[0, 2, 2], 2), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(asked(&[0, 2, 6], &[0, 2, 6], 1), rows);
        assert!(asked(&[0], &[0], 1).is_empty());
    }
}
