//! Client of AWS Lambda's Runtime API, which delivers events to the function and receives its replies.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! AWS's crate `lambda_runtime` is not used, for two reasons. It parses the client context of an invocation, expects only strings
//! in it, and ends the process if a caller has sent anything else; this client does not read the client context. At level TRACE
//! `lambda_runtime` logs whole events.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bertless_questions::ApiError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use http_body_util::BodyExt;
use lambda_runtime_api_client::{PooledClient, build_request};
use serde::Serialize;

use crate::Error;
use crate::status::phrase;

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
/// Header with the time at which AWS ends the invocation, in milliseconds since 1970.
const DEADLINE: &str = "lambda-runtime-deadline-ms";
/// Header of an event that its reply repeats. By it AWS recognises a reply to an invocation that has already ended.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// Client of the Runtime API.
#[derive(Debug)]
pub(crate) struct RuntimeApi(PooledClient);

/// Event that waits for its reply.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    invocation_id: Option<HeaderValue>,
    /// Time at which AWS ends the invocation; `None` if the header is missing or malformed.
    pub(crate) deadline: Option<Instant>,
    pub(crate) event: Bytes,
}

/// Converts the header [`DEADLINE`] to a time on this process's clock.
fn deadline(header: &HeaderValue) -> Option<Instant> {
    let milliseconds = header.to_str().ok()?.parse().ok()?;
    let end = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))?;
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

/// Error that a direct caller receives, as JSON. AWS counts it as an error of the function, and retries an asynchronous event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnostic<'a> {
    error_type: &'a str,
    error_message: &'a str,
}

impl RuntimeApi {
    /// Makes a client of the Runtime API at `address` (a host and a port), for up to `at_once` concurrent events.
    pub(crate) fn at(address: &str, at_once: usize) -> Result<Self, Error> {
        let uri: Option<Uri> = address.parse().ok();
        let uri = uri.filter(|uri| uri.authority().is_some());
        let uri =
            uri.ok_or_else(|| format!("AWS_LAMBDA_RUNTIME_API: {address:?} is not a host"))?;
        let client = PooledClient::builder()
            .with_endpoint(uri)
            .with_pool_size(at_once);
        Ok(Self(client.build()))
    }

    /// Waits until AWS has restored the process from its snapshot, if the function uses SnapStart.
    pub(crate) async fn restored(&self) -> Result<(), Error> {
        if std::env::var("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() == Ok("snap-start") {
            self.get("restore/next").await?;
            // Connections do not outlive a snapshot.
            self.0.reset_pool();
        }
        Ok(())
    }

    /// Waits for the next event.
    pub(crate) async fn next(&self) -> Result<Invocation, Error> {
        let (parts, event) = self.get("invocation/next").await?.into_parts();
        let request_id = parts.headers.get(REQUEST_ID);
        let request_id = request_id.ok_or("the Runtime API sent an event without an id")?;
        Ok(Invocation {
            request_id: request_id.to_str()?.to_owned(),
            invocation_id: parts.headers.get(INVOCATION_ID).cloned(),
            deadline: parts.headers.get(DEADLINE).and_then(deadline),
            event,
        })
    }

    /// Sends the reply to an event, as JSON. Returns when AWS has received it.
    pub(crate) async fn reply(
        &self,
        invocation: &Invocation,
        reply: Result<Vec<u8>, ApiError>,
    ) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        if let Some(id) = &invocation.invocation_id {
            headers.insert(INVOCATION_ID, id.clone());
        }
        let (end, body) = match reply {
            Ok(body) => ("response", body),
            Err(error) => {
                headers.insert(ERROR_TYPE, HeaderValue::from_static("unhandled"));
                let diagnostic = Diagnostic {
                    error_type: phrase(error.status),
                    error_message: &error.reason,
                };
                ("error", serde_json::to_vec(&diagnostic)?)
            }
        };
        let request_id = &invocation.request_id;
        let path = format!("invocation/{request_id}/{end}");
        let taken = self.call(Method::POST, &path, headers, body).await?;
        if !taken.status().is_success() {
            // Status 413, for example, means more than 6 MB. AWS reports the error to the caller.
            let status = taken.status().as_u16();
            tracing::error!(request_id, status, "the Runtime API refused the reply");
        }
        Ok(())
    }

    /// Sends a GET request. A status other than success is an error.
    async fn get(&self, path: &str) -> Result<Response<Bytes>, Error> {
        let got = self
            .call(Method::GET, path, HeaderMap::new(), Vec::new())
            .await?;
        if got.status().is_success() {
            Ok(got)
        } else {
            Err(format!(
                "{path}: the Runtime API answered with status {}",
                got.status()
            )
            .into())
        }
    }

    /// Sends a request and returns the whole response, so that the connection is free for the next call.
    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, Error> {
        let request = build_request().method(method);
        let mut request = request
            .uri(format!("/2018-06-01/runtime/{path}"))
            .body(body.into())?;
        request.headers_mut().extend(headers);
        let (parts, body) = self.0.call(request).await?.into_parts();
        Ok(Response::from_parts(
            parts,
            body.collect().await?.to_bytes(),
        ))
    }
}
