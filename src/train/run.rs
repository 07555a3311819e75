//! From a recipe to a trained model.

use std::path::{Path, PathBuf};

use super::adamw::Settings;
use super::blueprint::{Blueprint, Shape};
use super::data::{Batching, Column, Example, Labels, Reader, Table, TargetKind};
use super::learner::NetworkLearner;
use super::network::{HeadKind, Network, Origin, Tape};
use super::objective::Objective;
use super::parameters::Parameters;
use super::recipe::{Distillation, Recipe, Rule, Start, Student, TaskKind};
use super::start;
use super::teacher::Teacher;
use super::trainer::{Material, Observer, Outcome, Plan, train};
use super::vocabulary::{self, Coverage};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::{Engine, Threads};
use crate::model::engine;
use crate::tokenizer::Tokenizer;
use crate::weights::Files;

/// A training that is ready to begin, or to go on.
#[derive(Debug)]
pub struct Job {
    engine: Engine,
    learner: NetworkLearner,
    plan: Plan,
    balance: bool,
    coverage: Option<Coverage>,
}

impl Job {
    /// Reads a recipe, with settings over it (`training.rate` and a value), and everything that it names.
    ///
    /// # Errors
    /// `Recipe` and `Config` for a recipe that cannot be; `Data` with file and line for a row that cannot; whatever is wrong
    /// with the model's files; `Option` for what this model cannot learn.
    pub fn new(
        recipe: Option<&Path>,
        settings: &[(String, String)],
        threads: Option<usize>,
    ) -> Result<Self> {
        Self::of(&Recipe::read(recipe, settings)?, threads)
    }

    fn of(recipe: &Recipe, threads: Option<usize>) -> Result<Self> {
        let engine = engine(threads)?;
        let mut blueprint = Blueprint::of(&recipe.model)?;
        let base = Config::read(&blueprint.files())?.encoder;
        let tokenizer = Tokenizer::open(&blueprint.files(), "", false)?;
        let student = recipe.student.clone().unwrap_or_default();
        let mut pruned = None;
        if !student.vocabulary.is_empty() {
            let texts = lines(&student.vocabulary)?;
            let texts = texts.iter().map(String::as_str);
            let found = vocabulary::prune(&tokenizer, texts, student.least.unwrap_or(1))?;
            vocabulary::apply(&mut blueprint, &tokenizer, &found.kept)?;
            pruned = Some(found);
        }
        let shape = Shape {
            layers: student.layers,
            hidden: student.hidden,
            heads: student.heads,
            intermediate: student.intermediate,
            vocabulary: pruned.as_ref().map(|pruned| pruned.kept.len()),
        };
        blueprint.reshape(base.family, shape)?;

        let (learned, measured) = (Reading::to_learn(recipe), Reading::to_measure(recipe));
        let tables = learned.read(&recipe.data.train, recipe)?;
        let dev = measured.read(&recipe.data.dev, recipe)?;
        let labels = labels(recipe, learned, &tables)?;
        blueprint.for_task(base.family, recipe.task, labels.names())?;
        let config = Config::read(&blueprint.files())?;
        let tokenizer = Tokenizer::open(&blueprint.files(), "", false)?;
        let positions = config.encoder.max_tokens();
        if recipe.training.max_length > positions {
            return Err(Error::Option {
                name: "max_length",
                reason: format!("the model has {positions} positions"),
            });
        }
        let reader = |reading: Reading| Reader {
            tokenizer: &tokenizer,
            max_length: recipe.training.max_length,
            texts: reading.texts,
            apart: reading.apart,
            kind: reading.kind,
            labels: &labels,
        };
        let examples = examples(&reader(learned), &tables)?;
        let dev = examples_of_dev(&reader(measured), &dev)?;

        let kind = match recipe.task {
            TaskKind::Classification | TaskKind::MultiLabel => HeadKind::Sequence {
                labels: labels.len(),
            },
            TaskKind::Regression => HeadKind::Sequence { labels: 1 },
            TaskKind::Tokens => HeadKind::Tokens {
                labels: labels.len(),
            },
            TaskKind::Questions => HeadKind::Spans,
            TaskKind::Similarity | TaskKind::Ranking | TaskKind::Embedding => {
                HeadKind::of(&config)?
            }
        };
        let seed = recipe.training.seed;
        let kept = pruned.as_ref().map(|pruned| pruned.kept.clone());
        let (network, mut parameters) = begin(
            recipe,
            &student,
            &config,
            kind,
            kept.as_deref(),
            &engine.threads,
        )?;
        let teacher = recipe.distillation.as_ref().map(|distillation| {
            teacher(
                distillation,
                kept.clone(),
                (&network, &mut parameters),
                &engine.threads,
                seed,
            )
        });
        let teacher = teacher.transpose()?;
        // A student may be of another width.
        let unused = match network.config().hidden == base.hidden {
            true => {
                let files = Files::folder(&recipe.model);
                Network::unused_pooler(&files, kind, &engine.threads)?
            }
            false => Vec::new(),
        };
        let learner = NetworkLearner {
            objective: Objective::new(recipe.task, &recipe.training, network.outputs()),
            network,
            parameters,
            unused,
            blueprint,
            teacher,
            examples,
            dev,
            labels,
            metric: recipe.training.metric.clone(),
            seed,
            dropout: recipe.training.dropout,
            tape: Tape::default(),
        };
        Ok(Self {
            engine,
            learner,
            plan: plan(recipe),
            balance: recipe.data.balance,
            coverage: pruned.map(|pruned| pruned.coverage),
        })
    }

