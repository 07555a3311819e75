//! Trainable parameters of a model, and their gradients.

use std::ops::Range;

/// A trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// Name in the checkpoint.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Elements, row-major.
    pub(crate) values: Vec<f32>,
    /// Whether weight decay applies: not to biases, nor to weights and biases of layer norms.
    pub(crate) decays: bool,
}

/// Index of a parameter in its model's [`Parameters`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ParamId(usize);

impl ParamId {
    /// Index in the order of the parameters.
    #[cfg(test)]
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Parameters of a model, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parameters(Vec<Parameter>);

impl Parameters {
    pub(crate) fn add(&mut self, parameter: Parameter) -> ParamId {
        self.0.push(parameter);
        ParamId(self.0.len() - 1)
    }

    pub(crate) fn values(&self, id: ParamId) -> &[f32] {
        &self.0[id.0].values
    }

    /// Ids of all parameters, in order.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = ParamId> + use<> {
        (0..self.0.len()).map(ParamId)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.0.iter_mut()
    }

    /// Returns gradients of zero for all parameters.
    pub(crate) fn gradients(&self) -> Gradients {
        Gradients {
            values: self.0.iter().map(|p| vec![0.0; p.values.len()]).collect(),
            states: vec![GradientState::Zero; self.0.len()],
        }
    }
}

/// Gradients of all parameters, in the same order; backward passes add to them.
///
/// Zeroing a hundred megabytes costs as much as a layer. So clearing only marks a gradient, and the next backward pass stores
/// where it would otherwise add. If a batch has used only a few rows of an embedding table, only those rows are cleared.
#[derive(Clone, Debug)]
pub(crate) struct Gradients {
    values: Vec<Vec<f32>>,
    states: Vec<GradientState>,
}

/// Content of a gradient's buffer.
#[derive(Clone, Debug, PartialEq)]
enum GradientState {
    /// Zeros.
    Zero,
    /// Old values that count as zero.
    Stale,
    /// Valid values.
    Written,
    /// Valid values in these rows, of this width, and zeros in all others.
    Rows(Vec<u32>, usize),
}

/// Rows of an embedding table outside of which its gradient is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Touched<'a> {
    /// Row indices, ascending.
    rows: &'a [u32],
    pub(crate) width: usize,
}

impl<'a> Touched<'a> {
    /// Returns the touched rows that overlap a range of the gradient, given in floats.
    pub(crate) fn among(self, elements: Range<usize>) -> &'a [u32] {
        let start = |&row: &u32| (row as usize + 1) * self.width <= elements.start;
        let end = |&row: &u32| (row as usize) * self.width < elements.end;
        &self.rows[self.rows.partition_point(start)..self.rows.partition_point(end)]
    }
}

impl Gradients {
    #[cfg(test)]
    pub(crate) fn of(&self, id: ParamId) -> &[f32] {
        assert!(
            self.states[id.0] != GradientState::Stale,
            "no backward pass since it was cleared"
        );
        &self.values[id.0]
    }

    pub(crate) fn of_mut(&mut self, id: ParamId) -> &mut [f32] {
        let [gradient] = self.many_mut([id]);
        gradient
    }

    /// Borrows the gradients of several parameters, to be added to.
    ///
    /// # Panics
    /// If two ids are equal.
    pub(crate) fn many_mut<const N: usize>(&mut self, ids: [ParamId; N]) -> [&mut [f32]; N] {
        let Self { values, states } = self;
        for ParamId(id) in ids {
            match &mut states[id] {
                state @ (GradientState::Zero | GradientState::Stale) => {
                    if *state == GradientState::Stale {
                        values[id].fill(0.0);
                    }
                    *state = GradientState::Written;
                }
                GradientState::Written | GradientState::Rows(..) => {}
            }
        }
        let many = values.get_disjoint_mut(ids.map(|id| id.0));
        many.unwrap_or_else(|_| panic!("{ids:?} are not different parameters"))
            .map(Vec::as_mut_slice)
    }

    /// Marks a gradient as written, before the caller writes all of it. Returns `true` if it holds a value, so that the caller
    /// must add instead of store.
    pub(crate) fn begin(&mut self, id: ParamId) -> bool {
        let state = &mut self.states[id.0];
        let nothing = matches!(state, GradientState::Zero | GradientState::Stale);
        *state = GradientState::Written;
        !nothing
    }

