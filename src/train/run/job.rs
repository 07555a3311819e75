//! From a recipe to a trained model.

use std::path::{Path, PathBuf};

use super::adamw::Settings;
use super::card::Card;
use super::fingerprint::Identity;
use super::learner::NetworkLearner;
use super::log::{Figures, Line, read_log};
use super::schema::{TableSchema, labels};
use super::trainer::{Material, Observer, Outcome, Plan, train};
use super::{figures, folder, learnable};
use crate::config::{Config, Family};
use crate::error::{Error, Result};
use crate::kernels::{Engine, Threads};
use crate::model::engine;
use crate::tokenizer::{Tokenizer, TokenizerWarning};
use crate::train::atomic::replace_bytes;
use crate::train::data::{
    Batching, ColumnNames, Dataset, ExampleEncoder, Source, TEXT_COLUMNS, named,
};
use crate::train::distill::intermediate::PROJECTION;
use crate::train::distill::outputs::{Targets, Texts};
use crate::train::distill::teacher::Teacher;
use crate::train::losses::objective::Objective;
use crate::train::model::checkpoint::{Blueprint, Shape};
use crate::train::model::network::{HeadKind, Network, Origin, Tape};
use crate::train::model::parameters::Parameters;
use crate::train::model::student_init as start;
use crate::train::model::vocabulary::{self, Coverage};
use crate::train::recipe::{Recipe, Rule, Start, Student};
use crate::train::task::TaskHead;
use crate::weights::Files;

/// A training that is ready to begin, or to go on.
#[derive(Debug)]
pub struct Job {
    engine: Engine,
    learner: NetworkLearner,
    plan: Plan,
    balance: bool,
    coverage: Option<Coverage>,
    warnings: Vec<TokenizerWarning>,
    recipe: Recipe,
}

impl Job {
    /// Reads a recipe, with settings over it (`training.rate` and a value), and everything that it names.
    ///
    /// # Errors
    /// `Recipe` and `Config` for a recipe that cannot be; `Data` with file and line for a row that cannot; whatever is wrong
    /// with the model's files; `Option` for what this model cannot learn, and for an output that is no folder of a training.
    pub fn new(
        recipe: Option<&Path>,
        settings: &[(String, String)],
        threads: Option<usize>,
    ) -> Result<Self> {
        Self::of(&Recipe::read(recipe, settings)?, threads)
    }

    /// The same of a recipe that is read.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(recipe: &Recipe, threads: Option<usize>) -> Result<Self> {
        let task = recipe.task.spec();
        let teacher = recipe.distillation.as_ref();
        let teacher = teacher.and_then(|it| it.teacher.as_deref());
        // A student is often made of its teacher.
        let teacher = teacher.filter(|&teacher| teacher != recipe.model);
        let models: Vec<&Path> = std::iter::once(&*recipe.model).chain(teacher).collect();
        check_packed(recipe)?;
        folder::check(&recipe.output, &models)?;
        let engine = engine(threads)?;
        let learned = TableSchema::to_learn(recipe)?;
        let tables = learned.read(&recipe.data.train, recipe)?;
        let bare = learned.without_target();
        let unlabelled = bare.read(&recipe.data.unlabelled, recipe)?;
        let measured = TableSchema::to_measure(recipe);
        let dev = measured.read(&recipe.data.dev, recipe)?;
        let all = || tables.iter().chain(&unlabelled);
        let mut identity = Identity::default();
        all().chain(&dev).for_each(|table| identity.table(table));
        for model in models {
            identity.model(model)?;
        }

