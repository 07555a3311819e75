//! Paths and their handlers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bertless_questions::{Answer, ApiError, Cors, Counts, Limits, PredictRequest, parse};
use serde::Serialize;
use serde_json::json;

use crate::body;
use crate::cors;
use crate::events::{self, Event};
use crate::failure::Failure;
use crate::log::{self, Record};
use crate::pool::Pool;
use crate::settings::{Root, Settings};
use crate::shutdown::Traffic;

pub(crate) type SharedApp = Arc<App>;

/// State that all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pool: Pool,
    settings: Settings,
    pub(crate) traffic: Traffic,
}

impl App {
    pub(crate) fn new(pool: Pool, settings: Settings) -> Self {
        Self {
            pool,
            settings,
            traffic: Traffic::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    pub(crate) fn cors(&self) -> &Cors {
        &self.settings.cors
    }

    /// Maximum time for the head of a request to arrive, and then again for its body.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.settings.read_timeout
    }
}

/// Builds the router, which counts and logs each request.
pub(crate) fn router(app: SharedApp) -> Router {
    Router::new()
        .route("/", post(root))
        .route("/predict", post(predict))
        .route("/healthz", get(health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), cors::each))
        .layer(middleware::from_fn_with_state(app.clone(), log::each))
        .with_state(app)
}

/// Handler of `POST /predict`: responds with an answer, or with `{"predictions": [..]}` to `{"texts": [..]}`.
async fn predict(State(app): State<SharedApp>, request: Request) -> Result<Response, Failure> {
    let (_, body) = body::read(&app, request).await?;
    answer(&app, parse(&body, app.limits())?).await
}

/// Handler of `POST /`: takes events, or requests as `/predict` does, or both, as the settings say.
async fn root(State(app): State<SharedApp>, request: Request) -> Result<Response, Failure> {
    let limits = app.limits();
    let (headers, body) = body::read(&app, request).await?;
    let is_event = match app.settings.root {
        Root::Http => false,
        Root::Events => true,
        Root::Either => events::are_of_event(&headers) || events::is_push(&body),
    };
    if is_event {
        acknowledge(&app, events::read(&headers, &body, limits)?).await
    } else {
        answer(&app, parse(&body, limits)?).await
    }
}

/// Handler of `GET /healthz`: responds whether the instance accepts requests, and how many it is answering.
async fn health(State(app): State<SharedApp>) -> Response {
    let (status, word) = if app.traffic.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else {
        (StatusCode::OK, "ok")
    };
    // The health check itself does not count.
    let in_flight = app.traffic.in_flight().saturating_sub(1);
    let health = json!({"status": word, "in_flight": in_flight});
    (status, Json(health)).into_response()
}

async fn not_found(State(app): State<SharedApp>, request: Request) -> Failure {
    body::discard(&app, request).await;
    Failure(ApiError::new(404, "there is nothing at this path"))
}

async fn method_not_allowed(State(app): State<SharedApp>, request: Request) -> Failure {
    body::discard(&app, request).await;
    Failure(ApiError::new(405, "this path does not take this method"))
}

/// Response with several answers, and the id of the event if it answers one.
#[derive(Serialize)]
struct Many<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    predictions: &'a [Answer],
}

/// Answers a request.
async fn answer(app: &App, request: PredictRequest) -> Result<Response, Failure> {
    let many = request.many;
    let answers = answers(app, request).await?;
    let record = record(&answers, None);
    let mut response = match (many, answers.as_slice()) {
        (false, [Answer(answer)]) => {
            Json(answer.as_ref().map_err(ApiError::clone)?).into_response()
        }
        (_, predictions) => Json(Many {
            event: None,
            predictions,
        })
        .into_response(),
    };
    response.extensions_mut().insert(record);
    Ok(response)
}

/// Answers an event with status 200, which acknowledges it. If none of its texts has an answer, the response is the error of
/// the first, and the event is sent again.
///
/// The sender of an event discards the response. A function of your own would pass `answers` on here.
async fn acknowledge(app: &App, event: Event) -> Result<Response, Failure> {
    let answers = answers(app, event.request).await?;
    let record = record(&answers, event.id);
    if let Some(Answer(Err(error))) = answers.first()
        && answers.iter().all(|answer| answer.0.is_err())
    {
        let mut response = Failure(error.clone()).into_response();
        response.extensions_mut().insert(record);
        return Ok(response);
    }
    let many = Many {
        event: record.event.as_deref(),
        predictions: &answers,
    };
    let mut response = Json(many).into_response();
    response.extensions_mut().insert(record);
    Ok(response)
}

/// Answers all questions, in their order. If all of them are invalid, returns their errors without waiting in the queue.
async fn answers(app: &App, request: PredictRequest) -> Result<Vec<Answer>, ApiError> {
    if request.questions.iter().any(Result::is_ok) {
        app.pool.answer(request.questions).await
    } else {
        let errors = request.questions.into_iter().filter_map(Result::err);
        Ok(errors.map(|error| Answer(Err(error))).collect())
    }
}

fn record(answers: &[Answer], event: Option<String>) -> Record {
    Record {
        event,
        counts: Counts::of(answers),
    }
}
