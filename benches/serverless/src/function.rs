//! A function's process, from its start to its end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::timeout;

use crate::cgroup::Cgroup;
use crate::measure::Plan;
use crate::runtime_api::RuntimeApi;

/// Lambda ends an init after 10 s; what takes longer here is measured, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Becomes one of the group, says so, and waits for a word before it becomes the function: only from then on is time
/// measured.
const DOOR: &str = r#"
    while [ "$1" != -- ]; do echo $$ > "$1" || exit; shift; done
    shift
    echo entered
    read word
    exec "$@" > /dev/null
"#;

/// A function that waits for events; ended with its value.
#[derive(Debug)]
pub(crate) struct Function {
    child: Child,
    api: RuntimeApi,
    group: Cgroup,
    /// From the start to the first time that it asked for an event.
    pub(crate) init: Duration,
    answered: u64,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Start {
    Ready(Function),
    /// Its memory is not enough.
    Killed,
}

impl Function {
    pub(crate) async fn start(plan: &Plan, memory: u32) -> Result<Start> {
        let api = RuntimeApi::start().await?;
        let group = Cgroup::of_memory(memory)?;
        let mut child = Command::new("sh")
            .args(["-c", DOOR, "sh"])
            .args(group.doors())
            .arg("--")
            .args(&plan.command)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "predict")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string())
            .envs(plan.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut entered = String::new();
        let said = child.stdout.take().context("no output")?;
        BufReader::new(said).read_line(&mut entered)?;
        ensure!(entered == "entered\n", "the process cannot enter its group");

        let mut function = Self {
            child,
            api,
            group,
            init: Duration::ZERO,
            answered: 0,
        };
        let mut word = function.child.stdin.take().context("no input")?;
        let begin = Instant::now();
        word.write_all(b"go\n")?;
        drop(word);
        loop {
            let asked = function.api.asked(1);
            if timeout(Duration::from_millis(200), asked).await.is_ok() {
                break;
            }
            if let Some(status) = function.child.try_wait()? {
                if function.group.killed() {
                    return Ok(Start::Killed);
                }
                bail!("{:?} ended in init: {status}", plan.command);
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{:?} is never ready",
                plan.command
            );
        }
        function.init = begin.elapsed();
        Ok(Start::Ready(function))
    }

    /// How long an event keeps it: until it asks for the next one, which is what Lambda bills, and where a function waits
    /// whose share of the processor is used up. Nothing if it has no memory left for it.
    pub(crate) async fn ask(&mut self, event: &str) -> Result<Option<Duration>> {
        let reply = timeout(PATIENCE, self.api.invoke(event.to_owned())).await;
        match reply {
            Ok(Some(reply)) if !reply.failed => {
                let answer: Value = serde_json::from_slice(&reply.body)?;
                ensure!(answer["n_tokens"].is_u64(), "no answer: {answer}");
                self.answered += 1;
                let next = timeout(PATIENCE, self.api.asked(1 + self.answered)).await;
                next.context("it asks for no other event")?;
                Ok(Some(reply.began.elapsed()))
            }
            _ if self.group.killed() => Ok(None),
            other => bail!("{other:?}"),
        }
    }

    /// The most memory that it has had, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let figure = line.and_then(|line| line.split_whitespace().next());
        Ok(figure.context("no VmHWM")?.parse()?)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
