//! `bertless cost`: estimates the price of a million predictions from a measured or given latency. prices.rs has the prices,
//! bill.rs the arithmetic, table.rs and picture.rs the output.

mod bill;
mod picture;
mod prices;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use clap::builder::PathBufValueParser;

use super::options::{DtypeFlag, at_least_one, number, to_write};
use super::output::{Output, replace};
use super::{Common, bench, usage};
use bill::{Bill, Call, CallPattern};
use prices::{Platform, Prices, Rate, Rates};
use table::CostRow;

/// Longest time that a flag accepts, in milliseconds.
const MOST_MS: f64 = 1e9;
/// Default numbers of texts per call.
const TEXTS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Estimate what a million predictions cost as a serverless function, and when an always-on instance is cheaper
///
/// Latency is measured on this machine (--model, --tokens) or given (--latency-ms), for one thread on one whole vCPU. The
/// estimate assumes that a vCPU of every platform is as fast. A function whose memory size grants a fraction of a vCPU takes longer in
/// proportion. "compute" and "requests" are the dollars for a million predictions. "pays from" is the rate of predictions
/// above which an always-on instance of one core is cheaper; "never" if one core cannot compute that many. A cold call is
/// billed with its start. Prices are a dated table without free tiers; --prices and --rate override it. With --json, prints
/// one line for each platform, memory size and number of texts: {"platform", "memory_mb", "texts", "latency_ms", "billed_ms", "compute",
/// "requests", "total", "break_even"}.
#[derive(Debug, clap::Args)]
pub(crate) struct CostArgs {
    /// Model to measure: its folder, or a file written by `bertless pack` [default: the built-in sentiment classifier]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    #[command(flatten)]
    dtype: DtypeFlag,
    /// Length of the measured texts in tokens, special tokens included
    #[arg(long, value_name = "N", default_value = "32", value_parser = at_least_one())]
    tokens: usize,
    /// Numbers of texts per call to measure [default: 1,2,4,8,16,32,64,128]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = at_least_one())]
    texts: Vec<usize>,
    /// Seconds to spend on measuring each number of texts
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = bench::seconds)]
    seconds: Duration,
    /// Latency of a call by its number of texts, instead of measuring: 1=1.0,32=28.5
    #[arg(long, value_name = "TEXTS=MS,..", value_delimiter = ',', value_parser = call)]
    #[arg(conflicts_with_all = ["model", "texts", "dtype", "tokens", "seconds"])]
    latency_ms: Vec<Call>,
    /// Fraction of calls that start a cold process
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = number(0.0..=1.0, "expected a number from 0 to 1"))]
    cold_share: f64,
    /// Extra time of a cold call on a whole vCPU [default: the time to first answer measured here]
    #[arg(long, value_name = "MS", value_parser = number(0.0..=MOST_MS, "expected a number of milliseconds"))]
    init_ms: Option<f64>,
    /// Number of overlapping calls that share the billed time of a Cloud Run process
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one())]
    overlap: usize,
    /// Platforms to compare [default: all whose rates are known]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Memory sizes in MB
    #[arg(long, value_name = "MB,..", value_delimiter = ',', value_parser = at_least_one())]
    #[arg(default_value = "128,256,512,1024,1769")]
    memory: Vec<usize>,
    /// TOML file of rates that override the built-in table
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Override one rate, as in cloud-run.vcpu_second=0.00002
    #[arg(long, value_name = "TABLE.KEY=DOLLARS")]
    rate: Vec<Rate>,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Also draw a chart, as SVG
    #[arg(long, value_name = "FILE", value_parser = to_write(PathBufValueParser::new()))]
    svg: Option<PathBuf>,
}

/// A platform and its rates.
type Rated = (Platform, Rates);

pub(crate) fn run(arguments: CostArgs, common: &Common, output: &mut Output) -> Result<()> {
    let prices = Prices::read(arguments.prices.as_deref(), &arguments.rate)?;
    let (platforms, left_out) = platforms(&arguments.platform, &prices)?;
    sizes(&platforms, &arguments.memory)?;
    let (calls, init_ms) = calls(&arguments, common)?;
    let pattern = CallPattern {
        cold_share: arguments.cold_share,
        init_ms,
        overlap: arguments.overlap,
    };
    let rows = rows(&platforms, &arguments.memory, &calls, pattern, &prices);
    // An infinite cost cannot be printed, and the axis of its chart would be infinite.
    if let Some(row) = rows.iter().find(|row| !row.total.is_finite()) {
        bail!(
            "{}, {} MB, {} texts: a million predictions cost more than can be reckoned",
            row.platform,
            row.memory_mb,
            row.texts
        );
    }

    if let Some(file) = &arguments.svg {
        let svg = picture::svg(&rows)?;
        replace(file, svg.as_bytes())?;
    }
    if output.json {
        for row in &rows {
            output.object(row)?;
        }
    } else if arguments.csv {
        output.line(CostRow::CSV)?;
        for row in &rows {
            output.line(row.csv())?;
        }
    } else {
        report(&rows, &platforms, &left_out, &prices, pattern, output)?;
    }
    Ok(())
}

/// Selects platforms with their rates. Returns them, and the missing rates of platforms left out.
///
/// A platform that was named must have all its rates.
fn platforms(named: &[Platform], prices: &Prices) -> Result<(Vec<Rated>, Vec<String>)> {
    let (mut known, mut left_out) = (Vec::new(), Vec::new());
    let wanted = match named {
        [] => Platform::value_variants().to_vec(),
        named => named.to_vec(),
    };
    for platform in wanted {
        match prices.rates(platform) {
            Ok(rates) => known.push((platform, rates)),
            Err(missing) if named.is_empty() => left_out.push(missing),
            Err(missing) => {
                return Err(usage(format!(
                    "no rate {missing} is known: give it as --rate {missing}=DOLLARS, or in a --prices file"
                )));
            }
        }
    }
    Ok((known, left_out))
}