        let mut blueprint = Blueprint::of(&recipe.model)?;
        let base = Config::read(&blueprint.files())?.encoder;
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
            figures::known(task, metric)?;
        }
        let whole = Tokenizer::open(&blueprint.files(), "", false)?;
        let student = recipe.student.clone().unwrap_or_default();
        let corpus = match &student.vocabulary[..] {
            [] if student.tokens.is_none() && student.least.is_none() => None,
            [] => Some(Texts::of(all())),
            sources => Some(corpus(sources)?),
        };
        let mut pruned = None;
        if let Some(corpus) = &corpus {
            identity.texts(corpus.iter());
            let keep = vocabulary::Keep {
                least: student.least.unwrap_or(1),
                most: student.tokens,
            };
            let found = vocabulary::prune(&whole, corpus.iter(), base.vocab_size, keep)?;
            vocabulary::apply(&mut blueprint, &whole, &found.kept)?;
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

        let labels = labels(recipe, &learned, &tables)?;
        if let Some(weights) = &recipe.training.weights
            && weights.len() != labels.len()
        {
            return Err(Error::Option {
                name: "weights",
                reason: format!(
                    "there are {} of them, for {} labels",
                    weights.len(),
                    labels.len()
                ),
            });
        }
        blueprint.for_task(base.family, recipe.task, labels.names())?;
        let config = Config::read(&blueprint.files())?;
        let tokenizer = Tokenizer::open(&blueprint.files(), "", false)?;
        tokenizer.check_rows(config.encoder.vocab_size)?;
        let max_length = recipe.training.tokens(config.encoder.max_tokens())?;
        // The run is that of the resolved recipe: the same one with the key written out.
        let mut resolved = recipe.clone();
        resolved.training.max_length = Some(max_length);
        let recipe = &resolved;
        let encoder = ExampleEncoder {
            tokenizer: &tokenizer,
            max_length,
            labels: &labels,
        };
        let mut examples = learned.encode(&tables, &encoder)?;
        learnable::check(recipe, max_length, &labels, &tables, &examples)?;
        examples.extend(bare.encode(&unlabelled, &encoder)?);
        let dev = measured.encode(&dev, &encoder)?;

        let kind = match task.head {
            TaskHead::Sequence => HeadKind::Sequence {
                labels: labels.len(),
            },
            TaskHead::Tokens => HeadKind::Tokens {
                labels: labels.len(),
            },
            TaskHead::Spans => HeadKind::Spans,
            TaskHead::Pooling => HeadKind::of(&config)?,
        };
        let seed = recipe.training.seed;
        let kept = pruned.as_ref().map(|pruned| pruned.kept.clone());
        let (mut network, mut parameters) = begin(
            recipe,
            &student,
            &config,
            kind,
            kept.as_deref(),
            &engine.threads,
        )?;
        network.rounding = recipe.training.precision;
        let teacher = match &recipe.distillation {
            None => None,
            Some(distillation) => {
                let targets = match learned.logits(all())? {
                    Some(known) => Some(known),
                    None if !task.is_per_token() && distillation.learns_outputs() => {
                        let texts = Texts::of(all());
                        Some(Targets::asked(recipe, max_length, texts, &labels, threads)?)
                    }
                    None => None,
                };
                let student = (&network, &mut parameters);
                let inside = (kept.clone(), &engine.threads, seed);
                let teacher = Teacher::new(distillation, targets, student, inside)?;
                teacher.check(&whole, labels.names())?;
                Some(teacher)
            }
        };
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
            plan: plan(recipe, identity.of(recipe)),
            balance: recipe.data.balance,
            coverage: pruned.map(|pruned| pruned.coverage),
            warnings: whole.warnings(),
            recipe: recipe.clone(),
        })
    }

    /// Takes over what the teacher answered to a job of the same recipe with another seed or output: it is not asked again. Of
    /// another recipe nothing is taken.
    pub fn follow(&mut self, earlier: Self) {
        if self.recipe.alike(&earlier.recipe)
            && let (Some(own), Some(other)) = (&mut self.learner.teacher, earlier.learner.teacher)
        {
            own.answers_of(other);
        }
    }

    /// Examples to learn from, and to measure with.
    pub fn examples(&self) -> (usize, usize) {
        (self.learner.examples.len(), self.learner.dev.len())
    }

    /// What [`Tokenizer::warnings`] says of the model that the training starts from.
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.warnings
    }

    /// The labels of the model, by their ids; none of a task without labels.
    pub fn labels(&self) -> &[String] {
        self.learner.labels.names()
    }

    /// How many examples to learn from each label has, or of `tokens` how many words; none where tables do not say.
    pub fn label_counts(&self) -> Option<Vec<usize>> {
        learnable::counts(&self.learner.examples, &self.learner.labels)
    }

    /// Numbers of the model.
    pub fn parameters(&self) -> usize {
        let own = self.learner.parameters.iter();
        let own = own.filter(|parameter| !parameter.name.starts_with(PROJECTION));
        own.map(|parameter| parameter.values.len()).sum()
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
        self.plan.output.join(folder::TRAINING).join("log.jsonl")
    }

    /// Trains, or goes on with it. The output folder then has the best model.
    ///
    /// # Errors
    /// `Io`; `State` if another training is at work in the folder, or was with other settings or data, or if one is over
    /// whose model is gone; `NonFinite` for a training that has gone astray.
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
        let outcome = train(
            &self.engine,
            &mut self.learner,
            &self.plan,
            material,
            observer,
        )?;
        if outcome == Outcome::Over {
            let model = self.plan.output.join("model.safetensors");
            if !model.exists() {
                return Err(Error::State {
                    file: model.display().to_string(),
                    reason: format!(
                        "it is gone, and its training is over: remove {} to begin anew",
                        self.plan.output.display()
                    ),
                });
            }
            self.write_card()?;
        }
        Ok(outcome)
    }

    /// The figures of the model that is kept, by the log; none if nothing was measured, or not yet.
    ///
    /// # Errors
    /// `Io`.
    pub fn best(&self) -> Result<Option<Figures>> {
        let lines = read_log(&self.log())?.into_iter().rev();
        Ok(lines.filter_map(Line::into_figures).find(|it| it.best))
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    fn write_card(&self) -> Result<()> {
        let best = self.best()?;
        let card = Card {
            recipe: &self.recipe,
            encoder: self.learner.network.config(),
            labels: self.learner.labels.names(),
            parameters: self.parameters(),
            examples: self.learner.examples.len(),
            coverage: self.coverage,
            best: best.as_ref(),
        };
        replace_bytes(&self.plan.output.join("README.md"), card.text().as_bytes())
    }
}

