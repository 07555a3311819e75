//! `bertless evaluate`: metrics of a model on a table of expected answers.

mod classification;
mod compare;
mod entities;
mod report;
mod table;

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use bertless::train::{SECOND_COLUMNS, TEXT_COLUMNS, usual_pair};
use bertless::{
    Aggregation, Dtype, Input, Model, PredictOptions, Prediction, ScoreFunction, Task, metrics,
};

use super::Common;
use super::input::ItemSource;
use super::options::{EmbeddingFlags, ModelFlags, Threshold, dtype, threshold, thresholds};
use super::output::Output;
use super::show::shortened;
use super::similarity::similarities;
use super::stream::answer_all;
use report::Report;
use table::{GoldExample, GoldTable};

/// Compute metrics of a model on a table of expected answers
///
/// The table is UTF-8 and has a header: tab-separated (quotes are text), .csv, or .jsonl (one object per line). The model's
/// task decides which columns are read, in any order, and which metrics are printed; with --json as one object. Metrics are
/// fractions; correlations are from -1 to 1, or null where undefined; "n" is the number of rows.
///
///   classifier       sentence, or text, or sentence1 and sentence2, or premise and hypothesis; label, by its name, or by its
///                    id (digits alone) if no name is a number
///                    "n", "accuracy", "macro_f1", "mcc"
///
///   multi-label      texts as above; labels: a list in .jsonl, else separated by commas
///                    "n", "micro_f1", "macro_f1"
///
///   one output       texts as above; score
///                    "n", "pearson", "spearman"
///
///   embeddings       sentence1, sentence2, score
///                    "n", "pearson", "spearman"
///
///   tokens           tokens, tags: lists in .jsonl, else separated by spaces; a word's tag is its first token's
///                    "n", "accuracy", "entity_precision", "entity_recall", "entity_f1"
///
///   questions        question, context, answer
///                    "n", "exact_match", "f1"
///
/// With --compare each type has a line: the size of the packed file and of its weights, texts per second (the median of three
/// alternating runs after a warm-up), the metrics, and how close answers are to those of the first type. With --json an
/// object {"dtype", "file_bytes", "weight_bytes", "texts_per_second", then the metrics}; all types but the first also have
/// "same_answers", a fraction; for embeddings "cosine_mean" and "cosine_worst"; for one output "difference_mean" and
/// "difference_worst".
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    model: ModelFlags,
    /// Table to evaluate on; - reads a tab-separated table from standard input
    #[arg(short, long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    columns: ColumnFlags,
    /// Lowest score at which a label applies, for all labels (0.3) or for one (joy=0.3) [default: 0.5]
    #[arg(long = "threshold", value_name = "[LABEL=]SCORE", value_parser = threshold)]
    thresholds: Vec<Threshold>,
    #[command(flatten)]
    embedding: EmbeddingFlags,
    /// Pack the model's folder in each of these types, and print size, speed and metrics side by side, as in f32,bf16,int8
    #[arg(long, value_name = "TYPE,..", value_delimiter = ',', value_parser = dtype())]
    #[arg(conflicts_with = "dtype")]
    compare: Vec<Dtype>,
}

/// Flags that name columns.
#[derive(Debug, clap::Args)]
struct ColumnFlags {
    /// Column of the text, the first text, the question or the tokens
    #[arg(long, value_name = "COLUMN")]
    text_column: Option<String>,
    /// Column of the second text or the context
    #[arg(long, value_name = "COLUMN", requires = "text_column")]
    pair_column: Option<String>,
    /// Column of the expected label, labels, score, tags or answer
    #[arg(long, value_name = "COLUMN")]
    label_column: Option<String>,
}

pub(crate) fn run(arguments: EvaluateArgs, common: &Common, output: &mut Output) -> Result<()> {
    // Labels of single tokens: a word's tag is the label of its first token.
    let mut calls = PredictOptions::new().aggregation(Aggregation::None);
    if let Some(thresholds) = thresholds(&arguments.thresholds) {
        calls = calls.thresholds(thresholds);
    }
    let options = arguments.model.options(common);
    let options = arguments.embedding.apply(options, calls);
    let table = table::open(&arguments.data)?;
    if !arguments.compare.is_empty() {
        let Some(dir) = &arguments.model.model else {
            bail!("--compare packs a folder in each type: --model names it");
        };
        let models = compare::open(dir, &arguments.compare, &options)?;
        let table = arguments.columns.of(table, models.first())?;
        return compare::run(&models, table, output);
    }
    let model = arguments.model.load(options)?;
    let table = arguments.columns.of(table, &model)?;
    let report = measure(&model, table, output)?;
    output.answer(&report, || &report)
}

