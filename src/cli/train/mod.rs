//! `bertless train`: a model learns from tables.

mod curves;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bertless::train::{At, Job, Line, Observer, Outcome, read_log};
use indicatif::{ProgressBar, ProgressStyle};

use super::Common;
use super::output::Output;

/// Train a model on tables, as a recipe says
///
/// A recipe is a TOML file; flags stand over it, and `--set KEY=VALUE` reaches every key of it. The smallest one:
///
///   model = "all-MiniLM-L6-v2"     # the folder of the model to begin with
///   output = "sentiment"           # the folder for the model that comes of it
///   task = "classification"        # or multi-label, regression, tokens, questions, similarity, ranking, embedding
///   [data]
///   train = ["train.tsv"]          # .tsv, .csv or .jsonl, whose columns have names
///   dev = ["dev.tsv"]              # the best model on these is kept
///
/// Beside it [training] has epochs, batch, accumulate, rate, decay, warmup, clip, dropout, max-length, seed, smoothing,
/// weights, measure-every, metric, patience, save-every and log-every; [distillation] teacher, temperature, hard, soft,
/// hidden, attention, relations and relation-heads; [student] layers, start, hidden, heads, intermediate, vocabulary and
/// least; [data] text, pair, target, labels, scale and balance.
///
/// What is broken off goes on where it was when the same command is given again, and ends with the same model, bit for bit.
/// OUTPUT/training has the log (JSON lines), a picture of the curves and the state.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The recipe
    #[arg(value_name = "RECIPE.toml")]
    recipe: Option<PathBuf>,
    /// The folder of the model to begin with
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The folder for the model that comes of it
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<String>,
    /// What is learned
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// The table to learn from
    #[arg(long, value_name = "FILE")]
    train: Option<String>,
    /// The table to measure with
    #[arg(long, value_name = "FILE")]
    dev: Option<String>,
    /// How often each example is seen
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Examples of a step
    #[arg(long, value_name = "N")]
    batch: Option<String>,
    /// The highest learning rate
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// What chance begins with
    #[arg(long, value_name = "N")]
    seed: Option<String>,
    /// Any other key of a recipe: training.dropout=0
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(argument: &str) -> Result<(String, String), String> {
    let (key, value) = argument.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Arguments {
    /// What the flags say, by the recipe's keys.
    fn settings(&self) -> Vec<(String, String)> {
        let flags = [
            ("model", &self.model),
            ("output", &self.output),
            ("task", &self.task),
            ("data.train", &self.train),
            ("data.dev", &self.dev),
            ("training.epochs", &self.epochs),
            ("training.batch", &self.batch),
            ("training.rate", &self.rate),
            ("training.seed", &self.seed),
        ];
        let given = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        given.chain(self.set.iter().cloned()).collect()
    }
}

pub(crate) fn run(arguments: Arguments, common: &Common, output: &mut Output) -> Result<()> {
    let settings = arguments.settings();
    let mut job = Job::new(arguments.recipe.as_deref(), &settings, common.threads)?;
    let log = job.log();
    let (examples, dev) = job.examples();
    let mut watch = Watch::new(log.clone());
    watch.say(&format!(
        "{examples} examples to learn from, {dev} to measure with, {:.1} million numbers",
        job.parameters() as f64 / 1e6
    ));
    if let Some((before, after, share)) = job.coverage() {
        let percent = 100.0 * share;
        watch.say(&format!(
            "{after} of {before} tokens are kept, which are {percent:.2}% of the corpus"
        ));
    }
    let outcome = job.train(&mut watch)?;
    watch.bar.finish_and_clear();
    draw(&log)?;
    let lines = read_log(&log)?;
    let best = lines.iter().rev().find_map(|line| match line {
        Line::Figures(figures) if figures.best => Some(figures),
        _ => None,
    });
    debug_assert_eq!(outcome, Outcome::Over);
    match (best, output.json) {
        (Some(best), true) => output.object(best),
        (Some(best), false) => {
            let figures = best
                .figures
                .iter()
                .map(|(name, figure)| format!("{name} {figure:.4}"));
            let figures: Vec<String> = figures.collect();
            Ok(output.line(format!("{} after step {}", figures.join(", "), best.step))?)
        }
        (None, _) => Ok(()),
    }
}

/// Shows how it goes: a bar on a terminal, and on none the lines of the log that have figures.
struct Watch {
    bar: ProgressBar,
    terminal: bool,
    log: PathBuf,
    loss: Option<f64>,
    tokens: u64,
    begun: Option<std::time::Instant>,
}

impl Watch {
    fn new(log: PathBuf) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {eta} left");
        let bar = ProgressBar::new(0);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            bar,
            terminal: std::io::stderr().is_terminal(),
            log,
            loss: None,
            tokens: 0,
            begun: None,
        }
    }

    fn say(&self, message: &str) {
        match self.terminal {
            true => self.bar.println(message),
            false => eprintln!("{message}"),
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, at: At) -> bool {
        let begun = *self.begun.get_or_insert_with(|| {
            // The first step is not counted: it may be one in the middle of a run that goes on.
            self.bar.set_length(at.steps);
            self.bar.set_position(at.step);
            self.bar.reset_eta();
            std::time::Instant::now()
        });
        // Of about the last 20 steps.
        let loss = self
            .loss
            .map_or(at.loss, |mean| mean + (at.loss - mean) / 20.0);
        self.loss = Some(loss);
        let seconds = begun.elapsed().as_secs_f64();
        let speed = self.tokens as f64 / seconds.max(1e-9);
        self.tokens += at.tokens as u64;
        self.bar
            .set_message(format!("loss {loss:.4}, {speed:.0} tokens/s,"));
        self.bar.set_position(at.step);
        true
    }

    fn line(&mut self, line: &Line) {
        if let Line::Figures(figures) = line {
            let all = figures
                .figures
                .iter()
                .map(|(name, figure)| format!("{name} {figure:.4}"));
            let all: Vec<String> = all.collect();
            let best = if figures.best {
                ", the best so far"
            } else {
                ""
            };
            self.say(&format!("step {}: {}{best}", figures.step, all.join(", ")));
            // A picture that cannot be drawn now is no reason to end; at the end it is.
            let _ = draw(&self.log);
        }
    }
}

/// Draws the curves of a log, beside it.
fn draw(log: &Path) -> Result<()> {
    let svg = curves::svg(&read_log(log)?)?;
    let path = log.with_file_name("curves.svg");
    let fresh = log.with_file_name(".curves.svg.new");
    std::fs::write(&fresh, svg)
        .and_then(|()| std::fs::rename(&fresh, &path))
        .with_context(|| path.display().to_string())
}
