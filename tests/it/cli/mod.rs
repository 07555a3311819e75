//! The `bertless` command, run as a process on the tiny models of `fixtures/models`.

mod answers;
mod bench;
mod cost;
mod errors;
mod figures;
mod memory;
mod packing;
mod refusals;
mod texts;
mod training;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Ran {
    /// The lines of standard output, of a command that succeeded.
    #[track_caller]
    fn lines(&self) -> Vec<&str> {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        assert!(self.out.is_empty() || self.out.ends_with('\n'), "{self:?}");
        self.out.lines().collect()
    }

    /// The lines of standard output, each parsed as JSON, of a command that succeeded.
    #[track_caller]
    fn objects(&self) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[track_caller]
    fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bertless"))
}

/// Runs `bertless` with these arguments.
fn bertless(arguments: &[&str]) -> Ran {
    bertless_reading(arguments, b"")
}

/// Runs `bertless` with these arguments and with `input` on standard input.
fn bertless_reading(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // From a thread of its own: the command answers before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap(); // a command may end before its input does
    Ran {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// Runs a command on a fixture model: its name first, then the rest.
fn on(model: &str, name: &str, rest: &[&str]) -> Ran {
    on_reading(model, name, rest, b"")
}

fn on_reading(model: &str, name: &str, rest: &[&str], input: &[u8]) -> Ran {
    let dir = fixture(model);
    let dir = dir.to_str().unwrap();
    bertless_reading(&[&[name, "--model", dir], rest].concat(), input)
}

fn fixture(model: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/models").join(model)
}

/// What the references say about the first text of a fixture.
fn reference(model: &str) -> Value {
    let bytes = std::fs::read(fixture(model).join("reference.json")).unwrap();
    let mut json: Value = serde_json::from_slice(&bytes).unwrap();
    json["inputs"][0].take()
}

/// The keys of an object as they stand in its line, since `Value` sorts them.
#[track_caller]
fn begins(line: &str, keys: &[&str]) {
    let mut from = 0;
    for key in keys {
        let key = format!("\"{key}\":");
        match line[from..].find(&key) {
            Some(at) => from += at + key.len(),
            None => panic!("no {key} where it should be in {line}"),
        }
    }
}

/// Scores are f32 of another arithmetic than ours.
#[track_caller]
fn near(score: &Value, expected: &Value) {
    let (score, expected) = (score.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!((score - expected).abs() < 1e-5, "{score} {expected}");
}
