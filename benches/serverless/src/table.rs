//! Table of results as CSV.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::measure::Plan;

/// Kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RowKind {
    /// Time from the process's start to its first call for an event, with its files in the page cache.
    #[serde(rename = "init cached")]
    InitCached,
    /// Time from the process's start to its first call for an event, with its files only on the disk.
    #[serde(rename = "init evicted")]
    InitEvicted,
    /// Requests with a pause before each.
    #[serde(rename = "spaced")]
    Spaced,
    /// Requests without pauses between them.
    #[serde(rename = "back to back")]
    BackToBack,
    /// The memory size was too small for the function.
    #[serde(rename = "out of memory")]
    OutOfMemory,
}

/// Row of the table: statistics of `count` starts or requests, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) engine: String,
    pub(crate) model: String,
    #[serde(rename = "memory_mb")]
    pub(crate) memory: u32,
    pub(crate) what: RowKind,
    pub(crate) count: usize,
    #[serde(rename = "p50_ms")]
    pub(crate) p50: f64,
    #[serde(rename = "p95_ms")]
    pub(crate) p95: f64,
    #[serde(rename = "p99_ms")]
    pub(crate) p99: f64,
    #[serde(rename = "mean_ms")]
    pub(crate) mean: f64,
    /// Mean of the billed times: each time is rounded up to a whole millisecond.
    #[serde(rename = "billed_ms")]
    pub(crate) billed: f64,
    /// Peak memory of the process, in MiB.
    #[serde(rename = "peak_mib")]
    pub(crate) peak: f64,
    /// Processor that the row was measured on. Empty in tables of earlier versions.
    #[serde(default)]
    pub(crate) processor: String,
}

impl Row {
    pub(crate) fn new(
        plan: &Plan,
        memory: u32,
        what: RowKind,
        times: &[Duration],
        kib: u64,
    ) -> Self {
        let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let mean = |of: fn(f64) -> f64| {
            sorted.iter().fold(0.0, |sum, &time| sum + of(time)) / sorted.len().max(1) as f64
        };
        Self {
            engine: plan.engine.clone(),
            model: plan.model.clone(),
            memory,
            what,
            count: times.len(),
            p50: rounded(percentile(&sorted, 0.50)),
            p95: rounded(percentile(&sorted, 0.95)),
            p99: rounded(percentile(&sorted, 0.99)),
            mean: rounded(mean(|time| time)),
            billed: rounded(mean(f64::ceil)),
            peak: rounded(kib as f64 / 1024.0),
            processor: plan.processor.clone(),
        }
    }

    /// Returns whether the row is for this plan's function at this memory size.
    pub(crate) fn is_for(&self, plan: &Plan, memory: u32) -> bool {
        (&self.engine, &self.model, self.memory) == (&plan.engine, &plan.model, memory)
    }
}

/// Smallest time such that at least the fraction `share` of all times is not above it.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Rounds to three decimal places.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Appends rows to a table, which is created if it does not exist. Locks the file, so that other processes can append too.
pub(crate) fn add(path: &Path, rows: &[Row]) -> Result<()> {
    let named = || path.display().to_string();
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    let file = file.with_context(named)?;
    file.lock().with_context(named)?;
    let is_new = file.metadata().with_context(named)?.len() == 0;
    let mut writer = csv::WriterBuilder::new()
        .has_headers(is_new)
        .from_writer(file);
    for row in rows {
        writer.serialize(row).with_context(named)?;
    }
    writer.flush().with_context(named)
}

/// Reads all rows of a table.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>> {
    let named = || path.display().to_string();
    let mut reader = csv::Reader::from_path(path).with_context(named)?;
    let rows: Result<Vec<Row>, csv::Error> = reader.deserialize().collect();
    rows.with_context(named)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;

    pub(crate) fn plan() -> Plan {
        Plan {
            engine: "ort".to_owned(),
            model: "minilm".to_owned(),
            processor: "a".to_owned(),
            starts: 1,
            requests: 1,
            event: String::new(),
            evict: Vec::new(),
            environment: Vec::new(),
            command: Vec::new(),
            starting: PathBuf::new(),
        }
    }

    pub(crate) fn row(engine: &str, model: &str, memory: u32, what: RowKind) -> Row {
        Row {
            engine: engine.to_owned(),
            model: model.to_owned(),
            memory,
            what,
            count: 1000,
            p50: 1.5,
            p95: 2.0,
            p99: 3.0,
            mean: rounded(1.60049),
            billed: 2.1,
            peak: 19.5,
            processor: "a".to_owned(),
        }
    }

    #[test]
    fn percentiles_are_measured_times() {
        let times: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.5), 100.0);
        assert_eq!(percentile(&times, 0.99), 198.0);
        assert_eq!(percentile(&times[..1], 0.99), 1.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_row_without_times_has_zeros() {
        let row = Row::new(&plan(), 128, RowKind::OutOfMemory, &[], 0);
        // The sum of an empty iterator is -0.0, and a table would show the sign.
        let figures = [row.p50, row.p95, row.p99, row.mean, row.billed, row.peak];
        assert_eq!(figures.map(f64::to_bits), [0; 6]);
    }

    #[test]
    fn a_row_is_for_one_function_and_memory_size() {
        let mut plan = plan();
        let row = row("ort", "minilm", 512, RowKind::OutOfMemory);
        assert!(row.is_for(&plan, 512) && !row.is_for(&plan, 1024));
        plan.model.push_str(" int8");
        assert!(!row.is_for(&plan, 512));
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let place = std::env::temp_dir().join(format!("bertless-rows-{}", std::process::id()));
        let row = |what| row("ort", "minilm", 512, what);
        let rows = [
            RowKind::BackToBack,
            RowKind::InitCached,
            RowKind::OutOfMemory,
        ]
        .map(row);
        add(&place, &rows[..1]).unwrap();
        add(&place, &rows[1..]).unwrap();
        let text = std::fs::read_to_string(&place).unwrap();
        let found = read(&place);
        std::fs::write(&place, text.replace("back to back", "x")).unwrap();
        let unknown = read(&place);
        std::fs::remove_file(&place).unwrap();
        assert_eq!(found.unwrap(), rows);
        assert!(unknown.is_err());
        let header = "engine,model,memory_mb,what,count,p50_ms,p95_ms,p99_ms,mean_ms,billed_ms,peak_mib,processor";
        let first = "ort,minilm,512,back to back,1000,1.5,2.0,3.0,1.6,2.1,19.5,a";
        assert!(text.starts_with(&format!("{header}\n{first}\n")), "{text}");
        assert_eq!(text.lines().count(), 4);
    }
}
