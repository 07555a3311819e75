//! Compares one model in several types: size, speed, metrics, and how close answers are to those of the first type.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use bertless::{
    Dtype, Input, Model, ModelOptions, Packed, Prediction, Similarity, Task, WeightFormat,
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tempfile::TempPath;

use super::super::bench::percentile;
use super::super::columns::{self, Column};
use super::super::input::ItemSource;
use super::super::output::{Output, warn};
use super::{GoldExample, GoldTable, Report, measure};

/// Number of timed runs.
const RUNS: usize = 3;
/// Sections of a packed file that hold weights.
const WEIGHTS: [&str; 3] = ["numbers", "matrices", "tables"];

/// A model in several types. The first is the baseline.
pub(super) struct Models(Vec<ComparedModel>);

/// The model in one type.
struct ComparedModel {
    dtype: Dtype,
    file_bytes: usize,
    weight_bytes: usize,
    model: Model,
    /// The packed file. It comes after `model`, which reads embeddings from it and must be dropped first; `None` on Unix, where
    /// the name is removed at once.
    _file: Option<TempPath>,
}

/// Packs a folder in each type and opens the packed files.
pub(super) fn open(dir: &Path, types: &[Dtype], options: &ModelOptions) -> Result<Models> {
    let contender = |&dtype: &Dtype| ComparedModel::open(dir, dtype, options.clone());
    types
        .iter()
        .map(contender)
        .collect::<Result<_>>()
        .map(Models)
}

impl ComparedModel {
    fn open(dir: &Path, dtype: Dtype, options: ModelOptions) -> Result<Self> {
        let mut precisions = WeightFormat::ALL.into_iter();
        let precision = precisions
            .find(|precision| precision.name() == dtype.to_string())
            .ok_or_else(|| anyhow!("there are no packed files in {dtype}"))?;
        let packed = Model::pack(dir, precision)?;
        warn(packed.warnings());
        let file = tempfile::Builder::new().prefix("bertless-").tempfile();
        let file = file.context("a temporary file")?.into_temp_path();
        packed.replace(&file)?;
        let mut model = Model::load_with(&file, options.clone())?;
        if model.dtype() != dtype {
            // What the file holds is computed in another type unless this one is asked for.
            model = Model::load_with(dir, options.dtype(dtype))?;
        }
        Ok(Self {
            dtype,
            file_bytes: packed.bytes(),
            weight_bytes: weight_bytes(&packed),
            model,
            // A file that is open can lose its name on Unix: so nothing is left if this process is killed.
            _file: Some(file).filter(|_| !cfg!(unix)),
        })
    }
}

fn weight_bytes(packed: &Packed) -> usize {
    let kinds = packed.sections();
    let weights = kinds.iter().filter(|kind| WEIGHTS.contains(&kind.kind));
    weights.map(|kind| kind.bytes).sum()
}

impl Models {
    /// The model in the first type. All have the same task.
    pub(super) fn first(&self) -> &Model {
        &self.0[0].model
    }
}

/// Evaluates all models on the same examples, and prints a line for each.
pub(super) fn run(models: &Models, table: GoldTable, output: &mut Output) -> Result<()> {
    let rows = Examples::read(table)?;
    let mut results = Vec::new();
    for contender in &models.0 {
        // It warms up, too; and a text that cannot be answered is named here.
        let report = measure(&contender.model, rows.again(), output)?;
        results.push((report, Vec::new(), Vec::new()));
    }
    let inputs = rows.inputs(models.first().task());
    for _ in 0..RUNS {
        for (contender, (_, times, answers)) in models.0.iter().zip(&mut results) {
            let begin = Instant::now();
            *answers = contender.model.predict_batch(&inputs)?;
            times.push(begin.elapsed());
        }
    }
    for (_, times, _) in &mut results {
        times.sort_unstable();
    }
    let first = &results[0].2;
    let mut lines = Vec::new();
    for (index, (contender, (report, times, answers))) in models.0.iter().zip(&results).enumerate()
    {
        lines.push(ComparisonRecord {
            dtype: contender.dtype,
            file_bytes: contender.file_bytes,
            weight_bytes: contender.weight_bytes,
            texts_per_second: inputs.len() as f64 / percentile(times, 0.5).as_secs_f64(),
            report,
            nearness: match index {
                0 => Vec::new(),
                _ => nearness(answers, first),
            },
        });
    }
    if output.json {
        lines.iter().try_for_each(|line| output.object(line))
    } else {
        Ok(output.line(side_by_side(&lines))?)
    }
}

