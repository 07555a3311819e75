//! Losses of relations between tokens, which a student of any width learns from a teacher.
//!
//! A relation is the scaled dot products of two projections of a layer, one head at a time. Queries and keys give attention
//! itself (TinyBERT, Jiao et al. 2020; MiniLM, Wang et al. 2020); values and values give MiniLM's value relation; queries and
//! queries, keys and keys, values and values give those of MiniLMv2 (Wang et al. 2021). Heads need not be the layers' own: the
//! widths of both sides are split into the same number of heads.

use std::ops::Range;
use std::sync::Mutex;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::PairLoss;
use super::projection::matrix;
use crate::kernels::{Cpu, ExecContext, softmax::softmax};

/// Two projections of a layer, (rows, width) each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectionPair<'a> {
    pub(crate) left: &'a [f32],
    pub(crate) right: &'a [f32],
    pub(crate) width: usize,
}

/// How a student's relation is compared with the teacher's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    /// `KL(teacher || student)` of the softmax of each row: the mean over heads and rows (MiniLM and MiniLMv2).
    Distributions,
    /// Mean squared difference of the scores before the softmax (TinyBERT).
    Scores,
}

/// Computes the loss of a relation, with gradients of the student's left and right projections. If both are the same projection, its
/// gradient is their sum.
///
/// Text i owns rows `starts[i]..starts[i + 1]`; `heads` divides both widths. The loss is computed in f32 and summed in f64 in
/// the order of texts.
pub(crate) fn relation(
    exec: &ExecContext,
    measure: Measure,
    heads: usize,
    student: ProjectionPair<'_>,
    teacher: ProjectionPair<'_>,
    starts: &[usize],
) -> PairLoss {
    let (rows, texts) = (starts[starts.len() - 1], starts.len() - 1);
    for side in [student, teacher] {
        assert_eq!(side.left.len(), rows * side.width, "{rows} rows");
        assert_eq!(side.right.len(), side.left.len());
        assert_eq!(side.width % heads, 0, "{heads} heads of {}", side.width);
    }
    let lengths = || starts.windows(2).map(|pair| pair[1] - pair[0]);
    let count = match measure {
        Measure::Distributions => rows,
        Measure::Scores => lengths().map(|length| length * length).sum(),
    };
    let mut loss = PairLoss {
        value: 0.0,
        first: vec![0.0; student.left.len()],
        second: vec![0.0; student.right.len()],
    };

    let cpu = exec.cpu;
    // Outputs of a text's task. The locks are never contended: each is taken once.
    let (mut first, mut second) = (&mut loss.first[..], &mut loss.second[..]);
    let mut parts = Vec::with_capacity(texts);
    for length in lengths() {
        let (left, right);
        (left, first) = first.split_at_mut(length * student.width);
        (right, second) = second.split_at_mut(length * student.width);
        parts.push(Mutex::new((0.0, left, right)));
    }
    let team = &exec.team;
    team.parallel_for(texts, RelationScratch::default, |scratch, text| {
        let (from, to) = (starts[text], starts[text + 1]);
        let mut part = parts[text].lock().unwrap_or_else(|lock| lock.into_inner());
        let (value, left, right) = &mut *part;
        for head in 0..heads {
            let [student, teacher] =
                [student, teacher].map(|side| side.head(head, heads, from..to));
            scratch.compare(measure, cpu, [&student, &teacher]);
            *value += scratch.value;
            let factor = 1.0 / (count * heads) as f32;
            scratch.backward(&student, factor, left, right);
        }
    });
    let values = parts
        .into_iter()
        .map(|part| part.into_inner().unwrap_or_else(|lock| lock.into_inner()).0);
    loss.value = values.sum::<f64>() / (count * heads).max(1) as f64;
    loss
}

/// One head's columns of the rows of one text.
struct HeadView<'a> {
    left: ArrayView2<'a, f32>,
    right: ArrayView2<'a, f32>,
    first_column: usize,
    scale: f32,
}

impl<'a> ProjectionPair<'a> {
    /// Returns head number `head` of `heads`, for the rows of one text.
    fn head(self, head: usize, heads: usize, rows: Range<usize>) -> HeadView<'a> {
        let width = self.width / heads;
        let columns = head * width..(head + 1) * width;
        let part = |of: &'a [f32]| {
            let part = &of[rows.start * self.width..rows.end * self.width];
            matrix(part, rows.len(), self.width).slice_move(s![.., columns.clone()])
        };
        HeadView {
            left: part(self.left),
            right: part(self.right),
            first_column: columns.start,
            scale: 1.0 / (width as f32).sqrt(),
        }
    }
}

impl HeadView<'_> {
    /// Computes scaled dot products, (tokens, tokens).
    fn scores(&self, scores: &mut Vec<f32>) {
        let tokens = self.left.nrows();
        scores.resize(tokens * tokens, 0.0);
        let mut scores = square(scores, tokens);
        general_mat_mul(self.scale, &self.left, &self.right.t(), 0.0, &mut scores);
    }
}

