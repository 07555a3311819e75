//! Tests of the server: starts the binary and sends it requests over HTTP.

mod connections;
mod cors;
mod events;
mod load;
mod log;
mod requests;
mod shutdown;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Timeout of every wait, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Path of a packed classifier with three labels, at most 40 tokens and random weights.
fn packed() -> PathBuf {
    fixtures().join("packed/bert-classify.safetensors")
}

fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bertless-cloud-run"));
    command
        .env_clear()
        .env("PORT", "0")
        .env("BERTLESS_MODEL", packed())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Running server, which is killed when this value is dropped.
struct Server {
    child: Child,
    port: u64,
    /// Lines of its log so far.
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = command(environment).spawn().unwrap();
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
        let mut server = Self {
            child,
            port: 0,
            lines,
        };
        let ready = server.line(|line| line["message"] == "ready");
        server.port = ready["port"].as_u64().unwrap();
        server
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

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        Client::new().post(self.url(path)).timeout(PATIENCE)
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits until the process has ended.
    fn ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the peak memory of the process, in bytes.
    fn peak(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: usize = line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kib << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request, and returns the status and the JSON of the response.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text);
    (
        status,
        json.unwrap_or_else(|_| panic!("not JSON: {text:?}")),
    )
}

/// Asserts that a response is an error with the status `expected`, and that its reason contains `says`.
#[track_caller]
fn assert_error((status, answer): (u16, Value), expected: u16, says: &str) {
    let error = &answer["error"];
    assert_eq!(
        (status, &error["status"]),
        (expected, &expected.into()),
        "{answer}"
    );
    let reason = error["reason"].as_str().unwrap();
    assert!(reason.contains(says), "{says:?} is not in {reason:?}");
}
