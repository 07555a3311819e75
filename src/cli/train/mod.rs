//! `bertless train`: trains a model on tables.

mod curves;
mod flags;
mod progress;
mod session;

use anyhow::Result;

use super::Common;
use super::output::Output;
use flags::required_without_recipe;
pub(crate) use flags::{RecipeFlags, above_zero};

/// Fine-tune a model on tables of examples
///
/// The settings of a training are flags, or a recipe: a TOML file, whose keys flags and `--set KEY=VALUE` override. The
/// smallest recipe:
///
///   model = "all-MiniLM-L6-v2"     # folder of the model to start from
///   output = "sentiment"           # folder to write the trained model to
///   task = "classification"        # or multi-label, regression, token-classification, question-answering,
///                                  # similarity, multiple-negatives, embedding
///   [data]
///   train = ["train.tsv"]          # .tsv, .csv or .jsonl, with a header
///   dev = ["dev.tsv"]              # the model that is best on these is kept
///
/// Other keys: [training] has epochs, batch-size, micro-batches, learning-rate, weight-decay, warmup-ratio, max-grad-norm,
/// dropout, precision, max-length, seed, label-smoothing, class-weights, eval-steps, metric, early-stopping-patience,
/// save-steps and logging-steps; [student] layers, start, hidden, heads, intermediate, vocabulary, tokens and min-count;
/// [data] text, pair, target, labels, scale and balance. `bertless distill` has a [distillation] section too.
///
/// Texts are in the column sentence or text, pairs in sentence1 and sentence2 or in text and text_pair; targets are in label,
/// labels, score or tags. Labels and tags may be lists in .jsonl. Similarity scores are from -1 to 1: data.scale = 5 divides
/// scores of up to 5. The number of rows of each label is printed.
///
/// A table is a path, or { file = "all.tsv", where = "split = train", text = "sentence", target = "label" }; all keys but file
/// are optional. Paths are relative to the current folder.
///
/// To resume an interrupted training, give the same command again; it ends with the same model, bit for bit. FOLDER holds the
/// model and its card, FOLDER/training the log (JSON lines), a chart of the curves and the state.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(mut_args(required_without_recipe))]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    recipe: RecipeFlags,
}

pub(crate) fn run(arguments: TrainArgs, common: &Common, output: &mut Output) -> Result<()> {
    let recipe = arguments.recipe.read(&toml::Table::new())?;
    arguments.recipe.run(&recipe, common, output)
}
