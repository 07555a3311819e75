//! Request bodies: reads them within limits of size and time, and decodes them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bertless_questions::{ApiError, decoded};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::routes::App;

/// Maximum number of bytes that are read of a body over the limit, and discarded. If the server closed the connection while
/// the client still sends, the client would not receive the response. Cloud Run itself passes on at most 32 MiB.
const MOST_DISCARDED: usize = 32 << 20;

/// Reads the headers and the whole body of a request, and decodes the body.
///
/// # Errors
/// 413 for more bytes than the settings allow, before or after decoding, 408 for a slow sender, and the errors of [`decoded`].
pub(crate) async fn read(app: &App, request: Request) -> Result<(HeaderMap, Vec<u8>), ApiError> {
    let limit = app.limits().body;
    let (parts, body) = request.into_parts();
    let body = in_time(app, read_body(body, limit)).await??;
    let codings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    let codings: Vec<_> = codings
        .map(|coding| coding.to_str().unwrap_or("?"))
        .collect();
    let body = decoded(body.into(), &codings.join(", "), limit)?;
    Ok((parts.headers, body.into_owned()))
}

/// Reads and discards the body of a request that is refused regardless of its body. Many clients read a response only after
/// they have sent the whole body.
pub(crate) async fn discard(app: &App, request: Request) {
    // The request is refused in any case, so an error while reading its body does not matter.
    let _ = in_time(app, read_body(request.into_body(), 0)).await;
}

/// Waits for `reading`. Returns an error if the client takes too long or the process is about to end.
async fn in_time<T>(app: &App, reading: impl Future<Output = T>) -> Result<T, ApiError> {
    let patience = app.read_timeout();
    tokio::select! {
        read = timeout(patience, reading) => read.map_err(|_| {
            let seconds = patience.as_secs();
            ApiError::new(408, format!("the body did not arrive within {seconds} s"))
        }),
        () = app.traffic.gives_up_on_bodies() => {
            Err(ApiError::new(503, "this instance is stopping, and the body has not arrived"))
        }
    }
}

/// Reads a whole body of at most `limit` bytes.
async fn read_body(mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
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
    async fn a_body_of_exactly_the_limit_is_accepted() {
        let read_of = |size: usize| read_body(Body::from(vec![b'x'; size]), 10);
        assert_eq!(read_of(0).await.unwrap().len(), 0);
        assert_eq!(read_of(10).await.unwrap().len(), 10);
        let error = read_of(11).await.unwrap_err();
        assert_eq!(
            (error.status, error.reason.as_str()),
            (413, "the body has more than 10 bytes")
        );
    }
}
