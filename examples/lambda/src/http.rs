//! Requests that come by HTTP: what API Gateway 1.0 and 2.0, function URLs and load balancers agree on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bertless_questions::Refusal;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::refusal::phrase;

/// The part of an HTTP event that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRequest {
    /// Of 1.0 and of load balancers; 2.0 and function URLs have both in their context.
    http_method: Option<String>,
    path: Option<String>,
    request_context: Context,
    multi_value_headers: Option<IgnoredAny>,
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

    /// The bytes of the body.
    ///
    /// # Errors
    /// 405 if it is no POST, 400 if it is said to be base64 and is not.
    pub(crate) fn body(&self) -> Result<Cow<'_, [u8]>, Refusal> {
        if self.method() != Some("POST") {
            return Err(Refusal::new(405, "this path does not take this method"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.is_base64_encoded != Some(true) {
            return Ok(body.as_bytes().into());
        }
        let bytes = BASE64_STANDARD.decode(body);
        bytes
            .map(Cow::from)
            .map_err(|error| Refusal::malformed(format!("the body is not base64: {error}")))
    }

    /// The response in the form that the sender of this request reads.
    pub(crate) fn response(&self, status: u16, body: String) -> HttpResponse {
        let balancer = self.request_context.elb.is_some();
        // A load balancer that sends lists of headers reads nothing else.
        let lists = balancer && self.multi_value_headers.is_some();
        let headers = || [("content-type", "application/json")];
        HttpResponse {
            status_code: status,
            status_description: balancer.then(|| phrase(status)),
            headers: (!lists).then(|| headers().into()),
            multi_value_headers: lists
                .then(|| headers().map(|(name, value)| (name, [value])).into()),
            body,
            is_base64_encoded: false,
        }
    }
}

/// A response; the fields that a sender does not know are absent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpResponse {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<&'static str, &'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<&'static str, [&'static str; 1]>>,
    body: String,
    is_base64_encoded: bool,
}
