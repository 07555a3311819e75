//! `bertless bench`: speed and memory of a model on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bertless::{Encoding, Error, Model, Task};
use ndarray::Array2;
use serde::Serialize;

use super::columns::{self, Column};
use super::options::{DtypeFlag, at_least_one};
use super::output::Output;
use super::progress::{Look, Progress};
use super::{Common, options, process, usage};

/// Default lengths; those beyond the model's positions are left out.
const LENGTHS: [usize; 7] = [8, 16, 32, 64, 128, 256, 512];
/// Columns of the table for people.
const COLUMNS: [Column; 5] = {
    use Column::Right;
    [Right(6), Right(6), Right(11), Right(11), Right(11)]
};
/// Text of the first answer.
const FIRST_TEXT: &str = "A man is eating.";
/// Smallest number of timed runs, however short the time.
const LEAST_RUNS: usize = 5;
/// Largest number of tokens computed at once. Their hidden states, 768 floats each, take 3.2 GB.
const MOST_TOKENS: usize = 1 << 20;
/// Fraction of a shape's time spent on warm-up runs, which are not timed.
const WARM_UP: f64 = 0.1;

/// Measure load time, time to first answer, peak memory, and latency by text length
///
/// Texts are random token ids between the model's special tokens; --batch texts are computed at once. A classifier computes
/// logits, any other model the vectors of all tokens. Time to first answer counts from the start of the process. Peak memory
/// covers loading and the first answer; 1 MB is a million bytes. With --json the first line is {"load_ms", "first_ms",
/// "peak_rss_mb", "cpu", "threads", "dtype"}; then each length has a line {"tokens", "batch", "median_ms", "p99_ms",
/// "min_ms"}.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Folder of the model, or a file written by `bertless pack` [default: the built-in sentiment classifier]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
    #[command(flatten)]
    dtype: DtypeFlag,
    /// Text lengths in tokens, special tokens included [default: 8,16,32,64,128,256,512, up to the model's limit]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = at_least_one())]
    tokens: Vec<usize>,
    /// Number of texts computed at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one())]
    batch: usize,
    /// Time to measure each length for
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    seconds: Duration,
}

/// A measurement of texts of one length on one thread, for `bertless cost`.
#[derive(Debug)]
pub(crate) struct OneThread {
    pub(crate) model: Option<PathBuf>,
    pub(crate) dtype: DtypeFlag,
    pub(crate) tokens: usize,
    pub(crate) seconds: Duration,
}

/// Measurements of the start.
#[derive(Debug, Serialize)]
struct StartRecord {
    load_ms: f64,
    first_ms: f64,
    peak_rss_mb: Option<f64>,
    cpu: &'static str,
    threads: usize,
    dtype: String,
}

/// Measurements of texts of one length.
#[derive(Debug, Serialize)]
struct ShapeRecord {
    tokens: usize,
    batch: usize,
    median_ms: f64,
    p99_ms: f64,
    min_ms: f64,
}

pub(crate) fn run(arguments: BenchArgs, common: &Common, output: &mut Output) -> Result<()> {
    let begin = Instant::now();
    let age = process::age().unwrap_or_default();
    let (model, start) = load(&arguments, common, begin, age)?;
    let lengths = lengths(&model, &arguments.tokens)?;
    for &tokens in &lengths {
        check_size(tokens, arguments.batch)?;
    }
    let specials = specials(&model, &lengths)?;
    output.answer(&start, || start.report())?;
    output.flush()?;

    let progress = progress_of(lengths.len(), arguments.seconds);
    let mut random = Xorshift(1);
    for (index, &tokens) in lengths.iter().enumerate() {
        let texts = random_texts(&model, &specials, tokens, arguments.batch, &mut random);
        let times = measure(&model, &texts, arguments.seconds, |spent| {
            show(&progress, index, tokens, arguments.seconds, spent);
        })?;
        let shape = ShapeRecord::new(tokens, arguments.batch, times);
        progress.suspend(|| -> Result<()> {
            output.answer(&shape, || shape.row())?;
            Ok(output.flush()?)
        })?;
    }
    Ok(())
}

