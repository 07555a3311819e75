//! `bertless distill`: trains a small model on the outputs of a large one.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PathBufValueParser;
use serde::Serialize;

use super::Common;
use super::options::{at_least_one, to_read_again};
use super::output::Output;
use super::train::{RecipeFlags, above_zero};
use super::usage;

/// Train a small model (the student) to reproduce a larger one (the teacher)
///
/// Recipes are those of `bertless train`, with a teacher added:
///
///   output = "student"
///   task = "classification"
///   [data]
///   train = ["gold.tsv"]                 # with labels, weighted by `hard`
///   unlabelled = ["silver.txt"]          # without labels: text files (.txt) or tables
///   dev = ["dev.tsv"]
///   [distillation]
///   teacher = "sentiment"                # a folder, or a packed file if only its outputs are learned
///   temperature = 2.0                    # softens the teacher's distribution over labels
///   soft = 1.0                           # weight of the teacher's logits or embeddings
///   pseudo = 0.0                         # weight of the teacher's most likely label
///   hard = 0.0                           # weight of the tables' labels
///   hidden = 0.0                         # weight of hidden states (TinyBERT)
///   attention = 0.0                      # weight of attention scores (TinyBERT)
///   relations = 0.0                      # weight of relations in the last layer (MiniLMv2)
///   [student]
///   layers = 3                           # the model's lowest; start = "alternate", "fresh" or [1, 3, 5]
///   tokens = 6000                        # the most frequent tokens of the texts are kept
///
/// The student is made from `model`, by default from the teacher. The teacher's logits and embeddings are computed once; it
/// uses its own vocabulary. Without `teacher` the tables hold its logits, as `bertless label` writes them.
///
/// A table is a path, or { file = "all.tsv", where = "split = train", text = "sentence", sentences = true }; the last key
/// splits each text into sentences.
#[derive(Debug, clap::Args, Serialize)]
#[command(verbatim_doc_comment)]
pub(crate) struct DistillArgs {
    #[command(flatten)]
    #[serde(skip)]
    recipe: RecipeFlags,
    /// Teacher: a model's folder, or a packed file if only its outputs are learned
    #[arg(long, value_name = "MODEL")]
    #[serde(rename = "distillation.teacher")]
    teacher: Option<PathBuf>,
    /// Table or text file of examples without labels
    #[arg(long, value_name = "FILE", value_parser = to_read_again(PathBufValueParser::new()))]
    #[serde(rename = "data.unlabelled")]
    unlabelled: Option<PathBuf>,
    /// Number of the student's layers [default: the recipe's, or all of the model's]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    #[serde(rename = "student.layers")]
    layers: Option<usize>,
    /// Size of the student's vocabulary: only the most frequent tokens are kept [default: the recipe's, or all]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    #[serde(rename = "student.tokens")]
    tokens: Option<usize>,
    /// Temperature that softens the teacher's distribution over labels [default: the recipe's, or 2]
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = above_zero())]
    #[serde(rename = "distillation.temperature")]
    temperature: Option<f64>,
}

pub(crate) fn run(arguments: DistillArgs, common: &Common, output: &mut Output) -> Result<()> {
    let recipe = arguments.recipe.read(&arguments)?;
    if !recipe.distils() {
        return Err(usage(
            "there is no teacher: name one with --teacher, or in the recipe's [distillation]",
        ));
    }
    arguments.recipe.run(&recipe, common, output)
}