    /// Prepares a gradient, before the caller adds to these rows, each `width` wide.
    pub(crate) fn begin_rows(&mut self, id: ParamId, rows: &[u32], width: usize) {
        let state = &mut self.states[id.0];
        match state {
            GradientState::Written => {}
            GradientState::Rows(known, _) => {
                known.extend_from_slice(rows);
                known.sort_unstable();
                known.dedup();
            }
            GradientState::Zero | GradientState::Stale => {
                if *state == GradientState::Stale {
                    self.values[id.0].fill(0.0);
                }
                let mut rows = rows.to_vec();
                rows.sort_unstable();
                rows.dedup();
                *state = GradientState::Rows(rows, width);
            }
        }
    }

    /// Iterates over the gradients. For an embedding table the touched rows come with it, where they are known.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (&[f32], Option<Touched<'_>>)> {
        let touched = self.states.iter().map(|state| match state {
            GradientState::Rows(rows, width) => Some(Touched {
                rows,
                width: *width,
            }),
            _ => None,
        });
        self.iter().zip(touched)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        assert!(
            self.states
                .iter()
                .all(|state| *state != GradientState::Stale),
            "no backward pass since it was cleared"
        );
        self.values.iter().map(Vec::as_slice)
    }

    #[cfg(test)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.settle();
        self.values.iter_mut().map(Vec::as_mut_slice)
    }

    /// Marks all gradients as zero.
    pub(crate) fn clear(&mut self) {
        for (values, state) in self.values.iter_mut().zip(&mut self.states) {
            match state {
                GradientState::Written => *state = GradientState::Stale,
                GradientState::Rows(rows, width) => {
                    for &row in &*rows {
                        values[row as usize * *width..][..*width].fill(0.0);
                    }
                    *state = GradientState::Zero;
                }
                GradientState::Zero | GradientState::Stale => {}
            }
        }
    }

    /// Zeroes the gradients that only count as zero. Called at the end of a backward pass, which may have left out some
    /// parameters.
    pub(crate) fn settle(&mut self) {
        for (values, state) in self.values.iter_mut().zip(&mut self.states) {
            if *state == GradientState::Stale {
                values.fill(0.0);
                *state = GradientState::Zero;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(lens: &[usize]) -> (Parameters, Vec<ParamId>) {
        let mut parameters = Parameters::default();
        let ids = lens.iter().map(|&len| {
            parameters.add(Parameter {
                name: format!("of {len}"),
                shape: vec![len],
                values: vec![1.0; len],
                decays: true,
            })
        });
        let ids = ids.collect();
        (parameters, ids)
    }

    #[test]
    fn what_is_cleared_counts_as_zero_however_it_was_written() {
        let (parameters, ids) = parameters(&[2, 4, 3]);
        let mut gradients = parameters.gradients();
        for _ in 0..2 {
            gradients.of_mut(ids[0])[1] += 2.0;
            gradients.begin_rows(ids[1], &[1, 1], 2);
            let [table, other] = gradients.many_mut([ids[1], ids[2]]);
            (table[3], other[0]) = (table[3] + 1.0, other[0] + 5.0);
            let touched = Touched {
                rows: &[1],
                width: 2,
            };
            let known: Vec<_> = gradients.touched().map(|(_, rows)| rows).collect();
            assert_eq!(known, [None, Some(touched), None]);
            let all: Vec<&[f32]> = gradients.iter().collect();
            assert_eq!(
                all,
                [&[0.0, 2.0][..], &[0.0, 0.0, 0.0, 1.0], &[5.0, 0.0, 0.0]]
            );
            gradients.clear();
        }
        assert!(
            gradients
                .iter_mut()
                .all(|gradient| gradient.iter().all(|&x| x == 0.0))
        );
    }

    #[test]
    fn rows_are_found_by_the_numbers_that_they_have() {
        let touched = Touched {
            rows: &[1, 2, 5],
            width: 3,
        };
        for (elements, rows) in [
            (0..3, &[][..]),
            (0..4, &[1]),
            (5..7, &[1, 2]),
            (6..9, &[2]),
            (9..15, &[]),
            (9..16, &[5]),
            (0..99, &[1, 2, 5]),
        ] {
            assert_eq!(touched.among(elements.clone()), rows, "{elements:?}");
        }
    }

    #[test]
    fn who_writes_all_adds_only_where_something_is() {
        let (parameters, ids) = parameters(&[2]);
        let mut gradients = parameters.gradients();
        assert!(!gradients.begin(ids[0]));
        gradients.of_mut(ids[0]).fill(7.0);
        assert!(gradients.begin(ids[0]));
        gradients.clear();
        assert!(!gradients.begin(ids[0]));
    }

    #[test]
    #[should_panic(expected = "no backward pass since")]
    fn what_was_cleared_and_not_written_is_not_read() {
        let (parameters, ids) = parameters(&[2]);
        let mut gradients = parameters.gradients();
        gradients.of_mut(ids[0]).fill(7.0);
        gradients.clear();
        gradients.of(ids[0]);
    }
}
