//! Threads that answer, and the queue in front of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use axum::http::StatusCode;
use bertless::{Input, Model, Prediction};
use tokio::sync::oneshot;

use crate::ask::Question;
use crate::failure::Failure;

/// Of each question its answer, or why it has none.
pub(crate) type Answers = Vec<Result<Prediction, Failure>>;

/// Threads with one model between them. They end when the pool is dropped and the queue is empty.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: SyncSender<Job>,
}

#[derive(Debug)]
struct Job {
    questions: Vec<Question>,
    reply: oneshot::Sender<Answers>,
}

impl Pool {
    /// Starts `workers` threads; as many requests as `queue` says may wait for one.
    pub(crate) fn start(model: Model, workers: usize, queue: usize) -> Result<Self> {
        let (sender, receiver) = sync_channel(queue);
        let (model, receiver) = (Arc::new(model), Arc::new(Mutex::new(receiver)));
        for worker in 0..workers {
            let (model, receiver) = (model.clone(), receiver.clone());
            thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || work(&model, &receiver))
                .context("a thread could not be started")?;
        }
        Ok(Self { queue: sender })
    }

    /// Waits for the answers to questions that are computed together.
    ///
    /// # Errors
    /// 503 if the queue is full.
    pub(crate) async fn answer(&self, questions: Vec<Question>) -> Result<Answers, Failure> {
        let (reply, answers) = oneshot::channel();
        self.queue
            .try_send(Job { questions, reply })
            .map_err(|error| match error {
                TrySendError::Full(_) => Failure::busy(),
                TrySendError::Disconnected(_) => lost(),
            })?;
        answers.await.map_err(|_| lost())
    }
}

fn work(model: &Model, queue: &Mutex<Receiver<Job>>) {
    let next = || {
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.recv()
    };
    while let Ok(Job { questions, reply }) = next() {
        // Nobody waits for the answers of a client that has gone.
        if !reply.is_closed() {
            let _ = reply.send(answers(model, &questions));
        }
    }
}

/// Answers all together; if that fails, each alone, so that one that cannot be answered takes no other with it.
fn answers(model: &Model, questions: &[Question]) -> Answers {
    let inputs: Vec<Input<'_>> = questions.iter().map(Question::input).collect();
    match caught(|| model.predict_batch(&inputs)) {
        Ok(predictions) => predictions.into_iter().map(Ok).collect(),
        Err(_) => {
            let alone = |&input: &Input<'_>| caught(|| model.predict(input));
            inputs.iter().map(alone).collect()
        }
    }
}

/// A defect that ends in a panic costs its request, not the thread.
fn caught<T>(predict: impl FnOnce() -> bertless::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(predict)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(lost()),
    }
}

/// Answers that should be there and are not.
pub(crate) fn lost() -> Failure {
    Failure::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the answer was lost to a defect of this program",
    )
}
