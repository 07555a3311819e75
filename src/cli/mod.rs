//! The command line: one file a command, and what they share.
//!
//! Answers go to standard output, a line at a time and never half; everything else goes to standard error. Texts are
//! read and answered in chunks, so that memory does not grow with their number. An error is one line, `error: ...`, with
//! its causes after colons, and exit code 1. A usage error is printed as clap prints it, with exit code 2.

mod bench;
mod chart;
mod closed;
mod columns;
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
mod progress;
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

/// Exit code of a usage error.
const USAGE: u8 = 2;
const MAX_THREADS: usize = 1024;

/// Run, pack, train and evaluate BERT models on the CPU
#[derive(Debug, Parser)]
#[command(name = "bertless", version, infer_long_args = true)]
#[command(
    after_help = "MODEL is the folder of a Hugging Face or sentence-transformers model, or a file that `bertless pack` wrote."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// Number of threads that compute [default: what the CPU quota grants]
    #[arg(long, global = true, value_name = "N")]
    #[arg(value_parser = options::whole(1, MAX_THREADS))]
    threads: Option<usize>,
    /// Print answers as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Predict(predict::PredictArgs),
    Embed(embed::EmbedArgs),
    Similarity(similarity::SimilarityArgs),
    Tokenize(tokenize::TokenizeArgs),
    Inspect(inspect::InspectArgs),
    Pack(pack::PackArgs),
    Evaluate(evaluate::EvaluateArgs),
    Bench(bench::BenchArgs),
    Cost(cost::CostArgs),
    Train(train::TrainArgs),
    Distill(distill::DistillArgs),
    Label(label::LabelArgs),
}

/// Runs the command that this process was started with.
pub(crate) fn main() -> ExitCode {
    let (cli, name) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return exit_usage(&error),
    };
    let mut output = Output::new(cli.common.json);
    let done = cli
        .run(&mut output)
        .and_then(|()| output.flush().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<UsageError>() {
            Some(UsageError(message)) => exit_usage(&usage_of(&name, message)),
            None => exit_error(&error),
        },
    }
}

/// Parses the arguments. Returns them with the name of the sub-command.
///
/// A negative number after an option is the option's value, so the error about it says which values the option takes.
fn parse() -> Result<(Cli, String), clap::Error> {
    let option = |arg: Arg| {
        let takes_value = !arg.is_positional() && arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    };
    let command = Cli::command()
        .mut_args(option)
        .mut_subcommands(|command| command.mut_args(option));
    let matches = command.try_get_matches()?;
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    Ok((cli, name))
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

/// Prints an error of a command that ran. A reader that closed the pipe has read enough: that is no error.
fn exit_error(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref().is_some_and(WriteError::is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    note(format_args!("error: {}", printable(&format!("{error:#}"))));
    ExitCode::FAILURE
}

/// Prints what clap has to say: help and version on standard output, errors on standard error.
fn exit_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let _ = error.print(); // standard error may be closed
        return ExitCode::from(USAGE);
    }
    match output::printed(|| error.print()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit_error(&error.into()),
    }
}

/// Arguments that clap accepted and that still contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// An error about the arguments. It is printed with the usage of the sub-command, and the exit code is 2.
fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    UsageError(message.to_string()).into()
}

/// A usage error of a sub-command, as clap prints its own.
fn usage_of(name: &str, message: &str) -> clap::Error {
    let mut command = Cli::command();
    command.build(); // else the usage would lack the program's name
    let subcommand = command.find_subcommand(name).cloned();
    let mut command = subcommand.unwrap_or(command);
    command.error(ErrorKind::ArgumentConflict, message)
}