    /// Examples to learn from, and to measure with.
    pub fn examples(&self) -> (usize, usize) {
        (self.learner.examples.len(), self.learner.dev.len())
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.learner.parameters.iter().map(|p| p.values.len()).sum()
    }

    /// Tokens of the vocabulary before and after it was pruned, and the share of the corpus that is covered by what is kept;
    /// none if it was not.
    pub fn coverage(&self) -> Option<(usize, usize, f64)> {
        let share = |coverage: Coverage| coverage.covered as f64 / coverage.tokens.max(1) as f64;
        self.coverage
            .map(|coverage| (coverage.before, coverage.after, share(coverage)))
    }

    /// The log of the training, JSON lines.
    pub fn log(&self) -> PathBuf {
        self.plan.output.join("training/log.jsonl")
    }

    /// Trains, or goes on with it. The output folder then has the best model.
    ///
    /// # Errors
    /// `Io`; `State` if another training is at work in the folder, or was with other settings; `NonFinite` for a training
    /// that has gone astray.
    pub fn train(&mut self, observer: &mut impl Observer) -> Result<Outcome> {
        let lengths = self.learner.lengths();
        let classes = match self.balance {
            true => Some(self.learner.classes().ok_or_else(|| Error::Option {
                name: "balance",
                reason:
                    "only of examples with one label each can there be as many of each".to_owned(),
            })?),
            false => None,
        };
        let material = Material {
            lengths: &lengths,
            classes: classes.as_deref(),
        };
        train(
            &self.engine,
            &mut self.learner,
            &self.plan,
            material,
            observer,
        )
    }
}

fn plan(recipe: &Recipe) -> Plan {
    let training = &recipe.training;
    Plan {
        run: serde_json::to_string(recipe).unwrap_or_default(),
        output: recipe.output.clone(),
        batching: Batching {
            size: training.batch,
            seed: training.seed,
            by_length: true,
        },
        epochs: training.epochs,
        accumulate: training.accumulate,
        adamw: Settings {
            decay: training.decay,
            ..Settings::default()
        },
        rate: training.rate,
        warmup: training.warmup,
        clip: training.clip,
        measure_every: training.measure_every,
        patience: training.patience,
        save_every: training.save_every,
        log_every: training.log_every,
    }
}

/// The network that a run begins with, and its numbers.
fn begin(
    recipe: &Recipe,
    student: &Student,
    config: &Config,
    kind: HeadKind,
    kept: Option<&[u32]>,
    threads: &Threads,
) -> Result<(Network, Parameters)> {
    let seed = recipe.training.seed;
    let base = Network::load(&Files::folder(&recipe.model), Some(kind), seed, threads)?;
    if recipe.student.is_none() {
        return Ok(base);
    }
    let (network, mut parameters) = Network::build(&config.encoder, kind, &Origin::fresh(seed))?;
    let (own, of) = (config.encoder.layers, base.0.config().layers);
    let layers = match &student.start {
        Start::Layers(layers) => {
            if let Some(wrong) = layers.iter().find(|&&layer| layer >= of) {
                return Err(Error::Option {
                    name: "start",
                    reason: format!("there is no layer {wrong}: the model has {of}"),
                });
            }
            layers.clone()
        }
        Start::Rule(rule) => start::layers(*rule, own, of),
        Start::Unsaid => start::layers(Rule::Lower, own, of),
    };
    if student.start != Start::Rule(Rule::Fresh) {
        start::copy(&mut parameters, &base.1, &layers, kept);
    }
    Ok((network, parameters))
}

fn teacher(
    distillation: &Distillation,
    kept: Option<Vec<u32>>,
    student: (&Network, &mut Parameters),
    threads: &Threads,
    seed: u64,
) -> Result<Teacher> {
    let files = Files::folder(&distillation.teacher);
    // The head is its own, never a fresh one; where its answers do not count, it needs none.
    let head = match distillation.soft > 0.0 {
        true => None,
        false => Some(HeadKind::Rows),
    };
    let network = Network::load(&files, head, seed, threads).map_err(|error| match error {
        Error::WeightMissing { name } => Error::Option {
            name: "teacher",
            reason: format!("its checkpoint has no {name}"),
        },
        error => error,
    })?;
    Teacher::new(network, distillation, kept, student, seed)
}

/// What a row of a table has.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// One text or two,
    texts: usize,
    /// which are read for themselves or together.
    apart: bool,
    kind: TargetKind,
}

