//! Connections: HTTP/1.1, and HTTP/2 without TLS. Each is closed once its client does not go on.

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

/// Time that a connection which is being closed has for the rest of a request.
const CLOSING: Duration = Duration::from_secs(1);

/// Interval of HTTP/2's pings, by which a client that is gone is found out.
const PING: Duration = Duration::from_secs(60);

/// Answers requests until SIGTERM, and after it until nobody asks any more. Returns when all that was begun is answered.
pub(crate) async fn serve(listener: TcpListener, app: SharedApp) {
    let router = routes::router(app.clone());
    let patience = app.read_timeout();
    let mut builder = Builder::new(TokioExecutor::new());
    // This timeout would close idle connections, too. `Progress` tells them from half a request.
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

/// Waits for the next connection. Skips one that fails while it is opened; waits a second where the system has no room for more.
async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole: nothing to wait for.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
                let of_client = [ConnectionAborted, ConnectionRefused, ConnectionReset];
                if !of_client.contains(&error.kind()) {
                    tracing::error!(severity = "ERROR", %error, "no connection can be taken");
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
                // An error would be the client's, who is gone.
                _ = served.as_mut() => return,
                () = progress.expires(self.patience, closing) => {
                    if closing {
                        return;
                    }
                    closing = true;
                    served.as_mut().graceful_shutdown();
                }
                () = told(&mut self.closing), if !closing => {
                    closing = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Waits until all connections are to close.
async fn told(closing: &mut watch::Receiver<bool>) {
    // The sender waits for this connection to end.
    let _ = closing.wait_for(|&closing| closing).await;
}

/// How far the client of a connection has got.
#[derive(Debug)]
struct Progress {
    now: Mutex<Now>,
    changed: Notify,
}

#[derive(Debug)]
struct Now {
    /// Number of requests whose head has arrived and whose answer is not yet on its way.
    answering: usize,
    /// Whether a request has begun to arrive. A new connection was opened for one.
    arriving: bool,
    /// When the above last changed.
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

    /// Notes that bytes have arrived. While a request is being answered they are its body.
    fn arrived(&self) {
        let mut now = self.now();
        if now.answering == 0 && !now.arriving {
            (now.arriving, now.since) = (true, Instant::now());
            self.changed.notify_one();
        }
    }

    /// Waits until the client has taken too long: `patience` for the head of a request, [`IDLE`] between requests.
    async fn expires(&self, patience: Duration, closing: bool) {
        loop {
            let until = {
                let now = self.now();
                let allowed = match (closing, now.arriving) {
                    (false, true) => patience,
                    (false, false) => IDLE,
                    (true, true) => CLOSING.min(patience),
                    // An answer that its client has not taken yet.
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

/// A request, from the arrival of its head until its answer is on its way.
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

/// A stream that tells a [`Progress`] when bytes arrive.
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
