//! `bertless embed`: embeddings of texts.

use anyhow::Result;
use serde::Serialize;

use super::Common;
use super::input::InputFlags;
use super::options::{EmbeddingFlags, ModelFlags, required};
use super::output::Output;
use super::show::numbers;
use super::stream::answer_all;

/// Compute the embedding of each text
///
/// Prints one line of numbers per text; with --json an object {"text", "embedding": [..]}.
#[derive(Debug, clap::Args)]
#[command(mut_arg("model", required))]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    embedding: EmbeddingFlags,
}

/// A line of JSON.
#[derive(Serialize)]
struct EmbeddingRecord<'a> {
    text: &'a str,
    embedding: &'a [f32],
}

pub(crate) fn run(arguments: EmbedArgs, common: &Common, output: &mut Output) -> Result<()> {
    let inputs = arguments.input.open()?;
    let model = arguments.embedding.load(&arguments.model, common)?;
    answer_all(
        inputs,
        output,
        |inputs| {
            if let Some(index) = inputs.iter().position(|input| input.second().is_some()) {
                return Err(bertless::Error::Input {
                    index: Some(index),
                    reason: "an embedding is of one text, not of a pair".to_owned(),
                }
                .into());
            }
            let texts = inputs.iter().map(|input| input.first());
            Ok(model.embed_batch(texts)?.to_vecs())
        },
        |output, item, embedding| {
            output.answer(
                &EmbeddingRecord {
                    text: &item.first,
                    embedding: &embedding,
                },
                || numbers(&embedding),
            )
        },
    )
}
