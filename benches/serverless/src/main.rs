//! Measures a function as AWS Lambda would run it: behind a Runtime API, with the memory and the share of processor time that
//! Lambda grants at a memory size.
//!
//! ```text
//! main.rs         command line
//! measure.rs      measures starts and requests at one memory size
//! function.rs     a function's process behind a Runtime API
//! cgroup.rs       limits of processor time and memory
//! page_cache.rs   evicts files from the page cache
//! processor.rs    name of this machine's processor, and pinning to a core
//! table.rs        rows of results as CSV
//! picture.rs      chart of the results beside the paper's, as SVG
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
    /// Measure one function and add its rows to a table
    Measure(Measure),
    /// Draw a table as a chart
    Draw {
        /// Table to draw
        csv: PathBuf,
        /// SVG file to write
        #[arg(short, long)]
        output: PathBuf,
    },
}

#[derive(Args)]
struct Measure {
    /// Table to add rows to, created if it does not exist. Its rows must be of the same processor. A memory size that it already
    /// has for this engine and model is not measured again
    #[arg(long)]
    csv: PathBuf,
    /// Name of the engine in the rows
    #[arg(long)]
    engine: String,
    /// Name of the model in the rows
    #[arg(long)]
    model: String,
    /// Memory sizes to measure, in MB
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "128,256,512,1024,1536,1769,2048,3008"
    )]
    memory: Vec<u32>,
    /// Number of starts with the files in the page cache, and again of starts without. Fewer if they take longer than 15 s, but at
    /// least three
    #[arg(long, default_value_t = 11)]
    starts: usize,
    /// Number of requests with pauses between them, and again of requests without pauses
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Text of each request
    #[arg(long)]
    text: String,
    /// Core to which this program and the function are pinned, so that another function can be measured on another core [default:
    /// all cores]
    #[arg(long)]
    core: Option<usize>,
    /// File or folder that the function reads when it starts, evicted from the page cache before each start of the second kind
    #[arg(long)]
    evict: Vec<PathBuf>,
    /// Variable of the function's environment, NAME=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// Program of the function, and its arguments
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
                processor::pin_to(core)?;
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
                if known.iter().any(|row| row.is_for(&plan, memory)) {
                    println!(
                        "{}, {}, {memory} MB: already in the table",
                        plan.engine, plan.model
                    );
                    continue;
                }
                // On Ctrl-C the future is dropped, which ends the function and removes its cgroup.
                let rows = runtime.block_on(async {
                    tokio::select! {
                        rows = measure::measure(&plan, memory) => rows,
                        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
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
