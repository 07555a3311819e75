//! Starts and requests, as rows.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::function::{Function, Start};
use crate::page_cache;
use crate::table::{Row, What};

/// Between requests that come one by one: more than a period, so that the share of the processor is whole again.
const PAUSE: Duration = Duration::from_millis(41);
/// Before requests are counted.
const WARM: usize = 3;

/// Starts of one kind end after this long, if there were enough of them.
const LONG: Duration = Duration::from_secs(15);
const ENOUGH: usize = 3;

/// What is measured, and how thoroughly.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) engine: String,
    pub(crate) model: String,
    pub(crate) processor: String,
    pub(crate) starts: usize,
    pub(crate) requests: usize,
    pub(crate) event: String,
    pub(crate) evict: Vec<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) command: Vec<String>,
    /// A file that all who measure beside each other lock while they start functions: shared for those that want files in the
    /// page cache, alone for those that take files out of it.
    pub(crate) starting: PathBuf,
}

impl Plan {
    /// Whether so many starts since then are all.
    fn has_started(&self, starts: usize, since: Instant) -> bool {
        starts >= self.starts || starts >= ENOUGH && since.elapsed() >= LONG
    }
}

/// All rows of one memory size: starts with the page cache and without, spaced requests, requests back to back. A size that is
/// not enough is one row that says so.
pub(crate) async fn at(plan: &Plan, memory: u32) -> Result<Vec<Row>> {
    let row = |what, times: &[Duration], peak| Row::new(plan, memory, what, times, peak);
    let killed = || vec![row(What::Killed, &[], 0)];
    let named = || plan.starting.display().to_string();
    let starting = File::create(&plan.starting).with_context(named)?;
    starting.lock_shared().with_context(named)?;
    // Brings everything into the page cache, and is not counted.
    if let Start::Killed = Function::start(plan, memory).await? {
        return Ok(killed());
    }
    let Some((cached, peak)) = starts(plan, memory, &[]).await? else {
        return Ok(killed());
    };
    starting.unlock().with_context(named)?;
    starting.lock().with_context(named)?;
    let Some((read, read_peak)) = starts(plan, memory, &plan.evict).await? else {
        return Ok(killed());
    };
    starting.unlock().with_context(named)?;
    let mut rows = vec![
        row(What::InitCached, &cached, peak),
        row(What::InitEvicted, &read, read_peak),
    ];
    let Start::Ready(mut function) = Function::start(plan, memory).await? else {
        return Ok(killed());
    };
    for (what, pause) in [(What::Spaced, Some(PAUSE)), (What::BackToBack, None)] {
        let mut times = Vec::with_capacity(plan.requests);
        for request in 0..plan.requests + WARM {
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            let Some(took) = function.ask(&plan.event).await? else {
                return Ok(killed());
            };
            if request >= WARM {
                times.push(took);
            }
        }
        rows.push(row(what, &times, function.peak()?));
    }
    Ok(rows)
}

/// Starts, before each of which these files are taken out of the page cache, and the most memory of the last one in KiB; nothing
/// if it has no memory left for one.
async fn starts(
    plan: &Plan,
    memory: u32,
    evict: &[PathBuf],
) -> Result<Option<(Vec<Duration>, u64)>> {
    let (mut times, mut peak) = (Vec::new(), 0);
    let begin = Instant::now();
    while !plan.has_started(times.len(), begin) {
        for path in evict {
            page_cache::evict(path)?;
        }
        let Start::Ready(function) = Function::start(plan, memory).await? else {
            return Ok(None);
        };
        times.push(function.init);
        peak = function.peak()?;
    }
    Ok(Some((times, peak)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::plan;

    #[test]
    fn slow_starts_are_fewer() {
        let (now, mut plan) = (Instant::now(), plan());
        plan.starts = 5;
        let before = now.checked_sub(LONG).expect("the machine has run so long");
        let started = |since| [2, 3, 4, 5].map(|starts| plan.has_started(starts, since));
        assert_eq!(started(now), [false, false, false, true]);
        assert_eq!(started(before), [false, true, true, true]);
    }
}
