//! Flags over a recipe.

use std::path::PathBuf;

use anyhow::Result;
use bertless::train::Recipe;

use super::super::Common;
use super::super::output::Output;
use super::session;

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
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<String>,
    /// What is learned
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// The table to learn from
    #[arg(long, value_name = "FILE")]
    train: Option<String>,
    /// The table to measure with
    #[arg(long, value_name = "FILE")]
    dev: Option<String>,
    /// How often each example is seen
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Examples of a step
    #[arg(long, value_name = "N")]
    batch: Option<String>,
    /// The highest learning rate
    #[arg(long, value_name = "RATE")]
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
    )]
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
    /// The recipe with all flags over it, and those of a command beside them.
    pub(crate) fn read(&self, more: &[(&str, &Option<String>)]) -> Result<Recipe> {
        let flags = [
            ("model", &self.model),
            ("output", &self.output),
            ("task", &self.task),
            ("data.train", &self.train),
            ("data.dev", &self.dev),
            ("training.epochs", &self.epochs),
            ("training.batch", &self.batch),
            ("training.rate", &self.rate),
            ("training.precision", &self.precision),
            ("training.seed", &self.seed),
        ];
        let given = flags
            .iter()
            .chain(more)
            .filter_map(|(key, value)| Some(((*key).to_owned(), (*value).clone()?)));
        let settings: Vec<_> = given.chain(self.set.iter().cloned()).collect();
        Ok(Recipe::read(self.recipe.as_deref(), &settings)?)
    }

    /// Trains by a recipe, once or with each seed.
    pub(crate) fn run(&self, recipe: &Recipe, common: &Common, output: &mut Output) -> Result<()> {
        match &self.seeds[..] {
            [] => session::one(recipe, common, output),
            seeds => session::several(recipe, seeds, common, output),
        }
    }
}
