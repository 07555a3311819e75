//! `bertless train`: a model learns from tables.

mod curves;
mod flags;
mod session;
mod watch;

use anyhow::Result;

use super::Common;
use super::output::Output;
use flags::required_without_recipe;
pub(crate) use flags::{RecipeFlags, above_zero};

/// Train a model on tables, as a recipe says
///
/// A recipe is a TOML file; flags stand over it, and `--set KEY=VALUE` reaches every key of it. The smallest one:
///
///   model = "all-MiniLM-L6-v2"     # the folder of the model to begin with
///   output = "sentiment"           # the folder for the model that comes of it
///   task = "classification"        # or multi-label, regression, tokens, questions, similarity, ranking, embedding
///   [data]
///   train = ["train.tsv"]          # .tsv, .csv or .jsonl, whose columns have names
///   dev = ["dev.tsv"]              # the best model on these is kept
///
/// Beside it [training] has epochs, batch, accumulate, rate, decay, warmup, clip, dropout, precision, max-length, seed,
/// smoothing, weights, measure-every, metric, patience, save-every and log-every; [student] layers, start, hidden, heads,
/// intermediate, vocabulary, tokens and least; [data] text, pair, target, labels, scale and balance. `bertless distill` has a
/// teacher beside it.
///
/// Texts are in a column sentence or text, pairs in sentence1 and sentence2 or in text and text_pair; what is right is in
/// label, labels, score or tags. Labels and tags may be lists in .jsonl. A score of similarity is from -1 to 1: data.scale = 5
/// divides those that go up to 5. Labels are printed with how many rows have each.
///
/// A table is its path, or { file = "all.tsv", where = "split = train", text = "sentence", target = "label" }, of whose keys
/// all but the first can be left out. Paths are looked for where the command is run.
///
/// What is broken off goes on where it was when the same command is given again, and ends with the same model, bit for bit.
/// OUTPUT has the model and its card, OUTPUT/training the log (JSON lines), a picture of the curves and the state.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(
    mut_arg("model", required_without_recipe),
    mut_arg("train", required_without_recipe)
)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    recipe: RecipeFlags,
}

pub(crate) fn run(arguments: TrainArgs, common: &Common, output: &mut Output) -> Result<()> {
    let recipe = arguments.recipe.read(&toml::Table::new())?;
    arguments.recipe.run(&recipe, common, output)
}
