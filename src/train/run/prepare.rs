//! Steps from a recipe to a job: its tables, the student's files and network, and its teacher.

use std::path::Path;

use super::fingerprint::RunFingerprint;
use super::schema::{TableSchema, labels};
use super::{evaluation, learnable};
use crate::config::{Config, EncoderConfig, Family};
use crate::error::{Error, Result};
use crate::kernels::Threads;
use crate::tokenizer::Tokenizer;
use crate::train::data::{
    ColumnNames, Dataset, Example, ExampleEncoder, Labels, Source, TEXT_COLUMNS, named,
};
use crate::train::distill::intermediate::DistilledStudent;
use crate::train::distill::outputs::{TeacherOutputs, TeacherTexts};
use crate::train::distill::teacher::Teacher;
use crate::train::model::checkpoint::{CheckpointFiles, Shape};
use crate::train::model::network::{HeadKind, Init, Network};
use crate::train::model::parameters::{Parameter, Parameters};
use crate::train::model::student_init;
use crate::train::model::vocabulary::{self, Pruned};
use crate::train::recipe::{Recipe, Rule, Start, Student};
use crate::train::task::TaskHead;
use crate::weights::ModelFiles;

/// The tables of a recipe.
pub(super) struct TrainingTables {
    schema: TableSchema,
    dev_schema: TableSchema,
    train: Vec<Dataset>,
    unlabelled: Vec<Dataset>,
    dev: Vec<Dataset>,
}

impl TrainingTables {
    /// Reads all tables.
    ///
    /// # Errors
    /// Those of [`TableSchema::read`] and [`TableSchema::for_training`].
    pub(super) fn read(recipe: &Recipe) -> Result<Self> {
        let schema = TableSchema::for_training(recipe)?;
        let dev_schema = TableSchema::for_evaluation(recipe);
        Ok(Self {
            train: schema.read(&recipe.data.train, recipe)?,
            unlabelled: schema
                .without_target()
                .read(&recipe.data.unlabelled, recipe)?,
            dev: dev_schema.read(&recipe.data.dev, recipe)?,
            schema,
            dev_schema,
        })
    }

    /// Iterates over the training tables, with targets and without.
    fn learned(&self) -> impl Iterator<Item = &Dataset> {
        self.train.iter().chain(&self.unlabelled)
    }

    /// Hashes the tables and the files of models.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn fingerprint(&self, models: &[&Path]) -> Result<RunFingerprint> {
        let mut fingerprint = RunFingerprint::default();
        let all = self.learned().chain(&self.dev);
        all.for_each(|table| fingerprint.table(table));
        for model in models {
            fingerprint.model(model)?;
        }
        Ok(fingerprint)
    }

    /// Finds the labels, and checks that each has a weight if any has.
    ///
    /// # Errors
    /// Those of [`labels`]; `Option` for another number of weights.
    pub(super) fn labels(&self, recipe: &Recipe) -> Result<Labels> {
        let labels = labels(recipe, &self.schema, &self.train)?;
        match &recipe.training.class_weights {
            Some(weights) if weights.len() != labels.len() => Err(Error::Option {
                name: "class-weights",
                reason: format!(
                    "there are {} of them, for {} labels",
                    weights.len(),
                    labels.len()
                ),
            }),
            _ => Ok(labels),
        }
    }

    /// Encodes the training examples and the evaluation examples.
    ///
    /// # Errors
    /// `Data` for a row that cannot be encoded; those of [`learnable::check`].
    pub(super) fn encode(
        &self,
        recipe: &Recipe,
        max_length: usize,
        tokenizer: &Tokenizer,
        labels: &Labels,
    ) -> Result<(Vec<Example>, Vec<Example>)> {
        let encoder = ExampleEncoder {
            tokenizer,
            max_length,
            labels,
        };
        let mut examples = self.schema.encode(&self.train, &encoder)?;
        learnable::check(recipe, max_length, labels, &self.train, &examples)?;
        let unlabelled = self.schema.without_target();
        examples.extend(unlabelled.encode(&self.unlabelled, &encoder)?);
        Ok((examples, self.dev_schema.encode(&self.dev, &encoder)?))
    }

    /// Prepares the teacher's outputs that can be computed before the first step. `None` if there is no teacher, or no such
    /// output.
    ///
    /// # Errors
    /// Those of [`TableSchema::logits`] and [`TeacherOutputs::lazy`].
    pub(super) fn teacher_outputs(
        &self,
        recipe: &Recipe,
        max_length: usize,
        labels: &Labels,
        threads: Option<usize>,
    ) -> Result<Option<TeacherOutputs>> {
        if let Some(known) = self.schema.logits(self.learned())? {
            return Ok(Some(known));
        }
        let distillation = recipe.distillation.as_ref();
        if recipe.task.spec().is_per_token() || !distillation.is_some_and(|it| it.learns_outputs())
        {
            return Ok(None);
        }
        let texts = TeacherTexts::of(self.learned());
        TeacherOutputs::lazy(recipe, max_length, texts, labels, threads).map(Some)
    }
}

