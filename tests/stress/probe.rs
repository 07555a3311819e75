//! Program for the stress tests: opens a model with the library, makes one measurement, and prints it as a line of `key=value`.
//!
//! ```text
//! stress-probe first WAY MODEL DTYPE              time of opening, of the first and of the second request
//! stress-probe idle WAY MODEL THREADS SECONDS     processor time of an idle model
//! stress-probe serve WAY MODEL THREADS REQUESTS PAUSE_MS
//!                                                 latency, processor time, page faults and memory of many requests
//! ```
//!
//! WAY is `folder`, `read`, `map` or `static`. For `static` the program must be built with `cargo rustc .. -- --cfg embedded`,
//! BERTLESS_EMBED must name the packed file to embed, and MODEL is ignored.
#![allow(
    unexpected_cfgs,
    reason = "the script first_request passes `--cfg embedded`"
)]

use std::error::Error;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use bertless::{Dtype, Model, ModelOptions};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["first", way, model, dtype] => measure_first_requests(way, model, dtype),
        ["idle", way, model, threads, seconds] => measure_idle(
            &open(way, model, ModelOptions::new().threads(threads.parse()?))?,
            Duration::from_secs(seconds.parse()?),
        ),
        ["serve", way, model, threads, requests, pause] => {
            let options = match threads {
                "granted" => ModelOptions::new(),
                threads => ModelOptions::new().threads(threads.parse()?),
            };
            measure_requests(
                &open(way, model, options)?,
                requests.parse()?,
                Duration::from_millis(pause.parse()?),
            )
        }
        _ => Err("expected first, idle or serve, and its arguments".into()),
    }
}

fn open(way: &str, model: &str, options: ModelOptions) -> Result<Model> {
    Ok(match way {
        "folder" | "read" => Model::load_with(model, options)?,
        "map" => {
            // SAFETY: no script writes to a model file while a probe runs.
            #[allow(unsafe_code, reason = "mapping asks for the caller's promise")]
            let options = unsafe { options.map() };
            Model::load_with(model, options)?
        }
        "static" => embedded(options)?,
        other => return Err(format!("{other}: not a way to open a model").into()),
    })
}

#[cfg(embedded)]
fn embedded(options: ModelOptions) -> Result<Model> {
    let bytes = bertless::include_model!(env!("BERTLESS_EMBED"));
    Ok(Model::from_bytes_with(bytes, options)?)
}

#[cfg(not(embedded))]
fn embedded(_: ModelOptions) -> Result<Model> {
    Err("this program was built without an embedded model".into())
}

/// Times opening and the first two requests, which are different texts of equal length.
fn measure_first_requests(way: &str, model: &str, dtype: &str) -> Result<()> {
    let options = ModelOptions::new().threads(1);
    let options = match dtype {
        "stored" => options,
        dtype => options.dtype(dtype.parse::<Dtype>()?),
    };
    let (model, opened) = timed(|| open(way, model, options))?;
    let request = |text: &str| -> Result<(usize, Elapsed)> {
        let (answer, times) = timed(|| Ok(model.predict(text)?))?;
        Ok((answer.n_tokens(), times))
    };
    let first = request(
        "A moving and often very funny story about two old friends who meet again after many long years apart and slowly \
         find out that very little has really changed.",
    )?;
    let second = request(
        "The battery of this small camera lasts a whole day, but its screen is much too dark outside and the buttons are \
         hard to press when it gets cold.",
    )?;
    let tokens = [first.0, second.0];
    if tokens[0].abs_diff(tokens[1]) > 1 {
        return Err(format!("texts of {tokens:?} tokens").into());
    }
    let times = [("open", opened), ("first", first.1), ("second", second.1)];
    let times = times.map(|(what, times)| {
        let (wall, processor) = (milliseconds(times.wall), milliseconds(times.processor));
        format!("{what}_ms={wall:.3} {what}_processor_ms={processor:.3}")
    });
    println!("{} tokens={}", times.join(" "), tokens[0]);
    Ok(())
}

/// Duration of a piece of work: wall-clock time, and processor time of all threads.
struct Elapsed {
    wall: Duration,
    processor: Duration,
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Elapsed)> {
    let (begin, processor) = (Instant::now(), processor_time()?);
    let done = work()?;
    let wall = begin.elapsed();
    let processor = processor_time()?.saturating_sub(processor);
    Ok((done, Elapsed { wall, processor }))
}

