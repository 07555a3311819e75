//! Columns that a recipe's task reads from its tables, and the encoding of their rows.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::train::data::{
    Cell, ColumnNames, Dataset, Example, ExampleEncoder, LOGIT, Labels, PairMode, SECOND_COLUMNS,
    Source, TEXT_COLUMNS, Table, TargetKind, named,
};
use crate::train::distill::outputs::{TeacherOutputs, teacher_config};
use crate::train::recipe::Recipe;
use crate::train::task::{Criterion, LabelSet, RowTexts, TargetType};
use crate::weights::{Access, ModelFiles};

/// Columns of a table, and how its rows become examples.
#[derive(Clone, Debug)]
pub(crate) struct TableSchema {
    /// How a second text is encoded; `None` for rows with one text.
    pair: Option<PairMode>,
    target: TargetKind,
    /// Names of the columns with a teacher's logits.
    logits: Vec<String>,
}

impl TableSchema {
    /// Creates the schema of the training tables.
    ///
    /// # Errors
    /// `Data` if the first table lacks the teacher's logits that it should have.
    pub(crate) fn for_training(recipe: &Recipe) -> Result<Self> {
        let schema = Self::for_evaluation(recipe);
        let criterion = recipe.task.spec().criterion;
        let target = match (criterion, &recipe.distillation) {
            // Without a loss on the tables' own targets, tables need no target column.
            (_, Some(distillation)) if distillation.hard == 0.0 => TargetKind::None,
            (Criterion::MultipleNegatives, _) => TargetKind::None,
            // The loss compares the score with a cosine; the evaluation compares only ranks.
            (Criterion::CosineSimilarity, _) => TargetKind::Score {
                scale: recipe.data.scale,
                reach: 1.0,
            },
            _ => schema.target,
        };
        let logits = logit_columns(recipe)?;
        Ok(match criterion {
            // Columns of any text are accepted.
            Criterion::None if recipe.data.pair.is_none() => Self {
                pair: None,
                target: TargetKind::None,
                logits,
            },
            _ => Self {
                target,
                logits,
                ..schema
            },
        })
    }

    /// Returns the schema of tables with the texts alone.
    pub(crate) fn without_target(&self) -> Self {
        Self {
            target: TargetKind::None,
            ..self.clone()
        }
    }

    /// Creates the schema of the evaluation tables.
    pub(crate) fn for_evaluation(recipe: &Recipe) -> Self {
        let task = recipe.task.spec();
        let target = match task.target {
            TargetType::Class => TargetKind::Class,
            TargetType::Classes => TargetKind::Classes,
            TargetType::Tags => TargetKind::Tags,
            TargetType::Span => TargetKind::Span,
            TargetType::Score => TargetKind::Score {
                scale: recipe.data.scale,
                reach: f32::INFINITY,
            },
        };
        let pair = match task.texts {
            RowTexts::Two => Some(PairMode::Separate),
            RowTexts::Pair => Some(PairMode::Joint),
            RowTexts::TextOrPair => recipe.data.pair.as_ref().map(|_| PairMode::Joint),
        };
        Self {
            pair,
            target,
            logits: Vec::new(),
        }
    }

    /// Reads the needed columns of tables.
    ///
    /// # Errors
    /// Those of [`Source::read`]; `Data` for `sentences` on tables with more than single texts.
    pub(crate) fn read(&self, sources: &[Source], recipe: &Recipe) -> Result<Vec<Dataset>> {
        sources
            .iter()
            .map(|source| self.dataset(source, recipe))
            .collect()
    }

    fn dataset(&self, source: &Source, recipe: &Recipe) -> Result<Dataset> {
        let (task, data) = (recipe.task.spec(), &recipe.data);
        let wrong = |reason: &str| Error::Data {
            file: source.file.display().to_string(),
            line: 1,
            reason: reason.to_owned(),
        };
        if source.pair.is_some() && self.pair.is_none() {
            return Err(wrong(
                "it has a second text, but the recipe has none: data.pair",
            ));
        }
        let is_text = self.pair.is_none() && self.target == TargetKind::None;
        if source.sentences && !(is_text && self.logits.is_empty()) {
            return Err(wrong(
                "sentences can be cut of texts alone, without a pair or a target",
            ));
        }
        let chosen = |own: &Option<String>, all: &Option<String>, usual: &[&str]| {
            named(own.as_deref().or(all.as_deref()), usual)
        };
        let usual = task.text_columns.as_ref();
        let usual = usual.map_or(&TEXT_COLUMNS[..], std::slice::from_ref);
        let pair = || chosen(&source.pair, &data.pair, &SECOND_COLUMNS);
        let target = || chosen(&source.target, &data.target, task.target_columns);
        let names = ColumnNames {
            text: chosen(&source.text, &data.text, usual),
            pair: self.pair.map(|_| pair()),
            target: (self.target != TargetKind::None).then(target),
            answer_start: (self.target == TargetKind::Span)
                .then(|| vec!["answer_start".to_owned()]),
            logits: self.logits.clone(),
        };
        Dataset::read(source, &names)
    }

