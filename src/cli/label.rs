//! `bertless label`: a model says what it thinks of texts that nobody has labelled.

use std::path::PathBuf;

use anyhow::Result;
use bertless::train::{Condition, Labelling, Source, label};
use clap::builder::PathBufValueParser;
use serde::Serialize;

use super::Common;
use super::options::{
    EmbeddingFlags, ModelFlags, at_least_one, number, required, to_read_again, to_write,
};
use super::output::{Output, note};
use super::progress::{Look, Progress};

/// Let a model label texts, as a table to learn from
///
/// Texts are a column of tables (.tsv, .csv, .jsonl; by default sentence or text, or the pairs sentence1 and sentence2, or premise and hypothesis) or
/// the lines of a .txt file. The table that is written is of the kind that its name ends in, and is there whole or not at
/// all:
///
///   text, or sentence1 and sentence2
///   label            of a classifier; labels where several may hold: a list in .jsonl, else separated by commas
///   score            the label's; of a model with one output its number; of an embedding model how alike a pair is
///   logit:LABEL      of a classifier, for each label: `bertless distill` learns from them without the teacher
///
/// With --mine bm25 pairs are made of all texts, each with those that share most of its rare words, and scored by a
/// cross-encoder or an embedding model: what augmented SBERT trains on.
///
/// Prints how many rows there were and how many are in the table; with --json {"asked", "written"}.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(mut_arg("model", required))]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    model: ModelFlags,
    /// A table of texts, or a file of lines; several are read one after the other
    #[arg(short, long, value_name = "FILE", required = true)]
    #[arg(value_parser = to_read_again(PathBufValueParser::new()))]
    data: Vec<PathBuf>,
    /// The table to write
    #[arg(short, long, value_name = "FILE", value_parser = to_write(PathBufValueParser::new()))]
    output: PathBuf,
    /// The column of the text, or of the first one
    #[arg(long, value_name = "COLUMN")]
    text_column: Option<String>,
    /// The column of the second text
    #[arg(long, value_name = "COLUMN")]
    pair_column: Option<String>,
    /// Only rows with this in a column: COLUMN=VALUE or COLUMN!=VALUE
    #[arg(long = "where", value_name = "CONDITION")]
    only: Option<Condition>,
    /// Cut texts into their sentences
    #[arg(long, conflicts_with_all = ["pair_column", "keep"])]
    sentences: bool,
    /// Keep the tables' other columns; a label and a score among them are called gold_label and gold_score
    #[arg(long)]
    keep: bool,
    /// Leave out rows with a lower score; of probabilities and cosines 1 at most
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    #[arg(value_parser = number(f32::MIN..=f32::MAX, "expected a number"))]
    least_score: Option<f32>,
    /// Make pairs of all texts
    #[arg(long, value_name = "HOW", conflicts_with = "keep")]
    mine: Option<Mining>,
    /// How many others a text is paired with
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one(), requires = "mine")]
    candidates: usize,
    #[command(flatten)]
    embedding: EmbeddingFlags,
}

/// How pairs are found.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Mining {
    /// By the words that they share, rare ones counting more
    Bm25,
}

/// A line of JSON.
#[derive(Serialize)]
struct LabelRecord {
    asked: usize,
    written: usize,
}

pub(crate) fn run(arguments: LabelArgs, common: &Common, output: &mut Output) -> Result<()> {
    let model = arguments.embedding.load(&arguments.model, common)?;
    let source = |file: PathBuf| Source {
        file,
        text: arguments.text_column.clone(),
        pair: arguments.pair_column.clone(),
        target: None,
        only: arguments.only.clone(),
        sentences: arguments.sentences,
    };
    let labelling = Labelling {
        from: arguments.data.into_iter().map(source).collect(),
        output: arguments.output,
        mine: arguments.mine.map(|Mining::Bm25| arguments.candidates),
        least_score: arguments.least_score,
        keep: arguments.keep,
    };
    let bar = Progress::new(Look::Count);
    let done = label(&model, &labelling, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    drop(bar);
    let done = done?;
    let (asked, written) = (done.asked, done.written);
    if let (0, Some(least)) = (written, labelling.least_score) {
        note(format_args!(
            "warning: no row has a score of {least} or more: there is none in the table"
        ));
    }
    output.answer(&LabelRecord { asked, written }, || {
        format!(
            "{written} of {asked} rows are in {}",
            labelling.output.display()
        )
    })
}
