//! `bertless similarity`: similarity of two texts.

use anyhow::Result;
use bertless::{Input, Model};
use serde::Serialize;

use super::Common;
use super::input::InputFlags;
use super::options::{EmbeddingFlags, ModelFlags, required};
use super::output::Output;
use super::stream::answer_all;

/// Compute the similarity of pairs of texts: the cosine of their embeddings, unless the model defines another
///
/// Takes two texts, or several pairs. Lines hold two columns separated by a tab, or objects with --jsonl. Prints one number
/// per pair; with --json an object {"similarity"}. A cosine is from -1 to 1.
#[derive(Debug, clap::Args)]
#[command(mut_arg("model", required))]
pub(crate) struct SimilarityArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    embedding: EmbeddingFlags,
}

/// A line of JSON.
#[derive(Serialize)]
struct SimilarityRecord {
    similarity: f32,
}

pub(crate) fn run(arguments: SimilarityArgs, common: &Common, output: &mut Output) -> Result<()> {
    let inputs = arguments.input.open_pairs()?;
    let model = arguments.embedding.load(&arguments.model, common)?;
    answer_all(
        inputs,
        output,
        |inputs| similarities(&model, inputs),
        |output, _, similarity| output.answer(&SimilarityRecord { similarity }, || similarity),
    )
}

/// Computes the similarity of each pair.
pub(crate) fn similarities(model: &Model, pairs: &[Input<'_>]) -> Result<Vec<f32>> {
    let mut texts = Vec::with_capacity(2 * pairs.len());
    for pair in pairs {
        let Input::Pair(first, second) = *pair else {
            anyhow::bail!("there is one text, and two are needed");
        };
        texts.extend([first, second]);
    }
    let embeddings = model.embed_batch(&texts)?;
    let measure = model.similarity_measure();
    let pairs = 0..pairs.len();
    Ok(pairs
        .map(|pair| measure.of(&embeddings[2 * pair], &embeddings[2 * pair + 1]))
        .collect())
}