/// Measures the processor time that an idle model takes after it has answered requests.
fn measure_idle(model: &Model, time: Duration) -> Result<()> {
    let texts = ["A fine film."; 16];
    for _ in 0..20 {
        model.predict_batch(texts)?;
    }
    let before = processor_time()?;
    std::thread::sleep(time);
    let used = processor_time()?.saturating_sub(before);
    println!(
        "threads={} idle_s={:.1} processor_ms={:.3}",
        model.threads(),
        time.as_secs_f64(),
        milliseconds(used)
    );
    Ok(())
}

/// Measures requests with different texts of 30 words.
fn measure_requests(model: &Model, requests: usize, pause: Duration) -> Result<()> {
    let mut words = TextGenerator::new(model);
    for _ in 0..3 {
        model.predict(&*words.text())?;
    }
    let (before, processor) = (faults()?, processor_time()?);
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let text = words.text();
        std::thread::sleep(pause);
        let begin = Instant::now();
        model.predict(&*text)?;
        latencies.push(begin.elapsed());
    }
    let (wall, processor) = (begin.elapsed(), processor_time()?.saturating_sub(processor));
    let after = faults()?;
    latencies.sort_unstable();
    let at = |share: f64| {
        let last = latencies.len().saturating_sub(1);
        let latency = latencies.get((latencies.len() as f64 * share) as usize);
        milliseconds(*latency.unwrap_or(&latencies[last]))
    };
    println!(
        "threads={} mean_ms={:.3} p50_ms={:.3} p99_ms={:.3} processor_ms={:.3} major_faults={} minor_faults={} \
         peak_kib={} address_kib={}",
        model.threads(),
        milliseconds(wall.saturating_sub(pause * requests as u32)) / requests as f64,
        at(0.5),
        at(0.99),
        milliseconds(processor) / requests as f64,
        after.major - before.major,
        after.minor - before.minor,
        status("VmHWM:")?,
        status("VmPeak:")?,
    );
    Ok(())
}

/// Generator of texts from words that are single tokens of the vocabulary, the same texts in each run. Vocabularies begin with their
/// most frequent words. The frequency of a word in the texts follows Zipf's law.
struct TextGenerator {
    words: Vec<String>,
    state: u64,
}

impl TextGenerator {
    fn new(model: &Model) -> Self {
        let tokenizer = model.tokenizer();
        let ids = 0..tokenizer.vocab_size() as u32;
        let words = ids.filter_map(|id| tokenizer.id_to_token(id).map(|token| token.to_string()));
        let words = words.filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
        Self {
            words: words.collect(),
            state: 1,
        }
    }

    fn text(&mut self) -> String {
        let words: Vec<&str> = (0..30)
            .map(|_| {
                // Knuth's linear congruential generator, of which only the high bits are random enough.
                let state = self.state.wrapping_mul(6364136223846793005);
                self.state = state.wrapping_add(1442695040888963407);
                let share = (self.state >> 33) as f64 / (1u64 << 31) as f64;
                let rank = (self.words.len() as f64).powf(share) as usize;
                self.words[rank - 1].as_str()
            })
            .collect();
        words.join(" ")
    }
}

/// Returns the processor time of all threads, in nanoseconds.
fn processor_time() -> Result<Duration> {
    // The kernel adds up a thread's time when the thread yields.
    std::thread::yield_now();
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let ran = read_to_string(task?.path().join("schedstat"))?;
        let ran = ran.split_whitespace().next().ok_or("an empty schedstat")?;
        sum += ran.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

struct Faults {
    minor: u64,
    major: u64,
}

fn faults() -> Result<Faults> {
    let stat = read_to_string("/proc/self/stat")?;
    // The second field is the program's name in brackets; page faults are fields 10 and 12.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(Faults {
        minor: fields[10 - 3].parse()?,
        major: fields[12 - 3].parse()?,
    })
}

/// Returns a value of `/proc/self/status`, in KiB.
fn status(key: &str) -> Result<u64> {
    let status = read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("a key of status is missing")?.parse()?)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