/// Refuses a packed file in the place of the model to begin with.
fn check_packed(recipe: &Recipe) -> Result<()> {
    let distillation = recipe.distillation.as_ref();
    if !recipe.model.is_file() {
        return Ok(());
    }
    let file = recipe.model.display();
    let reason = match distillation.and_then(|it| it.teacher.as_ref()) == Some(&recipe.model) {
        true => format!(
            "the teacher {file} is a packed file, of which no student can be made: name the folder of a model (-m)"
        ),
        false => format!("{file} is a file: a training begins with the folder of a model"),
    };
    Err(Error::Option {
        name: "model",
        reason,
    })
}

fn plan(recipe: &Recipe, run: String) -> Plan {
    let training = &recipe.training;
    Plan {
        run,
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

/// The texts of some files, of which each has its own column.
fn corpus(sources: &[Source]) -> Result<Texts> {
    let usual = [&TEXT_COLUMNS[..], &["question", "tokens"]].concat();
    let texts = |source: &Source| {
        let names = ColumnNames {
            text: named(source.text.as_deref(), &usual),
            pair: source.pair.as_ref().map(|pair| vec![pair.clone()]),
            ..ColumnNames::default()
        };
        let dataset = Dataset::read(source, &names)?;
        Ok(Texts::of(std::iter::once(&dataset)))
    };
    let texts = sources.iter().map(texts).collect::<Result<Vec<Texts>>>()?;
    Ok(texts.into_iter().reduce(Texts::join).unwrap_or_default())
}

#[cfg(test)]
mod tests;
