//! Threads that make predictions, and the queue in front of them.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use bertless::{CancelToken, Model};
use bertless_questions::{Answer, ApiError, Question, answers};
use tokio::sync::oneshot;

/// Threads that share one model. They end when the pool is dropped and the queue is empty.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: SyncSender<Job>,
}

#[derive(Debug)]
struct Job {
    questions: Vec<Result<Question, ApiError>>,
    cancel: CancelToken,
    reply: oneshot::Sender<Vec<Answer>>,
}

/// Guard that cancels a job when it is dropped, which happens if the client leaves before its answer.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Pool {
    /// Starts `workers` threads, for which up to `queue` requests may wait.
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

    /// Computes the answers to `questions` together and waits for them. Dropping the future cancels the computation.
    ///
    /// # Errors
    /// 503 if the queue is full.
    pub(crate) async fn answer(
        &self,
        questions: Vec<Result<Question, ApiError>>,
    ) -> Result<Vec<Answer>, ApiError> {
        let (reply, answers) = oneshot::channel();
        let cancel = CancelToken::new();
        let _cancel = CancelOnDrop(cancel.clone());
        let job = Job {
            questions,
            cancel,
            reply,
        };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ApiError::new(503, "too many requests are waiting: try again"),
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
    while let Ok(job) = next() {
        // Skips a job whose client has left while it waited.
        if !job.reply.is_closed() {
            let options = model.predict_options().clone().cancel(job.cancel);
            let _ = job.reply.send(answers(model, job.questions, &options));
        }
    }
}
