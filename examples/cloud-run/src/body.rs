//! Bodies, up to a limit.

use axum::body::{Body, Bytes};
use bertless_questions::Refusal;
use http_body_util::BodyExt;

/// How much of a body that is too large is read, and thrown away, before its sender hears so: a connection that is closed
/// while he still sends would take the answer with it. Cloud Run itself passes on 32 MiB at most.
const MOST_DISCARDED: usize = 32 << 20;

/// The whole body, if it has at most `limit` bytes.
pub(crate) async fn read(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::malformed(format!("the body could not be read to its end: {error}"))
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
    match seen <= limit {
        true => Ok(kept.into()),
        false => Err(Refusal::too_large(format!(
            "the body has more than {limit} bytes"
        ))),
    }
}

/// Takes in a body that nobody asked for, as far as one that is too large is: its sender hears why only when he has sent it.
pub(crate) async fn discard(body: Body) {
    // Whether it was too large or broke off changes nothing any more.
    let _ = read(body, 0).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_is_the_last_size_that_passes() {
        let read_of = |size: usize| read(Body::from(vec![b'x'; size]), 10);
        assert_eq!(read_of(0).await.unwrap().len(), 0);
        assert_eq!(read_of(10).await.unwrap().len(), 10);
        let refusal = read_of(11).await.unwrap_err();
        assert_eq!(
            (refusal.status, refusal.reason.as_str()),
            (413, "the body has more than 10 bytes")
        );
    }
}
