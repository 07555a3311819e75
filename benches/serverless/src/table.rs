//! Rows as CSV.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::measure::Plan;

const HEADER: &str =
    "engine,model,memory_mb,what,count,p50_ms,p95_ms,p99_ms,mean_ms,billed_ms,peak_mib";

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// From its start to the first time that it asks for an event, files in the page cache.
    InitCached,
    /// The same, files on the disk alone.
    InitEvicted,
    /// Requests with a pause before each.
    Spaced,
    /// Requests one right after the other.
    BackToBack,
    /// Its memory was not enough.
    Killed,
}

const NAMES: [(What, &str); 5] = [
    (What::InitCached, "init cached"),
    (What::InitEvicted, "init evicted"),
    (What::Spaced, "spaced"),
    (What::BackToBack, "back to back"),
    (What::Killed, "out of memory"),
];

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(what, _)| what == self);
        out.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for What {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let what = NAMES.iter().find(|(_, name)| *name == text);
        Ok(what.with_context(|| format!("a row about {text:?}"))?.0)
    }
}

/// A line: milliseconds of `count` starts or requests, each billed in whole ones.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) engine: String,
    pub(crate) model: String,
    pub(crate) memory: u32,
    pub(crate) what: What,
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) mean: f64,
    /// On average.
    pub(crate) billed: f64,
    /// The most memory that the process had, in MiB.
    pub(crate) peak: f64,
}

impl Row {
    pub(crate) fn new(plan: &Plan, memory: u32, what: What, times: &[Duration], kib: u64) -> Self {
        let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let mean = |of: fn(f64) -> f64| {
            sorted.iter().map(|&time| of(time)).sum::<f64>() / sorted.len().max(1) as f64
        };
        Self {
            engine: plan.engine.clone(),
            model: plan.model.clone(),
            memory,
            what,
            count: times.len(),
            p50: percentile(&sorted, 0.50),
            p95: percentile(&sorted, 0.95),
            p99: percentile(&sorted, 0.99),
            mean: mean(|time| time),
            billed: mean(f64::ceil),
            peak: kib as f64 / 1024.0,
        }
    }
}

/// The smallest time that this share of all is not above.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            engine,
            model,
            memory,
            what,
            count,
            p50,
            p95,
            p99,
            mean,
            billed,
            peak,
        } = self;
        write!(
            out,
            "{engine},{model},{memory},{what},{count},{p50:.3},{p95:.3},{p99:.3},{mean:.3},{billed:.3},{peak:.1}"
        )
    }
}

impl FromStr for Row {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let cells: Vec<&str> = line.split(',').collect();
        let [
            engine,
            model,
            memory,
            what,
            count,
            p50,
            p95,
            p99,
            mean,
            billed,
            peak,
        ] = cells[..]
        else {
            bail!("{} cells", cells.len());
        };
        Ok(Self {
            engine: engine.to_owned(),
            model: model.to_owned(),
            memory: memory.parse()?,
            what: what.parse()?,
            count: count.parse()?,
            p50: p50.parse()?,
            p95: p95.parse()?,
            p99: p99.parse()?,
            mean: mean.parse()?,
            billed: billed.parse()?,
            peak: peak.parse()?,
        })
    }
}

/// Adds rows to a table, which is made if it is not there.
pub(crate) fn add(path: &Path, rows: &[Row]) -> Result<()> {
    let named = || path.display().to_string();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(named)?;
    if file.metadata().with_context(named)?.len() == 0 {
        writeln!(file, "{HEADER}").with_context(named)?;
    }
    for row in rows {
        writeln!(file, "{row}").with_context(named)?;
    }
    Ok(())
}

/// All rows of a table.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>> {
    let named = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(named)?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map(|(_, line)| line);
    ensure!(header == Some(HEADER), "{}: not such a table", named());
    let row = |(index, line): (usize, &str)| {
        let row = line.parse();
        row.with_context(|| format!("{}, line {}", named(), index + 1))
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.5), 100.0);
        assert_eq!(percentile(&times, 0.99), 198.0);
        assert_eq!(percentile(&times[..1], 0.99), 1.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let line = "ort,minilm,512,back to back,1000,1.500,2.000,3.000,1.600,2.100,19.5";
        let row: Row = line.parse().unwrap();
        assert_eq!(
            (row.what, row.memory, row.peak),
            (What::BackToBack, 512, 19.5)
        );
        assert_eq!(row.to_string(), line);
        assert!("a,b".parse::<Row>().is_err());
        assert!(line.replace("back to back", "x").parse::<Row>().is_err());
    }
}
