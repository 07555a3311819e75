//! Labelling by a teacher: predictions of a model for unlabelled texts, written as a table to train on.

mod bm25;
mod predictor;
mod write;

use std::path::PathBuf;

use crate::config::Task;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::train::atomic::{is_same_file, replace};
use crate::train::data::{self, Column, Source, TEXT_COLUMNS, Table, named, usual_pair};
use bm25::Bm25Index;
use predictor::Predictor;
use write::{Format, OutputCell, Writer};

/// Number of rows in a batch of predictions.
const ROWS: usize = 512;

/// Options of [`label`].
#[derive(Debug, Clone, Default)]
pub struct Labelling {
    /// Tables with the texts or pairs to label.
    pub from: Vec<Source>,
    /// Path of the table to write. Its extension selects the format: JSON lines, comma-separated or tab-separated (`.jsonl`,
    /// `.csv`, `.tsv`).
    pub output: PathBuf,
    /// If set, pairs are mined from all texts: each text is paired with up to this many others that share words with it (BM25).
    pub mine: Option<usize>,
    /// Minimum score; rows with a lower score are left out.
    pub least_score: Option<f32>,
    /// Whether to copy all other columns of the input tables.
    pub keep: bool,
}

/// Row counts of a labelled table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled {
    /// Number of texts or pairs that the model predicted.
    pub asked: usize,
    /// Number of rows written, whose score reached the minimum.
    pub written: usize,
}

/// A text or a pair to label, with the other cells of its row.
struct InputRow<'a> {
    first: &'a str,
    second: Option<&'a str>,
    kept: &'a [data::Cell],
    /// Indices of the table and the row; for a mined pair, those of its first text.
    source: (usize, usize),
}

/// Labels texts with a model and writes them as a table, which is complete or not written at all. Calls `done(done, total)`
/// with numbers of rows.
///
/// The columns are `text`, or `sentence1` and `sentence2`; then, with `keep`, those of the input tables, where names that are
/// taken get the prefix `gold_`; then the prediction. A classifier's prediction is `label` (`labels` for multi-label models: a
/// list in JSON lines, else separated by commas), `score` and the logits, named `logit:LABEL`. A model with one output, and the
/// similarity of embeddings, give `score` alone.
///
/// # Errors
/// `WrongTask` for models of other tasks; `Input` for an embedding model with single texts; `Option` for an output that is one
/// of the input tables or has another extension, for a minimum score that no score of the model can reach, for `keep` with
/// mined pairs, and for `keep` with tables whose columns differ; `Data`, with file and line, for a row that cannot be read or
/// predicted or, in a tab-separated table, written; `Io`.
pub fn label(
    model: &Model,
    labelling: &Labelling,
    done: &mut dyn FnMut(usize, usize),
) -> Result<Labelled> {
    if labelling.mine.is_some() && labelling.keep {
        return Err(Error::Option {
            name: "keep",
            reason: "a pair that is mined has the columns of no row".to_owned(),
        });
    }
    let wrong = |reason: &str| Error::Option {
        name: "output",
        reason: format!("{}: {reason}", labelling.output.display()),
    };
    let format = Format::of(&labelling.output)
        .ok_or_else(|| wrong("a table's name ends in .tsv, .csv or .jsonl"))?;
    let is_output = |source: &Source| is_same_file(&source.file, &labelling.output);
    if labelling.from.iter().any(is_output) {
        return Err(wrong("that is one of the tables that are labelled"));
    }
    let predictor = Predictor::of(model)?;
    if let (Some(least), Some(highest)) = (labelling.least_score, predictor.highest())
        && least > highest
    {
        return Err(Error::Option {
            name: "least_score",
            reason: format!(
                "{least} is above all scores of this model, which are {highest} at most"
            ),
        });
    }
    let mut tables = Vec::new();
    let mut names: Option<Vec<String>> = None;
    for source in &labelling.from {
        let (table, texts, others) = read(source, labelling.keep)?;
        match &names {
            Some(names) if *names != others => {
                return Err(Error::Option {
                    name: "keep",
                    reason: format!(
                        "{} has other columns than {}",
                        source.file.display(),
                        labelling.from[0].file.display()
                    ),
                });
            }
            _ => names = Some(others),
        }
        tables.push((table, texts));
    }
    let asked = match labelling.mine {
        Some(count) => mined(&tables, count),
        None => rows(&tables),
    };
    let pairs = asked.iter().filter(|asked| asked.second.is_some()).count();
    if model.task() == Task::Embedding && pairs < asked.len() {
        return Err(Error::input(
            "an embedding model says how alike two texts are: name the columns of both, or mine pairs",
        ));
    }
    if pairs > 0 && pairs < asked.len() {
        return Err(Error::input(
            "some tables have pairs, and others single texts",
        ));
    }
    let mut columns: Vec<String> = match pairs {
        0 if labelling.mine.is_none() => vec!["text".to_owned()],
        _ => vec!["sentence1".to_owned(), "sentence2".to_owned()],
    };
    let predicted = predictor.columns();
    for name in names.into_iter().flatten() {
        let taken = columns.contains(&name) || predicted.contains(&name);
        columns.push(if taken { format!("gold_{name}") } else { name });
    }
    columns.extend(predicted);
    let header: Vec<OutputCell<'_>> = columns.iter().map(|name| OutputCell::Text(name)).collect();
    if let Some(reason) = format.refuses(&header) {
        return Err(wrong(reason));
    }

    let mut written = 0;
    let mut failed = None;
    let whole = replace(&labelling.output, |fresh| {
        let mut writer = Writer::new(format, fresh, &columns)?;
        for (at, some) in asked.chunks(ROWS).enumerate() {
            done(at * ROWS, asked.len());
            let outcome = predict(&predictor, some, &tables).and_then(|predictions| {
                for (asked, prediction) in some.iter().zip(predictions) {
                    if labelling
                        .least_score
                        .is_some_and(|least| prediction.score < least)
                    {
                        continue;
                    }
                    let texts = std::iter::once(asked.first).chain(asked.second);
                    let kept = asked.kept.iter().map(|cell| match cell.items() {
                        Some(_) => OutputCell::List(cell),
                        None => OutputCell::Text(cell.text()),
                    });
                    let cells = texts
                        .map(OutputCell::Text)
                        .chain(kept)
                        .chain(prediction.cells());
                    let cells: Vec<OutputCell<'_>> = cells.collect();
                    if let Some(reason) = format.refuses(&cells) {
                        let (table, row) = asked.source;
                        let table = &tables[table].0;
                        return Err(table.blame(&table.rows[row], reason));
                    }
                    writer.write(&cells).map_err(|cause| Error::Io {
                        path: labelling.output.clone(),
                        cause,
                    })?;
                    written += 1;
                }
                Ok(())
            });
            if let Err(error) = outcome {
                failed = Some(error);
                return Err(std::io::Error::other("not all rows are labelled"));
            }
        }
        done(asked.len(), asked.len());
        writer.finish()
    });
    match failed {
        Some(error) => Err(error),
        None => whole.map(|()| Labelled {
            asked: asked.len(),
            written,
        }),
    }
}