/// The initial model, whose files are changed into the student's step by step.
pub(super) struct StudentModel {
    pub(super) checkpoint: CheckpointFiles,
    /// Configuration of the encoder that the recipe names, before it was reshaped.
    base: EncoderConfig,
    /// Tokenizer before pruning.
    pub(super) tokenizer: Tokenizer,
    student: Student,
    pub(super) pruned: Option<Pruned>,
}

impl StudentModel {
    /// Opens the recipe's model, prunes its vocabulary and gives it the student's shape.
    ///
    /// # Errors
    /// Any error of opening the model; `Option` for a family that cannot be trained and for an unknown metric.
    pub(super) fn open(
        recipe: &Recipe,
        tables: &TrainingTables,
        fingerprint: &mut RunFingerprint,
    ) -> Result<Self> {
        let checkpoint = CheckpointFiles::of(&recipe.model)?;
        let base = Config::read(&checkpoint.files())?.encoder;
        if !matches!(base.family, Family::Bert | Family::DistilBert) {
            let family = base.family.name();
            return Err(Error::Option {
                name: "model",
                reason: format!(
                    "it is of family {family}, and only BERT and DistilBERT are trained"
                ),
            });
        }
        if let Some(metric) = &recipe.training.metric {
            evaluation::metric_index(recipe.task.spec(), metric)?;
        }
        let mut opened = Self {
            tokenizer: Tokenizer::open(&checkpoint.files(), "", false)?,
            checkpoint,
            base,
            student: recipe.student.clone().unwrap_or_default(),
            pruned: None,
        };
        opened.prune(tables, fingerprint)?;
        let student = &opened.student;
        let shape = Shape {
            layers: student.layers,
            hidden: student.hidden,
            heads: student.heads,
            intermediate: student.intermediate,
            vocabulary: opened.pruned.as_ref().map(|pruned| pruned.kept.len()),
        };
        opened.checkpoint.reshape(opened.base.family, shape)?;
        Ok(opened)
    }

    /// Prunes the vocabulary to the recipe's corpus, if it names one.
    fn prune(&mut self, tables: &TrainingTables, fingerprint: &mut RunFingerprint) -> Result<()> {
        let student = &self.student;
        let corpus = match &student.vocabulary[..] {
            [] if student.tokens.is_none() && student.min_count.is_none() => return Ok(()),
            [] => TeacherTexts::of(tables.learned()),
            sources => corpus(sources)?,
        };
        fingerprint.texts(corpus.iter());
        let limits = vocabulary::PruneLimits {
            min_count: student.min_count.unwrap_or(1),
            max_tokens: student.tokens,
        };
        let (tokenizer, size) = (&self.tokenizer, self.base.vocab_size);
        let pruned = vocabulary::prune(tokenizer, corpus.iter(), size, limits)?;
        vocabulary::apply(&mut self.checkpoint, tokenizer, &pruned.kept)?;
        self.pruned = Some(pruned);
        Ok(())
    }

    /// Configures the files for the recipe's task and labels, and opens them.
    ///
    /// # Errors
    /// Any error of opening the configured files.
    pub(super) fn configure(
        &mut self,
        recipe: &Recipe,
        labels: &Labels,
    ) -> Result<(Config, Tokenizer)> {
        let family = self.base.family;
        self.checkpoint
            .for_task(family, recipe.task, labels.names())?;
        let config = Config::read(&self.checkpoint.files())?;
        let tokenizer = Tokenizer::open(&self.checkpoint.files(), "", false)?;
        tokenizer.check_rows(config.encoder.vocab_size)?;
        Ok((config, tokenizer))
    }

    /// Returns the ids, before pruning, of the kept tokens. `None` if the vocabulary was not pruned.
    fn kept(&self) -> Option<&[u32]> {
        self.pruned.as_ref().map(|pruned| &pruned.kept[..])
    }

    /// Builds the network and its initial parameters.
    ///
    /// # Errors
    /// Any error of reading the checkpoint; `Option` for a start layer that the model does not have.
    pub(super) fn network(
        &self,
        recipe: &Recipe,
        config: &Config,
        head: HeadKind,
        threads: &Threads,
    ) -> Result<(Network, Parameters)> {
        let seed = recipe.training.seed;
        let files = ModelFiles::folder(&recipe.model);
        let (mut network, mut parameters) = Network::load(&files, Some(head), seed, threads)?;
        if recipe.student.is_some() {
            let (base, base_parameters) = (network, parameters);
            (network, parameters) = Network::build(&config.encoder, head, &Init::fresh(seed))?;
            let layers = self.initial_layers(
                config.encoder.num_hidden_layers,
                base.config().num_hidden_layers,
            )?;
            if self.student.start != Start::Rule(Rule::Fresh) {
                student_init::copy(&mut parameters, &base_parameters, &layers, self.kept());
            }
        }
        network.rounding = recipe.training.precision;
        Ok((network, parameters))
    }