/// Compares answers with the baseline's answers to the same texts. The metrics depend on the kind of answer.
fn nearness(answers: &[Prediction], others: &[Prediction]) -> Vec<(&'static str, f64)> {
    let (mut same, mut cosines, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for pair in answers.iter().zip(others) {
        match pair {
            (Prediction::Embedding(a), Prediction::Embedding(b)) => {
                let cosine = Similarity::Cosine.of(&a.embedding, &b.embedding);
                cosines.push(f64::from(cosine));
            }
            (Prediction::Classification(a), Prediction::Classification(b)) => {
                if a.scores.len() == 1 && a.labels.is_none() {
                    differences.push(f64::from((a.score - b.score).abs()));
                } else {
                    let is_same = match (&a.labels, &b.labels) {
                        (Some(a), Some(b)) => a.len() == b.len() && a.iter().all(|x| b.contains(x)),
                        _ => a.label == b.label,
                    };
                    same.push(is_same);
                }
            }
            (Prediction::Entities(a), Prediction::Entities(b)) => {
                let (a, b) = (&a.entities, &b.entities);
                let mut pairs = a.iter().zip(b);
                let is_same = |(a, b): (&bertless::Entity, &bertless::Entity)| {
                    a.label == b.label && a.bytes == b.bytes
                };
                same.push(a.len() == b.len() && pairs.all(is_same));
            }
            (Prediction::Answer(a), Prediction::Answer(b)) => same.push(a.answer == b.answer),
            (a, b) => same.push(a == b),
        }
    }
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let mut all = Vec::new();
    if !same.is_empty() {
        let count = same.iter().filter(|same| **same).count();
        all.push(("same_answers", count as f64 / same.len() as f64));
    }
    if !cosines.is_empty() {
        let worst = cosines.iter().copied().fold(f64::INFINITY, f64::min);
        all.extend([("cosine_mean", mean(&cosines)), ("cosine_worst", worst)]);
    }
    if !differences.is_empty() {
        let worst = differences.iter().copied().fold(0.0, f64::max);
        let both = [
            ("difference_mean", mean(&differences)),
            ("difference_worst", worst),
        ];
        all.extend(both);
    }
    all
}

/// All examples of a table, in memory.
struct Examples(Vec<GoldExample>);

impl Examples {
    fn read(mut table: GoldTable) -> Result<Self> {
        let mut rows = Vec::new();
        while let Some(row) = table.next()? {
            rows.push(row);
        }
        Ok(Self(rows))
    }

    fn again(&self) -> ExampleIter<'_> {
        ExampleIter(self.0.iter())
    }

    /// Inputs of the model. For embeddings both texts of a pair are separate inputs.
    fn inputs(&self, task: Task) -> Vec<Input<'_>> {
        let inputs = self.0.iter().map(|row| row.as_ref().input());
        let texts = |input| match (task, input) {
            (Task::Embedding, Input::Pair(a, b)) => vec![Input::Text(a), Input::Text(b)],
            (_, input) => vec![input],
        };
        inputs.flat_map(texts).collect()
    }
}

/// An iterator over examples, as a source.
struct ExampleIter<'a>(std::slice::Iter<'a, GoldExample>);

impl ItemSource for ExampleIter<'_> {
    type Item = GoldExample;

    fn next(&mut self) -> Result<Option<GoldExample>> {
        Ok(self.0.next().cloned())
    }
}

/// Results of one type.
struct ComparisonRecord<'a> {
    dtype: Dtype,
    file_bytes: usize,
    weight_bytes: usize,
    texts_per_second: f64,
    report: &'a Report,
    nearness: Vec<(&'static str, f64)>,
}

/// Serializes as one object, in the order of the columns.
impl Serialize for ComparisonRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries: Vec<(&str, Value)> = vec![
            ("dtype", self.dtype.to_string().into()),
            ("file_bytes", self.file_bytes.into()),
            ("weight_bytes", self.weight_bytes.into()),
            ("texts_per_second", self.texts_per_second.into()),
            ("n", self.report.rows().into()),
        ];
        let figures = self.report.figures().iter();
        entries.extend(figures.map(|&(name, figure)| (name, figure.into())));
        let nearness = self.nearness.iter();
        entries.extend(nearness.map(|&(name, figure)| (name, figure.into())));
        serializer.collect_map(entries)
    }
}

impl ComparisonRecord<'_> {
    fn cells(&self) -> Vec<String> {
        let megabytes = |bytes: usize| format!("{:.1}", bytes as f64 / 1e6);
        let mut cells = vec![
            self.dtype.to_string(),
            megabytes(self.file_bytes),
            megabytes(self.weight_bytes),
            format!("{:.0}", self.texts_per_second),
        ];
        let figures = self.report.figures().iter();
        cells.extend(figures.map(|&(_, figure)| match figure {
            Some(figure) => format!("{figure:.4}"),
            None => "not defined".to_owned(),
        }));
        cells.extend(
            self.nearness
                .iter()
                .map(|(_, figure)| format!("{figure:.4}")),
        );
        cells
    }
}

/// Formats a table with a header.
fn side_by_side(records: &[ComparisonRecord<'_>]) -> String {
    let metrics = records[0].report.figures().iter().map(|(name, _)| *name);
    let longest = records.iter().max_by_key(|record| record.nearness.len());
    let nearness = longest.into_iter().flat_map(|record| &record.nearness);
    let header = ["dtype", "file MB", "weights MB", "texts/s"].into_iter();
    let header = header.chain(metrics).chain(nearness.map(|(name, _)| *name));
    let mut rows: Vec<Vec<String>> = vec![header.map(str::to_owned).collect()];
    rows.extend(records.iter().map(ComparisonRecord::cells));
    columns::table(&vec![Column::Right(0); rows[0].len()], "  ", &rows)
}
