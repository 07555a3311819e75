//! AWS Lambda's side of a function: the Runtime API, which hands out events and takes replies.

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

/// What a function said to an event.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) request_id: String,
    /// Whether it is an error of the function, and not its response.
    pub(crate) failed: bool,
    pub(crate) body: Bytes,
    /// When the event was handed out.
    pub(crate) began: Instant,
}

/// A Runtime API for one function. Events wait until they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: mpsc::UnboundedSender<Event>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    /// Those that were handed out and not answered.
    open: Mutex<HashMap<String, (Instant, oneshot::Sender<Reply>)>>,
    /// How often an event was asked for.
    asked: watch::Sender<u64>,
    /// How many events there were.
    handed_out: watch::Sender<u64>,
}

#[derive(Debug)]
struct Event {
    payload: Bytes,
    headers: HeaderMap,
    reply: oneshot::Sender<Reply>,
}

impl RuntimeApi {
    /// Listens on a port of this machine.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let (events, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            events,
            waiting: tokio::sync::Mutex::new(waiting),
            open: Mutex::default(),
            asked: watch::Sender::new(0),
            handed_out: watch::Sender::new(0),
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

    /// Waits until the function has asked for an event this many times since it is there.
    pub(crate) async fn asked(&self, times: u64) {
        reaches(&self.shared.asked, times).await;
    }

    /// Waits until the function has been given this many events.
    pub(crate) async fn handed_out(&self, events: u64) {
        reaches(&self.shared.handed_out, events).await;
    }

    /// How many events have been handed out and not been answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.shared
            .open
            .lock()
            .expect("nobody panics with it")
            .len()
    }

    /// Sends an event and waits for the reply; none comes from a function that ends meanwhile.
    pub(crate) async fn invoke(&self, payload: impl Into<Bytes>) -> Option<Reply> {
        self.invoke_with(payload, HeaderMap::new()).await
    }

    /// Sends an event with headers beside those that each event has.
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

async fn reaches(count: &watch::Sender<u64>, wanted: u64) {
    // The sender is here, so it does not end before.
    let _ = count.subscribe().wait_for(|&count| count >= wanted).await;
}

async fn next(State(shared): State<Arc<Shared>>) -> (HeaderMap, Bytes) {
    shared.asked.send_modify(|count| *count += 1);
    let event = shared.waiting.lock().await.recv().await;
    let Event {
        payload,
        headers: mut own,
        reply,
    } = event.expect("its sender is here");
    let mut id = String::new();
    shared.handed_out.send_modify(|count| {
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
        let value = HeaderValue::from_str(value).expect("no odd characters");
        (HeaderName::from_static(name), value)
    };
    own.extend(headers.map(header));
    let mut open = shared.open.lock().expect("nobody panics with it");
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
        let mut open = self.open.lock().expect("nobody panics with it");
        let Some((began, reply)) = open.remove(&request_id) else {
            return StatusCode::BAD_REQUEST;
        };
        // Whoever sent the event may have stopped waiting.
        let _ = reply.send(Reply {
            request_id,
            failed,
            body,
            began,
        });
        StatusCode::ACCEPTED
    }
}
