//! Which path does what.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bertless::Prediction;
use serde::Serialize;
use serde_json::json;

use crate::ask::{self, Asked};
use crate::body;
use crate::events::{self, Event};
use crate::failure::Failure;
use crate::log::{self, Record};
use crate::pool::{self, Answers, Pool};
use crate::settings::{Root, Settings};
use crate::shutdown::Traffic;

pub(crate) type SharedApp = Arc<App>;

/// What every request sees.
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
}

/// All paths, each request counted and logged.
pub(crate) fn router(app: SharedApp) -> Router {
    Router::new()
        .route("/", post(root))
        .route("/predict", post(predict))
        .route("/healthz", get(health))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(app.clone(), log::each))
        .with_state(app)
}

/// `POST /predict`: an answer, or `{"predictions": [..]}` to `{"texts": [..]}`.
async fn predict(State(app): State<SharedApp>, request: Request) -> Result<Response, Failure> {
    let limits = &app.settings.limits;
    let body = body::read(request.into_body(), limits.body).await?;
    answer(&app, ask::parse(&body, limits)?).await
}

/// `POST /`: an event; or, by setting or because it looks like one, a request as `/predict` takes it.
async fn root(State(app): State<SharedApp>, request: Request) -> Result<Response, Failure> {
    let limits = &app.settings.limits;
    let (parts, body) = request.into_parts();
    let body = body::read(body, limits.body).await?;
    let is_event = match app.settings.root {
        Root::Http => false,
        Root::Events => true,
        Root::Either => events::are_of_event(&parts.headers) || events::is_push(&body),
    };
    match is_event {
        false => answer(&app, ask::parse(&body, limits)?).await,
        true => acknowledge(&app, events::read(&parts.headers, &body, limits)?).await,
    }
}

/// `GET /healthz`: whether more requests are wanted, and how many are being answered.
async fn health(State(app): State<SharedApp>) -> Response {
    let (status, word) = match app.traffic.is_stopping() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    // Without this one.
    let in_flight = app.traffic.in_flight().saturating_sub(1);
    let health = json!({"status": word, "in_flight": in_flight});
    (status, Json(health)).into_response()
}

async fn nothing() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

async fn not_so() -> Failure {
    let reason = "this path does not take this method";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, reason)
}

/// Many answers, and the event that asked for them.
#[derive(Serialize)]
struct Many<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    predictions: Vec<Item<'a>>,
}

impl<'a> Many<'a> {
    fn new(event: Option<&'a str>, answers: &'a Answers) -> Self {
        Self {
            event,
            predictions: answers.iter().map(Item::from).collect(),
        }
    }
}

/// One of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Answered(&'a Prediction),
    Failed { error: &'a Failure },
}

impl<'a> From<&'a Result<Prediction, Failure>> for Item<'a> {
    fn from(answer: &'a Result<Prediction, Failure>) -> Self {
        match answer {
            Ok(prediction) => Self::Answered(prediction),
            Err(error) => Self::Failed { error },
        }
    }
}

/// Answers a request.
async fn answer(app: &App, asked: Asked) -> Result<Response, Failure> {
    let many = asked.many;
    let answers = answers(app, asked).await?;
    let mut response = match (many, answers.as_slice()) {
        (false, [answer]) => Json(answer.as_ref().map_err(Failure::clone)?).into_response(),
        _ => Json(Many::new(None, &answers)).into_response(),
    };
    response.extensions_mut().insert(record(&answers, None));
    Ok(response)
}

/// Answers an event, and so acknowledges it, unless none of its texts has an answer.
///
/// Whoever sends events throws away what comes back: a function of your own would send `answers` on from here.
async fn acknowledge(app: &App, event: Event) -> Result<Response, Failure> {
    let answers = answers(app, event.asked).await?;
    let record = record(&answers, Some(event.id));
    if let Some(Err(failure)) = answers.first()
        && answers.iter().all(Result::is_err)
    {
        let mut response = failure.clone().into_response();
        response.extensions_mut().insert(record);
        return Ok(response);
    }
    let many = Many::new(record.event.as_deref(), &answers);
    let mut response = Json(many).into_response();
    response.extensions_mut().insert(record);
    Ok(response)
}

/// The answers to all questions, in their order; those that cannot be asked are left out of the work.
async fn answers(app: &App, asked: Asked) -> Result<Answers, Failure> {
    let mut questions = Vec::with_capacity(asked.questions.len());
    let places: Vec<Result<(), Failure>> = asked
        .questions
        .into_iter()
        .map(|question| question.map(|question| questions.push(question)))
        .collect();
    let answered = match questions.is_empty() {
        true => Vec::new(),
        false => app.pool.answer(questions).await?,
    };
    let mut answered = answered.into_iter();
    let answer = |place: Result<(), Failure>| {
        place.and_then(|()| answered.next().unwrap_or_else(|| Err(pool::lost())))
    };
    Ok(places.into_iter().map(answer).collect())
}

fn record(answers: &Answers, event: Option<String>) -> Record {
    let answered = || answers.iter().flatten();
    Record {
        event,
        texts: answers.len(),
        failed: answers.len() - answered().count(),
        tokens: answered().map(Prediction::n_tokens).sum(),
        truncated: answered().filter(|answer| answer.truncated()).count(),
    }
}
