//! Threads that answer, and the queue in front of them.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use bertless::Model;
use bertless_questions::{Answer, ApiError, Question, answers};
use tokio::sync::oneshot;

/// Threads with one model between them. They end when the pool is dropped and the queue is empty.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: SyncSender<Job>,
}

#[derive(Debug)]
struct Job {
    questions: Vec<Result<Question, ApiError>>,
    reply: oneshot::Sender<Vec<Answer>>,
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
    pub(crate) async fn answer(
        &self,
        questions: Vec<Result<Question, ApiError>>,
    ) -> Result<Vec<Answer>, ApiError> {
        let (reply, answers) = oneshot::channel();
        self.queue
            .try_send(Job { questions, reply })
            .map_err(|error| match error {
                TrySendError::Full(_) => {
                    ApiError::new(503, "too many requests are waiting: try again")
                }
                TrySendError::Disconnected(_) => ApiError::lost(),
            })?;
        answers.await.map_err(|_| ApiError::lost())
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
            let _ = reply.send(answers(model, questions));
        }
    }
}
