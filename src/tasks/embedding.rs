//! Sentence embeddings: pools the hidden states of a text to one vector (Reimers and Gurevych 2019).

use crate::config::{DenseConfig, Module, Pooling, SentenceConfig};
use crate::error::Result;
use crate::kernels::{Activation, ExecContext, Threads};
use crate::layers::Linear;
use crate::weights::{Access, ModelFiles, Store, TensorNames};

/// Lower bound of the norm that a vector is divided by, as in torch's `normalize`.
const MIN_LENGTH: f64 = 1e-12;

/// Pooling, and the modules of sentence-transformers that follow it.
#[derive(Debug)]
pub(crate) struct EmbeddingHead {
    pooling: Vec<Pooling>,
    include_prompt: bool,
    steps: Vec<EmbeddingStep>,
    hidden: usize,
}

#[derive(Debug)]
enum EmbeddingStep {
    Dense {
        linear: Box<Linear>,
        activation: Activation,
        residual: Residual,
    },
    Normalize,
    /// Keeps at most this many leading components of each vector.
    Truncate(usize),
}

#[derive(Debug)]
enum Residual {
    None,
    /// Adds the layer's input.
    Input,
    /// Adds a linear projection of the layer's input to the output's width.
    Projected(Linear),
}

impl EmbeddingHead {
    /// Builds pooling and modules, and reads the weights of `Dense` modules.
    pub(crate) fn load(
        files: &ModelFiles,
        config: &SentenceConfig,
        hidden: usize,
        access: Access,
        threads: &Threads,
    ) -> Result<Self> {
        let step = |module: &Module| match module {
            Module::Normalize => Ok(EmbeddingStep::Normalize),
            Module::Dense(dense) => load_dense(files, dense, access, threads),
        };
        let mut steps: Vec<EmbeddingStep> =
            config.modules.iter().map(step).collect::<Result<_>>()?;
        steps.extend(config.truncate.map(EmbeddingStep::Truncate));
        Ok(Self {
            pooling: config.pooling.clone(),
            include_prompt: config.include_prompt,
            steps,
            hidden,
        })
    }

    /// Replaces the pooling of the model's files. If the new one differs, removes the `Dense` modules, whose width
    /// would not fit.
    pub(crate) fn set_pooling(&mut self, pooling: Pooling) {
        if self.pooling != [pooling] {
            self.pooling = vec![pooling];
            self.steps
                .retain(|step| !matches!(step, EmbeddingStep::Dense { .. }));
        }
    }

    /// If `normalize`, adds a normalisation as the last step, after a truncation. Otherwise removes the last normalisation,
    /// also if it precedes a truncation.
    pub(crate) fn set_normalize(&mut self, normalize: bool) {
        let end = match self.steps.last() {
            Some(EmbeddingStep::Truncate(_)) if !normalize => self.steps.len() - 1,
            _ => self.steps.len(),
        };
        let is_normalized = matches!(self.steps[..end].last(), Some(EmbeddingStep::Normalize));
        if normalize && !is_normalized {
            self.steps.push(EmbeddingStep::Normalize);
        } else if !normalize && is_normalized {
            self.steps.remove(end - 1);
        }
    }

    /// Poolings, whose results are concatenated.
    pub(crate) fn pooling(&self) -> &[Pooling] {
        &self.pooling
    }

    /// Whether the tokens of a prompt are pooled with the others.
    pub(crate) fn includes_prompt(&self) -> bool {
        self.include_prompt
    }

    /// Whether pooling reads only the first row of each text, as long as no rows are skipped.
    pub(crate) fn cls_only(&self) -> bool {
        self.pooling.iter().all(|&pooling| pooling == Pooling::Cls)
    }

    /// Dimension of an embedding.
    pub(crate) fn width(&self) -> usize {
        let pooled = self.pooling.len() * self.hidden;
        self.steps.iter().fold(pooled, |width, step| match step {
            EmbeddingStep::Dense { linear, .. } => linear.outputs(),
            EmbeddingStep::Truncate(kept) => width.min(*kept),
            EmbeddingStep::Normalize => width,
        })
    }

    /// Normalises a vector that was combined from several embeddings, if the model's embeddings are normalised.
    pub(crate) fn renormalize(&self, vector: &mut [f32]) {
        let mut steps = self.steps.iter().rev();
        let last = steps.find(|step| !matches!(step, EmbeddingStep::Truncate(_)));
        if matches!(last, Some(EmbeddingStep::Normalize)) {
            to_unit_length(vector);
        }
    }

    /// Computes embeddings, (texts, width), from rows (tokens, hidden). The first `skip` tokens of each text are not
    /// pooled.
    pub(crate) fn forward(
        &self,
        exec: &ExecContext,
        rows: &[f32],
        starts: &[usize],
        skip: usize,
    ) -> Vec<f32> {
        let mut vectors = Vec::new();
        for text in starts.windows(2) {
            let rows = &rows[text[0] * self.hidden..text[1] * self.hidden];
            for pooling in &self.pooling {
                vectors.extend(pool(*pooling, rows, self.hidden, skip));
            }
        }
        for step in &self.steps {
            let texts = starts.len() - 1;
            let width = (vectors.len() / texts.max(1)).max(1);
            match step {
                EmbeddingStep::Normalize => {
                    vectors.chunks_exact_mut(width).for_each(to_unit_length)
                }
                EmbeddingStep::Truncate(kept) => {
                    let kept = width.min(*kept);
                    let vector = |vector: &[f32]| vector[..kept].to_vec();
                    vectors = vectors.chunks_exact(width).flat_map(vector).collect();
                }
                EmbeddingStep::Dense {
                    linear,
                    activation,
                    residual,
                } => {
                    let mut out = vec![0.0; texts * linear.outputs()];
                    linear.forward_act(exec, &vectors, *activation, &mut out);
                    match residual {
                        Residual::None => {}
                        Residual::Input => add(&mut out, &vectors),
                        Residual::Projected(projection) => {
                            let mut projected = vec![0.0; out.len()];
                            projection.forward(exec, &vectors, &mut projected);
                            add(&mut out, &projected);
                        }
                    }
                    vectors = out;
                }
            }
        }
        vectors
    }
}

