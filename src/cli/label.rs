//! `bertless label`: a model labels texts.

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

/// Label texts with a model, and write a table to train on
///
/// Texts are the lines of a .txt file or a column of a table (.tsv, .csv, .jsonl): by default sentence or text, or the pairs
/// sentence1 and sentence2, or premise and hypothesis. The ending of FILE decides the format of the table that is written;
/// it is never half-written. Its columns:
///
///   text, or sentence1 and sentence2
///   label            predicted label; labels, if several may apply: a list in .jsonl, else separated by commas
///   score            score of the label; the output of a regression; the similarity of a pair by an embedding model
///   logit:LABEL      logit of each label of a classifier: `bertless distill` can train on them without the teacher
///
/// With --mine bm25 each text is paired with the texts that share most of its rare words, and a cross-encoder or an embedding
/// model scores the pairs: the training data of augmented SBERT.
///
/// Prints the number of rows read and written; with --json {"asked", "written"}.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(mut_arg("model", required))]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    model: ModelFlags,
    /// Table of texts, or text file; may be given several times
    #[arg(short, long, value_name = "FILE", required = true)]
    #[arg(value_parser = to_read_again(PathBufValueParser::new()))]
    data: Vec<PathBuf>,
    /// Table to write
    #[arg(short, long, value_name = "FILE", value_parser = to_write(PathBufValueParser::new()))]
    output: PathBuf,
    /// Column of the text, or of the first text of a pair
    #[arg(long, value_name = "COLUMN")]
    text_column: Option<String>,
    /// Column of the second text of a pair
    #[arg(long, value_name = "COLUMN")]
    pair_column: Option<String>,
    /// Use only rows that match COLUMN=VALUE or COLUMN!=VALUE
    #[arg(long = "where", value_name = "CONDITION")]
    only: Option<Condition>,
    /// Split texts into sentences
    #[arg(long, conflicts_with_all = ["pair_column", "keep"])]
    sentences: bool,
    /// Copy the tables' other columns; label and score become gold_label and gold_score
    #[arg(long)]
    keep: bool,
    /// Leave out rows with a lower score; at most 1 where scores are probabilities or cosines
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    #[arg(value_parser = number(f32::MIN..=f32::MAX, "expected a number"))]
    least_score: Option<f32>,
    /// Mine pairs from all texts
    #[arg(long, value_name = "HOW", conflicts_with = "keep")]
    mine: Option<Mining>,
    /// Number of texts that each text is paired with
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one(), requires = "mine")]
    candidates: usize,
    #[command(flatten)]
    embedding: EmbeddingFlags,
}

/// Method that finds pairs.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Mining {
    /// Shared words, weighted by rarity
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
