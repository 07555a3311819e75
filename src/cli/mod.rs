//! The command line: one file a command, and what they share.
//!
//! Answers go to standard output, a line at a time and never half; everything else goes to standard error. Texts are
//! read and answered in chunks, so that memory does not grow with their number. An error is one line, `error: ...`, with
//! its causes after colons, and ends the command with code 1, or with 2 if the command itself was not understood.

mod bench;
mod closed;
mod cost;
mod distill;
mod embed;
mod evaluate;
mod input;
mod inspect;
mod label;
mod lines;
mod options;
mod output;
mod pack;
mod predict;
mod process;
mod rerank;
mod show;
mod similarity;
mod stream;
mod tokenize;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use output::{Output, WriteError, note, printable};

/// The exit code of a command that was not understood.
const USAGE: u8 = 2;
const MAX_THREADS: usize = 1024;

/// BERT models on the CPU: labels, entities, answers, embeddings
#[derive(Debug, Parser)]
#[command(name = "bertless", version, infer_long_args = true)]
#[command(
    after_help = "MODEL is the folder of a Hugging Face or sentence-transformers model, or the file that `bertless pack` makes of one."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every command knows.
#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// How many threads compute [default: as many as the CPU quota grants]
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = options::whole(1, MAX_THREADS))]
    threads: Option<usize>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Predict(predict::Arguments),
    Embed(embed::Arguments),
    Similarity(similarity::Arguments),
    Tokenize(tokenize::Arguments),
    Inspect(inspect::Arguments),
    Pack(pack::Arguments),
    Evaluate(evaluate::Arguments),
    Bench(bench::Arguments),
    Cost(cost::Arguments),
    Train(train::Arguments),
    Distill(distill::Arguments),
    Label(label::Arguments),
}

/// Runs the command that this process was started with.
pub(crate) fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let mut output = Output::new(cli.common.json);
    let done = cli
        .run(&mut output)
        .and_then(|()| output.flush().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Reads the arguments. A negative number behind an option is its value, whose own words say what it may be.
fn parse() -> Result<Cli, clap::Error> {
    let option = |arg: Arg| match arg.is_positional() || !arg.get_action().takes_values() {
        true => arg,
        false => arg.allow_negative_numbers(true),
    };
    let command = Cli::command()
        .mut_args(option)
        .mut_subcommands(|command| command.mut_args(option));
    let matches = command.try_get_matches()?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))
}

impl Cli {
    fn run(self, output: &mut Output) -> Result<()> {
        let common = &self.common;
        match self.command {
            Command::Predict(arguments) => predict::run(arguments, common, output),
            Command::Embed(arguments) => embed::run(arguments, common, output),
            Command::Similarity(arguments) => similarity::run(arguments, common, output),
            Command::Tokenize(arguments) => tokenize::run(arguments, common, output),
            Command::Inspect(arguments) => inspect::run(arguments, common, output),
            Command::Pack(arguments) => pack::run(arguments, output),
            Command::Evaluate(arguments) => evaluate::run(arguments, common, output),
            Command::Bench(arguments) => bench::run(arguments, common, output),
            Command::Cost(arguments) => cost::run(arguments, common, output),
            Command::Train(arguments) => train::run(arguments, common, output),
            Command::Distill(arguments) => distill::run(arguments, common, output),
            Command::Label(arguments) => label::run(arguments, common, output),
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        return misunderstood(usage);
    }
    // Whoever reads has read enough.
    if error.downcast_ref().is_some_and(WriteError::is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    complain(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// Help and version as clap prints them; its errors in one line.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let help = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() {
        return match output::printed(|| error.print()) {
            Err(error) if !error.is_broken_pipe() => failed(&error.into()),
            _ => ExitCode::SUCCESS,
        };
    }
    if error.kind() == help {
        let _ = error.print(); // nobody is there to be told
        return ExitCode::from(USAGE);
    }
    let text = error.render().to_string();
    let said = text.split("\n\n").take_while(|part| {
        !part.starts_with("Usage:") && !part.starts_with("For more information")
    });
    let words: Vec<&str> = said.flat_map(str::split_whitespace).collect();
    let message = words.join(" ");
    complain(message.strip_prefix("error: ").unwrap_or(&message));
    ExitCode::from(USAGE)
}

fn complain(message: &str) {
    note(format_args!("error: {}", printable(message)));
}

/// A command that clap understood and that still makes no sense.
fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    Cli::command()
        .error(ErrorKind::ArgumentConflict, message)
        .into()
}
