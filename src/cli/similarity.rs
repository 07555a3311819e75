//! `bertless similarity`: how alike two texts are.

use anyhow::Result;
use bertless::{Input, Model};
use serde::Serialize;

use super::Common;
use super::input::InputFlags;
use super::options::{EmbeddingFlags, ModelFlags, required};
use super::output::Output;
use super::stream::answer_all;

/// Compare texts two by two: by default the cosine of their embeddings, from -1 to 1
///
/// Takes two texts, or more in pairs; lines are two columns with a tab between them, or objects with --jsonl. Prints a
/// number for each pair; with --json an object {"similarity"}.
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

/// How alike the texts of each pair are.
pub(crate) fn similarities(model: &Model, pairs: &[Input<'_>]) -> Result<Vec<f32>> {
    let mut texts = Vec::with_capacity(2 * pairs.len());
    for pair in pairs {
        let Input::Pair(first, second) = *pair else {
            anyhow::bail!("there is one text, and two are needed");
        };
        texts.extend([first, second]);
    }
    let embeddings = model.embed_batch(&texts)?;
    let rows: Vec<Vec<f32>> = embeddings.outer_iter().map(|row| row.to_vec()).collect();
    let measure = model.similarity_measure();
    Ok(rows
        .chunks_exact(2)
        .map(|both| measure.of(&both[0], &both[1]))
        .collect())
}