/// Refuses memory sizes that a platform does not offer.
fn sizes(platforms: &[Rated], memory: &[usize]) -> Result<()> {
    for (platform, _) in platforms {
        let sold = platform.memory();
        if let Some(size) = memory.iter().find(|size| !sold.contains(size)) {
            return Err(usage(format!(
                "{} has {} to {} MB of memory, not {size} (--memory, --platform)",
                platform.name(),
                sold.start(),
                sold.end()
            )));
        }
    }
    Ok(())
}

/// Latencies of calls on a whole vCPU, and the extra time of a cold call.
fn calls(arguments: &CostArgs, common: &Common) -> Result<(Vec<Call>, f64)> {
    if !arguments.latency_ms.is_empty() {
        let init_ms = match (arguments.init_ms, arguments.cold_share) {
            (Some(init_ms), _) => init_ms,
            (None, 0.0) => 0.0,
            (None, _) => {
                return Err(usage(
                    "--cold-share needs --init-ms, or a --model to measure",
                ));
            }
        };
        return Ok((arguments.latency_ms.clone(), init_ms));
    }
    if common.threads.is_some_and(|threads| threads > 1) {
        return Err(usage(
            "--threads must be 1: the cost is that of one thread on one vCPU",
        ));
    }
    let texts = match arguments.texts.as_slice() {
        [] => &TEXTS[..],
        texts => texts,
    };
    let one = bench::OneThread {
        model: arguments.model.clone(),
        dtype: arguments.dtype,
        tokens: arguments.tokens,
        seconds: arguments.seconds,
    };
    let (first_ms, times) = one.medians(texts)?;
    let calls = texts.iter().zip(times);
    let calls = calls.map(|(&texts, latency_ms)| Call { texts, latency_ms });
    Ok((calls.collect(), arguments.init_ms.unwrap_or(first_ms)))
}

fn rows(
    platforms: &[Rated],
    memory: &[usize],
    calls: &[Call],
    pattern: CallPattern,
    prices: &Prices,
) -> Vec<CostRow> {
    let mut rows = Vec::new();
    for &(platform, rates) in platforms {
        // Only Cloud Run sends a process several calls at once.
        let overlap = match platform {
            Platform::CloudRun => pattern.overlap,
            Platform::LambdaX86 | Platform::LambdaArm64 => 1,
        };
        for &memory_mb in memory {
            for &call in calls {
                let bill = Bill::new(
                    &rates,
                    memory_mb as f64,
                    call,
                    CallPattern { overlap, ..pattern },
                );
                let month = prices.instance.month;
                rows.push(CostRow::new(platform, memory_mb, call, &bill, month));
            }
        }
    }
    rows
}

/// Prints the table, the origin of its prices, and the number of texts per call that is worth sending.
fn report(
    rows: &[CostRow],
    platforms: &[Rated],
    left_out: &[String],
    prices: &Prices,
    pattern: CallPattern,
    output: &mut Output,
) -> Result<()> {
    output.line(table::HEAD)?;
    for row in rows {
        output.line(row.line())?;
    }
    output.line("")?;
    for (platform, _) in platforms {
        let (date, source) = prices.origin(*platform);
        output.line(format!(
            "{}: prices of {date} from {source}{}",
            platform.name(),
            given(prices, platform.name())
        ))?;
        if let Some(worth) = worth(rows, *platform) {
            output.line(worth)?;
        }
    }
    for missing in left_out {
        let (name, _) = missing.split_once('.').unwrap_or((missing, ""));
        output.line(format!(
            "{name}: left out, since no rate {missing} is known (--rate)"
        ))?;
    }
    let instance = &prices.instance;
    output.line(format!(
        "instance: $ {} a month (price of {}){}; cold calls: {} of all calls, {:.1} ms longer",
        instance.month,
        instance.date,
        given(prices, "instance"),
        pattern.cold_share,
        pattern.init_ms
    ))?;
    Ok(())
}

/// A note on the prices of a table that are overridden.
fn given(prices: &Prices, table: &str) -> String {
    match prices.given(table).as_slice() {
        [] => String::new(),
        keys => format!(" (overridden: {})", keys.join(", ")),
    }
}

/// A note on the number of texts per call from which compute costs at least as much as the request fee, for the platform's
/// memory size nearest to 512 MB.
fn worth(rows: &[CostRow], platform: Platform) -> Option<String> {
    let name = platform.name();
    let sizes = rows
        .iter()
        .filter(|row| row.platform == name)
        .map(|row| row.memory_mb);
    let memory_mb = sizes.min_by_key(|memory_mb| memory_mb.abs_diff(512))?;
    let own = |row: &&CostRow| (row.platform, row.memory_mb) == (name, memory_mb);
    let texts = table::worth_sending(rows.iter().filter(own))?.texts;
    Some(format!(
        "{name}, {memory_mb} MB: from {texts} texts per call on, compute costs at least as much as the request fee"
    ))
}

/// Parses a call with its latency, as `--latency-ms` takes it.
fn call(argument: &str) -> Result<Call, String> {
    let call = argument.split_once('=').and_then(|(texts, latency)| {
        let texts = texts.parse().ok().filter(|&texts| texts > 0)?;
        let latency_ms = latency.parse().ok();
        let latency_ms = latency_ms.filter(|&ms| ms > 0.0 && ms <= MOST_MS)?;
        Some(Call { texts, latency_ms })
    });
    call.ok_or_else(|| "expected TEXTS=MS, as 1=1.0".to_owned())
}
