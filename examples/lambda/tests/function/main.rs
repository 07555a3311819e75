//! The real binary, driven as AWS Lambda drives it.

mod http;
mod log;
mod pings;
mod process;
mod questions;
mod queue;
mod runtime_api;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bertless::Model;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::timeout;

use runtime_api::{Reply, RuntimeApi};

/// Long enough for a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(30);

const BOOTSTRAP: &str = "BERTLESS_BOOTSTRAP";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    here().join("../../fixtures")
}

/// A classifier of three labels that reads up to 40 tokens, with random weights.
fn packed() -> PathBuf {
    fixtures().join("packed/bert-classify.safetensors")
}

/// A sample event.
fn event(name: &str) -> Value {
    let path = here().join("events").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path);
    serde_json::from_str(&text.unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

/// What the model itself says, as JSON.
fn expected(model: &Model, input: impl bertless::AsInput) -> Value {
    let prediction = model.predict(input).unwrap();
    serde_json::from_str(&serde_json::to_string(&prediction).unwrap()).unwrap()
}

/// That an answer is the model's: to the bit, or nearly so if it was computed by the instructions of another processor.
#[track_caller]
fn same(got: &Value, expected: &Value) {
    let apart = match std::env::var_os(BOOTSTRAP) {
        None => 0.0,
        Some(_) => 1e-5,
    };
    assert!(near(got, expected, apart), "{got} is not {expected}");
}

fn near(a: &Value, b: &Value, apart: f64) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= apart
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b, apart))
        }
        (Value::Object(a), Value::Object(b)) => {
            let in_b = |(key, a)| b.get(key).is_some_and(|b| near(a, b, apart));
            a.len() == b.len() && a.iter().all(in_b)
        }
        (a, b) => a == b,
    }
}

/// `BERTLESS_BOOTSTRAP` names another binary than the one of this build, perhaps after an emulator and its arguments.
fn command(environment: &[(&str, &str)]) -> Command {
    let chosen = std::env::var(BOOTSTRAP);
    let mut words = chosen
        .as_deref()
        .unwrap_or(env!("CARGO_BIN_EXE_bootstrap"))
        .split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
        .env("AWS_LAMBDA_FUNCTION_NAME", "predict")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
        .env("BERTLESS_MODEL", packed())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// A running function; killed if a test ends without stopping it.
struct Function {
    child: Child,
    api: RuntimeApi,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Function {
    async fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_as(command(environment)).await
    }

    /// Waits until init is over: an event is asked for.
    async fn start_as(mut command: Command) -> Self {
        let api = RuntimeApi::start().await.unwrap();
        command.env("AWS_LAMBDA_RUNTIME_API", api.address.to_string());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        std::thread::spawn(move || {
            for line in out.lines() {
                let line = line.unwrap();
                let object = serde_json::from_str(&line);
                let object = object.unwrap_or_else(|_| panic!("not a line of JSON: {line}"));
                written.lock().unwrap().push(object);
            }
        });
        timeout(PATIENCE, api.asked(1)).await.expect("it is ready");
        Self { child, api, lines }
    }

    /// Sends an event as it is.
    async fn send(&self, payload: impl Into<Vec<u8>>) -> Reply {
        let reply = timeout(PATIENCE, self.api.invoke(payload.into())).await;
        reply.expect("it replies in time").expect("it replies")
    }

    /// Its response to an event.
    async fn invoke(&self, event: &Value) -> Value {
        let reply = self.send(event.to_string()).await;
        assert!(!reply.failed, "{event}: {reply:?}");
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// Waits for a line of its log.
    fn line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let lines = self.lines.lock().unwrap();
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            assert!(begin.elapsed() < PATIENCE, "no such line in {lines:#?}");
            drop(lines);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits until it has ended.
    async fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A figure of its `/proc/PID/status`.
    fn status(&self, name: &str) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.unwrap().split_whitespace().next();
        figure.unwrap().parse().unwrap()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// That a direct request fails as it should: with this status, and these words in its reason.
#[track_caller]
fn failed(reply: &Reply, status: u16, says: &str) {
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(reply.failed, "{error}");
    let (kind, reason) = (error["errorType"].as_str(), error["errorMessage"].as_str());
    let (kind, reason) = (kind.unwrap(), reason.unwrap());
    assert!(kind.starts_with(&status.to_string()), "{error}");
    assert!(reason.contains(says), "{says:?} is not in {reason:?}");
}
