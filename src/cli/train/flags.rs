//! Flags that override keys of a recipe.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use bertless::Error;
use bertless::train::Recipe;
use clap::builder::PathBufValueParser;
use clap::{Arg, ValueEnum};
use serde::Serialize;
use toml::Table;

use super::super::Common;
use super::super::options::{at_least_one, number, seed, to_read_again, to_write, whole};
use super::super::output::{Output, note};
use super::session;

/// A recipe file, and flags that override its keys. A flag is serialized under its key.
#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct RecipeFlags {
    /// TOML file with the settings of the training
    #[arg(value_name = "RECIPE.toml")]
    #[serde(skip)]
    recipe: Option<PathBuf>,
    /// Folder of the model to start from
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Folder to write the trained model to
    #[arg(short, long, value_name = "FOLDER", value_parser = to_write(PathBufValueParser::new()))]
    #[arg(required_unless_present_any = WITHOUT_RECIPE)]
    output: Option<PathBuf>,
    /// Task to train for
    #[arg(long, value_name = "TASK", required_unless_present_any = WITHOUT_RECIPE)]
    task: Option<TrainingTask>,
    /// Table of training examples
    #[arg(long, value_name = "FILE", value_parser = to_read_again(PathBufValueParser::new()))]
    #[serde(rename = "data.train")]
    train: Option<PathBuf>,
    /// Table to evaluate on during training; the model that is best on it is kept
    #[arg(long, value_name = "FILE", value_parser = to_read_again(PathBufValueParser::new()))]
    #[serde(rename = "data.dev")]
    dev: Option<PathBuf>,
    /// Passes over the training examples [default: the recipe's, or 3]
    #[arg(long, value_name = "N", value_parser = whole(1, i64::MAX as u64))]
    #[serde(rename = "training.epochs")]
    epochs: Option<u64>,
    /// Examples in each training step [default: the recipe's, or 32]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    #[serde(rename = "training.batch-size")]
    batch_size: Option<usize>,
    /// Peak learning rate [default: the recipe's, or 5e-5]
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, value_parser = above_zero())]
    #[serde(rename = "training.learning-rate")]
    learning_rate: Option<f64>,
    /// Type that both operands of each matrix product are rounded to in training; f32 rounds nothing [default: the recipe's, or f32]
    #[arg(long, value_name = "TYPE")]
    #[serde(rename = "training.precision")]
    precision: Option<TrainingPrecision>,
    /// Seed of the random numbers [default: the recipe's, or 1]
    #[arg(long, value_name = "N", value_parser = seed())]
    #[serde(rename = "training.seed")]
    seed: Option<u64>,
    /// Train once with each of these seeds, into FOLDER/seed-N, and print a table of the results with their median
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        conflicts_with = "seed"
    )]
    #[arg(value_parser = seed())]
    #[serde(skip)]
    seeds: Vec<u64>,
    /// Former name of --batch-size
    #[arg(long, value_name = "N", hide = true, value_parser = at_least_one())]
    #[serde(rename = "training.batch")]
    batch: Option<usize>,
    /// Former name of --learning-rate
    #[arg(long, value_name = "RATE", hide = true, allow_hyphen_values = true, value_parser = above_zero())]
    #[serde(rename = "training.rate")]
    rate: Option<f64>,
    /// Set any key of the recipe, as in training.dropout=0
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    #[serde(skip)]
    set: Vec<(String, String)>,
}

/// Without either of these, the flags alone must say what to train.
const WITHOUT_RECIPE: [&str; 2] = ["recipe", "set"];

/// Makes `--model` and `--train` required where there is no recipe: only `train` needs both.
pub(crate) fn required_without_recipe(flag: Arg) -> Arg {
    if ["model", "train"].contains(&flag.get_id().as_str()) {
        return flag.required_unless_present_any(WITHOUT_RECIPE);
    }
    flag
}

/// What a model is trained for.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum TrainingTask {
    Classification,
    MultiLabel,
    Regression,
    TokenClassification,
    QuestionAnswering,
    Similarity,
    MultipleNegatives,
    Embedding,
    /// Former name of token-classification.
    #[value(hide = true)]
    Tokens,
    /// Former name of question-answering.
    #[value(hide = true)]
    Questions,
    /// Former name of multiple-negatives.
    #[value(hide = true)]
    Ranking,
}

/// What the operands of matrix products are rounded to.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum TrainingPrecision {
    F32,
    Bf16,
}

/// Parses a number above 0.
pub(crate) fn above_zero() -> impl clap::builder::TypedValueParser<Value = f64> {
    number(f64::MIN_POSITIVE..=f64::MAX, "expected a number above 0")
}

fn setting(argument: &str) -> Result<(String, String), String> {
    let (key, value) = argument.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl RecipeFlags {
    /// Reads the recipe and overrides its keys by these flags, by those of the command, `more`, and by `--set`.
    ///
    /// # Errors
    /// Those of [`Recipe::read`]. If the value of a flag is wrong, the error names the flag instead of the key.
    pub(crate) fn read(&self, more: &impl Serialize) -> Result<Recipe> {
        let mut flags = table_of(self)?;
        flags.extend(table_of(more)?);
        let given = flags
            .iter()
            .map(|(key, value)| (key.clone(), value.to_string()));
        let settings: Vec<_> = given.chain(self.set.iter().cloned()).collect();
        let recipe = Recipe::read(self.recipe.as_deref(), &settings).map_err(|error| {
            let Error::Config { key, reason, .. } = &error else {
                return error.into();
            };
            match flags.get(key) {
                Some(value) if self.set.iter().all(|(set, _)| set != key) => {
                    let flag = key.rsplit('.').next().unwrap_or(key);
                    anyhow!("--{flag}: {value} {reason}")
                }
                _ => error.into(),
            }
        })?;
        recipe.notes().iter().for_each(note);
        Ok(recipe)
    }

    /// Trains by a recipe, once or with each seed.
    pub(crate) fn run(&self, recipe: &Recipe, common: &Common, output: &mut Output) -> Result<()> {
        match &self.seeds[..] {
            [] => session::train_once(recipe, common, output),
            seeds => session::train_with_seeds(recipe, seeds, common, output),
        }
    }
}

/// The flags that were given, by the keys of a recipe that they set.
fn table_of(flags: &impl Serialize) -> Result<Table> {
    Table::try_from(flags).context("a recipe holds paths as UTF-8")
}
