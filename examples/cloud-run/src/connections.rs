//! Connections: HTTP/1.1, and HTTP/2 without TLS. Closes a connection whose client stops sending.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt;

use crate::routes::{self, SharedApp};
use crate::shutdown;

/// Time that a connection may stay open between two requests. It is longer than the ten minutes of Google's front end: a
/// connection that this side closes just when the next request comes would lose that request.
const IDLE: Duration = Duration::from_secs(650);

/// Time for the rest of a request to arrive on a connection that is being closed.
const CLOSING: Duration = Duration::from_secs(1);

/// Interval of HTTP/2 pings, which detect clients that are gone.
const PING: Duration = Duration::from_secs(60);

/// Serves requests until SIGTERM, and then until no new ones arrive. Returns when every request that was received has its
/// response.
pub(crate) async fn serve(listener: TcpListener, app: SharedApp) {
    let router = routes::router(app.clone());
    let patience = app.read_timeout();
    let mut builder = Builder::new(TokioExecutor::new());
    // Hyper's timeout would close idle connections, too. `Progress` distinguishes them from incomplete requests.
    builder.http1().header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING);
    let builder = Arc::new(builder);
    let closing = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut quiet = std::pin::pin!(shutdown::when_quiet(app));
    loop {
        tokio::select! {
            () = &mut quiet => break,
            stream = accepted(&listener) => {
                let connection = Connection {
                    builder: builder.clone(),
                    router: router.clone(),
                    patience,
                    closing: closing.subscribe(),
                };
                connections.spawn(connection.serve(stream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    closing.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// Waits for the next connection. Skips a connection that fails while it is opened. Waits a second if the system cannot open
/// more of them.
async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Responses are small and sent in one write, so delaying packets to merge them would gain nothing.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
                let of_client = [ConnectionAborted, ConnectionRefused, ConnectionReset];
                if !of_client.contains(&error.kind()) {
                    tracing::error!(severity = "ERROR", %error, "no connection can be accepted");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    router: Router,
    /// Time that the head of a request may take to arrive.
    patience: Duration,
    /// True once the server closes all connections.
    closing: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        let progress = Arc::new(Progress::new());
        let io = Watched {
            io: TokioIo::new(stream),
            progress: progress.clone(),
        };
        let router = self.router;
        let watching = progress.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answering = Answering::begin(watching.clone());
            let response = router.clone().oneshot(request.map(Body::new));
            async move {
                response
                    .await
                    .map(|response| answering.until_sent(response))
            }
        });
        let mut served = std::pin::pin!(self.builder.serve_connection(io, service));
        let mut closing = false;
        loop {
            tokio::select! {
                // Ends with an error only if the client is gone.
                _ = served.as_mut() => return,
                () = progress.expires(self.patience, closing) => {
                    if closing {
                        return;
                    }
                    closing = true;
                    served.as_mut().graceful_shutdown();
                }
                () = until_closing(&mut self.closing), if !closing => {
                    closing = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Waits until the server starts to close all connections.
async fn until_closing(closing: &mut watch::Receiver<bool>) {
    // Waiting cannot fail: `serve` holds the sender until this connection has ended.
    let _ = closing.wait_for(|&closing| closing).await;
}

/// State of a connection's requests, for its timeouts.
#[derive(Debug)]
struct Progress {
    now: Mutex<Now>,
    changed: Notify,
}

#[derive(Debug)]
struct Now {
    /// Number of requests whose head has arrived and whose response has not been sent.
    answering: usize,
    /// Whether a request has begun to arrive. True for a new connection, which was opened for a request.
    arriving: bool,
    /// Time of the last change of the fields above.
    since: Instant,
}

impl Progress {
    fn new() -> Self {
        let now = Now {
            answering: 0,
            arriving: true,
            since: Instant::now(),
        };
        Self {
            now: Mutex::new(now),
            changed: Notify::new(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that bytes have arrived. If a request is being answered, the bytes are its body.
    fn arrived(&self) {
        let mut now = self.now();
        if now.answering == 0 && !now.arriving {
            (now.arriving, now.since) = (true, Instant::now());
            self.changed.notify_one();
        }
    }

    /// Waits until the client has taken too long: `patience` for the head of a request, [`IDLE`] between requests. If the
    /// connection is `closing`, the rest of a request has at most [`CLOSING`].
    async fn expires(&self, patience: Duration, closing: bool) {
        loop {
            let until = {
                let now = self.now();
                let allowed = match (closing, now.arriving) {
                    (false, true) => patience,
                    (false, false) => IDLE,
                    (true, true) => CLOSING.min(patience),
                    // The client has not read the whole response yet.
                    (true, false) => patience,
                };
                let begin = if closing { Instant::now() } else { now.since };
                (now.answering == 0).then(|| begin + allowed)
            };
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                () = self.changed.notified() => {}
            }
        }
    }
}

/// A request, from the arrival of its head until its response is sent.
struct Answering(Arc<Progress>);

impl Answering {
    fn begin(progress: Arc<Progress>) -> Self {
        let mut now = progress.now();
        now.answering += 1;
        now.arriving = false;
        drop(now);
        progress.changed.notify_one();
        Self(progress)
    }

    /// Keeps this request open until the body of its response has been sent.
    fn until_sent(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _until_sent = &self;
                frame
            }))
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.answering -= 1;
        now.since = Instant::now();
        drop(now);
        self.0.changed.notify_one();
    }
}

/// A stream that reports to a [`Progress`] when bytes arrive.
struct Watched {
    io: TokioIo<TcpStream>,
    progress: Arc<Progress>,
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if read.is_ready() {
            self.progress.arrived();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