fn load_dense(
    files: &ModelFiles,
    config: &DenseConfig,
    access: Access,
    threads: &Threads,
) -> Result<EmbeddingStep> {
    let (outputs, inputs) = (config.outputs, config.inputs);
    // The tensors of a module have the same names in every family.
    let store = Store::open(files, &config.folder, TensorNames::BERT, access, threads)?;
    let weights = store.weights();
    let linear = if config.bias {
        Linear::load(&weights, "linear", outputs, inputs)?
    } else {
        Linear::load_without_bias(&weights, "linear", outputs, inputs)?
    };
    let residual = if !config.residual {
        Residual::None
    } else if inputs == outputs {
        Residual::Input
    } else {
        let projection = Linear::load_without_bias(&weights, "residual", outputs, inputs)?;
        Residual::Projected(projection)
    };
    store.reject_unexpected(0)?;
    Ok(EmbeddingStep::Dense {
        linear: Box::new(linear),
        activation: config.activation,
        residual,
    })
}

fn add(out: &mut [f32], other: &[f32]) {
    out.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
}

/// Pools the rows of a text to one vector; sums are accumulated in f64.
fn pool(pooling: Pooling, rows: &[f32], hidden: usize, skip: usize) -> Vec<f32> {
    let count = rows.len() / hidden;
    // A text that consists of the prompt alone has nothing else to pool.
    let skip = if skip < count { skip } else { 0 };
    let kept = &rows[skip * hidden..];
    let first = || kept[..hidden].to_vec();
    let weighted = |weight: &dyn Fn(usize) -> f64, divisor: f64| {
        let mut sums = vec![0.0; hidden];
        for (index, row) in kept.chunks_exact(hidden).enumerate() {
            let weight = weight(index);
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += weight * f64::from(x);
            }
        }
        sums.into_iter().map(|sum| (sum / divisor) as f32).collect()
    };
    let kept_count = (count - skip) as f64;
    match pooling {
        _ if count == 0 => vec![0.0; hidden],
        Pooling::Cls => first(),
        Pooling::Mean => weighted(&|_| 1.0, kept_count),
        Pooling::MeanSqrtLen => weighted(&|_| 1.0, kept_count.sqrt()),
        Pooling::WeightedMean => {
            let weight = |index: usize| (skip + index + 1) as f64;
            let total = (skip + 1..=count).map(|position| position as f64).sum();
            weighted(&weight, total)
        }
        Pooling::LastToken => kept[kept.len() - hidden..].to_vec(),
        Pooling::Max => {
            let mut largest = first();
            for row in kept.chunks_exact(hidden) {
                // Propagates NaN.
                for (max, &x) in largest.iter_mut().zip(row) {
                    *max = if x > *max || x.is_nan() { x } else { *max };
                }
            }
            largest
        }
    }
}

fn to_unit_length(vector: &mut [f32]) {
    let squares: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let length = squares.sqrt().max(MIN_LENGTH);
    vector
        .iter_mut()
        .for_each(|x| *x = (f64::from(*x) / length) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [f32; 6] = [1.0, -2.0, 3.0, 0.0, 5.0, -4.0];

    #[test]
    fn each_pooling_of_three_rows() {
        let pooled = |pooling| pool(pooling, &ROWS, 2, 0);
        assert_eq!(pooled(Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pooled(Pooling::Mean), [3.0, -2.0]);
        assert_eq!(pooled(Pooling::Max), [5.0, 0.0]);
        assert_eq!(pooled(Pooling::LastToken), [5.0, -4.0]);
        let root = 3f64.sqrt();
        assert_eq!(
            pooled(Pooling::MeanSqrtLen),
            [(9.0 / root) as f32, (-6.0 / root) as f32]
        );
        assert_eq!(pooled(Pooling::WeightedMean), [22.0 / 6.0, -14.0 / 6.0]);
    }

    #[test]
    fn a_prompt_that_is_not_included_is_skipped() {
        assert_eq!(pool(Pooling::Mean, &ROWS, 2, 1), [4.0, -2.0]);
        assert_eq!(pool(Pooling::Cls, &ROWS, 2, 1), [3.0, 0.0]);
        assert_eq!(
            pool(Pooling::WeightedMean, &ROWS, 2, 1),
            [21.0 / 5.0, -12.0 / 5.0]
        );
        assert_eq!(pool(Pooling::Mean, &ROWS, 2, 3), [3.0, -2.0]); // only the prompt is left to pool
    }

    #[test]
    fn nan_is_never_lost() {
        let mut rows = ROWS;
        rows[2] = f32::NAN;
        for pooling in [Pooling::Mean, Pooling::Max, Pooling::MeanSqrtLen] {
            assert!(pool(pooling, &rows, 2, 0)[0].is_nan(), "{pooling:?}");
        }
    }

    #[test]
    fn unit_length() {
        let mut vector = [3.0, 4.0];
        to_unit_length(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zero = [0.0, 0.0];
        to_unit_length(&mut zero);
        assert_eq!(zero, [0.0, 0.0]);
    }
}
