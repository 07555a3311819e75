//! Starts and requests, as rows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::function::{Function, Start};
use crate::page_cache;
use crate::table::{Row, What};

/// Between requests that come one by one: more than a period, so that the share of the processor is whole again.
const PAUSE: Duration = Duration::from_millis(41);
/// Before requests are counted.
const WARM: usize = 3;

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
}

/// All rows of one memory size: starts with the page cache and without, spaced requests, requests back to back. A size that is
/// not enough is one row that says so.
pub(crate) async fn at(plan: &Plan, memory: u32) -> Result<Vec<Row>> {
    let row = |what, times: &[Duration], peak| Row::new(plan, memory, what, times, peak);
    let killed = || vec![row(What::Killed, &[], 0)];
    let (mut cached, mut read, mut peak) = (Vec::new(), Vec::new(), 0);
    // The first start brings everything into the page cache, and is not counted.
    for start in 0..=plan.starts {
        match Function::start(plan, memory).await? {
            Start::Killed => return Ok(killed()),
            Start::Ready(function) if start > 0 => {
                cached.push(function.init);
                peak = function.peak()?;
            }
            Start::Ready(_) => {}
        }
    }
    for _ in 0..plan.starts {
        for path in &plan.evict {
            page_cache::evict(path)?;
        }
        if let Start::Ready(function) = Function::start(plan, memory).await? {
            read.push(function.init);
        }
    }
    let mut rows = vec![
        row(What::InitCached, &cached, peak),
        row(What::InitEvicted, &read, peak),
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
