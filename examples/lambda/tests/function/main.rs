//! Tests of the function: starts the binary and sends it events through a Runtime API of its own.

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

/// Timeout of every wait, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Environment variable with the command that the tests start instead of this build's binary: a program, or an emulator, its
/// arguments and the program, separated by spaces.
const BOOTSTRAP: &str = "BERTLESS_BOOTSTRAP";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    here().join("../../fixtures")
}

/// Path of a packed classifier with three labels, at most 40 tokens and random weights.
fn packed() -> PathBuf {
    fixtures().join("packed/bert-classify.safetensors")
}

/// Reads a sample event of the folder `events`.
fn event(name: &str) -> Value {
    let path = here().join("events").join(name).with_extension("json");
    let text = std::fs::read_to_string(&path);
    serde_json::from_str(&text.unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

/// Returns the model's own prediction as JSON.
fn expected(model: &Model, input: impl bertless::AsInput) -> Value {
    let prediction = model.predict(input).unwrap();
    serde_json::from_str(&serde_json::to_string(&prediction).unwrap()).unwrap()
}

/// Asserts that an answer is the model's: to the bit, or within 1e-5 if [`BOOTSTRAP`] names another binary, which may use other
/// instructions.
#[track_caller]
fn assert_same(got: &Value, expected: &Value) {
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

/// Builds the command that starts the function: this build's binary, or what [`BOOTSTRAP`] names.
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

/// Running function, which is killed when this value is dropped.
struct Function {
    child: Child,
    api: RuntimeApi,
    /// Lines of its log so far.
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Function {
    async fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_as(command(environment)).await
    }

    /// Starts `command` and waits until init is over, which is when the function asks for an event.
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
        timeout(PATIENCE, api.next_calls(1))
            .await
            .expect("the function is ready");
        Self { child, api, lines }
    }

    /// Sends `payload` unchanged and waits for the reply.
    async fn send(&self, payload: impl Into<Vec<u8>>) -> Reply {
        let reply = timeout(PATIENCE, self.api.invoke(payload.into())).await;
        reply
            .expect("the function replies in time")
            .expect("the function replies")
    }

    /// Sends an event and returns the response.
    async fn invoke(&self, event: &Value) -> Value {
        let reply = self.send(event.to_string()).await;
        assert!(!reply.failed, "{event}: {reply:?}");
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// Waits for a log line for which `wanted` is true.
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

    /// Waits until the process has ended.
    async fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the function does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns a number of the process's `/proc/PID/status`.
    fn status(&self, name: &str) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().split_whitespace().next();
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that the reply to a direct request is an error with this status, and that its reason contains `says`.
#[track_caller]
fn assert_error(reply: &Reply, status: u16, says: &str) {
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(reply.failed, "{error}");
    let (kind, reason) = (error["errorType"].as_str(), error["errorMessage"].as_str());
    let (kind, reason) = (kind.unwrap(), reason.unwrap());
    assert!(kind.starts_with(&status.to_string()), "{error}");
    assert!(reason.contains(says), "{says:?} is not in {reason:?}");
}
