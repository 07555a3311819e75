//! A function measured as AWS Lambda would run it: driven through a Runtime API, inside the share of a processor and the
//! memory that a memory size grants.
//!
//! ```text
//! main.rs         what to measure
//! measure.rs      starts and requests, as rows
//! function.rs     a process behind a Runtime API
//! cgroup.rs       a share of a processor, and memory
//! page_cache.rs   files that are to be read from the disk again
//! processor.rs    what it is measured on
//! table.rs        rows as CSV
//! picture.rs      rows as SVG, beside the paper's
//! ```

mod cgroup;
mod function;
mod measure;
mod page_cache;
mod picture;
mod processor;
#[allow(dead_code, reason = "the function's own tests use the rest of it")]
#[path = "../../../examples/lambda/tests/function/runtime_api.rs"]
mod runtime_api;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use measure::Plan;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures one function and adds its rows to a table
    Measure(Measure),
    /// Draws a table
    Draw {
        /// The table
        csv: PathBuf,
        /// The picture
        #[arg(short, long)]
        output: PathBuf,
    },
}

#[derive(Args)]
struct Measure {
    /// The table: made, or continued on the same processor; a memory size that it has for this engine and model is not
    /// measured again
    #[arg(long)]
    csv: PathBuf,
    /// What the rows call the engine
    #[arg(long)]
    engine: String,
    /// What the rows call the model
    #[arg(long)]
    model: String,
    /// Sizes in MB
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "128,256,512,1024,1536,1769,2048,3008"
    )]
    memory: Vec<u32>,
    /// How often it is started, with its files in the page cache, and without; less often if that takes long, but three times
    #[arg(long, default_value_t = 11)]
    starts: usize,
    /// How many requests come one by one, and then one right after the other
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// What is asked
    #[arg(long)]
    text: String,
    /// The core that all of this stays on, so that another can be measured beside it
    #[arg(long)]
    core: Option<usize>,
    /// Files and folders that it reads when it starts, for starts without the page cache
    #[arg(long)]
    evict: Vec<PathBuf>,
    /// Variables of its environment, NAME=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// The function's program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Draw { csv, output } => {
            let rows = table::read(&csv)?;
            std::fs::write(&output, picture::svg(&rows)?)
                .with_context(|| output.display().to_string())
        }
        Command::Measure(arguments) => {
            let variable = |pair: &String| {
                let (name, value) = pair.split_once('=').context("--env: NAME=VALUE")?;
                Ok((name.to_owned(), value.to_owned()))
            };
            let plan = Plan {
                engine: arguments.engine,
                model: arguments.model,
                processor: processor::name(),
                starts: arguments.starts,
                requests: arguments.requests,
                event: serde_json::json!({"text": arguments.text}).to_string(),
                evict: arguments.evict,
                environment: arguments.env.iter().map(variable).collect::<Result<_>>()?,
                command: arguments.command,
                starting: arguments.csv.with_extension("starts"),
            };
            if let Some(core) = arguments.core {
                processor::stay_on(core)?;
            }
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let known = if arguments.csv.exists() {
                table::read(&arguments.csv)?
            } else {
                Vec::new()
            };
            processor::check(&known, &plan.processor)
                .with_context(|| arguments.csv.display().to_string())?;
            for memory in arguments.memory {
                if known.iter().any(|row| row.is_of(&plan, memory)) {
                    println!(
                        "{}, {}, {memory} MB: measured before",
                        plan.engine, plan.model
                    );
                    continue;
                }
                // Dropped when it is broken off, so that its function and group end with it.
                let rows = runtime.block_on(async {
                    tokio::select! {
                        rows = measure::at(&plan, memory) => rows,
                        _ = tokio::signal::ctrl_c() => bail!("broken off"),
                    }
                })?;
                table::add(&arguments.csv, &rows)?;
                for row in &rows {
                    println!("{row:?}");
                }
            }
            Ok(())
        }
    }
}
