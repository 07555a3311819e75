//! Bodies: read up to a limit and in a limited time, and decoded.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bertless_questions::{ApiError, decoded};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::routes::App;

/// How much of a body that is too large is read, and thrown away, before its sender hears so: a connection that is closed
/// while he still sends would take the answer with it. Cloud Run itself passes on 32 MiB at most.
const MOST_DISCARDED: usize = 32 << 20;

/// Reads the headers and the whole body of a request, and decodes the body.
///
/// # Errors
/// 413 for more bytes than the settings allow, before or after decoding, 408 for a slow sender, and the errors of [`decoded`].
pub(crate) async fn read(app: &App, request: Request) -> Result<(HeaderMap, Vec<u8>), ApiError> {
    let limit = app.limits().body;
    let (parts, body) = request.into_parts();
    let body = in_time(app, arrived(body, limit)).await??;
    let codings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    let codings: Vec<_> = codings
        .map(|coding| coding.to_str().unwrap_or("?"))
        .collect();
    let body = decoded(body.into(), &codings.join(", "), limit)?;
    Ok((parts.headers, body.into_owned()))
}

/// Reads a body that nobody asked for, as far as one that is too large, since its sender hears why only after sending it.
pub(crate) async fn discard(app: &App, request: Request) {
    // Whether it was too large, too slow or broke off changes nothing any more.
    let _ = in_time(app, arrived(request.into_body(), 0)).await;
}

/// Reads, unless the sender takes too long or the process is about to end.
async fn in_time<T>(app: &App, reading: impl Future<Output = T>) -> Result<T, ApiError> {
    let patience = app.read_timeout();
    tokio::select! {
        read = timeout(patience, reading) => read.map_err(|_| {
            let seconds = patience.as_secs();
            ApiError::new(408, format!("the body did not arrive within {seconds} s"))
        }),
        () = app.traffic.gives_up_on_bodies() => {
            Err(ApiError::new(503, "this instance stops, and the body had not arrived"))
        }
    }
}

async fn arrived(mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::malformed(format!("the body could not be read to its end: {error}"))
        })?;
        let Some(data) = frame.data_ref() else {
            continue; // trailers
        };
        seen += data.len();
        if seen <= limit {
            kept.extend_from_slice(data);
        } else if seen <= MOST_DISCARDED {
            kept = Vec::new();
        } else {
            break;
        }
    }
    if seen <= limit {
        Ok(kept)
    } else {
        Err(ApiError::body_too_large(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_is_the_last_size_that_passes() {
        let read_of = |size: usize| arrived(Body::from(vec![b'x'; size]), 10);
        assert_eq!(read_of(0).await.unwrap().len(), 0);
        assert_eq!(read_of(10).await.unwrap().len(), 10);
        let error = read_of(11).await.unwrap_err();
        assert_eq!(
            (error.status, error.reason.as_str()),
            (413, "the body has more than 10 bytes")
        );
    }
}