impl ColumnFlags {
    /// The columns that a model's task needs.
    fn of(self, table: GoldTable, model: &Model) -> Result<GoldTable> {
        let one = |name: &str| vec![name.to_owned()];
        let (texts, expected) = match (model.task(), model.summary().score_function) {
            (Task::Classification, score) if gives_a_number(model, score) => {
                (columns_of_texts(&table), ["score", "label"].as_slice())
            }
            // Several labels may hold.
            (Task::Classification, Some(ScoreFunction::Sigmoid)) => {
                (columns_of_texts(&table), ["labels", "label"].as_slice())
            }
            (Task::Classification, _) => (columns_of_texts(&table), ["label", "labels"].as_slice()),
            (Task::Embedding, _) => (columns_of_pairs(&table), ["score"].as_slice()),
            (Task::TokenClassification, _) => (vec![one("tokens")], ["tags"].as_slice()),
            (Task::QuestionAnswering, _) => {
                let texts = vec![one("question"), one("context")];
                (texts, ["answer"].as_slice())
            }
            (task, _) => return Err(no_measure(task)),
        };
        let texts = match self.text_column {
            Some(first) => [Some(first), self.pair_column]
                .into_iter()
                .flatten()
                .map(|name| vec![name])
                .collect(),
            None => texts,
        };
        let expected = match self.label_column {
            Some(name) => vec![name],
            None => expected.iter().map(|&name| name.to_owned()).collect(),
        };
        table.with(&texts, &expected)
    }
}

/// Columns of a pair if the table has both under standard names, else the column of a text.
fn columns_of_texts(table: &GoldTable) -> Vec<Vec<String>> {
    match usual_pair(|name| table.has(name)) {
        Some(pair) => pair.map(|name| vec![name.to_owned()]).to_vec(),
        None => vec![TEXT_COLUMNS.map(str::to_owned).to_vec()],
    }
}

/// Columns of a pair.
fn columns_of_pairs(table: &GoldTable) -> Vec<Vec<String>> {
    let mut columns = columns_of_texts(table);
    if columns.len() == 1 {
        columns.push(SECOND_COLUMNS.map(str::to_owned).to_vec());
    }
    columns
}

/// Computes the metrics of the model's task.
fn measure(
    model: &Model,
    rows: impl ItemSource<Item = GoldExample>,
    output: &mut Output,
) -> Result<Report> {
    match (model.task(), model.summary().score_function) {
        (Task::Classification, score) if gives_a_number(model, score) => {
            correlation(rows, output, |inputs| numbers(model, inputs))
        }
        (Task::Classification, _) => classification::evaluate(model, rows, output),
        (Task::Embedding, _) => correlation(rows, output, |inputs| similarities(model, inputs)),
        (Task::TokenClassification, _) => entities::evaluate(model, rows, output),
        (Task::QuestionAnswering, _) => answers(model, rows, output),
        (task, _) => Err(no_measure(task)),
    }
}

fn no_measure(task: Task) -> anyhow::Error {
    anyhow!("there is no measure for a model for {task}")
}

/// Whether the model is a regression: its answer is a value, not a label.
fn gives_a_number(model: &Model, score: Option<ScoreFunction>) -> bool {
    model.labels().len() == 1 || score == Some(ScoreFunction::Identity)
}

fn numbers(model: &Model, inputs: &[Input<'_>]) -> Result<Vec<f32>> {
    if model.labels().len() != 1 {
        anyhow::bail!(
            "there is no measure for a regression of {} values",
            model.labels().len()
        );
    }
    let predictions = model.predict_batch(inputs)?.into_iter();
    Ok(predictions
        .filter_map(|prediction| prediction.score())
        .collect())
}

/// Number of characters of a cell that an error quotes.
const CELL: usize = 200;

/// Computes correlations of scores with expected scores.
fn correlation(
    rows: impl ItemSource<Item = GoldExample>,
    output: &mut Output,
    score: impl FnMut(&[Input<'_>]) -> Result<Vec<f32>>,
) -> Result<Report> {
    let mut pairs = Vec::new();
    answer_all(rows, output, score, |_, row: GoldExample, score| {
        let expected: f64 = match row.expected.text().trim().parse() {
            Ok(number) if f64::is_finite(number) => number,
            _ => {
                let cell = shortened(row.expected.text(), CELL);
                return Err(row.blame(format!("{cell:?} is not a number")));
            }
        };
        pairs.push((expected, f64::from(score)));
        Ok(())
    })?;
    Ok(Report::of(pairs.len())?
        .correlation("pearson", metrics::pearson(&pairs))
        .correlation("spearman", metrics::spearman(&pairs)))
}

fn answers(
    model: &Model,
    rows: impl ItemSource<Item = GoldExample>,
    output: &mut Output,
) -> Result<Report> {
    let (mut n, mut exact, mut f1) = (0, 0, 0.0);
    answer_all(
        rows,
        output,
        |inputs| Ok(model.predict_batch(inputs)?),
        |_, row: GoldExample, prediction| {
            let Prediction::Answer(answer) = prediction else {
                return Err(row.blame("this is no answer to a question"));
            };
            n += 1;
            exact += usize::from(metrics::exact_match(row.expected.text(), &answer.answer));
            f1 += metrics::answer_f1(row.expected.text(), &answer.answer);
            Ok(())
        },
    )?;
    Ok(Report::of(n)?
        .figure("exact_match", exact as f64 / n as f64)
        .figure("f1", f1 / n as f64))
}