impl OneThread {
    /// Time to first answer, and the median time of a run for each number of texts computed at once; in milliseconds.
    pub(crate) fn medians(&self, texts: &[usize]) -> Result<(f64, Vec<f64>)> {
        let begin = Instant::now();
        let age = process::age().unwrap_or_default();
        let arguments = BenchArgs {
            model: self.model.clone(),
            dtype: self.dtype,
            tokens: vec![self.tokens],
            batch: 1,
            seconds: self.seconds,
        };
        let common = Common {
            threads: Some(1),
            json: false,
        };
        let (model, start) = load(&arguments, &common, begin, age)?;
        let lengths = lengths(&model, &arguments.tokens)?;
        for &count in texts {
            check_size(self.tokens, count)?;
        }
        let specials = specials(&model, &lengths)?;
        let progress = progress_of(texts.len(), self.seconds);
        let mut random = Xorshift(1);
        let mut median = |(index, &count): (usize, &usize)| {
            let texts = random_texts(&model, &specials, self.tokens, count, &mut random);
            let watch = |spent| show(&progress, index, self.tokens, self.seconds, spent);
            let times = measure(&model, &texts, self.seconds, watch)?;
            Ok(percentile(&times, 0.5).as_secs_f64() * 1e3)
        };
        let medians: Result<_> = texts.iter().enumerate().map(&mut median).collect();
        Ok((start.first_ms, medians?))
    }
}

/// Loads the model and answers once. `age` is the age of the process at `begin`.
fn load(
    arguments: &BenchArgs,
    common: &Common,
    begin: Instant,
    age: Duration,
) -> Result<(Model, StartRecord)> {
    let mut chosen = arguments.dtype.options();
    if let Some(threads) = common.threads {
        chosen = chosen.threads(threads);
    }
    // Known ahead of the weights, a length that there are no positions for is refused before they are read. A limit must
    // not cut the first text, which has fewer tokens than bytes and special tokens.
    let longest = arguments.tokens.iter().copied().max().unwrap_or_default();
    if longest > FIRST_TEXT.len() + 2 {
        chosen = chosen.max_length(longest);
    }
    let opening = Instant::now();
    let model = options::load(arguments.model.as_deref(), chosen).map_err(|error| match error {
        Error::Option {
            name: "max_length",
            reason,
            ..
        } => anyhow!("--tokens {longest}: {reason}"),
        other => other.into(),
    })?;
    let load = opening.elapsed();
    model.last_hidden_state(FIRST_TEXT)?;
    let start = StartRecord {
        load_ms: milliseconds(load),
        first_ms: milliseconds(age + begin.elapsed()),
        peak_rss_mb: process::peak_memory().map(|bytes| rounded(bytes as f64 / 1e6)),
        cpu: model.instruction_set(),
        threads: model.threads(),
        dtype: model.dtype().to_string(),
    };
    Ok((model, start))
}

/// Lengths to measure: `wanted`, else the default lengths that the model has positions for.
fn lengths(model: &Model, wanted: &[usize]) -> Result<Vec<usize>> {
    let positions = model.max_positions();
    if let Some(long) = wanted.iter().find(|&&tokens| tokens > positions) {
        bail!("--tokens {long}: the model has {positions} positions");
    }
    Ok(match wanted {
        [] => {
            let defaults = LENGTHS.into_iter();
            defaults.filter(|&tokens| tokens <= positions).collect()
        }
        wanted => wanted.to_vec(),
    })
}

/// Special tokens around a text. Refuses lengths shorter than them.
fn specials(model: &Model, lengths: &[usize]) -> Result<Vec<u32>> {
    let specials = model.tokenizer().encode("", None)?.ids;
    if let Some(short) = lengths.iter().find(|&&tokens| tokens < specials.len()) {
        let least = specials.len();
        bail!("--tokens {short}: a text of this model has {least} special tokens already");
    }
    Ok(specials)
}

/// Refuses batches that memory is unlikely to hold.
fn check_size(tokens: usize, texts: usize) -> Result<()> {
    match tokens.saturating_mul(texts) {
        0..=MOST_TOKENS => Ok(()),
        all => Err(usage(format!(
            "{texts} texts of {tokens} tokens are {all} tokens at once, and at most {MOST_TOKENS} are measured: give fewer texts"
        ))),
    }
}

/// Makes `count` random texts of `tokens` tokens.
fn random_texts(
    model: &Model,
    specials: &[u32],
    tokens: usize,
    count: usize,
    random: &mut Xorshift,
) -> Vec<Encoding> {
    let vocabulary = model.summary().vocab_size;
    let text = |_| random_text(specials, tokens, vocabulary, random);
    (0..count).map(text).collect()
}

/// Makes a text of `tokens` tokens: the first special token, random ids, the other special tokens.
fn random_text(
    specials: &[u32],
    tokens: usize,
    vocabulary: usize,
    random: &mut Xorshift,
) -> Encoding {
    let (first, last) = specials.split_at(specials.len().min(1));
    let mut ids = first.to_vec();
    ids.extend((specials.len()..tokens).map(|_| random.below(vocabulary)));
    ids.extend(last);
    Encoding::from_ids(ids)
}

