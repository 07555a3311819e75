//! Flags over a recipe.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use bertless::Error;
use bertless::train::Recipe;
use clap::builder::StringValueParser;

use super::super::Common;
use super::super::options::{to_read_again, to_write};
use super::super::output::Output;
use super::session;

/// A flag that overrides a key of the recipe: the flag (`--rate`), the key (`training.rate`), and the value if it was given.
type Flag<'a> = (&'a str, &'a str, &'a Option<String>);

/// A recipe, and what stands over it.
#[derive(Debug, clap::Args)]
pub(crate) struct RecipeFlags {
    /// The recipe
    #[arg(value_name = "RECIPE.toml")]
    recipe: Option<PathBuf>,
    /// The folder of the model to begin with
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The folder for the model that comes of it
    #[arg(short, long, value_name = "FOLDER", value_parser = to_write(StringValueParser::new()))]
    output: Option<String>,
    /// What is learned
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// The table to learn from
    #[arg(long, value_name = "FILE", value_parser = to_read_again(StringValueParser::new()))]
    train: Option<String>,
    /// The table to measure with
    #[arg(long, value_name = "FILE", value_parser = to_read_again(StringValueParser::new()))]
    dev: Option<String>,
    /// How often each example is seen
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Examples of a step
    #[arg(long, value_name = "N")]
    batch: Option<String>,
    /// The highest learning rate
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// What both sides of a product are rounded to while it learns: f32, which is not at all, or bf16
    #[arg(long, value_name = "TYPE")]
    precision: Option<String>,
    /// What chance begins with
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Once with each of these seeds, into OUTPUT/seed-N, and a table of all with their median
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        conflicts_with = "seed"
    , value_parser = seed)]
    seeds: Vec<u64>,
    /// Any other key of a recipe: training.dropout=0
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(argument: &str) -> Result<(String, String), String> {
    let (key, value) = argument.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl RecipeFlags {
    /// Reads the recipe and overrides its keys with these flags, and with those of the command, `more`.
    ///
    /// # Errors
    /// Those of [`Recipe::read`]. If a flag gave the value that is wrong, the error names the flag instead of the key.
    pub(crate) fn read(&self, more: &[Flag<'_>]) -> Result<Recipe> {
        let flags: [Flag<'_>; 10] = [
            ("--model", "model", &self.model),
            ("--output", "output", &self.output),
            ("--task", "task", &self.task),
            ("--train", "data.train", &self.train),
            ("--dev", "data.dev", &self.dev),
            ("--epochs", "training.epochs", &self.epochs),
            ("--batch", "training.batch", &self.batch),
            ("--rate", "training.rate", &self.rate),
            ("--precision", "training.precision", &self.precision),
            ("--seed", "training.seed", &self.seed),
        ];
        let flags = flags.iter().chain(more);
        let given = flags
            .clone()
            .filter_map(|(_, key, value)| Some(((*key).to_owned(), (*value).clone()?)));
        let settings: Vec<_> = given.chain(self.set.iter().cloned()).collect();
        Recipe::read(self.recipe.as_deref(), &settings).map_err(|error| {
            let Error::Config { key, reason, .. } = &error else {
                return error.into();
            };
            let set = self.set.iter().any(|(own, _)| own == key);
            let mut given = flags.filter(|(_, own, value)| !set && own == key && value.is_some());
            match given.next() {
                Some((flag, _, Some(value))) => anyhow!("{flag}: {value} {reason}"),
                _ => error.into(),
            }
        })
    }

    /// Trains by a recipe, once or with each seed.
    pub(crate) fn run(&self, recipe: &Recipe, common: &Common, output: &mut Output) -> Result<()> {
        match &self.seeds[..] {
            [] => session::one(recipe, common, output),
            seeds => session::several(recipe, seeds, common, output),
        }
    }
}

fn seed(argument: &str) -> Result<u64, String> {
    let expected = || format!("expected a whole number from 0 to {}", u64::MAX);
    argument.parse().map_err(|_| expected())
}
