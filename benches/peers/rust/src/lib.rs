//! Protocol of `compare.py`: requests on standard input, answers on standard output.

use std::io::{BufRead, Write};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Texts to compute together, each a list of token ids.
pub type Batch = Vec<Vec<u32>>;

#[derive(Deserialize)]
struct Request {
    batches: Vec<Batch>,
    seconds: f64,
}

#[derive(Serialize)]
struct Answer {
    ms: f64,
    first: Vec<f32>,
}

/// Reads the arguments: the model's path, and the number of threads.
pub fn arguments() -> (String, usize) {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().expect("a model");
    let threads = arguments.next().and_then(|count| count.parse().ok());
    (model, threads.expect("a number of threads"))
}

/// Answers requests by `run`, which returns the last hidden state of a batch's first token, or at least its first four numbers.
pub fn serve(mut run: impl FnMut(&Batch) -> Vec<f32>) {
    if std::env::args().nth(3).as_deref() == Some("once") {
        run(&vec![vec![101, 2023, 2003, 1037, 6251, 1012, 102]]);
        return;
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line.expect("a line")).expect("a request");
        let mut first = run(&request.batches[0]);
        first.truncate(4);
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.is_empty() || start.elapsed().as_secs_f64() < request.seconds {
            let begin = Instant::now();
            for batch in &request.batches {
                std::hint::black_box(run(batch));
            }
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let answer = Answer {
            ms: times[times.len() / 2],
            first,
        };
        println!("{}", serde_json::to_string(&answer).expect("an answer"));
        std::io::stdout().flush().expect("standard output");
    }
}

/// Pads a batch with zeros to its longest text. Returns the ids, the mask and the length of the longest text.
pub fn padded(batch: &Batch) -> (Vec<i64>, Vec<i64>, usize) {
    let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for text in batch {
        let filling = longest - text.len();
        ids.extend(text.iter().map(|&id| i64::from(id)));
        ids.extend(std::iter::repeat_n(0, filling));
        mask.extend(std::iter::repeat_n(1, text.len()));
        mask.extend(std::iter::repeat_n(0, filling));
    }
    (ids, mask, longest)
}
