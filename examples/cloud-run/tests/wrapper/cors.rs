//! Tests of CORS: preflights, and the headers that let a web page read a response.

use reqwest::{Client, Method, Response};
use serde_json::json;

use super::Server;

async fn preflight(server: &Server, path: &str, origin: &str) -> Response {
    let request = Client::new().request(Method::OPTIONS, server.url(path));
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let value = response.headers().get(name);
    value.map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn preflights_are_answered_for_the_origins_of_the_setting() {
    let origins = "https://a.example, http://localhost:3000";
    let open = Server::start(&[("BERTLESS_CORS_ORIGIN", origins)]);
    for path in ["/predict", "/", "/healthz"] {
        let response = preflight(&open, path, "http://localhost:3000").await;
        for (name, value) in [
            ("access-control-allow-origin", "http://localhost:3000"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-max-age", "7200"),
            ("vary", "origin"),
        ] {
            assert_eq!(header(&response, name), Some(value), "{path}");
        }
        assert_eq!(response.status(), 204);
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let any = Server::start(&[("BERTLESS_CORS_ORIGIN", "*")]);
    let response = preflight(&any, "/predict", "https://b.example").await;
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    let closed = Server::start(&[]);
    for server in [&open, &closed] {
        let response = preflight(server, "/predict", "https://b.example").await;
        assert_eq!(response.status(), 403);
        assert_eq!(header(&response, "access-control-allow-origin"), None);
    }
    let line = open.line(|line| line["status"] == 204);
    assert_eq!(line["method"], "OPTIONS");
    let line = open.line(|line| line["status"] == 403);
    assert_eq!(line["severity"], "WARNING");
}

/// Tests that responses to refused requests have the headers, too, so that a page can read the reason.
#[tokio::test]
async fn every_response_has_the_headers() {
    let server = Server::start(&[
        ("BERTLESS_CORS_ORIGIN", "https://a.example"),
        ("BERTLESS_MAX_BODY", "100"),
    ]);
    let long = "x".repeat(200);
    for (path, text, status) in [
        ("/predict", "A film", 200),
        ("/predict", "", 422),
        ("/predict", long.as_str(), 413),
        ("/nowhere", "A film", 404),
        ("/healthz", "A film", 405),
    ] {
        let request = server.post(path).json(&json!({"text": text}));
        let request = request.header("origin", "https://a.example");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let allowed = header(&response, "access-control-allow-origin");
        assert_eq!(allowed, Some("https://a.example"), "{path} {status}");
    }
    let other = server.post("/predict").json(&json!({"text": "A film"}));
    let other = other.header("origin", "https://b.example").send().await;
    let other = other.unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(header(&other, "access-control-allow-origin"), None);
    assert_eq!(header(&other, "vary"), Some("origin"));
}
