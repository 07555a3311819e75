//! Which columns of its tables a recipe's task reads, and what becomes of their rows.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::train::data::{
    Cell, Column, Example, LOGIT, Labels, Reader, SECOND_COLUMNS, Source, TEXT_COLUMNS, Table,
    TargetKind, named,
};
use crate::train::distill::outputs::{Targets, teacher_of};
use crate::train::recipe::Recipe;
use crate::train::task::{Criterion, LabelSet, RowTexts, TargetType};
use crate::weights::{Access, Files};

/// What a row of a table has.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// One text or two,
    pub(crate) texts: usize,
    /// which are read for themselves or together.
    pub(crate) apart: bool,
    pub(crate) kind: TargetKind,
    /// Columns of a teacher's logits, behind all others.
    logits: Vec<String>,
}

impl Reading {
    /// Of tables to learn from.
    ///
    /// # Errors
    /// `Data` for a first table that should have a teacher's logits, and has none.
    pub(crate) fn to_learn(recipe: &Recipe) -> Result<Self> {
        let own = Self::of_task(recipe);
        let criterion = recipe.task.spec().criterion;
        let kind = match (criterion, &recipe.distillation) {
            // Where a teacher says what is right, tables need not.
            (_, Some(distillation)) if distillation.hard == 0.0 => TargetKind::None,
            (Criterion::MultipleNegatives, _) => TargetKind::None,
            // The loss compares it with a cosine; a measurement compares orders.
            (Criterion::CosineSimilarity, _) => TargetKind::Score {
                scale: recipe.data.scale,
                reach: 1.0,
            },
            _ => own.kind,
        };
        let logits = logit_columns(recipe)?;
        Ok(match criterion {
            // Any text will do.
            Criterion::None if recipe.data.pair.is_none() => Self {
                texts: 1,
                apart: false,
                kind: TargetKind::None,
                logits,
            },
            _ => Self {
                kind,
                logits,
                ..own
            },
        })
    }

    /// The same of texts alone.
    pub(crate) fn without_target(&self) -> Self {
        Self {
            kind: TargetKind::None,
            ..self.clone()
        }
    }

    /// Of tables to measure with.
    pub(crate) fn to_measure(recipe: &Recipe) -> Self {
        Self::of_task(recipe)
    }

    fn of_task(recipe: &Recipe) -> Self {
        let task = recipe.task.spec();
        let kind = match task.target {
            TargetType::Class => TargetKind::Class,
            TargetType::Classes => TargetKind::Classes,
            TargetType::Tags => TargetKind::Tags,
            TargetType::Span => TargetKind::Span,
            TargetType::Score => TargetKind::Score {
                scale: recipe.data.scale,
                reach: f32::INFINITY,
            },
        };
        let (texts, apart) = match task.texts {
            RowTexts::Two => (2, true),
            RowTexts::Pair => (2, false),
            RowTexts::TextOrPair => (1 + usize::from(recipe.data.pair.is_some()), false),
        };
        Self {
            texts,
            apart,
            kind,
            logits: Vec::new(),
        }
    }

    /// Reads tables, of the columns that are needed.
    ///
    /// # Errors
    /// Those of [`Source::read`]; `Data` for sentences of what is more than a text.
    pub(crate) fn read(&self, sources: &[Source], recipe: &Recipe) -> Result<Vec<Table>> {
        sources
            .iter()
            .map(|source| self.table(source, recipe))
            .collect()
    }