impl Reading {
    fn to_learn(recipe: &Recipe) -> Self {
        let own = Self::of_task(recipe);
        let kind = match (recipe.task, &recipe.distillation) {
            // Where a teacher says what is right, nobody else need.
            (_, Some(distillation)) if distillation.hard == 0.0 => TargetKind::None,
            (TaskKind::Ranking, _) => TargetKind::None,
            _ => own.kind,
        };
        match recipe.task {
            // Any text will do.
            TaskKind::Embedding if recipe.data.pair.is_none() => Self {
                texts: 1,
                apart: false,
                kind: TargetKind::None,
            },
            _ => Self { kind, ..own },
        }
    }

    fn to_measure(recipe: &Recipe) -> Self {
        Self::of_task(recipe)
    }

    fn of_task(recipe: &Recipe) -> Self {
        let score = TargetKind::Score {
            scale: recipe.data.scale,
        };
        let kind = match recipe.task {
            TaskKind::Classification => TargetKind::Class,
            TaskKind::MultiLabel => TargetKind::Classes,
            TaskKind::Tokens => TargetKind::Tags,
            TaskKind::Questions => TargetKind::Span,
            TaskKind::Regression => score,
            TaskKind::Similarity | TaskKind::Ranking | TaskKind::Embedding => score,
        };
        let (texts, apart) = match recipe.task {
            TaskKind::Similarity | TaskKind::Ranking | TaskKind::Embedding => (2, true),
            TaskKind::Questions => (2, false),
            _ => (1 + usize::from(recipe.data.pair.is_some()), false),
        };
        Self { texts, apart, kind }
    }

    /// Reads tables, of the columns that are needed.
    fn read(self, paths: &[PathBuf], recipe: &Recipe) -> Result<Vec<Table>> {
        let own = |name: &Option<String>, usual: &[&'static str]| -> Vec<String> {
            match name {
                Some(name) => vec![name.clone()],
                None => usual.iter().map(|&name| name.to_owned()).collect(),
            }
        };
        let data = &recipe.data;
        let first: &[&str] = match recipe.task {
            TaskKind::Tokens => &["tokens"],
            TaskKind::Questions => &["question"],
            _ => &["sentence", "text", "sentence1"],
        };
        let mut columns = vec![own(&data.text, first)];
        if self.texts == 2 {
            columns.push(own(&data.pair, &["sentence2", "text_pair", "context"]));
        }
        match self.kind {
            TargetKind::None => {}
            TargetKind::Class => columns.push(own(&data.target, &["label"])),
            TargetKind::Classes => columns.push(own(&data.target, &["labels", "label"])),
            TargetKind::Score { .. } => columns.push(own(&data.target, &["score", "label"])),
            TargetKind::Tags => columns.push(own(&data.target, &["tags"])),
            TargetKind::Span => {
                columns.push(own(&data.target, &["answer"]));
                columns.push(vec!["answer_start".to_owned()]);
            }
        }
        let names: Vec<Vec<&str>> = columns
            .iter()
            .map(|names| names.iter().map(String::as_str).collect())
            .collect();
        let columns: Vec<Column<'_>> = names.iter().map(Vec::as_slice).collect();
        paths
            .iter()
            .map(|path| Table::read(path, &columns))
            .collect()
    }
}

/// The labels that the recipe names; else a teacher's, whose answers are to be learned; else all that the tables have.
fn labels(recipe: &Recipe, reading: Reading, tables: &[Table]) -> Result<Labels> {
    match recipe.task {
        TaskKind::Classification | TaskKind::MultiLabel | TaskKind::Tokens => {}
        TaskKind::Regression => return Ok(Labels::new(vec!["LABEL_0".to_owned()])),
        _ => return Ok(Labels::new(Vec::new())),
    }
    if let Some(names) = &recipe.data.labels {
        return Ok(Labels::new(names.clone()));
    }
    if let Some(distillation) = &recipe.distillation {
        let teacher = Config::read(&Files::folder(&distillation.teacher))?;
        return Ok(Labels::new(teacher.head.labels));
    }
    let cells = tables.iter().flat_map(|table| &table.rows);
    let cells = cells.filter_map(|row| row.cells.last());
    let separator = match reading.kind {
        TargetKind::Classes => ',',
        TargetKind::Tags => ' ',
        // A tab, which no cell has.
        _ => '\t',
    };
    let found = cells.flat_map(|cell| cell.split(separator));
    Ok(Labels::of(found.filter(|label| !label.is_empty())))
}

fn examples(reader: &Reader<'_>, tables: &[Table]) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for table in tables {
        examples.extend(reader.read(table)?);
    }
    match (examples.is_empty(), tables.first()) {
        (true, Some(table)) => Err(Error::Data {
            file: table.file.clone(),
            line: 1,
            reason: "there is nothing below the header".to_owned(),
        }),
        _ => Ok(examples),
    }
}

fn examples_of_dev(reader: &Reader<'_>, tables: &[Table]) -> Result<Vec<Example>> {
    match tables {
        [] => Ok(Vec::new()),
        tables => examples(reader, tables),
    }
}

/// All lines of some files.
fn lines(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;