/// Reads a table. Returns it with the number of text cells at the start of each row, and the names of the other columns.
fn read(source: &Source, keep: bool) -> Result<(Table, usize, Vec<String>)> {
    let there = Table::names(&source.file)?;
    let has = |name: &str| there.iter().any(|column| column == name);
    let mut columns = match (&source.text, &source.pair) {
        (text, Some(pair)) => vec![named(text.as_deref(), &TEXT_COLUMNS), vec![pair.clone()]],
        (Some(text), None) => vec![vec![text.clone()]],
        (None, None) => match usual_pair(has) {
            Some(pair) => pair.map(|name| vec![name.to_owned()]).to_vec(),
            None => vec![named(None, &[&TEXT_COLUMNS[..], &["question"]].concat())],
        },
    };
    let texts = columns.len();
    let mut others = Vec::new();
    if keep {
        let used = |name: &String| {
            let found = columns
                .iter()
                .map(|names| names.iter().find(|name| has(name)));
            found.flatten().any(|usual| usual == name)
        };
        others = there.iter().filter(|name| !used(name)).cloned().collect();
        columns.extend(others.iter().map(|name| vec![name.clone()]));
    }
    let names: Vec<Vec<&str>> = columns
        .iter()
        .map(|names| names.iter().map(String::as_str).collect())
        .collect();
    let columns: Vec<Column<'_>> = names.iter().map(Vec::as_slice).collect();
    Ok((source.read(&columns)?, texts, others))
}

fn rows(tables: &[(Table, usize)]) -> Vec<InputRow<'_>> {
    let mut asked = Vec::new();
    for (number, (table, texts)) in tables.iter().enumerate() {
        for (at, row) in table.rows.iter().enumerate() {
            let (texts, kept) = row.cells.split_at(*texts);
            asked.push(InputRow {
                first: texts[0].text(),
                second: texts.get(1).map(data::Cell::text),
                kept,
                source: (number, at),
            });
        }
    }
    asked
}

/// Mines pairs of different texts that share words. Duplicate texts count once.
fn mined(tables: &[(Table, usize)], count: usize) -> Vec<InputRow<'_>> {
    let mut texts = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (number, (table, width)) in tables.iter().enumerate() {
        for (at, row) in table.rows.iter().enumerate() {
            for text in &row.cells[..*width] {
                if seen.insert(text.text()) {
                    texts.push((text.text(), (number, at)));
                }
            }
        }
    }
    let alone: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
    let pairs = Bm25Index::new(alone.iter().copied()).pairs(&alone, count);
    let asked = pairs.into_iter().map(|(first, second)| InputRow {
        first: alone[first],
        second: Some(alone[second]),
        kept: &[],
        source: texts[first].1,
    });
    asked.collect()
}

/// Predicts a batch of rows; an error names the row that caused it.
fn predict(
    predictor: &Predictor<'_>,
    asked: &[InputRow<'_>],
    tables: &[(Table, usize)],
) -> Result<Vec<predictor::RowPrediction>> {
    let texts: Vec<(&str, Option<&str>)> = asked.iter().map(|it| (it.first, it.second)).collect();
    match predictor.all(&texts) {
        Err(Error::Input {
            index: Some(at),
            reason,
        }) => {
            let (table, row) = asked[at].source;
            let table = &tables[table].0;
            Err(table.blame(&table.rows[row], reason))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