    fn table(&self, source: &Source, recipe: &Recipe) -> Result<Table> {
        let data = &recipe.data;
        let task = recipe.task.spec();
        let first = task
            .text_columns
            .as_ref()
            .map_or(&TEXT_COLUMNS[..], std::slice::from_ref);
        let target = &source.target.clone().or_else(|| data.target.clone());
        let mut columns = vec![named(
            source.text.as_deref().or(data.text.as_deref()),
            first,
        )];
        if self.texts == 2 {
            let pair = source.pair.as_deref().or(data.pair.as_deref());
            columns.push(named(pair, &SECOND_COLUMNS));
        }
        if self.kind != TargetKind::None {
            columns.push(named(target.as_deref(), task.target_columns));
        }
        if self.kind == TargetKind::Span {
            columns.push(vec!["answer_start".to_owned()]);
        }
        let wrong = |reason: &str| Error::Data {
            file: source.file.display().to_string(),
            line: 1,
            reason: reason.to_owned(),
        };
        if source.pair.is_some() && self.texts == 1 {
            return Err(wrong(
                "it has a second text, but the recipe has none: data.pair",
            ));
        }
        if source.sentences && (columns.len() > 1 || !self.logits.is_empty()) {
            return Err(wrong(
                "sentences can be cut of texts alone, without a pair or a target",
            ));
        }
        columns.extend(self.logits.iter().map(|name| vec![name.clone()]));
        let names: Vec<Vec<&str>> = columns
            .iter()
            .map(|names| names.iter().map(String::as_str).collect())
            .collect();
        let columns: Vec<Column<'_>> = names.iter().map(Vec::as_slice).collect();
        source.read(&columns)
    }

    /// The rows of tables as examples.
    ///
    /// # Errors
    /// Those of [`Reader::read`].
    pub(crate) fn examples(&self, tables: &[Table], reader: Reader<'_>) -> Result<Vec<Example>> {
        let reader = Reader {
            texts: self.texts,
            apart: self.apart,
            kind: self.kind,
            ..reader
        };
        let mut examples = Vec::new();
        for table in tables {
            examples.extend(reader.read(table)?);
        }
        Ok(examples)
    }

    /// The logits of a teacher that tables have; none if they have none.
    ///
    /// # Errors
    /// `Data` for what is no number.
    pub(crate) fn logits<'t>(
        &self,
        tables: impl Iterator<Item = &'t Table>,
    ) -> Result<Option<Targets>> {
        if self.logits.is_empty() {
            return Ok(None);
        }
        let mut numbers = Vec::new();
        for table in tables {
            for row in &table.rows {
                let cells = &row.cells[row.cells.len() - self.logits.len()..];
                for cell in cells {
                    match cell.text().parse::<f32>() {
                        Ok(number) if number.is_finite() => numbers.push(number),
                        _ => {
                            return Err(
                                table.blame(row, format!("logit {:?} is no number", cell.text()))
                            );
                        }
                    }
                }
            }
        }
        Ok(Some(Targets::known(numbers, self.logits.len())))
    }
}

/// The columns of a teacher that is not there itself, in the order of the labels.
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

/// The labels that the recipe names; else a teacher's, whose answers are to be learned; else all that the tables have.
///
/// # Errors
/// Whatever is wrong with the teacher's files; `Option` if nothing says what the labels are.
pub(crate) fn labels(recipe: &Recipe, reading: &Reading, tables: &[Table]) -> Result<Labels> {
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
        let config = match distillation.learns_outputs() {
            true => teacher_of(teacher, recipe.task)?,
            false => Config::read(&Files::open(teacher, Access::Read)?)?,
        };
        if !config.head.labels.is_empty() {
            return Ok(Labels::new(config.head.labels));
        }
    }
    if !reading.logits.is_empty() {
        let label = |column: &String| column[LOGIT.len()..].to_owned();
        return Ok(Labels::new(reading.logits.iter().map(label).collect()));
    }
    if reading.kind == TargetKind::None {
        return Err(Error::Option {
            name: "labels",
            reason: "neither a teacher nor a table says what they are: data.labels can".to_owned(),
        });
    }
    let cells = tables.iter().flat_map(|table| &table.rows);
    let cells = cells.filter_map(|row| row.cells.last());
    let found: Vec<&str> = match reading.kind {
        TargetKind::Classes => cells.flat_map(Cell::labels).collect(),
        TargetKind::Tags => cells.flat_map(Cell::tags).collect(),
        // A cell without a label, or with several, is found with its line when rows are read.
        _ => cells.filter_map(|cell| cell.label().ok()).collect(),
    };
    let found = found.into_iter().filter(|label| !label.is_empty());
    Ok(Labels::of(found))
}
