//! Measures starts and requests at one memory size, and returns the rows of the table.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::function::{Function, Start};
use crate::page_cache;
use crate::table::{Row, RowKind};

/// Pause between spaced requests. It is longer than two periods of the quota, so that each request has a whole period's share of
/// processor time.
const PAUSE: Duration = Duration::from_millis(41);
/// Number of requests before the measured ones.
const WARM_UP: usize = 3;

/// Time after which no further start of a kind is made, if there were at least [`MIN_STARTS`].
const STARTS_TIME: Duration = Duration::from_secs(15);
const MIN_STARTS: usize = 3;

/// Function to measure, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) engine: String,
    pub(crate) model: String,
    pub(crate) processor: String,
    pub(crate) starts: usize,
    pub(crate) requests: usize,
    /// Event of each request, as JSON.
    pub(crate) event: String,
    /// Files and folders to evict from the page cache.
    pub(crate) evict: Vec<PathBuf>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) command: Vec<String>,
    /// Lock file of all measurements that run at the same time. A measurement holds a shared lock while it starts functions with
    /// files in the page cache, and an exclusive one while it evicts files.
    pub(crate) starting: PathBuf,
}

impl Plan {
    /// Returns whether `starts` starts since the time `since` are enough.
    fn has_started(&self, starts: usize, since: Instant) -> bool {
        starts >= self.starts || starts >= MIN_STARTS && since.elapsed() >= STARTS_TIME
    }
}

/// Measures one memory size: starts with and without the page cache, spaced requests, and requests back to back. If the memory runs
/// out, returns a single row of kind `OutOfMemory`.
pub(crate) async fn measure(plan: &Plan, memory: u32) -> Result<Vec<Row>> {
    let row = |what, times: &[Duration], peak| Row::new(plan, memory, what, times, peak);
    let killed = || vec![row(RowKind::OutOfMemory, &[], 0)];
    let named = || plan.starting.display().to_string();
    let starting = File::create(&plan.starting).with_context(named)?;
    starting.lock_shared().with_context(named)?;
    // This start brings all files into the page cache, and is not counted.
    if let Start::OutOfMemory = Function::start(plan, memory).await? {
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
        row(RowKind::InitCached, &cached, peak),
        row(RowKind::InitEvicted, &read, read_peak),
    ];
    let Start::Ready(mut function) = Function::start(plan, memory).await? else {
        return Ok(killed());
    };
    for (what, pause) in [(RowKind::Spaced, Some(PAUSE)), (RowKind::BackToBack, None)] {
        let mut times = Vec::with_capacity(plan.requests);
        for request in 0..plan.requests + WARM_UP {
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            let Some(took) = function.request(&plan.event).await? else {
                return Ok(killed());
            };
            if request >= WARM_UP {
                times.push(took);
            }
        }
        rows.push(row(what, &times, function.peak()?));
    }
    Ok(rows)
}

/// Measures starts, before each of which the files in `evict` are evicted from the page cache. Returns their times, and the peak
/// memory of the last start in KiB. Returns `None` if the memory of a start runs out.
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
    fn slow_starts_are_repeated_less_often() {
        let (now, mut plan) = (Instant::now(), plan());
        plan.starts = 5;
        let before = now
            .checked_sub(STARTS_TIME)
            .expect("the machine has run for longer");
        let started = |since| [2, 3, 4, 5].map(|starts| plan.has_started(starts, since));
        assert_eq!(started(now), [false, false, false, true]);
        assert_eq!(started(before), [false, true, true, true]);
    }
}
