//! Runs a recipe once, or with each of several seeds, and prints the results.

use std::path::Path;

use anyhow::{Result, bail};
use bertless::train::{Figures, Job, Recipe};
use serde::Serialize;

use super::super::Common;
use super::super::columns::{self, Column};
use super::super::output::{Output, note, printable, warn};
use super::progress::{TrainingProgress, format_metrics};

/// Trains, and prints the metrics of the kept model; with --json {"step", "figures": [[name, value]], "best"}.
pub(super) fn train_once(recipe: &Recipe, common: &Common, output: &mut Output) -> Result<()> {
    let best = train(Job::of(recipe, common.threads)?)?.1;
    if let Some(best) = best {
        output.answer(&best, || {
            format!("{} after step {}", format_metrics(&best), best.step)
        })?;
    }
    output.flush()?;
    print_next_steps(recipe, recipe.output());
    Ok(())
}

/// Metrics of one seed.
#[derive(Serialize)]
struct SeedRecord {
    seed: u64,
    #[serde(flatten)]
    best: Figures,
}

/// Output with --json: {"seeds": [{"seed", "step", "figures", "best"}], "median": [[name, value]]}.
#[derive(Serialize)]
struct SeedsRecord {
    seeds: Vec<SeedRecord>,
    median: Vec<(String, f64)>,
}

/// Trains with each seed in turn, and prints a table of the results.
pub(super) fn train_with_seeds(
    recipe: &Recipe,
    seeds: &[u64],
    common: &Common,
    output: &mut Output,
) -> Result<()> {
    if let Some(at) = (1..seeds.len()).find(|&at| seeds[..at].contains(&seeds[at])) {
        bail!("--seeds: {} stands there twice", seeds[at]);
    }
    let mut all = Vec::new();
    let mut earlier: Option<Job> = None;
    for &seed in seeds {
        note(format_args!("seed {seed}:"));
        let mut job = Job::of(&recipe.with_seed(seed), common.threads)?;
        if let Some(earlier) = earlier.take() {
            job.follow(earlier);
        }
        let (job, best) = train(job)?;
        all.extend(best.map(|best| SeedRecord { seed, best }));
        earlier = Some(job);
    }
    let median = medians(&all);
    if output.json {
        return output.object(&SeedsRecord { seeds: all, median });
    }
    let row = |first: &str, metrics: Vec<String>, step: &str| {
        [vec![first.to_owned()], metrics, vec![step.to_owned()]].concat()
    };
    let names = median.iter().map(|(name, _)| name.clone()).collect();
    let values = |metrics: &[(String, f64)]| {
        let values = metrics.iter().map(|(_, value)| format!("{value:.4}"));
        values.collect()
    };
    let mut rows = vec![row("seed", names, "step")];
    for SeedRecord { seed, best } in &all {
        let (seed, step) = (seed.to_string(), best.step.to_string());
        rows.push(row(&seed, values(&best.figures), &step));
    }
    rows.push(row("median", values(&median), ""));
    let mut widths = vec![Column::Right(11); median.len()];
    widths.insert(0, Column::Left(7));
    widths.push(Column::Right(9));
    output.line(columns::table(&widths, " ", &rows))?;
    output.flush()?;
    print_next_steps(recipe, &recipe.output().join("seed-N"));
    Ok(())
}

/// Median of each metric over the seeds.
fn medians(seeds: &[SeedRecord]) -> Vec<(String, f64)> {
    let first = seeds.first().map(|seed| seed.best.figures.as_slice());
    let median = |at: usize| {
        let figure = |seed: &SeedRecord| seed.best.figures.get(at).map(|(_, figure)| *figure);
        let mut figures: Vec<f64> = seeds.iter().filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() % 2 {
            0 => (figures[middle - 1] + figures[middle]) / 2.0,
            _ => figures[middle],
        }
    };
    let names = first.unwrap_or_default().iter().enumerate();
    names
        .map(|(at, (name, _))| (name.clone(), median(at)))
        .collect()
}

/// Starts or resumes a training. Returns the job, and the metrics of the kept model.
fn train(mut job: Job) -> Result<(Job, Option<Figures>)> {
    warn(job.warnings());
    let (examples, dev) = job.examples();
    let mut progress = TrainingProgress::new(job.log());
    progress.print(&format!(
        "{examples} training examples, {dev} evaluation examples, {:.1} million parameters",
        job.parameters() as f64 / 1e6
    ));
    if let Some(labels) = labels(&job) {
        progress.print(&labels);
    }
    if let Some((before, after, share)) = job.coverage() {
        let percent = 100.0 * share;
        progress.print(&format!(
            "{after} of {before} vocabulary tokens are kept, which are {percent:.2}% of the corpus"
        ));
    }
    job.train(&mut progress)?;
    if !progress.has_seen_steps() {
        progress.print("this training is complete: nothing is left to do");
    }
    progress.finish()?;
    let best = job.best()?;
    Ok((job, best))
}

/// Largest number of labels listed, and of characters of each.
const LISTED: (usize, usize) = (20, 40);

/// Lists the labels of a classifier, with their counts in the tables if known.
fn labels(job: &Job) -> Option<String> {
    let (names, counts) = (job.labels(), job.label_counts());
    if names.len() < 2 {
        return None;
    }
    let label = |(id, name): (usize, &String)| {
        let name = printable(&name.chars().take(LISTED.1).collect::<String>());
        match &counts {
            Some(counts) => format!("{name} {}", counts[id]),
            None => name,
        }
    };
    let listed: Vec<String> = names.iter().enumerate().take(LISTED.0).map(label).collect();
    let rest = match names.len().saturating_sub(LISTED.0) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("labels: {}{rest}", listed.join(", ")))
}

/// Prints where the model is, and commands to try on it.
fn print_next_steps(recipe: &Recipe, folder: &Path) {
    let there = folder.display();
    note(format_args!("the model and its card are in {there}; next:"));
    note(format_args!("  {}", recipe.usage(folder)));
    note(format_args!(
        "  bertless pack {there} --dtype int8 -o model.safetensors"
    ));
}