    /// Returns the indices of the layers that the student's `count` layers are copied from; the model has `of` layers.
    fn initial_layers(&self, count: usize, of: usize) -> Result<Vec<usize>> {
        match &self.student.start {
            Start::Layers(layers) => match layers.iter().find(|&&layer| layer >= of) {
                Some(wrong) => Err(Error::Option {
                    name: "start",
                    reason: format!("there is no layer {wrong}: the model has {of}"),
                }),
                None => Ok(layers.clone()),
            },
            Start::Rule(rule) => Ok(student_init::layers(*rule, count, of)),
            Start::Default => Ok(student_init::layers(Rule::Lower, count, of)),
        }
    }

    /// Creates the recipe's teacher, if there is one, and adds its projections to the student's parameters.
    ///
    /// # Errors
    /// Those of [`Teacher::new`].
    pub(super) fn attach_teacher(
        &self,
        recipe: &Recipe,
        outputs: Option<TeacherOutputs>,
        network: &Network,
        parameters: &mut Parameters,
        threads: &Threads,
    ) -> Result<Option<Teacher>> {
        let Some(distillation) = &recipe.distillation else {
            return Ok(None);
        };
        let student = DistilledStudent {
            network,
            parameters,
            kept: self.kept().map(<[u32]>::to_vec),
        };
        Teacher::new(
            distillation,
            outputs,
            student,
            threads,
            recipe.training.seed,
        )
        .map(Some)
    }

    /// Reads the parameters of the model that are saved unchanged; there are none if the student has another width.
    ///
    /// # Errors
    /// Any error of reading the checkpoint.
    pub(super) fn unused(
        &self,
        recipe: &Recipe,
        network: &Network,
        head: HeadKind,
        threads: &Threads,
    ) -> Result<Vec<Parameter>> {
        if network.config().hidden_size != self.base.hidden_size {
            return Ok(Vec::new());
        }
        Network::unused_pooler(&ModelFiles::folder(&recipe.model), head, threads)
    }
}

/// Returns the paths of the initial model and of the teacher, if that is another one.
pub(super) fn models(recipe: &Recipe) -> Vec<&Path> {
    let teacher = recipe.distillation.as_ref();
    let teacher = teacher.and_then(|it| it.teacher.as_deref());
    // The initial model is often the teacher itself.
    let teacher = teacher.filter(|&teacher| teacher != recipe.model);
    std::iter::once(&*recipe.model).chain(teacher).collect()
}

/// Returns the head of the network that a recipe trains.
///
/// # Errors
/// `Option` for a pooling that cannot be trained.
pub(super) fn head(recipe: &Recipe, config: &Config, labels: &Labels) -> Result<HeadKind> {
    let labels = labels.len();
    match recipe.task.spec().head {
        TaskHead::Sequence => Ok(HeadKind::Sequence { labels }),
        TaskHead::Tokens => Ok(HeadKind::Tokens { labels }),
        TaskHead::Spans => Ok(HeadKind::Spans),
        TaskHead::Pooling => HeadKind::of(config),
    }
}

/// Refuses a packed file as the initial model.
pub(super) fn check_packed(recipe: &Recipe) -> Result<()> {
    if !recipe.model.is_file() {
        return Ok(());
    }
    let file = recipe.model.display();
    let teacher = recipe
        .distillation
        .as_ref()
        .and_then(|it| it.teacher.as_ref());
    let reason = if teacher == Some(&recipe.model) {
        format!(
            "the teacher {file} is a packed file, of which no student can be made: name the folder of a model (-m)"
        )
    } else {
        format!("{file} is a file: a training begins with the folder of a model")
    };
    Err(Error::Option {
        name: "model",
        reason,
    })
}

/// Reads the texts of tables, each of which has its own columns.
fn corpus(sources: &[Source]) -> Result<TeacherTexts> {
    let usual = [&TEXT_COLUMNS[..], &["question", "tokens"]].concat();
    let texts = |source: &Source| {
        let names = ColumnNames {
            text: named(source.text.as_deref(), &usual),
            pair: source.pair.as_ref().map(|pair| vec![pair.clone()]),
            ..ColumnNames::default()
        };
        let dataset = Dataset::read(source, &names)?;
        Ok(TeacherTexts::of(std::iter::once(&dataset)))
    };
    let texts = sources
        .iter()
        .map(texts)
        .collect::<Result<Vec<TeacherTexts>>>()?;
    Ok(texts
        .into_iter()
        .reduce(TeacherTexts::join)
        .unwrap_or_default())
}