#[derive(Default)]
struct RelationScratch {
    student: Vec<f32>,
    teacher: Vec<f32>,
    value: f64,
}

impl RelationScratch {
    /// Writes the sum of a head's losses to `value`, and the gradient of each of the student's scores to `student`.
    fn compare(&mut self, measure: Measure, cpu: Cpu, [student, teacher]: [&HeadView<'_>; 2]) {
        student.scores(&mut self.student);
        teacher.scores(&mut self.teacher);
        self.value = 0.0;
        let tokens = student.left.nrows();
        let teachers = self.teacher.chunks_exact_mut(tokens.max(1));
        for (student, teacher) in self.student.chunks_exact_mut(tokens.max(1)).zip(teachers) {
            match measure {
                Measure::Scores => {
                    for (student, teacher) in student.iter_mut().zip(teacher.iter()) {
                        let difference = *student - teacher;
                        self.value += f64::from(difference * difference);
                        *student = 2.0 * difference;
                    }
                }
                Measure::Distributions => {
                    // The log-probability of a score is the score minus `all`; differences of both are summed before the
                    // softmax.
                    let gap: Vec<f32> = teacher
                        .iter()
                        .zip(student.iter())
                        .map(|(t, s)| t - s)
                        .collect();
                    let all = |scores: &mut [f32]| {
                        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        let at = scores.iter().position(|&score| score == max);
                        softmax(cpu, scores);
                        at.map_or(f64::NAN, |at| f64::from(max) - f64::from(scores[at]).ln())
                    };
                    let all = all(student) - all(teacher);
                    for ((student, teacher), gap) in student.iter_mut().zip(teacher.iter()).zip(gap)
                    {
                        self.value += f64::from(*teacher) * (f64::from(gap) + all);
                        *student -= teacher;
                    }
                }
            }
        }
    }

    /// Computes the gradients of left and right from those of the scores, times `factor`.
    fn backward(&mut self, head: &HeadView<'_>, factor: f32, left: &mut [f32], right: &mut [f32]) {
        let (tokens, width) = head.left.dim();
        let slopes = square(&mut self.student, tokens);
        let scale = head.scale * factor;
        let columns = head.first_column..head.first_column + width;
        let all = left.len() / tokens.max(1);
        let part = |rows| {
            let rows = ArrayViewMut2::from_shape((tokens, all), rows);
            rows.expect("rows of a text")
                .slice_move(s![.., columns.clone()])
        };
        general_mat_mul(scale, &slopes, &head.right, 0.0, &mut part(left));
        general_mat_mul(scale, &slopes.t(), &head.left, 0.0, &mut part(right));
    }
}

fn square(of: &mut [f32], tokens: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((tokens, tokens), of).expect("a number for each pair of tokens")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences, pseudo_random};
    use super::*;
    use crate::kernels::Threads;

    const STARTS: [usize; 4] = [0, 3, 4, 8];

    fn pair<'a>(left: &'a [f32], right: &'a [f32], width: usize) -> ProjectionPair<'a> {
        ProjectionPair { left, right, width }
    }

    #[test]
    fn relations_are_those_of_pytorch() {
        for (name, measure) in [
            ("relation_distributions", Measure::Distributions),
            ("relation_scores", Measure::Scores),
        ] {
            let golden = Golden::of(name);
            let tensors =
                ["left", "right", "teacher_left", "teacher_right"].map(|key| golden.floats(key));
            let [left, right, teacher_left, teacher_right] = &tensors;
            let loss = relation(
                &ExecContext::serial(),
                measure,
                2,
                pair(left, right, 4),
                pair(teacher_left, teacher_right, 6),
                &STARTS,
            );
            golden.check_value(loss.value, 1e-5);
            golden.check_gradient("left_gradient", &loss.first, 1e-5);
            golden.check_gradient("right_gradient", &loss.second, 1e-5);
        }
    }

    #[test]
    fn gradients_are_slopes_also_of_a_projection_with_itself() {
        let (x, teacher) = (pseudo_random(32, 7), pseudo_random(48, 8));
        for measure in [Measure::Distributions, Measure::Scores] {
            let loss = |x: &[f32]| {
                let student = pair(x, x, 4);
                let teacher = pair(&teacher, &teacher, 6);
                // In f64 the steps of f32 sums would not show; here a few percent of the tolerance.
                relation(
                    &ExecContext::serial(),
                    measure,
                    2,
                    student,
                    teacher,
                    &STARTS,
                )
            };
            let found = loss(&x);
            let sum: Vec<f32> = found
                .first
                .iter()
                .zip(&found.second)
                .map(|(a, b)| a + b)
                .collect();
            differences(&x, &sum, |x| loss(x).value);
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let (x, y) = (pseudo_random(32, 9), pseudo_random(32, 10));
        let loss = |threads| {
            let exec = ExecContext::new(Cpu::detect(), &Threads::new(threads).unwrap());
            let (student, teacher) = (pair(&x, &y, 4), pair(&y, &x, 4));
            relation(&exec, Measure::Distributions, 4, student, teacher, &STARTS)
        };
        assert_eq!(loss(1), loss(3));
    }
}
