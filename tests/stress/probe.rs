//! A program of the library for the stress tests: opens a model in one of the ways, does one thing, and prints a line of
//! `key=value` measurements.
//!
//! ```text
//! stress-probe first WAY MODEL DTYPE              time of opening, of the first and of the second request
//! stress-probe idle WAY MODEL THREADS SECONDS     processor time of a model that nobody asks
//! stress-probe serve WAY MODEL THREADS REQUESTS PAUSE_MS
//!                                                 latency, processor time, page faults and memory of many requests
//! ```
//!
//! WAY is `folder`, `read`, `map` or `static`. For `static`, which takes any MODEL, the program is built with
//! `cargo rustc .. -- --cfg embedded` and BERTLESS_EMBED names the packed file to put into it.
#![allow(unexpected_cfgs, reason = "one script passes `embedded` by hand")]

use std::error::Error;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use bertless::{Dtype, Model, ModelOptions};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["first", way, model, dtype] => first(way, model, dtype),
        ["idle", way, model, threads, seconds] => idle(
            &open(way, model, ModelOptions::new().threads(threads.parse()?))?,
            Duration::from_secs(seconds.parse()?),
        ),
        ["serve", way, model, threads, requests, pause] => {
            let options = match threads {
                "granted" => ModelOptions::new(),
                threads => ModelOptions::new().threads(threads.parse()?),
            };
            serve(
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
            // SAFETY: the scripts write no model while a probe runs.
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
    Err("this program was built without a model inside".into())
}

/// Times opening and the first two requests, which are different texts of equal length.
fn first(way: &str, model: &str, dtype: &str) -> Result<()> {
    let options = ModelOptions::new().threads(1);
    let options = match dtype {
        "stored" => options,
        dtype => options.dtype(dtype.parse::<Dtype>()?),
    };
    let (model, opened) = timed(|| open(way, model, options))?;
    let request = |text: &str| -> Result<(usize, Times)> {
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

/// How long something took, and for how much of it a processor worked.
struct Times {
    wall: Duration,
    processor: Duration,
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Times)> {
    let (begin, processor) = (Instant::now(), processor_time()?);
    let done = work()?;
    let wall = begin.elapsed();
    let processor = processor_time()?.saturating_sub(processor);
    Ok((done, Times { wall, processor }))
}

/// Measures how much processor time a model takes that has answered and is then left alone.
fn idle(model: &Model, time: Duration) -> Result<()> {
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

/// Answers texts of 30 words, each with words of its own, and measures.
fn serve(model: &Model, requests: usize, pause: Duration) -> Result<()> {
    let mut words = Words::new(model);
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

/// Texts of words that the vocabulary has whole, the same in each run. Vocabularies begin with their frequent words, which
/// are taken as often as Zipf's law says.
struct Words {
    words: Vec<String>,
    state: u64,
}

impl Words {
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
                // Knuth's generator, whose high bits are the good ones.
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

/// The processor time of all threads, to the nanosecond.
fn processor_time() -> Result<Duration> {
    // What a thread has run is added up when it gives way.
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

/// A number of KiB of `/proc/self/status`.
fn status(key: &str) -> Result<u64> {
    let status = read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("a key of status is missing")?.parse()?)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
