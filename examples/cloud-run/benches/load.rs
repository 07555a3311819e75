//! Load test: clients that send requests without a pause. Reports errors, latency and the server's memory.
//!
//! ```sh
//! cargo bench --bench load -- --model model.safetensors --seconds 60
//! ```

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinSet;

/// Number of concurrent clients: Cloud Run's default for concurrent requests per instance.
const CLIENTS: usize = 80;
/// Text of 31 tokens for all-MiniLM-L6-v2, special tokens included.
const TEXT: &str = "The quick brown fox jumps over the lazy dog while the old man sits on the bench and reads \
                    about the weather in the north of the country.";

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo test --benches` runs this program without a model.
    let Some(model) = argument("--model") else {
        println!("not run: --model FILE is not given");
        return Ok(());
    };
    let seconds = argument("--seconds").unwrap_or("60".to_owned()).parse()?;
    let mut server = KillOnDrop(
        Command::new(env!("CARGO_BIN_EXE_bertless-cloud-run"))
            .env("PORT", "8089")
            .env("BERTLESS_MODEL", model)
            .stdout(Stdio::null())
            .spawn()?,
    );
    let result = run(server.0.id(), Duration::from_secs(seconds)).await;
    ensure!(
        server.0.try_wait()?.is_none(),
        "the server ended during the test"
    );
    result
}

async fn run(pid: u32, duration: Duration) -> Result<()> {
    let url = "http://127.0.0.1:8089/predict";
    let body = serde_json::json!({ "text": TEXT }).to_string();
    let begin = Instant::now();
    while Client::new().get(url).send().await.is_err() {
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "the server does not answer"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let end = Instant::now() + duration;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, body) = (Client::new(), body.clone());
        clients.spawn(async move {
            let (mut times, mut errors, mut tokens) = (Vec::new(), 0, 0);
            while Instant::now() < end {
                let begin = Instant::now();
                let sent = client.post(url).body(body.clone()).send().await;
                let read = match sent.and_then(reqwest::Response::error_for_status) {
                    Ok(response) => response.bytes().await,
                    Err(error) => Err(error),
                };
                match read {
                    Ok(bytes) => {
                        times.push(begin.elapsed());
                        if tokens == 0 {
                            let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                            tokens = answer["n_tokens"].as_u64().unwrap_or_default();
                        }
                    }
                    Err(_) => errors += 1,
                }
            }
            (times, errors, tokens)
        });
    }
    let mut memory = vec![resident(pid)?];
    while Instant::now() + Duration::from_secs(1) < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.push(resident(pid)?);
    }
    let (mut times, mut errors, mut tokens) = (Vec::new(), 0, 0);
    while let Some(client) = clients.join_next().await {
        let (own, failed, read) = client?;
        times.extend(own);
        errors += failed;
        tokens = read;
    }
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    let rate = times.len() as f64 / duration.as_secs_f64();
    println!("{CLIENTS} clients, {duration:?}, texts of {tokens} tokens");
    println!(
        "{} answers, {rate:.0} per second, {errors} errors",
        times.len()
    );
    println!(
        "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
    println!(
        "memory every ten seconds, in MiB: {:.1?}",
        memory.iter().step_by(10).collect::<Vec<_>>()
    );
    println!(
        "peak memory: {:.1} MiB",
        memory.iter().copied().fold(0.0, f64::max)
    );
    ensure!(errors == 0, "{errors} requests failed");
    Ok(())
}

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = kib
        .ok_or_else(|| anyhow!("no VmRSS"))?
        .parse()
        .context("VmRSS")?;
    Ok(kib / 1024.0)
}

fn argument(name: &str) -> Option<String> {
    std::env::args()
        .skip_while(|argument| argument != name)
        .nth(1)
}

/// Child process that is killed when this value is dropped.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
