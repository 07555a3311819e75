//! `bertless distill`: a small model learns from a large one.

use anyhow::Result;
use clap::builder::StringValueParser;

use super::Common;
use super::options::to_read_again;
use super::output::Output;
use super::train::RecipeFlags;
use super::usage;

/// Train a small student by what a teacher says
///
/// A recipe is as `bertless train` has it; the teacher is added:
///
///   output = "student"
///   task = "classification"
///   [data]
///   train = ["gold.tsv"]                 # with labels, which count by `hard`
///   unlabelled = ["silver.txt"]          # texts alone: lines (.txt), or tables
///   dev = ["dev.tsv"]
///   [distillation]
///   teacher = "sentiment"                # a folder, or a packed file if only its answers are learned
///   temperature = 2.0                    # of the teacher's distribution over labels
///   soft = 1.0                           # how much the teacher's logits or embeddings count,
///   pseudo = 0.0                         # the label that the teacher holds for the likeliest,
///   hard = 0.0                           # the tables' labels,
///   hidden = 0.0                         # hidden states (TinyBERT),
///   attention = 0.0                      # scores of attention,
///   relations = 0.0                      # and relations in the last layer (MiniLMv2)
///   [student]
///   layers = 3                           # of the model's, the lowest; start = "alternate", "fresh" or [1, 3, 5]
///   tokens = 6000                        # the most frequent ones of the texts are kept
///
/// The student is made of `model`, by default of the teacher. A teacher's logits and embeddings are computed once; it reads
/// texts by its own vocabulary. Without `teacher` the tables have its logits, as `bertless label` writes them.
///
/// A table is its path, or { file = "all.tsv", where = "split = train", text = "sentence", sentences = true }: the last cuts
/// each text into its sentences.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeFlags,
    /// The teacher
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    /// Texts without labels
    #[arg(long, value_name = "FILE", value_parser = to_read_again(StringValueParser::new()))]
    unlabelled: Option<String>,
    /// How many of the model's layers the student has
    #[arg(long, value_name = "N")]
    layers: Option<String>,
    /// How many tokens the student has
    #[arg(long, value_name = "N")]
    tokens: Option<String>,
    /// The temperature of the teacher's distributions
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    temperature: Option<String>,
}

pub(crate) fn run(arguments: Arguments, common: &Common, output: &mut Output) -> Result<()> {
    let recipe = arguments.recipe.read(&[
        ("--teacher", "distillation.teacher", &arguments.teacher),
        ("--unlabelled", "data.unlabelled", &arguments.unlabelled),
        ("--layers", "student.layers", &arguments.layers),
        ("--tokens", "student.tokens", &arguments.tokens),
        (
            "--temperature",
            "distillation.temperature",
            &arguments.temperature,
        ),
    ])?;
    if !recipe.distils() {
        return Err(usage(
            "there is no teacher: name one with --teacher, or in the recipe's [distillation]",
        ));
    }
    arguments.recipe.run(&recipe, common, output)
}