/// Runs the model up to a classifier's logits, or up to the hidden states of any other model: what follows takes little time.
fn pass(model: &Model, texts: &[Encoding]) -> Result<Vec<Array2<f32>>> {
    Ok(match model.task() {
        Task::Classification => vec![model.logits_of_encodings(texts)?],
        _ => model.last_hidden_states(texts)?,
    })
}

/// A bar whose length is the milliseconds that all shapes take, each of them `time`.
fn progress_of(shapes: usize, time: Duration) -> Progress {
    let progress = Progress::new(Look::Share);
    progress.set_length(shapes as u64 * time.as_millis() as u64);
    progress
}

/// Shows how much of the time of shape `index` is spent.
fn show(progress: &Progress, index: usize, tokens: usize, time: Duration, spent: Duration) {
    let position = time * index as u32 + spent.min(time);
    progress.set_message(format!("{tokens} tokens"));
    progress.set_position(position.as_millis() as u64);
}

/// Times runs for `time`. Returns the times in ascending order. Calls `watch` with the time spent.
fn measure(
    model: &Model,
    texts: &[Encoding],
    time: Duration,
    watch: impl Fn(Duration),
) -> Result<Vec<Duration>> {
    let begin = Instant::now();
    pass(model, texts)?;
    while begin.elapsed() < time.mul_f64(WARM_UP) {
        pass(model, texts)?;
    }
    let mut times = Vec::new();
    while times.len() < LEAST_RUNS || begin.elapsed() < time {
        let run = Instant::now();
        let answers = pass(model, texts)?;
        times.push(run.elapsed());
        drop(answers);
        watch(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

impl StartRecord {
    fn report(&self) -> String {
        let memory = self.peak_rss_mb.map(|mb| format!("{mb:.1} MB"));
        [
            format!("load          {:.2} ms", self.load_ms),
            format!(
                "first answer  {:.2} ms after the process was started",
                self.first_ms
            ),
            format!("peak memory   {}", memory.as_deref().unwrap_or("not known")),
            format!(
                "computed on   {}, threads: {}, in {}",
                self.cpu, self.threads, self.dtype
            ),
            String::new(),
            columns::row(
                &COLUMNS,
                " ",
                &["tokens", "batch", "median ms", "p99 ms", "min ms"],
            ),
        ]
        .join("\n")
    }
}

impl ShapeRecord {
    /// Summarizes times in ascending order.
    fn new(tokens: usize, batch: usize, times: Vec<Duration>) -> Self {
        let at = |share| milliseconds(percentile(&times, share));
        Self {
            tokens,
            batch,
            median_ms: at(0.5),
            p99_ms: at(0.99),
            min_ms: at(0.0),
        }
    }

    fn row(&self) -> String {
        let counts = [self.tokens, self.batch].map(|count| count.to_string());
        let times = [self.median_ms, self.p99_ms, self.min_ms].map(|ms| format!("{ms:.3}"));
        columns::row(&COLUMNS, " ", &[&counts[..], &times].concat())
    }
}

/// Percentile of times in ascending order, by nearest rank.
pub(crate) fn percentile(times: &[Duration], share: f64) -> Duration {
    let rank = (share * times.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

/// Rounds to three decimals.
fn rounded(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

pub(crate) fn seconds(argument: &str) -> Result<Duration, String> {
    let seconds = argument
        .parse()
        .ok()
        .filter(|&seconds| seconds > 0.0 && seconds <= 3600.0);
    match seconds {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => Err("expected seconds, more than 0 and at most 3600".to_owned()),
    }
}

/// Pseudorandom numbers with a fixed seed (Marsaglia 2003, "Xorshift RNGs").
struct Xorshift(u32);

impl Xorshift {
    /// Draws a number below `bound`, which is at least 1.
    fn below(&mut self, bound: usize) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        ((u64::from(self.0) * bound as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |share| percentile(&times, share).as_millis();
        assert_eq!((at(0.0), at(0.5), at(0.99), at(1.0)), (1, 100, 198, 200));
        assert_eq!(percentile(&times[..1], 0.99).as_millis(), 1);
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn texts_are_of_the_vocabulary_and_have_their_length() {
        let mut random = Xorshift(1);
        for tokens in [2, 3, 100] {
            let text = random_text(&[101, 102], tokens, 7, &mut random);
            assert_eq!((text.len(), text.type_ids.len()), (tokens, tokens));
            assert_eq!((text.ids[0], text.ids[tokens - 1]), (101, 102));
            assert!(text.ids[1..tokens - 1].iter().all(|&id| id < 7));
        }
        assert_eq!(random_text(&[], 4, 7, &mut random).len(), 4);
        let ids = random_text(&[], 1000, 7, &mut random).ids;
        assert!((0..7).all(|id| ids.contains(&id)));
    }

    #[test]
    fn seconds_are_positive() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "long"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
