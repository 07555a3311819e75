//! HTTP requests from API Gateway (payload 1.0 and 2.0), function URLs and load balancers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless_questions::{ACCEPTED_CODINGS, ApiError, decoded};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::phrase;

/// Fields of an HTTP event that this function uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRequest {
    /// Method in payload 1.0 and from load balancers. Payload 2.0 and function URLs have it in the request context.
    http_method: Option<String>,
    /// Path in payload 1.0 and from load balancers. Payload 2.0 and function URLs have it in the request context.
    path: Option<String>,
    request_context: Context,
    headers: Option<BTreeMap<String, Value>>,
    multi_value_headers: Option<BTreeMap<String, Value>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct Context {
    http: Option<Http>,
    elb: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
    path: Option<String>,
}

/// Purpose of an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Answers to the request in its body.
    Answers,
    /// Health check of the function.
    Health,
    /// CORS preflight: a browser asks whether a page may send its request.
    Preflight,
}

impl HttpRequest {
    pub(crate) fn method(&self) -> Option<&str> {
        match &self.request_context.http {
            Some(http) => Some(&http.method),
            None => self.http_method.as_deref(),
        }
    }

    pub(crate) fn path(&self) -> Option<&str> {
        match &self.request_context.http {
            Some(http) => http.path.as_deref(),
            None => self.path.as_deref(),
        }
    }

    /// Returns the value of a header, or the last one if it has several, trimmed. The case of the name does not matter.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let maps = [&self.headers, &self.multi_value_headers];
        let headers = maps.into_iter().flatten().flatten();
        let value = headers
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .find_map(|(_, value)| match value {
                Value::Array(values) => values.last()?.as_str(),
                value => value.as_str(),
            });
        value.map(str::trim)
    }

    /// Returns the purpose of the request. POST asks for answers on every path. GET and HEAD are only for health checks, OPTIONS
    /// only for CORS preflights.
    ///
    /// # Errors
    /// 405 for every other request.
    pub(crate) fn wants(&self) -> Result<Wants, ApiError> {
        match self.method() {
            Some("POST") => Ok(Wants::Answers),
            Some("GET" | "HEAD") if self.is_health_check() => Ok(Wants::Health),
            Some("OPTIONS") if self.header("access-control-request-method").is_some() => {
                Ok(Wants::Preflight)
            }
            _ => Err(ApiError::new(405, "this path does not take this method")),
        }
    }

    /// Returns whether this is a health check. Either the path ends in `/healthz` (API Gateway puts the stage's name before
    /// it), or the sender is the health checker of a load balancer, whose path is a setting of the load balancer.
    fn is_health_check(&self) -> bool {
        let path = self.path().unwrap_or_default();
        let path = path.strip_suffix('/').unwrap_or(path);
        let agent = self.header("user-agent").unwrap_or_default();
        path.ends_with("/healthz")
            || self.request_context.elb.is_some() && agent.starts_with("ELB-HealthChecker/")
    }

    /// Decodes the body: first base64, if the event says so, then its `Content-Encoding`. A compressed body may have at most
    /// `limit` bytes after decoding. The length of an uncompressed body is not checked here.
    ///
    /// # Errors
    /// 400 if the event says that the body is base64 and it is not, and the errors of [`decoded`].
    pub(crate) fn body(&self, limit: usize) -> Result<Cow<'_, [u8]>, ApiError> {
        let body = self.body.as_deref().unwrap_or_default();
        let bytes = match self.is_base64_encoded {
            Some(true) => Cow::Owned(BASE64_STANDARD.decode(body).map_err(|error| {
                ApiError::malformed(format!("the body is not base64: {error}"))
            })?),
            _ => Cow::Borrowed(body.as_bytes()),
        };
        let coding = self.header("content-encoding").unwrap_or_default();
        decoded(bytes, coding, limit)
    }

    /// Builds the response in the form that the sender of this request reads. Adds the header `content-type` if there is a
    /// body, `allow` for status 405 and `accept-encoding` for status 415.
    pub(crate) fn response(
        &self,
        status: u16,
        mut headers: Vec<(&'static str, String)>,
        body: String,
    ) -> HttpResponse {
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        match status {
            405 => headers.push(("allow", "POST".to_owned())),
            415 => headers.push(("accept-encoding", ACCEPTED_CODINGS.to_owned())),
            _ => {}
        }
        let balancer = self.request_context.elb.is_some();
        // A load balancer that sends lists of headers reads only lists of headers.
        let lists = balancer && self.multi_value_headers.is_some();
        let (single, multiple) = if lists {
            let headers = headers.into_iter().map(|(name, value)| (name, [value]));
            (None, Some(headers.collect()))
        } else {
            (Some(headers.into_iter().collect()), None)
        };
        HttpResponse {
            status_code: status,
            status_description: balancer.then(|| phrase(status)),
            headers: single,
            multi_value_headers: multiple,
            // A response to HEAD has no body.
            body: match self.method() {
                Some("HEAD") => String::new(),
                _ => body,
            },
            is_base64_encoded: false,
        }
    }
}

/// HTTP response. Leaves out fields that the sender of the request does not know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpResponse {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'static str, [String; 1]>>,
    body: String,
    is_base64_encoded: bool,
}
