//! Batches of examples, and their order.

use crate::train::random::Random;

/// Number of batches in a run of examples that is sorted by length before it is split, as in `transformers`.
const RUN: usize = 50;

/// Settings of the batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Batching {
    /// Number of examples in a batch.
    pub(crate) size: usize,
    pub(crate) seed: u64,
    /// Whether texts of similar length share a batch, which makes batches of similar cost.
    pub(crate) by_length: bool,
}

/// The batches of one pass over the examples, each a list of example indices.
pub(crate) type Epoch = Vec<Vec<usize>>;

impl Batching {
    /// Returns the batches of an epoch in training order, which depends on seed and epoch alone.
    ///
    /// `lengths` has the length of each example. With `classes`, the epoch has as many examples of each class as the rarest
    /// one, drawn anew each epoch.
    pub(crate) fn epoch(&self, epoch: u64, lengths: &[usize], classes: Option<&[usize]>) -> Epoch {
        let mut random = Random::new(self.seed, epoch);
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        random.shuffle(&mut order);
        if let Some(classes) = classes {
            undersample(&mut order, classes);
        }
        if !self.by_length {
            return order.chunks(self.size).map(<[usize]>::to_vec).collect();
        }
        let mut batches: Epoch = Vec::with_capacity(order.len().div_ceil(self.size));
        for run in order.chunks_mut(RUN * self.size) {
            // Stable, so texts of one length stay shuffled.
            run.sort_by_key(|&at| std::cmp::Reverse(lengths[at]));
            batches.extend(run.chunks(self.size).map(<[usize]>::to_vec));
        }
        random.shuffle(&mut batches);
        batches
    }

    /// Returns the number of batches in an epoch.
    pub(crate) fn batches(&self, examples: usize, classes: Option<&[usize]>) -> usize {
        let taken = match classes {
            Some(classes) => {
                let counts = counts(classes);
                rarest(&counts) * counts.iter().filter(|&&count| count > 0).count()
            }
            None => examples,
        };
        taken.div_ceil(self.size)
    }
}

fn counts(classes: &[usize]) -> Vec<usize> {
    let mut counts = Vec::new();
    for &class in classes {
        if counts.len() <= class {
            counts.resize(class + 1, 0);
        }
        counts[class] += 1;
    }
    counts
}

fn rarest(counts: &[usize]) -> usize {
    counts
        .iter()
        .copied()
        .filter(|&count| count > 0)
        .min()
        .unwrap_or(0)
}

/// Undersamples: keeps the first examples of each class, as many as the rarest class has.
fn undersample(order: &mut Vec<usize>, classes: &[usize]) {
    let mut left = counts(classes);
    let rarest = rarest(&left);
    left.iter_mut().for_each(|left| *left = (*left).min(rarest));
    order.retain(|&at| {
        let left = &mut left[classes[at]];
        let keeps = *left > 0;
        *left -= usize::from(keeps);
        keeps
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn lengths() -> Vec<usize> {
        (0..1003).map(|at| (at * 7919) % 60 + 3).collect()
    }

    const BATCHING: Batching = Batching {
        size: 8,
        seed: 1,
        by_length: true,
    };

    #[test]
    fn every_example_is_seen_once_an_epoch_in_another_order() {
        let lengths = lengths();
        let first = BATCHING.epoch(0, &lengths, None);
        for epoch in [&first, &BATCHING.epoch(1, &lengths, None)] {
            let seen: BTreeSet<usize> = epoch.iter().flatten().copied().collect();
            assert_eq!(seen.len(), 1003);
            assert_eq!(epoch.iter().flatten().count(), 1003);
            assert_eq!(epoch.len(), BATCHING.batches(1003, None));
        }
        assert_eq!(first, BATCHING.epoch(0, &lengths, None));
        assert_ne!(first, BATCHING.epoch(1, &lengths, None));
        let other = Batching {
            seed: 2,
            ..BATCHING
        };
        assert_ne!(first, other.epoch(0, &lengths, None));
    }

    #[test]
    fn texts_of_a_batch_are_of_similar_length() {
        let lengths = lengths();
        let spread = |batching: Batching| -> usize {
            let spread = |batch: &Vec<usize>| {
                let of = batch.iter().map(|&at| lengths[at]);
                of.clone().max().unwrap() - of.min().unwrap()
            };
            batching.epoch(0, &lengths, None).iter().map(spread).sum()
        };
        let mixed = Batching {
            by_length: false,
            ..BATCHING
        };
        assert!(spread(BATCHING) * 10 < spread(mixed));
        // Batches do not come in order of length.
        let epoch = BATCHING.epoch(0, &lengths, None);
        let firsts: Vec<usize> = epoch.iter().map(|batch| lengths[batch[0]]).collect();
        assert!(!firsts.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn rare_classes_are_balanced_by_taking_less_of_the_others() {
        let classes: Vec<usize> = (0..100)
            .map(|at| if at % 10 == 0 { 2 } else { 0 })
            .collect();
        let lengths = vec![5; 100];
        let epoch = BATCHING.epoch(0, &lengths, Some(&classes));
        let seen: Vec<usize> = epoch.iter().flatten().copied().collect();
        assert_eq!(seen.len(), 20);
        assert_eq!(seen.iter().filter(|&&at| classes[at] == 2).count(), 10);
        assert_eq!(epoch.len(), BATCHING.batches(100, Some(&classes)));
        let of = |epoch| -> BTreeSet<usize> {
            BATCHING
                .epoch(epoch, &lengths, Some(&classes))
                .into_iter()
                .flatten()
                .collect()
        };
        assert_ne!(of(0), of(1));
    }
}