    /// Encodes the rows of tables as examples.
    ///
    /// # Errors
    /// Those of [`ExampleEncoder::encode`].
    pub(crate) fn encode(
        &self,
        tables: &[Dataset],
        encoder: &ExampleEncoder<'_>,
    ) -> Result<Vec<Example>> {
        let mut examples = Vec::new();
        for table in tables {
            examples.extend(encoder.encode(table, self.pair, self.target)?);
        }
        Ok(examples)
    }

    /// Returns the teacher's logits in the tables; `None` if they have none.
    ///
    /// # Errors
    /// `Data` for a cell that is not a finite number.
    pub(crate) fn logits<'t>(
        &self,
        tables: impl Iterator<Item = &'t Dataset>,
    ) -> Result<Option<TeacherOutputs>> {
        if self.logits.is_empty() {
            return Ok(None);
        }
        let mut values = Vec::new();
        for table in tables {
            for row in &table.rows {
                for cell in &row.logits {
                    let value = cell.text().parse::<f32>().ok();
                    let value = value.filter(|value| value.is_finite());
                    values.push(value.ok_or_else(|| {
                        table.blame(row, format!("logit {:?} is no number", cell.text()))
                    })?);
                }
            }
        }
        Ok(Some(TeacherOutputs::from_table(values, self.logits.len())))
    }
}

/// Returns the names of the columns with a teacher's logits, in the order of the labels; none if the teacher is a model.
fn logit_columns(recipe: &Recipe) -> Result<Vec<String>> {
    match &recipe.distillation {
        Some(distillation) if distillation.teacher.is_none() && distillation.learns_outputs() => {}
        _ => return Ok(Vec::new()),
    }
    let named_labels = recipe.task.spec().labels != LabelSet::Single;
    if let (Some(labels), true) = (&recipe.data.labels, named_labels) {
        return Ok(labels
            .iter()
            .map(|label| format!("{LOGIT}{label}"))
            .collect());
    }
    let data = &recipe.data;
    let Some(first) = data.train.iter().chain(&data.unlabelled).next() else {
        return Ok(Vec::new());
    };
    let mut names = Table::names(&first.file)?;
    names.retain(|name| name.starts_with(LOGIT));
    match names.len() {
        1.. if named_labels || names.len() == 1 => Ok(names),
        count => Err(Error::Data {
            file: first.file.display().to_string(),
            line: 1,
            reason: format!(
                "there is no teacher, and {count} columns of its logits, which are named {LOGIT}LABEL"
            ),
        }),
    }
}

/// Returns the label names: the recipe's, else the teacher's, else all that occur in the tables.
///
/// # Errors
/// Any error of reading the teacher's files; `Option` if nothing determines the labels.
pub(crate) fn labels(recipe: &Recipe, schema: &TableSchema, tables: &[Dataset]) -> Result<Labels> {
    match recipe.task.spec().labels {
        LabelSet::Named => {}
        LabelSet::Single => return Ok(Labels::new(vec!["LABEL_0".to_owned()])),
        LabelSet::None => return Ok(Labels::new(Vec::new())),
    }
    if let Some(names) = &recipe.data.labels {
        let names = names.iter().map(|name| name.trim().to_owned());
        return Ok(Labels::new(names.collect()));
    }
    let distillation = recipe.distillation.as_ref();
    if let Some((distillation, teacher)) =
        distillation.and_then(|it| Some((it, it.teacher.as_ref()?)))
    {
        let config = if distillation.learns_outputs() {
            teacher_config(teacher, recipe.task)?
        } else {
            Config::read(&ModelFiles::open(teacher, Access::Read)?)?
        };
        if !config.head.labels.is_empty() {
            return Ok(Labels::new(config.head.labels));
        }
    }
    if !schema.logits.is_empty() {
        let label = |column: &String| column[LOGIT.len()..].to_owned();
        return Ok(Labels::new(schema.logits.iter().map(label).collect()));
    }
    if schema.target == TargetKind::None {
        return Err(Error::Option {
            name: "labels",
            reason: "neither a teacher nor a table says what they are: data.labels can".to_owned(),
        });
    }
    let cells = tables.iter().flat_map(|table| &table.rows);
    let cells = cells.filter_map(|row| row.target.as_ref());
    let found: Vec<&str> = match schema.target {
        TargetKind::Classes => cells.flat_map(Cell::labels).collect(),
        TargetKind::Tags => cells.flat_map(Cell::tags).collect(),
        // Cells without a label, or with several, are reported with their line when rows are encoded.
        _ => cells.filter_map(|cell| cell.label().ok()).collect(),
    };
    let found = found.into_iter().filter(|label| !label.is_empty());
    Ok(Labels::of(found))
}
