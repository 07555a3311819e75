//! Test double of AWS Lambda's Runtime API, which delivers events to the function and receives its replies.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// Reply of the function to an event.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) request_id: String,
    /// Whether the reply is an error instead of a response.
    pub(crate) failed: bool,
    pub(crate) body: Bytes,
    /// Time at which the event was delivered.
    pub(crate) began: Instant,
}

/// Runtime API for one function. Events wait until the function asks for one.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: mpsc::UnboundedSender<Event>,
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    /// Events that were delivered and have no reply yet, by request id, with the time of delivery.
    open: Mutex<HashMap<String, (Instant, oneshot::Sender<Reply>)>>,
    /// Number of times that the function has asked for an event.
    next_calls: watch::Sender<u64>,
    /// Number of events that were delivered.
    delivered: watch::Sender<u64>,
}

#[derive(Debug)]
struct Event {
    payload: Bytes,
    headers: HeaderMap,
    reply: oneshot::Sender<Reply>,
}

impl RuntimeApi {
    /// Starts a server on a free port of this machine.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let (events, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            events,
            queue: tokio::sync::Mutex::new(queue),
            open: Mutex::default(),
            next_calls: watch::Sender::new(0),
            delivered: watch::Sender::new(0),
        });
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(response))
            .route(&format!("{invocation}/{{id}}/error"), post(error))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self { address, shared })
    }

    /// Waits until the function has asked for an event at least `times` times since its start.
    pub(crate) async fn next_calls(&self, times: u64) {
        until_at_least(&self.shared.next_calls, times).await;
    }

    /// Waits until at least `events` events have been delivered.
    pub(crate) async fn delivered(&self, events: u64) {
        until_at_least(&self.shared.delivered, events).await;
    }

    /// Returns the number of events that were delivered and have no reply yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.shared
            .open
            .lock()
            .expect("no thread panics while it holds the lock")
            .len()
    }

    /// Sends an event and waits for the reply. Returns `None` if the function ends without one.
    pub(crate) async fn invoke(&self, payload: impl Into<Bytes>) -> Option<Reply> {
        self.invoke_with(payload, HeaderMap::new()).await
    }

    /// Sends an event with additional headers and waits for the reply. Returns `None` if the function ends without one.
    pub(crate) async fn invoke_with(
        &self,
        payload: impl Into<Bytes>,
        headers: HeaderMap,
    ) -> Option<Reply> {
        let (reply, replied) = oneshot::channel();
        let payload = payload.into();
        let event = Event {
            payload,
            headers,
            reply,
        };
        self.shared.events.send(event).ok()?;
        replied.await.ok()
    }
}

async fn until_at_least(count: &watch::Sender<u64>, wanted: u64) {
    // Waiting cannot fail: the sender exists until this function returns.
    let _ = count.subscribe().wait_for(|&count| count >= wanted).await;
}

async fn next(State(shared): State<Arc<Shared>>) -> (HeaderMap, Bytes) {
    shared.next_calls.send_modify(|count| *count += 1);
    let event = shared.queue.lock().await.recv().await;
    let Event {
        payload,
        headers: mut own,
        reply,
    } = event.expect("`shared` holds the sender");
    let mut id = String::new();
    shared.delivered.send_modify(|count| {
        *count += 1;
        id = format!("request-{count}");
    });
    let headers = [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:predict",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        ),
    ];
    let header = |(name, value): (&'static str, &str)| {
        let value = HeaderValue::from_str(value).expect("the value is ASCII");
        (HeaderName::from_static(name), value)
    };
    own.extend(headers.map(header));
    let mut open = shared
        .open
        .lock()
        .expect("no thread panics while it holds the lock");
    open.insert(id, (Instant::now(), reply));
    (own, payload)
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    shared.close(id, body, false)
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    shared.close(id, body, true)
}

impl Shared {
    fn close(&self, request_id: String, body: Bytes, failed: bool) -> StatusCode {
        let mut open = self
            .open
            .lock()
            .expect("no thread panics while it holds the lock");
        let Some((began, reply)) = open.remove(&request_id) else {
            return StatusCode::BAD_REQUEST;
        };
        // The sender of the event may have stopped waiting.
        let _ = reply.send(Reply {
            request_id,
            failed,
            body,
            began,
        });
        StatusCode::ACCEPTED
    }
}
