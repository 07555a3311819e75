//! Process of a function: starts it, sends it events, and ends it.

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

/// Maximum time of an init or a request. Lambda ends an init after 10 s; a longer one is measured, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shell script that enters the group, prints "entered", waits for a line of input, and then executes the function. Time is measured
/// from that line on.
const ENTER_GROUP: &str = r#"
    while [ "$1" != -- ]; do echo $$ > "$1" || exit; shift; done
    shift
    echo entered
    read word
    exec "$@" > /dev/null
"#;

/// Running function that waits for events. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Function {
    child: Child,
    api: RuntimeApi,
    group: Cgroup,
    /// Time from the start of the process to its first call for an event.
    pub(crate) init: Duration,
    /// Number of events that the function has answered.
    answered: u64,
}

/// Result of a start.
#[derive(Debug)]
pub(crate) enum Start {
    /// The function waits for an event.
    Ready(Function),
    /// The process was killed because its memory ran out.
    OutOfMemory,
}

impl Function {
    pub(crate) async fn start(plan: &Plan, memory: u32) -> Result<Start> {
        let api = RuntimeApi::start().await?;
        let group = Cgroup::with_memory(memory)?;
        let mut child = Command::new("sh")
            .args(["-c", ENTER_GROUP, "sh"])
            .args(group.process_files())
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
        ensure!(
            entered == "entered\n",
            "the process could not enter its cgroup"
        );

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
            let next_calls = function.api.next_calls(1);
            if timeout(Duration::from_millis(200), next_calls)
                .await
                .is_ok()
            {
                break;
            }
            if let Some(status) = function.child.try_wait()? {
                if function.group.is_out_of_memory() {
                    return Ok(Start::OutOfMemory);
                }
                bail!("{:?} ended in init: {status}", plan.command);
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{:?} does not ask for an event",
                plan.command
            );
        }
        function.init = begin.elapsed();
        Ok(Start::Ready(function))
    }

    /// Sends an event and returns the time until the function asks for the next one, which is the time that Lambda bills. It
    /// includes the wait of a function that has used up its share of processor time. Returns `None` if the function was killed
    /// because its memory ran out.
    pub(crate) async fn request(&mut self, event: &str) -> Result<Option<Duration>> {
        let reply = timeout(PATIENCE, self.api.invoke(event.to_owned())).await;
        match reply {
            Ok(Some(reply)) if !reply.failed => {
                let answer: Value = serde_json::from_slice(&reply.body)?;
                ensure!(answer["n_tokens"].is_u64(), "no answer: {answer}");
                self.answered += 1;
                let next = timeout(PATIENCE, self.api.next_calls(1 + self.answered)).await;
                next.context("the function does not ask for the next event")?;
                Ok(Some(reply.began.elapsed()))
            }
            _ if self.group.is_out_of_memory() => Ok(None),
            other => bail!("{other:?}"),
        }
    }

    /// Returns the peak memory of the process, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.context("no VmHWM")?.parse()?)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
